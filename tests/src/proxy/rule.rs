//! What is done to which call.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::Call;

/// Something done when a call passes by.
type Hook = Arc<dyn Fn(&Call, &[u8]) + Send + Sync>;

/// Another body made of the ones of a request and its answer.
type Rewriting = Arc<dyn Fn(&str, &str) -> String + Send + Sync>;

/// Before or after a call takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// AWS never sees the call.
    Before,
    /// The call takes effect; its answer is lost or replaced.
    After,
}

/// What goes wrong.
#[derive(Clone)]
pub enum Fault {
    /// The server fails with this HTTP status: 500, 502, 503 or 504.
    Status(u16),
    /// Too many calls, in the service's own words.
    Throttle,
    /// An error of the service.
    Error {
        /// The HTTP status.
        status: u16,
        /// The wire code.
        code: String,
        /// The message.
        message: String,
    },
    /// The connection is closed without an answer.
    Drop,
    /// The connection is reset.
    Reset,
    /// No answer comes, ever.
    Hang,
    /// An earlier answer to the same read is served again. Where there is none the call goes its way, and is not counted.
    Stale,
    /// AWS answers something else in part: its answer's body, rewritten. For what is done [after](Rule::after) the call.
    Rewritten(Rewriting),
    /// Nothing goes wrong, but this is called: before the call goes to AWS, or after AWS has answered and before the answer is
    /// passed on. It holds up the call until it returns.
    Hook(Hook),
}

impl Fault {
    /// An error of the service.
    #[must_use]
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        Self::Error {
            status,
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// An answer that says something else in part.
    #[must_use]
    pub fn rewritten(rewriting: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        Self::rewritten_to(move |_, answer| rewriting(answer))
    }

    /// The same where it depends on the request's body, which comes first.
    #[must_use]
    pub fn rewritten_to(rewriting: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Self {
        Self::Rewritten(Arc::new(rewriting))
    }

    /// Something to be done when a call passes by.
    #[must_use]
    pub fn hook(hook: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        Self::hook_with_body(move |call, _| hook(call))
    }

    /// Something to be done when a call passes by, with the request's body.
    #[must_use]
    pub fn hook_with_body(hook: impl Fn(&Call, &[u8]) + Send + Sync + 'static) -> Self {
        Self::Hook(Arc::new(hook))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "HTTP {status}"),
            Self::Throttle => f.write_str("throttle"),
            Self::Error { code, .. } => f.write_str(code),
            Self::Drop => f.write_str("dropped"),
            Self::Reset => f.write_str("reset"),
            Self::Hang => f.write_str("hang"),
            Self::Stale => f.write_str("stale"),
            Self::Rewritten(_) => f.write_str("rewritten"),
            Self::Hook(_) => f.write_str("hook"),
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A fault, and the calls it befalls: every call, unless it is narrowed down.
#[derive(Debug, Clone)]
pub struct Rule {
    pub(super) fault: Fault,
    pub(super) when: When,
    operations: Vec<String>,
    object: Option<String>,
    index: Option<usize>,
    skip: u32,
    first: Option<u32>,
    percent: Option<(u64, u8)>,
    during: Option<Duration>,
}

impl Rule {
    /// A fault that befalls calls before they reach AWS.
    #[must_use]
    pub fn before(fault: Fault) -> Self {
        Self::new(When::Before, fault)
    }

    /// A fault that befalls calls after they took effect.
    #[must_use]
    pub fn after(fault: Fault) -> Self {
        Self::new(When::After, fault)
    }

    /// A fault at this time.
    #[must_use]
    pub fn new(when: When, fault: Fault) -> Self {
        Self {
            fault,
            when,
            operations: Vec::new(),
            object: None,
            index: None,
            skip: 0,
            first: None,
            percent: None,
            during: None,
        }
    }

    /// Only this operation, such as `lambda:CreateFunction`, or this service: `lambda:*`. More than one may be named.
    #[must_use]
    pub fn on(mut self, operation: &str) -> Self {
        self.operations.push(operation.to_owned());
        self
    }

    /// Only calls for an object with this in its name.
    #[must_use]
    pub fn object(mut self, part: &str) -> Self {
        self.object = Some(part.to_owned());
        self
    }

    /// Only the call with this [index](Call::index).
    #[must_use]
    pub fn at(mut self, index: usize) -> Self {
        self.index = Some(index);
        self
    }

    /// Not the first `count` calls that fit.
    #[must_use]
    pub fn skip(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Only the first `count` calls that fit.
    #[must_use]
    pub fn first(mut self, count: u32) -> Self {
        self.first = Some(count);
        self
    }

    /// Only so many of a hundred calls, by chance: the same calls for the same seed and order.
    #[must_use]
    pub fn percent(mut self, percent: u8, seed: u64) -> Self {
        self.percent = Some((seed, percent));
        self
    }

    /// Only for so long, from the first call it befalls.
    #[must_use]
    pub fn during(mut self, time: Duration) -> Self {
        self.during = Some(time);
        self
    }
}

/// A rule that is at work.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) rule: Rule,
    fitted: u32,
    since: Option<Instant>,
    hits: Arc<AtomicU32>,
}

/// How often a rule's fault came.
#[derive(Debug, Clone)]
pub struct Hits(Arc<AtomicU32>);

impl Hits {
    /// How often so far.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Armed {
    pub(super) fn new(rule: Rule) -> (Self, Hits) {
        let hits = Arc::new(AtomicU32::new(0));
        let armed = Self {
            rule,
            fitted: 0,
            since: None,
            hits: hits.clone(),
        };
        (armed, Hits(hits))
    }

    /// Whether the fault befalls this call, which counts.
    pub(super) fn strikes(&mut self, call: &Call) -> bool {
        let rule = &self.rule;
        let service = call.operation.split(':').next().unwrap_or_default();
        let named = |pattern: &String| {
            *pattern == call.operation || pattern.strip_suffix(":*") == Some(service)
        };
        let fits = (rule.operations.is_empty() || rule.operations.iter().any(named))
            && rule
                .object
                .as_ref()
                .is_none_or(|part| call.object.contains(part.as_str()))
            && rule.index.is_none_or(|index| index == call.index)
            && rule
                .percent
                .is_none_or(|(seed, percent)| chance(seed, call.index) < u64::from(percent));
        if !fits {
            return false;
        }
        self.fitted += 1;
        if self.fitted <= rule.skip
            || rule
                .first
                .is_some_and(|first| self.fitted > rule.skip + first)
        {
            return false;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if rule.during.is_some_and(|time| since.elapsed() > time) {
            return false;
        }
        self.hits.fetch_add(1, Ordering::SeqCst);
        true
    }

    /// Takes the last strike back: there was nothing to strike with.
    pub(super) fn missed(&mut self) {
        self.fitted -= 1;
        self.hits.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A number in 0..100 for the call with this index: splitmix64, which is enough to look random.
fn chance(seed: u64, index: usize) -> u64 {
    let mut z = seed.wrapping_add((index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(rule: Rule) -> Vec<usize> {
        let (mut armed, hits) = Armed::new(rule);
        let struck: Vec<usize> = (0..10)
            .filter(|index| {
                let operation = if index % 2 == 0 {
                    "sqs:CreateQueue"
                } else {
                    "sns:Subscribe"
                };
                armed.strikes(&Call {
                    index: *index,
                    operation: operation.to_owned(),
                    object: format!("o{index}"),
                    ..Call::default()
                })
            })
            .collect();
        assert_eq!(hits.count() as usize, struck.len());
        struck
    }

    #[test]
    fn rules_narrow_down() {
        let rule = || Rule::before(Fault::Drop);
        assert_eq!(struck(rule()).len(), 10);
        assert_eq!(struck(rule().at(3)), [3]);
        assert_eq!(struck(rule().on("sqs:CreateQueue").first(2)), [0, 2]);
        assert_eq!(struck(rule().on("sns:*").skip(1).first(2)), [3, 5]);
        assert_eq!(struck(rule().object("o7")), [7]);
        assert!(struck(rule().on("sqs:DeleteQueue")).is_empty());
        let half = struck(rule().percent(50, 7));
        assert_eq!(half, struck(rule().percent(50, 7)));
        assert!((1..10).contains(&half.len()), "{half:?}");
    }
}
