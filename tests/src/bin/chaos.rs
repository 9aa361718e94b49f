//! `cargo xtask chaos`: interruption at every step, and a table of what came of it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use bellflower_tests::Error;
use bellflower_tests::chaos::{self, Kind, Outcome, Point};

/// What is asked for.
#[derive(Debug)]
struct Wanted {
    /// The first number's part of as many as the second.
    slice: (usize, usize),
    points: Vec<Point>,
    /// So many of all; none for all of them.
    sample: Option<usize>,
    seed: u64,
    workers: usize,
}

impl Wanted {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wanted = Self {
            slice: (1, 1),
            points: Vec::new(),
            sample: None,
            seed: 1,
            workers: 2,
        };
        for argument in arguments {
            let (name, value) = argument.split_once('=').unwrap_or((&argument, ""));
            let number = || {
                value
                    .parse()
                    .map_err(|_| format!("{name} wants a number, not {value:?}"))
            };
            match name {
                "--slice" => wanted.slice = slice(value)?,
                "--point" => wanted.points.push(value.parse()?),
                "--sample" => wanted.sample = Some(number()?),
                "--workers" => wanted.workers = number()?,
                "--seed" => {
                    wanted.seed = value.parse().map_err(|_| format!("no seed: {value:?}"))?;
                }
                _ => return Err(format!("there is no {argument}")),
            }
        }
        Ok(wanted)
    }

    fn choose(&self, calls: &BTreeMap<Kind, usize>) -> Vec<Point> {
        let all = Point::all(calls);
        let points = if self.points.is_empty() {
            let count = self.sample.unwrap_or(all.len());
            let (part, parts) = self.slice;
            let chosen = chaos::sample(all, count, self.seed).into_iter();
            chosen.skip(part - 1).step_by(parts).collect()
        } else {
            self.points.clone()
        };
        let each: Vec<String> = calls
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        println!(
            "calls of undisturbed runs: {}; {} points",
            each.join(", "),
            points.len()
        );
        points
    }
}

/// `2/3`: the full run takes longer than some machines are at hand.
fn slice(text: &str) -> Result<(usize, usize), String> {
    text.split_once('/')
        .and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)))
        .filter(|(part, parts)| (1..=*parts).contains(part))
        .ok_or_else(|| format!("--slice wants a part of all, such as 2/3, not {text:?}"))
}

fn show(outcome: &Outcome) {
    let verdict = if outcome.wrong.is_empty() {
        "ok    "
    } else {
        "FAILED"
    };
    let struck = outcome.struck.as_deref().unwrap_or("not reached");
    let answered = outcome
        .answered
        .map(|time| format!(", ended after {:.1} s", time.as_secs_f64()));
    println!(
        "{verdict} {:<26} {:>5.1} s  {struck}{}",
        outcome.point.to_string(),
        outcome.took.as_secs_f64(),
        answered.unwrap_or_default()
    );
    for wrong in &outcome.wrong {
        println!("       {wrong}");
    }
    for slow in &outcome.slow {
        println!("       slow: {slow}");
    }
}

fn run(wanted: &Wanted) -> Result<bool, Error> {
    let began = Instant::now();
    let outcomes = chaos::run(wanted.workers, |calls| wanted.choose(calls), show)?;
    let failed: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| !outcome.wrong.is_empty())
        .collect();
    println!("\n{}", chaos::table(&outcomes));
    for outcome in &failed {
        println!(
            "failed: --point={}  {}",
            outcome.point,
            outcome.struck.as_deref().unwrap_or_default()
        );
    }
    let slowest = outcomes
        .iter()
        .filter_map(|outcome| outcome.answered)
        .max()
        .unwrap_or_default();
    println!(
        "{} points in {} s, {} failed; the slowest end after a signal took {:.1} s",
        outcomes.len(),
        began.elapsed().as_secs(),
        failed.len(),
        slowest.as_secs_f64()
    );
    Ok(failed.is_empty())
}

fn main() -> ExitCode {
    let wanted = match Wanted::parse(std::env::args().skip(1)) {
        Ok(wanted) => wanted,
        Err(complaint) => {
            eprintln!("chaos: {complaint}");
            return ExitCode::from(2);
        }
    };
    match run(&wanted) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let parse = |words: &[&str]| Wanted::parse(words.iter().map(|word| (*word).to_owned()));
        let wanted = parse(&["--point=create/37/answer-lost", "--seed=7"]).unwrap();
        assert_eq!(
            (wanted.points.len(), wanted.seed, wanted.sample),
            (1, 7, None)
        );
        assert!(parse(&["--point=create/37/nonsense"]).is_err());
        assert!(parse(&["--sample=many"]).is_err());
        assert_eq!(parse(&["--slice=2/3"]).unwrap().slice, (2, 3));
        for slice in ["--slice=0/3", "--slice=4/3", "--slice=1/0", "--slice=2"] {
            assert!(parse(&[slice]).is_err(), "{slice}");
        }
        assert!(parse(&["--other"]).is_err());
    }
}
