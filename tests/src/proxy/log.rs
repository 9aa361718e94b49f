//! Every call that came by.

use std::collections::BTreeMap;
use std::time::Duration;

/// One call. Times count from the proxy's start or its last [reset](super::Proxy::reset).
#[derive(Debug, Clone, Default)]
pub struct Call {
    /// Its number, from 0, in the order in which calls arrived.
    pub index: usize,
    /// Service and operation, named as IAM actions are: `lambda:CreateFunction`. `unknown:…` for what we do not know.
    pub operation: String,
    /// The object it is for, as the request names it (a name, an id, the end of an ARN); empty where there is none.
    pub object: String,
    /// The number of the connection it came on.
    pub connection: u64,
    /// The client's port.
    pub peer: u16,
    /// The HTTP status of the answer the client was given; nothing while it waits, and where it was given none.
    pub status: Option<u16>,
    /// The answer's error code.
    pub code: Option<String>,
    /// When it came.
    pub start: Duration,
    /// When it ended; nothing while it waits.
    pub end: Option<Duration>,
    /// Whether AWS saw it.
    pub took_effect: bool,
    /// What was done to it.
    pub injected: Vec<String>,
}

/// How often each operation was called.
#[must_use]
pub fn counts(calls: &[Call]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for call in calls {
        *counts.entry(call.operation.clone()).or_default() += 1;
    }
    counts
}

/// The length of the longest chain of calls each of which began after the one before had ended: how many round trips a run
/// needs however fast its network is.
#[must_use]
pub fn sequence(calls: &[Call]) -> usize {
    let mut spans: Vec<_> = calls
        .iter()
        .filter_map(|call| Some((call.end?, call.start)))
        .collect();
    spans.sort();
    let mut length = 0;
    let mut free = None;
    for (end, start) in spans {
        if free.is_none_or(|free| start >= free) {
            length += 1;
            free = Some(end);
        }
    }
    length
}

/// The time in which at least one call was under way.
#[must_use]
pub fn busy(calls: &[Call]) -> Duration {
    let mut spans: Vec<_> = calls
        .iter()
        .filter_map(|call| Some((call.start, call.end?)))
        .collect();
    spans.sort();
    let mut busy = Duration::ZERO;
    let mut until = Duration::ZERO;
    for (start, end) in spans {
        if end > until {
            busy += end.saturating_sub(start.max(until));
            until = end;
        }
    }
    busy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(spans: &[(u64, u64)]) -> Vec<Call> {
        spans
            .iter()
            .map(|(start, end)| Call {
                start: Duration::from_secs(*start),
                end: Some(Duration::from_secs(*end)),
                ..Call::default()
            })
            .collect()
    }

    #[test]
    fn the_longest_chain() {
        assert_eq!(sequence(&calls(&[])), 0);
        // A long call beside three short ones in a row.
        assert_eq!(
            sequence(&calls(&[(0, 10), (0, 2), (2, 4), (5, 7), (6, 9)])),
            3
        );
        assert_eq!(sequence(&calls(&[(0, 3), (1, 4), (2, 5)])), 1);
    }

    #[test]
    fn overlapping_time_counts_once() {
        let calls = calls(&[(0, 3), (1, 4), (6, 7), (6, 7)]);
        assert_eq!(busy(&calls), Duration::from_secs(5));
    }
}
