//! How the demo speaks: one line for each thing that happens, with the time since the start.

use std::time::{Duration, Instant};

/// The width of the first column: who is doing something.
const WIDTH: usize = 15;

pub struct Telling {
    began: Instant,
}

impl Telling {
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Something has happened.
    pub fn line(&self, who: &str, what: &str) {
        println!(
            "{:>6.1} s  {who:<WIDTH$}  {what}",
            self.began.elapsed().as_secs_f64()
        );
    }
}

/// More about the line before.
pub fn detail(what: &str) {
    for line in what.lines() {
        println!("{:8}  {:WIDTH$}  | {line}", "", "");
    }
}
