//! What a client gets, looked at alike in both ways of running a script.

use super::words::Words;
use super::world::Done;

/// Clients with packets that nobody has looked at yet.
pub(crate) trait Inboxes {
    /// The next packet of a client; an error if there is none.
    fn next_of(&mut self, name: &str) -> Result<Words, String>;

    /// `a<` and, if exactly one of several receives it, `a|b<`.
    fn expect(&mut self, names: &str, rest: &str) -> Done;

    fn expect_closed(&mut self, name: &str, rest: &str) -> Done;

    /// Looks, if the statement says what came.
    fn look(&mut self, first: &str, rest: &str) -> Option<Done> {
        if let Some(names) = first.strip_suffix('<') {
            return Some(self.expect(names, rest));
        }
        if let Some(name) = first.strip_suffix("<*") {
            return Some(self.expect_any_order(name, rest));
        }
        if let Some(name) = first.strip_suffix('!') {
            return Some(self.expect_closed(name, rest));
        }
        rest.strip_prefix("gets ").map(|rest| self.expect_number(first, rest))
    }

    fn expect_any_order(&mut self, name: &str, rest: &str) -> Done {
        let mut wanted: Vec<Words> = rest.split(" | ").map(Words::parse).collect();
        while !wanted.is_empty() {
            let got = self.next_of(name)?;
            let at = wanted.iter().position(|want| want.matches(&got));
            wanted.swap_remove(at.ok_or(format!("{name} got `{got}`"))?);
        }
        Ok(())
    }

    /// `a gets 3 publish`: so many packets of a kind, whatever they say.
    fn expect_number(&mut self, name: &str, rest: &str) -> Done {
        let (number, kind) = rest.split_once(' ').ok_or("gets how many of what?")?;
        for _ in 0..number.parse().map_err(|_| "gets how many?")? {
            let got = self.next_of(name)?;
            if got.kind != kind {
                return Err(format!("{name} got `{got}`"));
            }
        }
        Ok(())
    }
}
