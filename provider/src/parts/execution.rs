//! Executions that are running, and which of them wait for a callback.

use std::time::SystemTime;

use aws_sdk_sfn::types::{
    ExecutionStatus, HistoryEvent, HistoryEventType, TaskScheduledEventDetails,
};

use super::state_machine::GONE;
use super::{Aws, absent};
use crate::engine::Failure;

/// How many events of a history are asked for at once: most often those since the execution's last state, with the attempts to send the message. AWS may answer with fewer.
const EVENTS: i32 = 50;

/// An execution that waits.
#[derive(Debug, Clone, PartialEq)]
pub struct Waiting {
    /// The ARN of the execution.
    pub execution_arn: String,
    /// The input of the state it waits in, JSON.
    pub input: String,
    /// When the wait began.
    pub since: SystemTime,
    /// How long it may take, in seconds, where the history tells.
    pub timeout: Option<i64>,
}

/// The ARNs of the executions of a state machine that are running, at most `limit` of them; nothing where there is no such state machine.
///
/// # Errors
/// The failure of the call.
pub async fn running(
    state_machine_arn: &str,
    aws: &Aws,
    limit: usize,
) -> Result<Option<Vec<String>>, Failure> {
    let mut arns = Vec::new();
    let mut token = None;
    loop {
        let list = || {
            let request = aws
                .sfn
                .list_executions()
                .state_machine_arn(state_machine_arn);
            request
                .status_filter(ExecutionStatus::Running)
                .set_next_token(token.clone())
                .send()
        };
        let page = aws.call("states:ListExecutions", state_machine_arn, list);
        let Some(page) = aws.is_told_by_its_own(absent(page.await, GONE)?) else {
            return Ok(None);
        };
        arns.extend(
            page.executions
                .into_iter()
                .map(|execution| execution.execution_arn),
        );
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() || arns.len() >= limit {
            break;
        }
    }
    arns.truncate(limit);
    Ok(Some(arns))
}

/// How an execution waits in the state of this name; nothing if it does not, or has ended meanwhile.
///
/// # Errors
/// The failure of the call.
pub async fn waiting(
    execution_arn: &str,
    state: &str,
    aws: &Aws,
) -> Result<Option<Waiting>, Failure> {
    let (mut events, mut token) = (Vec::new(), None);
    loop {
        let read = || {
            let request = aws.sfn.get_execution_history().execution_arn(execution_arn);
            let request = request.set_next_token(token.clone());
            request.reverse_order(true).max_results(EVENTS).send()
        };
        let history = aws.call("states:GetExecutionHistory", execution_arn, read);
        let Some(page) = absent(history.await, &["ExecutionDoesNotExist"])? else {
            return Ok(None);
        };
        events.extend(page.events);
        token = page.next_token.filter(|token| !token.is_empty());
        match wait_of(execution_arn, state, &events) {
            Read::Further if token.is_some() => {}
            Read::Waits(waiting) => return Ok(Some(waiting)),
            Read::Further | Read::WaitsNot => return Ok(None),
        }
    }
}

/// What a part of a history tells.
#[derive(Debug, PartialEq)]
enum Read {
    Waits(Waiting),
    WaitsNot,
    /// Nothing yet: older events will.
    Further,
}

/// Reads a wait out of a history, whose newest event comes first.
fn wait_of(execution_arn: &str, state: &str, newest_first: &[HistoryEvent]) -> Read {
    let waits = |entered: &HistoryEvent, scheduled: Option<&HistoryEvent>| {
        let details = entered.state_entered_event_details()?;
        let began = scheduled.unwrap_or(entered);
        let task = scheduled.and_then(HistoryEvent::task_scheduled_event_details);
        Some(Waiting {
            execution_arn: execution_arn.to_owned(),
            input: details.input().unwrap_or_default().to_owned(),
            since: SystemTime::try_from(began.timestamp).ok()?,
            timeout: task.and_then(TaskScheduledEventDetails::timeout_in_seconds),
        })
        .filter(|_| details.name() == state)
    };
    let mut scheduled: Option<&HistoryEvent> = None;
    let mut redriven = false;
    for event in newest_first {
        match &event.r#type {
            HistoryEventType::TaskScheduled => scheduled = scheduled.or(Some(event)),
            HistoryEventType::TaskStateEntered => {
                return waits(event, scheduled).map_or(Read::WaitsNot, Read::Waits);
            }
            // A redrive goes on in the state that was entered before: how the execution ended is no news.
            HistoryEventType::ExecutionRedriven if scheduled.is_some() => redriven = true,
            _ if redriven => {}
            HistoryEventType::TaskSubmitted
            | HistoryEventType::TaskStarted
            // An attempt to send the message; the next one is after it.
            | HistoryEventType::TaskFailed
            | HistoryEventType::TaskSubmitFailed
            | HistoryEventType::TaskStartFailed => {}
            _ => return Read::WaitsNot,
        }
    }
    Read::Further
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::primitives::DateTime;
    use aws_sdk_sfn::types::StateEnteredEventDetails;

    use super::*;

    const STATE: &str = "Wait";

    fn event(kind: HistoryEventType, second: i64) -> HistoryEvent {
        let event = HistoryEvent::builder()
            .id(second)
            .timestamp(DateTime::from_secs(second));
        let event = match kind {
            HistoryEventType::TaskStateEntered => event.state_entered_event_details(
                StateEnteredEventDetails::builder()
                    .name(STATE)
                    .input("{}")
                    .build()
                    .unwrap(),
            ),
            HistoryEventType::TaskScheduled => event.task_scheduled_event_details(
                TaskScheduledEventDetails::builder()
                    .resource_type("sqs")
                    .resource("sendMessage.waitForTaskToken")
                    .region("eu-west-1")
                    .parameters("{}")
                    .timeout_in_seconds(60)
                    .build()
                    .unwrap(),
            ),
            _ => event,
        };
        event.r#type(kind).build().unwrap()
    }

    /// Events in the order they happened, one a second.
    fn history(kinds: &[HistoryEventType]) -> Vec<HistoryEvent> {
        let events = kinds.iter().cloned().zip(1..);
        let mut events: Vec<HistoryEvent> =
            events.map(|(kind, second)| event(kind, second)).collect();
        events.reverse();
        events
    }

    #[test]
    fn a_wait_counts_from_the_attempt_that_was_sent() {
        use HistoryEventType::{
            ExecutionStarted, TaskFailed, TaskScheduled, TaskStarted, TaskStateEntered,
            TaskSubmitted,
        };
        let all = [
            ExecutionStarted,
            TaskStateEntered,
            TaskScheduled,
            TaskStarted,
            TaskFailed,
            TaskScheduled,
            TaskStarted,
            TaskSubmitted,
        ];
        let Read::Waits(wait) = wait_of("e", STATE, &history(&all)) else {
            panic!("it does not wait");
        };
        assert_eq!(
            wait.since,
            SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(6)
        );
        assert_eq!((wait.timeout, wait.input.as_str()), (Some(60), "{}"));
    }

    /// An execution that was stopped and redriven goes on in its state, as a new attempt of that.
    #[test]
    fn what_was_redriven_waits_again() {
        use HistoryEventType::{
            ExecutionAborted, ExecutionRedriven, TaskScheduled, TaskStarted, TaskStateAborted,
            TaskStateEntered, TaskSubmitted, TaskTimedOut,
        };
        for end in [TaskStateAborted, TaskTimedOut] {
            let before = [
                TaskStateEntered,
                TaskScheduled,
                TaskSubmitted,
                end,
                ExecutionAborted,
            ];
            let again = [ExecutionRedriven, TaskScheduled, TaskStarted, TaskSubmitted];
            let events = history(&[&before[..], &again].concat());
            let Read::Waits(wait) = wait_of("e", STATE, &events) else {
                panic!("it does not wait");
            };
            let since = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(7);
            assert_eq!((wait.since, wait.timeout), (since, Some(60)));
        }
        let just_now = [
            TaskStateEntered,
            TaskScheduled,
            ExecutionAborted,
            ExecutionRedriven,
        ];
        assert_eq!(wait_of("e", STATE, &history(&just_now)), Read::WaitsNot);
    }

    #[test]
    fn what_has_gone_on_or_is_elsewhere_does_not_wait() {
        use HistoryEventType::{
            TaskScheduled, TaskStateEntered, TaskStateExited, TaskSubmitted, TaskSucceeded,
            TaskTimedOut,
        };
        for last in [TaskSucceeded, TaskTimedOut, TaskStateExited] {
            let events = history(&[TaskStateEntered, TaskScheduled, TaskSubmitted, last.clone()]);
            assert_eq!(wait_of("e", STATE, &events), Read::WaitsNot, "{last:?}");
        }
        let events = history(&[TaskStateEntered, TaskScheduled]);
        assert_eq!(wait_of("e", "Another", &events), Read::WaitsNot);
        assert_eq!(wait_of("e", STATE, &events[..1]), Read::Further);
        assert_eq!(wait_of("e", STATE, &[]), Read::Further);
    }
}
