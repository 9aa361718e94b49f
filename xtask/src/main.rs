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
mod fuzz;
mod lambdas;
mod layout;
mod package;
mod provider;
mod python;
mod test;
mod tools;

use std::process::ExitCode;

use chore::{CHORES, Chore};

/// What the command line asks for.
enum Request {
    /// To be told something.
    Tell(String),
    /// Nothing there is.
    Refuse(String),
    Run(&'static Chore, Vec<String>),
}

fn main() -> ExitCode {
    match request(std::env::args().skip(1).collect()) {
        Request::Tell(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Request::Refuse(complaint) => {
            eprint!("cargo xtask: {complaint}\n\n{}", chore::usage());
            ExitCode::from(2)
        }
        Request::Run(chore, arguments) => run(chore, &arguments),
    }
}

fn request(mut arguments: Vec<String>) -> Request {
    let wants_help = |argument: &String| matches!(argument.as_str(), "-h" | "--help");
    if arguments.is_empty() || arguments[0] == "help" || wants_help(&arguments[0]) {
        return Request::Tell(chore::usage());
    }
    let name = arguments.remove(0);
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        return Request::Refuse(format!("there is no chore called `{name}`"));
    };
    if arguments.iter().any(wants_help) {
        return Request::Tell(chore.help());
    }
    match arguments.iter().find(|given| !chore.takes(given)) {
        Some(unknown) => Request::Refuse(format!("`{name}` does not take `{unknown}`")),
        None => Request::Run(chore, arguments),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told_and_who_errs_is_refused() {
        let of = |line: &str| request(line.split_whitespace().map(str::to_owned).collect());
        for line in ["", "help", "--help", "-h demo"] {
            assert!(
                matches!(of(line), Request::Tell(text) if text == chore::usage()),
                "{line}"
            );
        }
        for line in ["demo --help", "bench lifecycle -h", "test --help"] {
            let name = line.split(' ').next().unwrap_or_default();
            let Request::Tell(text) = of(line) else {
                panic!("{line} is not answered");
            };
            assert!(text.contains(name) && text.len() < chore::usage().len());
        }
        for line in ["dance", "dance --help", "demo --full"] {
            assert!(matches!(of(line), Request::Refuse(_)), "{line}");
        }
        assert!(
            matches!(of("demo --keep"), Request::Run(chore, arguments) if chore.name == "demo" && arguments == ["--keep"])
        );
    }
}
