//! `cargo xtask`: every chore of the repository behind one door.
//!
//! Nothing here knows AWS or Terraform's protocol. Chores that need either are programs of the workspace
//! (`tests/`, the provider itself) which xtask builds and starts with the right tools around them.

mod archive;
mod bench;
mod chore;
mod command;
mod docs;
mod elf;
mod lambdas;
mod layout;
mod package;
mod provider;
mod python;
mod test;
mod tools;

use std::process::ExitCode;

use chore::{CHORES, Chore};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        return usage(None);
    };
    if matches!(name.as_str(), "help" | "-h" | "--help") {
        print!("{}", chore::usage());
        return ExitCode::SUCCESS;
    }
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        return usage(Some(&format!("there is no chore called `{name}`")));
    };
    let arguments: Vec<String> = arguments.collect();
    if let Some(unknown) = arguments.iter().find(|given| !chore.takes(given)) {
        return usage(Some(&format!("`{name}` does not take `{unknown}`")));
    }
    run(chore, &arguments)
}

fn run(chore: &Chore, arguments: &[String]) -> ExitCode {
    match (chore.run)(arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cargo xtask {}: {error}", chore.name);
            ExitCode::FAILURE
        }
    }
}

fn usage(complaint: Option<&str>) -> ExitCode {
    if let Some(complaint) = complaint {
        eprintln!("cargo xtask: {complaint}\n");
    }
    eprint!("{}", chore::usage());
    ExitCode::from(2)
}
