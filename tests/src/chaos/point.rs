//! Where in which run what happens.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::proxy::{Fault, Rule};

/// A run of Terraform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `terraform apply` where nothing is.
    Create,
    /// `terraform apply` of a configuration that changes every part.
    Update,
    /// `terraform destroy`.
    Destroy,
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Harm {
    /// HTTP 500, once; AWS never sees the call.
    ErrorBefore,
    /// The call takes effect, and the connection is closed without an answer.
    AnswerLost,
    /// Too many calls, once.
    Throttle,
    /// The connection is reset before AWS sees the call.
    Reset,
    /// Ctrl-C: SIGINT to Terraform's process group, as a terminal sends it.
    Interrupt,
    /// SIGTERM to Terraform alone.
    Stop,
    /// SIGKILL to the provider: the call takes effect, and nobody is there for the answer.
    Kill,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::Create, "create"),
    (Kind::Update, "update"),
    (Kind::Destroy, "destroy"),
];

const HARMS: [(Harm, &str); 7] = [
    (Harm::ErrorBefore, "error-before"),
    (Harm::AnswerLost, "answer-lost"),
    (Harm::Throttle, "throttle"),
    (Harm::Reset, "reset"),
    (Harm::Interrupt, "interrupt"),
    (Harm::Stop, "stop"),
    (Harm::Kill, "kill"),
];

impl Harm {
    /// The fault it is at the proxy, where it is none of the signals.
    pub(super) fn rule(self) -> Option<Rule> {
        match self {
            Self::ErrorBefore => Some(Rule::before(Fault::Status(500))),
            Self::AnswerLost => Some(Rule::after(Fault::Drop)),
            Self::Throttle => Some(Rule::before(Fault::Throttle)),
            Self::Reset => Some(Rule::before(Fault::Reset)),
            Self::Interrupt | Self::Stop | Self::Kill => None,
        }
    }

    /// Whether a person asks Terraform to end.
    pub(super) fn asks_to_end(self) -> bool {
        matches!(self, Self::Interrupt | Self::Stop)
    }
}

/// A point: `create/37/answer-lost`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    /// In which run.
    pub kind: Kind,
    /// At which call, from 0.
    pub call: usize,
    /// What.
    pub harm: Harm,
}

impl Point {
    /// Every point of runs with so many calls.
    #[must_use]
    pub fn all(calls: &BTreeMap<Kind, usize>) -> Vec<Self> {
        let each = |(kind, count): (&Kind, &usize)| {
            let kind = *kind;
            let harms = move |call| HARMS.map(|(harm, _)| Self { kind, call, harm });
            (0..*count).flat_map(harms).collect::<Vec<_>>()
        };
        calls.iter().flat_map(each).collect()
    }
}

/// So many points by chance, the same ones for the same seed: as many of each kind of run and each harm as can be.
#[must_use]
pub fn sample(mut points: Vec<Point>, count: usize, seed: u64) -> Vec<Point> {
    let mut random = seed;
    let mut next = move || {
        random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let mut keyed: Vec<(u64, Point)> = points.drain(..).map(|point| (next(), point)).collect();
    keyed.sort_unstable();
    // Round by round: the first of each group, then the second of each.
    let mut groups: BTreeMap<(Kind, Harm), usize> = BTreeMap::new();
    let mut rounds: Vec<(usize, u64, Point)> = keyed
        .into_iter()
        .map(|(key, point)| {
            let round = groups.entry((point.kind, point.harm)).or_default();
            *round += 1;
            (*round, key, point)
        })
        .collect();
    rounds.sort_unstable();
    rounds
        .into_iter()
        .take(count)
        .map(|(_, _, point)| point)
        .collect()
}

fn name_of<T: PartialEq>(names: &'static [(T, &'static str)], value: &T) -> &'static str {
    names
        .iter()
        .find(|row| row.0 == *value)
        .map_or("", |row| row.1)
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&KINDS, self))
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(name_of(&HARMS, self))
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.call, self.harm)
    }
}

impl FromStr for Point {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no point; they look like create/37/answer-lost");
        let parts: Vec<&str> = text.split('/').collect();
        let [kind, call, harm] = parts[..] else {
            return Err(wrong());
        };
        Ok(Self {
            kind: KINDS.iter().find(|row| row.1 == kind).ok_or_else(wrong)?.0,
            call: call.parse().map_err(|_| wrong())?,
            harm: HARMS.iter().find(|row| row.1 == harm).ok_or_else(wrong)?.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_as_they_are_written() {
        let all = Point::all(&[(Kind::Create, 2), (Kind::Destroy, 1)].into());
        assert_eq!(all.len(), 21);
        for point in all {
            assert_eq!(point.to_string().parse(), Ok(point));
        }
        assert!("create/x/reset".parse::<Point>().is_err());
        assert!("create/1".parse::<Point>().is_err());
    }

    #[test]
    fn samples_are_repeatable_and_even() {
        let all =
            || Point::all(&[(Kind::Create, 80), (Kind::Update, 90), (Kind::Destroy, 70)].into());
        let first = sample(all(), 63, 1);
        assert_eq!(first, sample(all(), 63, 1));
        assert_ne!(first, sample(all(), 63, 2));
        let mut groups: BTreeMap<(Kind, Harm), usize> = BTreeMap::new();
        for point in first {
            *groups.entry((point.kind, point.harm)).or_default() += 1;
        }
        assert_eq!(groups.len(), 21);
        assert!(groups.values().all(|count| *count == 3), "{groups:?}");
    }
}
