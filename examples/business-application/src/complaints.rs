//! What goes wrong, said once for as long as it stays the same.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What was last said about each thing that goes wrong.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<HashMap<String, String>>);

impl Complaints {
    /// Says it on stderr, unless it was the last thing that was said about this.
    pub fn say(&self, about: &str, line: String) {
        if self.is_new(about, &line) {
            eprintln!("{line}");
            self.known().insert(about.to_owned(), line);
        }
    }

    fn is_new(&self, about: &str, line: &str) -> bool {
        self.known().get(about).is_none_or(|last| last != line)
    }

    /// It goes well; whether it did not before.
    pub fn settle(&self, about: &str) -> bool {
        self.known().remove(about).is_some()
    }

    /// Forgets all but these.
    pub fn keep(&self, is_kept: impl Fn(&str) -> bool) {
        self.known().retain(|about, _| is_kept(about));
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changes_is_new() {
        let complaints = Complaints::default();
        let say = |about: &str, line: &str| {
            let new = complaints.is_new(about, line);
            complaints.say(about, line.to_owned());
            new
        };
        assert!(say("a", "slow down") && say("b", "slow down"));
        assert!(!say("a", "slow down"));
        assert!(say("a", "no connection") && say("a", "slow down"));
        assert!(complaints.settle("a") && !complaints.settle("a"));
        assert!(say("a", "slow down"));
        complaints.keep(|about| about == "a");
        assert!(!say("a", "slow down") && say("b", "slow down"));
    }
}
