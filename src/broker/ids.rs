//! A list of small numbers that mostly holds one or none.
//!
//! Invariant: none or one costs no allocation.

use std::ops::Deref;

/// A list of `u32`, read as a slice.
#[derive(Debug, Default)]
pub(super) enum IdList {
    #[default]
    None,
    One([u32; 1]),
    #[expect(clippy::box_collection, reason = "the list stays two words long")]
    Many(Box<Vec<u32>>),
}

impl Deref for IdList {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(one) => one,
            Self::Many(many) => many,
        }
    }
}

impl IdList {
    /// Appends `id`.
    pub(super) fn push(&mut self, id: u32) {
        match self {
            Self::None => *self = Self::One([id]),
            Self::One([first]) => *self = Self::Many(Box::new(vec![*first, id])),
            Self::Many(many) => many.push(id),
        }
    }

    /// Takes out what stands at `at`; the last one takes its place.
    pub(super) fn swap_remove(&mut self, at: usize) {
        match self {
            Self::None => {}
            Self::One(_) => *self = Self::None,
            Self::Many(many) => {
                many.swap_remove(at);
                match many.as_slice() {
                    [] => *self = Self::None,
                    [last] => *self = Self::One([*last]),
                    left if left.len() * 4 < many.capacity() => many.shrink_to(left.len() * 2),
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_list() {
        assert_eq!(size_of::<IdList>(), 16);
        let (mut list, mut plain) = (IdList::default(), Vec::new());
        for n in 0..20 {
            list.push(n);
            plain.push(n);
            assert_eq!(*list, plain[..]);
        }
        for n in 0..20 {
            let at = (n * 7) % plain.len();
            list.swap_remove(at);
            plain.swap_remove(at);
            assert_eq!(*list, plain[..]);
        }
        assert!(matches!(list, IdList::None));
    }
}
