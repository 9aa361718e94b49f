//! Who works on which pipeline in this process. Two resources of one name would take each other's parts for what an earlier run left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::blueprint::Identity;

/// What is being done to a pipeline.
#[derive(Debug, Default)]
struct Doing {
    /// Somebody makes or changes it, with these parts.
    made: Option<BTreeSet<Identity>>,
    /// And has looked, and begun.
    begun: bool,
    /// How many are taking it down.
    destroyed: usize,
    /// When the making of the one began that this process has made or changed, and of what it is, maybe of parts of another resource.
    whole: Option<(String, BTreeSet<Identity>)>,
    /// When the making of the one began that this process has taken down.
    ended: Option<String>,
}

/// All pipelines on which somebody works, by their marks.
#[derive(Debug)]
pub struct Claims(watch::Sender<BTreeMap<String, Doing>>);

impl Default for Claims {
    fn default() -> Self {
        Self(watch::Sender::new(BTreeMap::new()))
    }
}

/// Why a pipeline cannot be made.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// Somebody else makes it.
    Pipeline,
    /// Somebody makes another one with this part.
    Part(Identity),
}

impl Claims {
    fn change(&self, mark: &str, change: impl FnOnce(&mut Doing) -> bool) -> bool {
        self.0.send_if_modified(|all| {
            let doing = all.entry(mark.to_owned()).or_default();
            let changed = change(doing);
            let is_past = doing.whole.is_none() && doing.ended.is_none();
            if doing.made.is_none() && doing.destroyed == 0 && is_past {
                all.remove(mark);
            }
            changed
        })
    }

    /// To make or change a pipeline of these parts.
    ///
    /// # Errors
    /// That somebody else does, or makes one of the parts.
    pub fn making(&self, mark: String, parts: BTreeSet<Identity>) -> Result<Making<'_>, Taken> {
        let mut taken = None;
        self.0.send_if_modified(|all| {
            let others = all
                .iter()
                .filter_map(|(of, doing)| Some((of, doing.made.as_ref()?)));
            let mut others = others.map(|(of, theirs)| {
                (*of == mark)
                    .then_some(Taken::Pipeline)
                    .or_else(|| shared(&parts, theirs).map(Taken::Part))
            });
            taken = others.find_map(|taken| taken);
            if taken.is_none() {
                all.entry(mark.clone()).or_default().made = Some(parts);
            }
            false
        });
        match taken {
            Some(taken) => Err(taken),
            None => Ok(Making { claims: self, mark }),
        }
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
            if doing.begun {
                doing.whole = None;
            }
            doing.begun
        })
    }

    /// When the making of the pipeline began that this process has taken down before. What replaces it takes its place, also in a state that never comes to hold
    /// the new one.
    #[must_use]
    pub fn ended(&self) -> Option<String> {
        self.claims.0.borrow().get(&self.mark)?.ended.clone()
    }

    /// Notes that all of it has been made: when that began, and of what it is.
    pub fn is_whole(&self, made_at: Option<String>, parts: BTreeSet<Identity>) {
        self.claims.change(&self.mark, |doing| {
            doing.whole = made_at.map(|made_at| (made_at, parts));
            doing.ended = None;
            true
        });
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        self.claims.change(&self.mark, |doing| {
            (doing.made, doing.begun) = (None, false);
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
    /// The parts of another pipeline of that name that this process has made, where the one to be taken down was `made_at` another time: Terraform has it do so
    /// where the old object is destroyed after the new one is made.
    #[must_use]
    pub fn made_since(&self, made_at: Option<&str>) -> Option<BTreeSet<Identity>> {
        let all = self.claims.0.borrow();
        let (at, parts) = all.get(&self.mark)?.whole.as_ref()?;
        (made_at != Some(at)).then(|| parts.clone())
    }
}

impl Destroying<'_> {
    /// Whose mark the pipeline carries.
    #[must_use]
    pub fn mark(&self) -> &str {
        &self.mark
    }

    /// Notes that it has been taken down.
    pub fn is_gone(&self, made_at: Option<String>) {
        self.claims.change(&self.mark, |doing| {
            (doing.whole, doing.ended) = (None, made_at);
            true
        });
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

/// What pipelines are to be, by the plans of this process. Where two are to be the same, one that stands would be destroyed before it shows that only one can be
/// made.
#[derive(Debug, Default)]
pub struct Intents(Mutex<Noted>);

/// What a pipeline is to be called, where that is known, and of what it is to be.
type Intent = (Option<String>, BTreeSet<Identity>);

#[derive(Debug, Default)]
struct Noted {
    /// By what each that stands is called now.
    standing: BTreeMap<String, Standing>,
    /// What is not there yet, and replaces nothing.
    new: Vec<Intent>,
}

impl Noted {
    /// Notes what the pipeline that is called `now` is to be. Answers what another one is to be, too, where one of the two would be destroyed for it.
    fn stands(&mut self, now: String, intent: Intent, replaced: bool, leg: bool) -> Option<Taken> {
        let others = self.standing.iter().filter(|(of, _)| **of != now);
        let standing = others
            .map(|(_, other)| other)
            .filter(|other| replaced || other.replaced);
        let new = self.new.iter().filter(|_| replaced);
        let taken = both(&intent, standing.map(|other| &other.intent).chain(new));
        let standing = Standing {
            intent,
            replaced,
            leg,
        };
        self.standing.insert(now, standing);
        taken
    }
}

#[derive(Debug)]
struct Standing {
    intent: Intent,
    /// Whether it is destroyed for it.
    replaced: bool,
    /// Whether Terraform may still plan what replaces it, for which it asks once more as for one that is not there.
    leg: bool,
}

/// What is known of the plan of something new.
#[derive(Debug, PartialEq, Eq)]
pub enum Creation {
    /// It replaces what stands, as the plan of that said, which told what there is to tell.
    Foreseen,
    /// It replaces what stands, for reasons of Terraform's own, which tells errors of this plan alone.
    Forced,
    /// It replaces nothing, or what is tainted, of which no plan is asked for as of a change.
    New,
}

impl Intents {
    /// Notes what the pipeline that is called `now` is to be, instead of what was noted before. Answers what another one is to be, too, where one of the two would
    /// be destroyed for it.
    pub fn note(&self, now: String, intent: Intent, replaced: bool) -> Option<Taken> {
        self.noted().stands(now, intent, replaced, true)
    }

    /// Notes a pipeline that is to be made, be it in the place of one that stands. Answers what is known of its plan.
    ///
    /// # Errors
    /// What another one is to be, too, which would be destroyed for it.
    pub fn create(&self, intent: Intent) -> Result<Creation, Taken> {
        let mut noted = self.noted();
        let mut standing = noted.standing.iter_mut();
        // By its name alone: where the place is not known, or something is ignored, Terraform asks for another one. Where its name is not known, it is one of the same parts.
        let is_leg = |own: &Standing| {
            let (name, parts) = &own.intent;
            let is_same = name.is_some() || !parts.is_disjoint(&intent.1);
            own.leg && *name == intent.0 && is_same
        };
        if let Some((now, own)) = standing.find(|(_, own)| is_leg(own)) {
            if own.replaced {
                // Twins were looked for with what it replaces.
                own.leg = false;
                return Ok(Creation::Foreseen);
            }
            let now = now.clone();
            let taken = noted.stands(now, intent, true, false);
            return taken.map_or(Ok(Creation::Forced), Err);
        }
        let standing = noted.standing.values().filter(|other| other.replaced);
        let taken = both(&intent, standing.map(|other| &other.intent));
        noted.new.push(intent);
        taken.map_or(Ok(Creation::New), Err)
    }

    /// Notes that what stands under this name is to be no more.
    pub fn end(&self, now: &str) {
        self.noted().standing.remove(now);
    }

    /// Notes that what was to be called so is there.
    pub fn made(&self, id: &str) {
        let mut noted = self.noted();
        noted.new.retain(|(new, _)| new.as_deref() != Some(id));
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one of the others is to be, too.
fn both<'a>(intent: &Intent, mut others: impl Iterator<Item = &'a Intent>) -> Option<Taken> {
    let (id, parts) = intent;
    others.find_map(|(their_id, theirs)| {
        if id.is_some() && id == their_id {
            return Some(Taken::Pipeline);
        }
        shared(parts, theirs).map(Taken::Part)
    })
}

/// The kinds that are called after what they are of.
const FOLLOW: [&str; 3] = [
    "CloudWatch alarm",
    "Lambda event source mapping",
    "CloudWatch log group",
];

/// A part that two have, best one that is called by a name of its own.
fn shared(parts: &BTreeSet<Identity>, theirs: &BTreeSet<Identity>) -> Option<Identity> {
    let both = || parts.intersection(theirs);
    let named = both().find(|(kind, _)| !FOLLOW.contains(kind));
    named.or_else(|| both().next()).cloned()
}

#[cfg(test)]
mod tests {
    use super::super::blueprint::tests::orders;
    use super::*;
    use futures::FutureExt as _;

    fn mark() -> String {
        "orders/devl/eu-west-1".to_owned()
    }

    fn parts(names: &[&str]) -> BTreeSet<Identity> {
        let part = |name: &&str| ("SQS queue", (*name).to_owned());
        names.iter().map(part).collect()
    }

    #[test]
    fn what_is_called_after_others_is_told_last() {
        let all = orders().identities();
        let (follow, named): (Vec<_>, Vec<_>) =
            all.iter().partition(|(kind, _)| FOLLOW.contains(kind));
        let kinds: BTreeSet<&str> = follow.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, BTreeSet::from(FOLLOW));
        let bucket = named.iter().find(|(kind, _)| *kind == "S3 bucket");
        let two = [follow[0].clone(), (*bucket.unwrap()).clone()];
        assert_eq!(shared(&all, &BTreeSet::from(two)), bucket.copied().cloned());
        let one = BTreeSet::from([follow[0].clone()]);
        assert_eq!(shared(&all, &one), Some(follow[0].clone()));
    }

    #[test]
    fn one_makes_a_pipeline_at_a_time() {
        let claims = Claims::default();
        let making = |mark: &str, names: &[&str]| claims.making(mark.to_owned(), parts(names));
        let first = making("orders", &["a", "b"]).unwrap();
        assert_eq!(making("orders", &[]).unwrap_err(), Taken::Pipeline);
        drop(making("parcels", &["c"]).unwrap());
        let part = Taken::Part(("SQS queue", "b".to_owned()));
        assert_eq!(making("parcels", &["b", "c"]).unwrap_err(), part);
        drop(first);
        drop(making("orders", &[]).unwrap());
        drop(making("parcels", &["b"]).unwrap());
        assert!(claims.0.borrow().is_empty());
    }

    #[test]
    fn two_are_not_to_be_one() {
        let intents = Intents::default();
        let note = |now: &str, id: Option<&str>, names: &[&str]| {
            intents.note(now.to_owned(), (id.map(str::to_owned), parts(names)), true)
        };
        assert_eq!(note("a", Some("same"), &["q"]), None);
        assert_eq!(note("a", Some("same"), &["q"]), None);
        assert_eq!(note("b", Some("same"), &["r"]), Some(Taken::Pipeline));
        let taken = note("b", None, &["q"]);
        assert!(matches!(taken, Some(Taken::Part((_, name))) if name == "q"));
        // One goes where another has been.
        assert_eq!(note("b", Some("a"), &["r"]), None);
        intents.end("a");
        assert_eq!(note("b", Some("same"), &["q"]), None);
    }

    /// Terraform plans a replacement twice: as a change of what stands, and as something new.
    #[test]
    fn what_is_new_is_not_to_be_what_replaces_another() {
        let intents = Intents::default();
        let intent = |id: &str, names: &[&str]| (Some(id.to_owned()), parts(names));
        let is_taken = |taken: Option<Taken>| taken == Some(Taken::Pipeline);
        assert_eq!(
            intents.note("a".to_owned(), intent("same", &["q"]), true),
            None
        );
        assert_eq!(intents.create(intent("same", &[])), Ok(Creation::Foreseen));
        assert!(is_taken(intents.create(intent("same", &["q"])).err()));
        // Also where the new one came first.
        let intents = Intents::default();
        assert_eq!(intents.create(intent("same", &["q"])), Ok(Creation::New));
        assert!(is_taken(intents.note(
            "a".to_owned(),
            intent("same", &["q"]),
            true
        )));
        // And where Terraform forces the replacement.
        let intents = Intents::default();
        assert_eq!(
            intents.note("a".to_owned(), intent("a", &["q"]), false),
            None
        );
        assert_eq!(intents.create(intent("b", &["q"])), Ok(Creation::New));
        let part = intents.create(intent("a", &["q"])).err();
        assert!(matches!(part, Some(Taken::Part(_))));
        let intents = Intents::default();
        assert_eq!(
            intents.note("a".to_owned(), intent("a", &["q"]), false),
            None
        );
        assert_eq!(intents.create(intent("a", &["q"])), Ok(Creation::Forced));
        let part = intents.create(intent("b", &["q"])).err();
        assert!(matches!(part, Some(Taken::Part(_))));
        // Of two whose names are not known each is itself.
        let intents = Intents::default();
        let unknown = |name: &str| (None, parts(&[name]));
        assert_eq!(intents.note("a".to_owned(), unknown("q"), true), None);
        assert_eq!(intents.create(unknown("r")), Ok(Creation::New));
        assert_eq!(intents.create(unknown("q")), Ok(Creation::Foreseen));
        // What stays as it is is not destroyed for what is new.
        let intents = Intents::default();
        assert_eq!(
            intents.note("a".to_owned(), intent("a", &["q"]), false),
            None
        );
        assert_eq!(intents.create(intent("b", &["q"])), Ok(Creation::New));
        // What was made is not new any more.
        let intents = Intents::default();
        assert_eq!(intents.create(intent("a", &["q"])), Ok(Creation::New));
        intents.made("a");
        assert_eq!(
            intents.note("a".to_owned(), intent("a", &["q"]), true),
            None
        );
    }

    #[test]
    fn who_makes_waits_for_who_destroys() {
        let claims = Claims::default();
        let making = claims.making(mark(), parts(&[])).unwrap();
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
        let making = claims.making(mark(), parts(&[])).unwrap();
        assert!(making.begin());
        assert!(claims.destroying(mark()).is_none());
        drop(making);
        assert!(claims.destroying(mark()).is_some());
    }

    #[test]
    fn what_was_made_is_remembered_and_may_be_destroyed_itself() {
        let claims = Claims::default();
        let made_since = |at| claims.destroying(mark()).unwrap().made_since(at);
        let making = claims.making(mark(), parts(&[])).unwrap();
        assert_eq!(made_since(None), None);
        making.is_whole(Some("noon".to_owned()), parts(&["a"]));
        drop(making);
        for earlier in [None, Some("morning")] {
            assert_eq!(made_since(earlier), Some(parts(&["a"])));
        }
        assert_eq!(made_since(Some("noon")), None);
        claims
            .destroying(mark())
            .unwrap()
            .is_gone(Some("noon".to_owned()));
        assert_eq!(made_since(Some("morning")), None);
        let making = claims.making(mark(), parts(&[])).unwrap();
        assert!(making.begin());
        assert_eq!(making.ended().as_deref(), Some("noon"));
        making.is_whole(None, parts(&[]));
        assert_eq!(making.ended(), None);
        let other = claims.destroying("parcels".to_owned()).unwrap();
        assert_eq!(other.made_since(None), None);
    }
}
