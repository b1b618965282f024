//! What a client gets, looked at alike in both ways of running a script.

use super::words::Words;
use super::world::Done;

/// Clients with packets that nobody has looked at yet.
pub(crate) trait Inboxes {
    /// The next packet of a client; an error if there is none.
    fn next_of(&mut self, name: &str) -> Result<Words, String>;

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
