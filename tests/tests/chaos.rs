//! Interruption at a sample of steps; `cargo xtask chaos` takes them all.

use bellflower_tests::chaos::{self, Outcome, Point, sample};
use bellflower_tests::{Error, environment};

/// Three of each: what is done in seven ways to three commands.
const POINTS: usize = 63;
/// More than there are cores: most of a point is waiting.
const WORKERS: usize = 4;

#[test]
fn whatever_is_interrupted_converges() -> Result<(), Error> {
    // Each version of Terraform has points of its own, the same ones every time.
    let version = std::process::Command::new(environment::terraform())
        .arg("version")
        .output();
    let version = version.map(|output| output.stdout).unwrap_or_default();
    let seed = version
        .iter()
        .take_while(|byte| **byte != b'\n')
        .fold(1u64, |seed, byte| {
            seed.wrapping_mul(31).wrapping_add(u64::from(*byte))
        });
    println!("seed {seed}");
    let choose = |calls: &_| sample(Point::all(calls), POINTS, seed);
    let outcomes = chaos::run(WORKERS, choose, |outcome| {
        println!("{} {:?}", outcome.point, outcome.wrong);
    })?;
    println!("{}", chaos::table(&outcomes));
    assert_eq!(outcomes.len(), POINTS);
    let reached = outcomes
        .iter()
        .filter(|outcome| outcome.struck.is_some())
        .count();
    assert!(reached >= 60, "only {reached} points were reached");
    let failed: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| !outcome.wrong.is_empty())
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    Ok(())
}
