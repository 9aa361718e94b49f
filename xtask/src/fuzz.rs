//! The fuzz targets, on the toolchain there is: libFuzzer needs nothing of a nightly compiler but its coverage counters, which are LLVM's.

use std::process::Command;

use crate::command::{self, Error};
use crate::layout;

/// Every program in `fuzz/`, and what of ours it feeds.
const TARGETS: [&str; 3] = ["values", "states", "object_keys"];

const SECONDS: &str = "60";

/// What `cargo fuzz` asks of the compiler, but for the sanitizers: there is no unsafe code here that they could catch at fault.
const FLAGS: &str = "--cfg fuzzing -Cdebug-assertions -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Runs the targets named, or all. An input that makes one panic is kept in `target/fuzz`, and its name is printed.
pub fn run(arguments: &[String]) -> Result<(), Error> {
    let value = |flag: &str| arguments.iter().find_map(|given| given.strip_prefix(flag));
    let seconds = value("--seconds=").unwrap_or(SECONDS);
    let host = command::rustc_prints(&["host-tuple"])?;
    let folder = layout::target().join("fuzz");
    let mut build = command::cargo();
    build
        .args(["build", "--release", "--manifest-path", "fuzz/Cargo.toml"])
        // With a target said, build scripts and macros are left without the flags.
        .args(["--target", &host])
        .arg("--target-dir")
        .arg(&folder)
        .env("RUSTFLAGS", FLAGS);
    command::run(&mut build)?;
    let named = |target: &&str| arguments.iter().any(|given| given == target);
    let all = !TARGETS.iter().any(named);
    for target in TARGETS.into_iter().filter(|target| all || named(target)) {
        let corpus = folder.join("corpus").join(target);
        command::create_folder(&corpus)?;
        println!("--- {target}, {seconds} s");
        let mut run = Command::new(folder.join(&host).join("release").join(target));
        run.current_dir(&folder)
            .arg(format!("-max_total_time={seconds}"))
            .args(["-print_final_stats=1", "-verbosity=0"])
            .arg(&corpus);
        command::run(&mut run)?;
    }
    Ok(())
}
