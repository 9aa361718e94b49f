//! What came of a load.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::Load;
use super::duplicates::Delivered;
use crate::processes::Usage;

/// How many of the things that went wrong are told one by one.
const TOLD: usize = 20;

/// An account of a load.
#[derive(Debug, Default)]
pub struct Report {
    /// What was to be borne.
    pub load: Load,
    /// How many executions succeeded.
    pub succeeded: usize,
    /// From the first execution's start to the last one's end, in seconds.
    pub seconds: f64,
    /// From an exchange's data in the bucket (its token is there just before) to the execution that goes on, in seconds.
    pub waits: Vec<f64>,
    /// From an answer in the bucket to the execution that goes on, in seconds.
    pub passing: Vec<f64>,
    /// What the functions have used, by name.
    pub functions: BTreeMap<String, Usage>,
    /// What the business application has used.
    pub application: Usage,
    /// The emulator's own processor time, in seconds.
    pub emulator: f64,
    /// From the first call to the last message.
    pub watched: Duration,
    /// How many calls went wrong.
    pub faults: u32,
    /// Of how many.
    pub calls: usize,
    /// What was delivered a second time.
    pub duplicates: Option<Delivered>,
    pub(super) wrong: Vec<String>,
}

impl Report {
    pub(super) fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    /// Whether every execution ended well and told so once.
    ///
    /// # Errors
    /// Says what went wrong.
    pub fn verdict(&self) -> Result<(), String> {
        let mut wrong = self.wrong.clone();
        if self.succeeded != self.load.executions {
            let lost = self.load.executions - self.succeeded;
            wrong.insert(0, format!("{lost} executions did not succeed"));
        }
        let share = 100 * self.faults as usize / self.calls.max(1);
        if self.load.faults && !(2..=8).contains(&share) {
            wrong.push(format!(
                "{} of {} calls went wrong, though about 5 % were to",
                self.faults, self.calls
            ));
        }
        if let Some(duplicates) = self.duplicates {
            let expected = self.load.executions;
            if duplicates.messages < expected || duplicates.events < expected {
                wrong.push(format!(
                    "not everything was delivered twice: {duplicates:?}"
                ));
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let more = wrong.len().saturating_sub(TOLD);
        wrong.truncate(TOLD);
        if more > 0 {
            wrong.push(format!("and {more} more"));
        }
        Err(wrong.join("\n"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |what: &str, value: f64, unit: &str, note: &str| {
            writeln!(f, "{what:<52} {value:>8.2} {unit:<4} {note}")
        };
        let executions = count(self.load.executions);
        row(
            "executions SUCCEEDED",
            count(self.succeeded),
            "",
            &format!("of {executions}"),
        )?;
        row("first start to last end", self.seconds, "s", "")?;
        row("throughput", count(self.succeeded) / self.seconds, "/s", "")?;
        for (what, times) in [
            ("work handed out to execution resumed", &self.waits),
            ("answer in the bucket to execution resumed", &self.passing),
        ] {
            for percent in [50, 99] {
                row(
                    &format!("{what}: p{percent}"),
                    percentile(times, percent),
                    "s",
                    "",
                )?;
            }
        }
        for (name, usage) in &self.functions {
            let processes = format!("the largest of {}", usage.processes);
            row(
                &format!("{name}: peak memory"),
                usage.memory,
                "MiB",
                &processes,
            )?;
            row(&format!("{name}: processor time"), usage.seconds, "s", "")?;
        }
        row(
            "business application: peak memory",
            self.application.memory,
            "MiB",
            "",
        )?;
        row(
            "business application: processor time",
            self.application.seconds,
            "s",
            "",
        )?;
        let share = 100.0 * self.emulator / self.watched.as_secs_f64();
        row(
            "local AWS: processor time",
            self.emulator,
            "s",
            &format!("{share:.0} % of one core, and it has one thread"),
        )?;
        if self.load.faults {
            row(
                "calls that went wrong",
                f64::from(self.faults),
                "",
                &format!("of {}", self.calls),
            )?;
        }
        if let Some(again) = self.duplicates {
            row(
                "messages delivered a second time",
                count(again.messages),
                "",
                "",
            )?;
            row(
                "events delivered a second time",
                count(again.events),
                "",
                "",
            )?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "a few thousand")]
fn count(number: usize) -> f64 {
    number as f64
}

/// The smallest value that so many of a hundred do not exceed.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let is = |percent, value: f64| (percentile(&values, percent) - value).abs() < f64::EPSILON;
        assert!(is(50, 100.0) && is(99, 198.0));
        assert!((percentile(&[3.0], 99) - 3.0).abs() < f64::EPSILON);
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn a_lost_execution_is_told() {
        let mut report = Report {
            succeeded: 50,
            ..Report::default()
        };
        report.load.executions = 50;
        assert_eq!(report.verdict(), Ok(()));
        report.succeeded = 49;
        report.wrong("load-7 is lost: it still runs".to_owned());
        let told = report.verdict().unwrap_err();
        assert!(
            told.contains("1 executions") && told.contains("load-7"),
            "{told}"
        );
        report.succeeded = 50;
        assert!(report.verdict().is_err());
    }
}
