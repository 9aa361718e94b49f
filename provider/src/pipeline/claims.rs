//! Who works on which pipeline in this process. Two resources of one name would take each other's parts for what an earlier run left.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use super::blueprint::Identity;

/// What is being done to a pipeline.
#[derive(Debug, Default)]
struct Doing {
    /// Somebody makes or changes it.
    made: bool,
    /// And has looked, and begun.
    begun: bool,
    /// How many are taking it down.
    destroyed: usize,
    /// The parts that were made in this run, maybe of those of another resource.
    made_anew: BTreeSet<Identity>,
}

/// All pipelines on which somebody works, by their marks.
#[derive(Debug)]
pub struct Claims(watch::Sender<BTreeMap<String, Doing>>);

impl Default for Claims {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

impl Claims {
    fn change(&self, mark: &str, change: impl FnOnce(&mut Doing) -> bool) -> bool {
        self.0.send_if_modified(|all| {
            let doing = all.entry(mark.to_owned()).or_default();
            let changed = change(doing);
            if !doing.made && doing.destroyed == 0 && doing.made_anew.is_empty() {
                all.remove(mark);
            }
            changed
        })
    }

    /// To make or change a pipeline; none where somebody else does.
    pub fn making(&self, mark: String) -> Option<Making<'_>> {
        let is_mine = self.change(&mark, |doing| !std::mem::replace(&mut doing.made, true));
        is_mine.then(|| Making { claims: self, mark })
    }

    /// Forgets what a pipeline was made of.
    pub fn begin_anew(&self, mark: &str) {
        self.change(mark, |doing| {
            doing.made_anew.clear();
            false
        });
    }

    /// To take a pipeline down; none where somebody has begun to make or change it.
    pub fn destroying(&self, mark: String) -> Option<Destroying<'_>> {
        let may = self.change(&mark, |doing| {
            let may = !doing.begun;
            doing.destroyed += usize::from(may);
            may
        });
        may.then(|| Destroying { claims: self, mark })
    }
}

/// A pipeline that is being made or changed, for as long as this lives.
#[derive(Debug)]
pub struct Making<'a> {
    claims: &'a Claims,
    mark: String,
}

impl Making<'_> {
    /// Waits until nobody takes it down.
    pub async fn is_alone(&self) {
        let ending = |all: &BTreeMap<String, Doing>| {
            all.get(&self.mark).is_some_and(|doing| doing.destroyed > 0)
        };
        // The sender lives as long as this.
        let _ = self.claims.0.subscribe().wait_for(|all| !ending(all)).await;
    }

    /// Begins with what was seen; false where somebody takes it down, so that it was seen too early.
    #[must_use]
    pub fn begin(&self) -> bool {
        self.claims.change(&self.mark, |doing| {
            doing.begun = doing.destroyed == 0;
            doing.begun
        })
    }

    /// Notes that all of it has been made, and of what.
    pub fn is_whole(&self, parts: BTreeSet<Identity>) {
        self.claims.change(&self.mark, |doing| {
            doing.made_anew = parts;
            true
        });
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.claims.change(&self.mark, |doing| {
            (doing.made, doing.begun) = (false, false);
            true
        });
    }
}

/// A pipeline that is being taken down, for as long as this lives.
#[derive(Debug)]
pub struct Destroying<'a> {
    claims: &'a Claims,
    mark: String,
}

impl Destroying<'_> {
    /// The parts that this run has made before: Terraform has it do so where another object of that name is to be destroyed.
    #[must_use]
    pub fn made_anew(&self) -> BTreeSet<Identity> {
        let all = self.claims.0.borrow();
        let doing = all.get(&self.mark);
        doing
            .map(|doing| doing.made_anew.clone())
            .unwrap_or_default()
    }
}

impl Drop for Destroying<'_> {
    fn drop(&mut self) {
        self.claims.change(&self.mark, |doing| {
            doing.destroyed -= 1;
            true
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    fn mark() -> String {
        "orders/devl/eu-west-1".to_owned()
    }

    #[test]
    fn one_makes_a_pipeline_at_a_time() {
        let claims = Claims::default();
        let first = claims.making(mark()).unwrap();
        assert!(claims.making(mark()).is_none());
        assert!(claims.making("parcels/devl/eu-west-1".to_owned()).is_some());
        drop(first);
        assert!(claims.making(mark()).is_some());
        assert!(claims.0.borrow().is_empty());
    }

    #[test]
    fn who_makes_waits_for_who_destroys() {
        let claims = Claims::default();
        let making = claims.making(mark()).unwrap();
        let (one, other) = (claims.destroying(mark()), claims.destroying(mark()));
        assert!(one.is_some() && other.is_some());
        assert!(!making.begin());
        assert!(making.is_alone().now_or_never().is_none());
        drop(one);
        assert!(making.is_alone().now_or_never().is_none());
        drop(other);
        assert!(making.is_alone().now_or_never().is_some());
        assert!(making.begin());
    }

    #[test]
    fn what_is_begun_is_not_destroyed() {
        let claims = Claims::default();
        let making = claims.making(mark()).unwrap();
        assert!(making.begin());
        assert!(claims.destroying(mark()).is_none());
        drop(making);
        assert!(claims.destroying(mark()).is_some());
    }

    #[test]
    fn what_was_made_is_remembered_for_the_run() {
        let claims = Claims::default();
        let made = || claims.destroying(mark()).unwrap().made_anew();
        let parts = BTreeSet::from([("SQS queue", "orders".to_owned())]);
        let making = claims.making(mark()).unwrap();
        assert!(made().is_empty());
        making.is_whole(parts.clone());
        drop(making);
        assert_eq!(made(), parts);
        assert!(
            claims
                .destroying("parcels".to_owned())
                .unwrap()
                .made_anew()
                .is_empty()
        );
        claims.begin_anew("parcels");
        assert_eq!(made(), parts);
        claims.begin_anew(&mark());
        assert!(made().is_empty());
    }
}
