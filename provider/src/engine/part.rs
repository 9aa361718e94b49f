//! What every part of a pipeline can do, and the rule of ownership.

use std::borrow::Cow;
use std::fmt::Debug;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::Failure;

/// A part's properties by name.
pub type Attributes = Map<String, Value>;

/// Whose a part that exists is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// It carries this pipeline's mark, or hangs on a part that does.
    Us,
    /// It carries another mark or none.
    SomeoneElse(Option<String>),
}

/// A part as it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its properties, under the same names as [`Part::desired`] has them, and what AWS alone knows of it (ids, URLs).
    pub attributes: Attributes,
    /// Whose it is.
    pub owner: Owner,
}

impl Found {
    /// The text of an attribute, empty when it has none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.attributes
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }
}

/// The properties in which a part differs from what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes(Vec<String>);

impl Changes {
    /// Compares every property of `desired` with `found`.
    #[must_use]
    pub fn between(desired: &Attributes, found: &Attributes) -> Self {
        let differs = |name: &&String| desired.get(*name) != found.get(*name);
        Self(desired.keys().filter(differs).cloned().collect())
    }

    /// True when nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when any of these properties differs.
    #[must_use]
    pub fn any(&self, names: &[&str]) -> bool {
        self.0.iter().any(|name| names.contains(&name.as_str()))
    }

    /// The names of the properties that differ.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// One AWS object of a pipeline: a value that says how it should be, with the calls to find, make, change and remove it.
#[async_trait]
pub trait Part<Aws: Sync>: Send + Sync + Debug {
    /// What a person calls it: `SQS queue`.
    fn kind(&self) -> &'static str;

    /// Its name in AWS, which finds it again.
    fn name(&self) -> &str;

    /// What tells it from all others of its kind, which may be more than a person is shown.
    fn identity(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.name())
    }

    /// How it should be.
    fn desired(&self) -> Attributes;

    /// How it is; `None` when it is not there.
    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure>;

    /// Makes it. Answers what AWS alone knows of it.
    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure>;

    /// Changes what differs, in place. Answers what AWS alone knows of it.
    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure>;

    /// Waits until what an earlier run has begun to make or change, and what is as it should be since, can be used.
    async fn settled(&self, _aws: &Aws, _found: &Found) -> Result<(), Failure> {
        Ok(())
    }

    /// Removes it. That it is not there already is success. Waits until it is gone, unless [`Part::gone`] does.
    async fn delete(&self, aws: &Aws, found: &Found) -> Result<(), Failure>;

    /// Waits until it is gone after its removal. Asked by what waits for its end, at last by nobody in particular: so parts that go at the same time can be
    /// looked at together.
    async fn gone(&self, _aws: &Aws, _found: &Found) -> Result<(), Failure> {
        Ok(())
    }

    /// The ARN under which AWS's index of tags has it, where it is one of those and its ARN is known.
    fn tagged_as(&self) -> Option<&str> {
        None
    }

    /// Whether a read looks for it for long before it says that it is not there.
    fn is_sought_long(&self) -> bool {
        false
    }

    /// Whether AWS may show it otherwise for a while after it was made.
    fn appears_late(&self) -> bool {
        false
    }

    /// Whether AWS shows it as it should be.
    async fn shows(&self, aws: &Aws) -> Result<bool, Failure> {
        let now = self.read(aws).await?;
        let same = |now: Found| Changes::between(&self.desired(), &now.attributes).is_empty();
        Ok(now.is_some_and(same))
    }

    /// Whether a part that was ours and has lost its mark is known by how it was found: but for its tags it is as it was made.
    fn is_known_by(&self, found: &Attributes) -> bool {
        let changes = Changes::between(&self.desired(), found);
        changes.names().all(|name| name == "tags")
    }

    /// Whether the call that writes one property writes another, too: as it should be, whatever it is.
    fn writes_too(&self, _one: &str, _other: &str) -> bool {
        false
    }

    /// The property of which this one is a consequence, and nothing that is changed by itself.
    fn follows(&self, _property: &str) -> Option<&'static str> {
        None
    }

    /// The properties that AWS does not change once a part is made.
    fn fixed(&self) -> &'static [&'static str] {
        &[]
    }

    /// Why removing it now would lose something, if it would; `strictly`, also where the configuration lets that go.
    async fn in_use(&self, _aws: &Aws, _strictly: bool) -> Result<Option<Failure>, Failure> {
        Ok(None)
    }

    /// Why AWS would not remove it, as far as it shows when it is found.
    fn protected(&self, _found: &Found) -> Option<Failure> {
        None
    }

    /// `SQS queue "orders-queue-devl-eu-west-1"`.
    fn title(&self) -> String {
        format!("{} \"{}\"", self.kind(), self.name())
    }
}

/// The refusal for a part that exists and is not ours; `None` when it is ours.
#[must_use]
pub fn refusal<Aws: Sync>(part: &dyn Part<Aws>, found: &Found) -> Option<Failure> {
    match &found.owner {
        Owner::SomeoneElse(mark) => Some(belongs(part, mark.as_deref())),
        Owner::Us => None,
    }
}

/// The refusal for a part that belongs to the pipeline of this mark, or to nobody known.
#[must_use]
pub fn belongs<Aws: Sync>(part: &dyn Part<Aws>, mark: Option<&str>) -> Failure {
    let whose = match mark {
        Some(other) => format!("belongs to the pipeline \"{other}\""),
        None => "exists already and was not made by this pipeline".to_owned(),
    };
    Failure::refusal(part.title(), format!("it {whose}, so it was left as it is")).advise(
        "Choose another name or environment for the pipeline, give this part (for a log group, what writes to it) a name of its own, or remove the object if \
         nothing needs it any more. A pipeline that stands complete is taken over with `terraform import`. Where it is to be replaced by create_before_destroy, take that out, also of resources that depend on it.",
    )
}

/// What [`ensure`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Did {
    /// The part was not there and is now.
    Created,
    /// The part was there and is otherwise now.
    Changed,
    /// The part was as it should be.
    Nothing,
}

/// Makes a part what it should be: creates it, repairs it, or leaves it alone. `found` is how it was a moment ago.
///
/// A create that leaves open whether it took effect, or that meets a part of this name, is followed by a look: what is ours is carried on
/// with, and what is not there is made once more.
///
/// # Errors
/// The failure of the call that failed, or the refusal when the part is somebody else's.
pub async fn ensure<Aws: Sync>(
    part: &dyn Part<Aws>,
    aws: &Aws,
    found: Option<Found>,
) -> Result<(Attributes, Did), Failure> {
    let found = match found {
        Some(found) => found,
        None => match make(part, aws).await? {
            Made::New(known) => return Ok((merged(part.desired(), known), Did::Created)),
            Made::Met(found) => found,
        },
    };
    if let Some(refused) = refusal(part, &found) {
        return Err(refused);
    }
    let changes = Changes::between(&part.desired(), &found.attributes);
    let mut attributes = merged(found.attributes.clone(), part.desired());
    if changes.is_empty() {
        part.settled(aws, &found).await?;
        return Ok((attributes, Did::Nothing));
    }
    if let Some(fixed) = changes.names().find(|name| part.fixed().contains(name)) {
        let [is, should] = [&found.attributes, &part.desired()]
            .map(|from| from.get(fixed).map(ToString::to_string).unwrap_or_default());
        let message =
            format!("its {fixed} is {is}, should be {should}, and AWS does not change it");
        return Err(Failure::refusal(part.title(), message)
            .advise("Let the configuration ask for what there is; or, where somebody has made it anew otherwise, remove it: the next apply makes it as it should be. What a create has left that did not get to its end is made anew by the next apply, without `terraform untaint`."));
    }
    tracing::info!(part = part.title(), properties = ?changes, "changing what differs");
    attributes.extend(part.update(aws, &found, &changes).await?);
    Ok((attributes, Did::Changed))
}

enum Made {
    New(Attributes),
    Met(Found),
}

/// How often a create is begun that time and again ends without an answer and without effect.
const CREATE_TRIES: u32 = 3;

async fn make<Aws: Sync>(part: &dyn Part<Aws>, aws: &Aws) -> Result<Made, Failure> {
    let mut tries = 1;
    loop {
        let failure = match part.create(aws).await {
            Ok(known) => return Ok(Made::New(known)),
            Err(failure) => failure,
        };
        if !failure.ambiguous && !failure.collides() {
            return Err(failure);
        }
        match part.read(aws).await {
            Ok(Some(found)) => {
                return match refusal(part, &found) {
                    Some(mut refusal) => {
                        // What a create has left behind is still to be said.
                        let more = failure.advice.filter(|_| !failure.ambiguous);
                        if let (Some(advice), Some(more)) = (&mut refusal.advice, more) {
                            advice.push(' ');
                            advice.push_str(&more);
                        }
                        Err(refusal)
                    }
                    None => Ok(Made::Met(found)),
                };
            }
            Ok(None) if failure.ambiguous && !failure.interrupted && tries < CREATE_TRIES => {
                tries += 1;
            }
            Ok(None) if failure.collides() && failure.advice.is_none() => {
                return Err(failure.advise(
                    "AWS says that there is such a thing, and does not show it yet: apply once more.",
                ));
            }
            _ => return Err(failure),
        }
    }
}

/// Removes a part that is ours; one that is somebody else's is left alone.
///
/// # Errors
/// The failure of the call that failed.
pub async fn remove<Aws: Sync>(
    part: &dyn Part<Aws>,
    aws: &Aws,
    found: Option<&Found>,
) -> Result<(), Failure> {
    match found {
        Some(found) if found.owner == Owner::Us => part.delete(aws, found).await,
        _ => Ok(()),
    }
}

fn merged(mut base: Attributes, over: Attributes) -> Attributes {
    base.extend(over);
    base
}
