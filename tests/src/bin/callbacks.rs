//! `cargo xtask bench callbacks`: many executions at once, answered by the business application; the figures, and whether one was lost.

use std::process::ExitCode;

use bellflower_tests::load::Load;

/// Started at once, each number on an emulator of its own.
const SIZES: [usize; 3] = [50, 500, 2000];

/// And this many while calls fail and deliveries come twice.
const ROUGH: usize = 500;

#[tokio::main]
async fn main() -> ExitCode {
    let sizes: Result<Vec<usize>, _> = std::env::args().skip(1).map(|one| one.parse()).collect();
    let loads = match sizes {
        Ok(sizes) if sizes.is_empty() => loads(&SIZES, &[ROUGH]),
        Ok(sizes) => loads(&sizes, &sizes),
        Err(error) => {
            eprintln!("usage: callbacks [EXECUTIONS]...: {error}");
            return ExitCode::from(2);
        }
    };
    let mut code = ExitCode::SUCCESS;
    for load in loads {
        let how = match (load.faults, load.duplicates) {
            (true, _) => ", one call in twenty fails",
            (_, true) => ", every message and event comes twice",
            _ => "",
        };
        println!("\n{} executions at once{how}", load.executions);
        let wrong = match Box::pin(load.run()).await {
            Ok(report) => {
                print!("{report}");
                report.verdict().err()
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(wrong) = wrong {
            eprintln!("{wrong}");
            code = ExitCode::FAILURE;
        }
    }
    code
}

/// Calm ones, then those with faults, and those with duplicates.
fn loads(calm: &[usize], rough: &[usize]) -> Vec<Load> {
    let of = |sizes: &[usize], faults, duplicates| {
        let load = |executions: &usize| Load {
            executions: *executions,
            faults,
            duplicates,
        };
        sizes.iter().map(load).collect::<Vec<_>>()
    };
    [
        of(calm, false, false),
        of(rough, true, false),
        of(rough, false, true),
    ]
    .concat()
}
