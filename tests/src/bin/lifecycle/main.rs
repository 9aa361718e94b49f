//! `cargo xtask bench`: a pipeline's apply, plan and destroy through the proxy, at a fixed time a call, beside the same pattern written by hand for
//! hashicorp/aws where its mirror is given; and fifty pipelines at once at the emulator's own speed.
//!
//! The figures are those of whole `terraform` commands: what a person waits for, and every call that AWS sees meanwhile.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bellflower_tests::processes::{Usage, Watch, group_seconds};
use bellflower_tests::proxy::{Call, Play, Proxy, sequence};
use bellflower_tests::{APPLY, DESTROY, Error, MiniStack, Options, Terraform, environment};

const REGION: &str = "eu-west-1";
/// How long the proxy holds up each call.
const LATENCY: Duration = Duration::from_millis(50);
const ROUNDS: usize = 5;
/// hashicorp/aws takes minutes a round.
const THEIR_ROUNDS: usize = 3;
const MANY: usize = 50;

const OURS: &str = r#"
terraform {
  required_providers {
    bellflower = { source = "bellflower/bellflower" }
  }
}
resource "bellflower_callback_pipeline" "this" {
  name = "orders"
}
"#;

/// A command, and the figures it should stay under: seconds, calls, calls in sequence.
const COMMANDS: [(&str, &[&str], [f64; 3]); 3] = [
    ("apply", &APPLY, [3.0, 75.0, 12.0]),
    ("plan", &["plan", "-no-color"], [1.2, 45.0, f64::INFINITY]),
    ("destroy", &DESTROY, [4.0, 60.0, f64::INFINITY]),
];
const MEMORY_TARGET: f64 = 40.0;

fn main() -> ExitCode {
    let mirror = std::env::args().nth(1).map(PathBuf::from);
    match run(mirror.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(mirror: Option<&Path>) -> Result<(), Error> {
    println!(
        "\na pipeline's life, every call held up by {} ms",
        LATENCY.as_millis()
    );
    let ours = measured(ROUNDS, &|variables| {
        Terraform::configuration(OURS, variables)
    })?;
    println!("bellflower, medians of {ROUNDS} rounds");
    for (index, (command, _, targets)) in COMMANDS.iter().enumerate() {
        let median =
            |figure: fn(&Round) -> f64| median(ours.iter().map(|life| figure(&life[index])));
        let rows = [
            ("time", median(|round| round.seconds), targets[0], "s"),
            ("calls", median(|round| round.calls), targets[1], ""),
            (
                "calls in sequence",
                median(|round| round.sequence),
                targets[2],
                "",
            ),
        ];
        for (what, value, target, unit) in rows {
            print_row(&format!("{command}: {what}"), value, unit, target);
        }
    }
    let memory = median(ours.iter().flatten().map(|round| round.usage.memory));
    print_row("provider: peak memory", memory, "MiB", MEMORY_TARGET);
    if let Some(mirror) = mirror {
        compare(mirror, &ours)?;
    } else {
        println!(
            "hashicorp/aws is not compared: name the folder of a filesystem mirror that holds it, `--mirror=FOLDER`"
        );
    }
    many()
}

/// What one command took.
struct Round {
    seconds: f64,
    calls: f64,
    sequence: f64,
    usage: Usage,
}

/// A working directory for an environment.
type Configuration<'a> = dyn Fn(&[(String, String)]) -> Result<Terraform, Error> + 'a;

/// Apply, plan and destroy.
type Life = Vec<Round>;

fn measured(rounds: usize, configuration: &Configuration<'_>) -> Result<Vec<Life>, Error> {
    let mut lives = Vec::new();
    // One more than counted: the first warms caches.
    for _ in 0..=rounds {
        let emulator = emulator()?;
        let proxy = Proxy::start(&emulator)?;
        proxy.play(Play::TagIndex);
        let terraform = configuration(&proxy.environment())?;
        proxy.latency(LATENCY);
        let mut life = Life::new();
        for (_, arguments, _) in COMMANDS {
            proxy.reset();
            let watch = Watch::providers();
            let began = Instant::now();
            terraform.expect(arguments)?;
            let seconds = began.elapsed().as_secs_f64();
            let calls = proxy.calls();
            life.push(Round {
                seconds,
                calls: count(calls.len()),
                sequence: count(sequence(&calls)),
                usage: providers(watch),
            });
            if std::env::var_os("BELLFLOWER_BENCH_CALLS").is_some() {
                timeline(&calls);
            }
        }
        lives.push(life);
    }
    lives.remove(0);
    Ok(lives)
}

/// What the one kind of provider that a run starts has used.
fn providers(watch: Watch) -> Usage {
    watch.end().into_values().next().unwrap_or_default()
}

/// Every call of a run, for whoever looks for one too many.
fn timeline(calls: &[Call]) {
    for call in calls {
        let end = call.end.unwrap_or_default().as_millis();
        println!(
            "{:>6} {end:>6} {} {}",
            call.start.as_millis(),
            call.operation,
            call.object
        );
    }
}

fn emulator() -> Result<MiniStack, Error> {
    MiniStack::start_with(Options {
        region: REGION.to_owned(),
        ..Options::default()
    })
}

/// The same pattern by hand, in the same run on the same machine.
fn compare(mirror: &Path, ours: &[Life]) -> Result<(), Error> {
    let package = |function| {
        environment::lambda_package(function, "x86_64")
            .display()
            .to_string()
    };
    let theirs = measured(THEIR_ROUNDS, &|variables| {
        let mut variables = variables.to_vec();
        variables.push(("TF_VAR_processing_zip".to_owned(), package("processing")));
        variables.push(("TF_VAR_integration_zip".to_owned(), package("integration")));
        Terraform::from_mirror(mirror, include_str!("hashicorp.tf"), &variables)
    })?;
    println!("hashicorp/aws, medians of {THEIR_ROUNDS} rounds, and how many times ours");
    for (index, (command, _, _)) in COMMANDS.iter().enumerate() {
        let both = |figure: fn(&Round) -> f64| {
            let of = |lives: &[Life]| median(lives.iter().map(|life| figure(&life[index])));
            (of(&theirs), of(&theirs) / of(ours))
        };
        for (what, (value, ratio), unit) in [
            ("time", both(|round| round.seconds), "s"),
            ("calls", both(|round| round.calls), ""),
            ("calls in sequence", both(|round| round.sequence), ""),
            (
                "provider: peak memory",
                both(|round| round.usage.memory),
                "MiB",
            ),
        ] {
            println!(
                "{:<52} {value:>8.2} {unit:<4} {ratio:>6.1} x",
                format!("{command}: {what}")
            );
        }
    }
    Ok(())
}

fn many() -> Result<(), Error> {
    let text = OURS.replace(
        "name = \"orders\"",
        &format!(
            "for_each = toset([for i in range({MANY}) : \"orders${{i}}\"])\n  name = each.key"
        ),
    );
    let emulator = emulator()?;
    let terraform = Terraform::configuration(&text, &emulator.environment())?;
    let theirs = group_seconds(emulator.id());
    let watch = Watch::providers();
    let began = Instant::now();
    let run = terraform.apply()?;
    let seconds = began.elapsed().as_secs_f64();
    let usage = providers(watch);
    let emulators = group_seconds(emulator.id()) - theirs;
    println!("{MANY} pipelines with for_each, at the emulator's own speed");
    print_row("apply: time", seconds, "s", 40.0);
    print_row("provider: processor time", usage.seconds, "s", 10.0);
    print_row("provider: peak memory", usage.memory, "MiB", f64::INFINITY);
    println!(
        "{:<52} {emulators:>8.2} s    on one core, since it has one thread",
        "local AWS: processor time"
    );
    // Such as a part that did not show as it was written, and was waited for.
    let warnings = run.stdout.lines().filter(|line| line.contains("Warning: "));
    warnings.for_each(|warning| println!("{warning}"));
    terraform.destroy()?;
    Ok(())
}

fn print_row(what: &str, value: f64, unit: &str, target: f64) {
    let verdict = if target.is_infinite() {
        String::new()
    } else {
        format!(
            "target {target:>6.2} {unit:<4} {}",
            if value <= target { "ok" } else { "OVER" }
        )
    };
    println!("{what:<52} {value:>8.2} {unit:<4} {verdict}");
}

#[allow(clippy::cast_precision_loss, reason = "a few hundred calls")]
fn count(number: usize) -> f64 {
    number as f64
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
