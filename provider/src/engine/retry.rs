//! What is tried again, how long and how often: a table, and the loop that follows it.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::Failure;

/// How long a class of failures is retried and in which steps.
#[derive(Debug, PartialEq)]
pub struct Class {
    /// The name used in logs.
    pub name: &'static str,
    /// Retrying ends when this much time has gone since the first failure.
    pub budget: Duration,
    /// Seconds between tries; the last one repeats.
    pub cadence: &'static [f64],
    /// Waits a random part of each step, so that many callers spread out.
    pub jitter: bool,
    /// Whether it is the weather, not the request: what `max_retries` limits.
    pub transient: bool,
    /// Whether callers take turns: the budget begins anew with each success of the same operation, as one that others crowd out is served in the end.
    pub in_turn: bool,
}

/// One row of a retry table: a failure it fits is retried by its class.
#[derive(Debug)]
pub struct Rule {
    /// `service:Operation`, or `service:*`, or `*`.
    pub operations: &'static [&'static str],
    /// Wire codes; empty fits every code.
    pub codes: &'static [&'static str],
    /// Any of these in the message, in any case; empty fits every message.
    pub messages: &'static [&'static str],
    /// None of these in the message.
    pub but_not: &'static [&'static str],
    /// HTTP statuses; empty fits every status.
    pub statuses: &'static [u16],
    /// Only when no answer came, or none that could be read to its end.
    pub unanswered: bool,
    /// How to retry.
    pub class: &'static Class,
}

impl Rule {
    /// A row that fits nothing in particular; name what it should fit with struct update syntax.
    #[must_use]
    pub const fn any(class: &'static Class) -> Self {
        Self {
            operations: &["*"],
            codes: &[],
            messages: &[],
            but_not: &[],
            statuses: &[],
            unanswered: false,
            class,
        }
    }

    fn fits(&self, failure: &Failure) -> bool {
        let service = failure.operation.split(':').next().unwrap_or_default();
        let operation = |pattern: &&str| {
            *pattern == "*"
                || *pattern == failure.operation
                || pattern.strip_suffix(":*") == Some(service)
        };
        self.operations.iter().any(operation)
            && (self.codes.is_empty() || failure.is(self.codes))
            && (self.messages.is_empty() || self.messages.iter().any(|part| failure.says(part)))
            && !self.but_not.iter().any(|part| failure.says(part))
            && (!self.unanswered || failure.unanswered())
            && (self.statuses.is_empty()
                || failure
                    .status
                    .is_some_and(|status| self.statuses.contains(&status)))
    }
}

/// The class of a failure: that of the first row it fits. A refusal of our own (no operation) and an interruption fit none.
#[must_use]
pub fn classify(table: &[Rule], failure: &Failure) -> Option<&'static Class> {
    if failure.operation.is_empty() || failure.interrupted {
        return None;
    }
    table
        .iter()
        .find(|rule| rule.fits(failure))
        .map(|rule| rule.class)
}

/// Repeats `attempt` while its failures have a class in `table` and that class has budget left.
///
/// The class is found anew after each failure, and each class counts its own steps. `most` limits the repetitions of transient classes.
/// `stop` ends the waiting at once, and `served` is when anybody's call of the operation last succeeded.
///
/// # Errors
/// The last failure, with attempts and time filled in.
pub async fn retry<T, F, Fut, S, W>(
    table: &[Rule],
    most: Option<u32>,
    stop: S,
    served: impl Fn() -> Option<Instant>,
    mut attempt: F,
) -> Result<T, Failure>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Failure>>,
    S: Fn() -> W,
    W: Future<Output = ()>,
{
    let begin = Instant::now();
    let mut attempts = 0;
    let mut doubtful = false;
    let mut steps: Vec<(&'static str, usize, Instant)> = Vec::new();
    loop {
        attempts += 1;
        let mut failure = match attempt().await {
            Ok(value) => return Ok(value),
            Err(failure) => failure,
        };
        failure.attempts = failure.attempts.max(1) + attempts - 1;
        failure.elapsed = begin.elapsed();
        doubtful |= failure.ambiguous;
        failure.ambiguous |= failure.interrupted && doubtful;
        let Some(class) = classify(table, &failure) else {
            return Err(failure);
        };
        let position = steps
            .iter()
            .position(|step| step.0 == class.name)
            .unwrap_or_else(|| {
                steps.push((class.name, 0, Instant::now()));
                steps.len() - 1
            });
        let (_, taken, since) = &mut steps[position];
        let pause = pause(class, *taken);
        let enough = class.transient && most.is_some_and(|most| *taken >= most as usize);
        *taken += 1;
        let served = served().filter(|_| class.in_turn);
        let waited = served.map_or(*since, |served| served.max(*since)).elapsed();
        if enough || waited + pause > class.budget {
            return Err(failure);
        }
        tracing::debug!(
            operation = failure.operation,
            object = failure.object,
            code = failure.code,
            class = class.name,
            attempt = attempts,
            "trying again in {pause:?}"
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop() => {
                failure.interrupted = true;
                failure.ambiguous |= doubtful;
                return Err(failure.advise("The operation was interrupted while it waited to try again."));
            }
        }
    }
}

fn pause(class: &Class, taken: usize) -> Duration {
    let step = class
        .cadence
        .get(taken)
        .or(class.cadence.last())
        .copied()
        .unwrap_or(1.0);
    let share = if class.jitter {
        0.5 + 0.5 * fraction()
    } else {
        1.0
    };
    Duration::from_secs_f64(step * share)
}

/// A number in 0..1 that differs from call to call; spreading needs no better randomness.
fn fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = u32::try_from(RandomState::new().hash_one(0u8) >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    static QUICK: Class = Class {
        name: "quick",
        budget: Duration::from_secs(10),
        cadence: &[1.0, 2.0],
        jitter: false,
        transient: false,
        in_turn: false,
    };
    static SLOW: Class = Class {
        name: "slow",
        budget: Duration::from_mins(1),
        cadence: &[20.0],
        jitter: false,
        transient: false,
        in_turn: false,
    };
    static TABLE: &[Rule] = &[
        Rule {
            operations: &["lambda:CreateFunction"],
            codes: &["Conflict"],
            messages: &["in progress"],
            but_not: &["already exist"],
            ..Rule::any(&QUICK)
        },
        Rule {
            operations: &["sqs:*"],
            codes: &["Recently"],
            ..Rule::any(&SLOW)
        },
        Rule {
            statuses: &[503],
            ..Rule::any(&QUICK)
        },
    ];

    fn failure(operation: &'static str, code: &str, message: &str) -> Failure {
        Failure {
            operation,
            code: Some(code.into()),
            message: message.into(),
            ..Failure::default()
        }
    }

    /// Where nobody else calls, and nothing stops it.
    async fn alone<T, Fut: Future<Output = Result<T, Failure>>>(
        table: &[Rule],
        most: Option<u32>,
        attempt: impl FnMut() -> Fut,
    ) -> Result<T, Failure> {
        retry(table, most, pending::<()>, || None, attempt).await
    }

    #[test]
    fn classes_by_operation_code_and_message() {
        let class = |operation, code, message| {
            classify(TABLE, &failure(operation, code, message)).map(|c| c.name)
        };
        assert_eq!(
            class("lambda:CreateFunction", "Conflict", "Update IN PROGRESS"),
            Some("quick")
        );
        assert_eq!(
            class(
                "lambda:CreateFunction",
                "Conflict",
                "in progress: already exists"
            ),
            None
        );
        assert_eq!(
            class("lambda:DeleteFunction", "Conflict", "in progress"),
            None
        );
        assert_eq!(class("sqs:CreateQueue", "Recently", "wait"), Some("slow"));
        assert_eq!(class("", "Recently", "our own words: wait"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn repeats_until_it_succeeds_and_follows_the_cadence() {
        let begin = Instant::now();
        let mut left = 3;
        let result = alone(TABLE, None, || {
            left -= 1;
            let done = left < 0;
            async move {
                if done {
                    Ok(7)
                } else {
                    Err(failure("lambda:CreateFunction", "Conflict", "in progress"))
                }
            }
        })
        .await;
        assert_eq!(result.ok(), Some(7));
        assert_eq!(begin.elapsed().as_secs(), 5, "1 + 2 + 2 s");
    }

    #[tokio::test(start_paused = true)]
    async fn ends_with_the_budget_and_tells_attempts_and_time() {
        let failed: Result<(), _> = alone(TABLE, None, || async {
            Err(failure("sqs:CreateQueue", "Recently", ""))
        })
        .await;
        let failed = failed.err().map(|f| (f.attempts, f.elapsed.as_secs()));
        assert_eq!(failed, Some((4, 60)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_weather_can_be_waited_for_less() {
        static WEATHER: Class = Class {
            name: "weather",
            budget: Duration::from_mins(1),
            cadence: &[1.0],
            jitter: false,
            transient: true,
            in_turn: false,
        };
        static BOTH: &[Rule] = &[Rule {
            codes: &["Busy"],
            ..Rule::any(&WEATHER)
        }];
        for (most, attempts) in [(Some(0), 1), (Some(2), 3), (None, 61)] {
            let failed: Result<(), _> = alone(BOTH, most, || async {
                Err(failure("sqs:CreateQueue", "Busy", ""))
            })
            .await;
            assert_eq!(failed.err().map(|f| f.attempts), Some(attempts));
        }
    }

    /// Dozens of pipelines at once, and one operation that AWS allows three times a second: who comes away empty again and again goes on.
    #[tokio::test(start_paused = true)]
    async fn who_is_crowded_out_goes_on_while_others_are_served() {
        static CROWD: Class = Class {
            name: "crowd",
            budget: Duration::from_secs(10),
            cadence: &[1.0],
            jitter: false,
            transient: true,
            in_turn: true,
        };
        static CROWDED: &[Rule] = &[Rule {
            codes: &["Busy"],
            ..Rule::any(&CROWD)
        }];
        for (most, attempts) in [(None, 51), (Some(3), 4)] {
            let begin = Instant::now();
            let last = begin + Duration::from_secs(40);
            let served = || Some(Instant::now().min(last));
            let failed: Result<(), _> = retry(CROWDED, most, pending::<()>, served, || async {
                Err(failure("cloudwatch:PutMetricAlarm", "Busy", ""))
            })
            .await;
            let failed = failed.err().map(|failure| failure.attempts);
            assert_eq!(failed, Some(attempts));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_at_once() {
        let begin = Instant::now();
        let stop = || tokio::time::sleep(Duration::from_millis(10));
        let failed: Result<(), _> = retry(
            TABLE,
            None,
            stop,
            || None,
            || async { Err(failure("sqs:CreateQueue", "Recently", "")) },
        )
        .await;
        assert!(failed.is_err());
        assert!(begin.elapsed() < Duration::from_secs(1));
    }
}
