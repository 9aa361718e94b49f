//! The table of chores: what can be typed after `cargo xtask`.

use std::fmt::Write as _;
use std::process::ExitCode;

use crate::command::Error;
use crate::{bench, docs, fuzz, lambdas, package, provider, test, tools};

/// Where in a line of help it says what a chore is about, and how long a line may be.
const COLUMN: usize = 17;
const WIDTH: usize = 100;

/// One thing that can be typed after `cargo xtask`.
pub struct Chore {
    pub name: &'static str,
    /// Every flag and word the chore understands; one that ends in `=` takes a value.
    pub flags: &'static [&'static str],
    pub about: &'static str,
    pub run: fn(&[String]) -> Result<ExitCode, Error>,
}

impl Chore {
    /// Whether the chore understands this argument.
    pub fn takes(&self, given: &str) -> bool {
        self.flags.iter().any(|flag| {
            given == *flag && !flag.ends_with('=')
                || flag.ends_with('=') && given.starts_with(flag) && given != *flag
        })
    }

    /// What it takes and does, in lines that fit a terminal.
    pub fn help(&self) -> String {
        let mut text = format!("  {}", self.name);
        for flag in self.flags {
            let _ = write!(text, " [{flag}]");
        }
        let mut width = text.len();
        // After a long list of flags, what it is about begins on the next line.
        if width >= COLUMN {
            width = WIDTH;
        } else {
            let _ = write!(text, "{:1$}", "", COLUMN - 1 - width);
            width = COLUMN - 1;
        }
        for word in self.about.split_whitespace() {
            if width + 1 + word.len() > WIDTH {
                let _ = write!(text, "\n{:COLUMN$}{word}", "");
                width = COLUMN + word.len();
            } else {
                let _ = write!(text, " {word}");
                width += 1 + word.len();
            }
        }
        text.push('\n');
        text
    }
}

pub const CHORES: &[Chore] = &[
    Chore {
        name: "demo",
        flags: &["--keep"],
        about: "run the whole callback pattern against a local AWS (--keep: leave it running)",
        run: provider::demo,
    },
    Chore {
        name: "test",
        flags: &[],
        about: "formatting, clippy, unit tests, end-to-end tests on two versions of Terraform",
        run: |_| Ok(test::run()),
    },
    Chore {
        name: "chaos",
        flags: &["--point=", "--sample=", "--seed=", "--slice=", "--workers="],
        about: "interrupt create, update and destroy at each of their calls and print what came of it, which takes hours: --sample=63 \
                takes some of them, --slice=1/10 a part of all, --point=create/37/answer-lost one",
        run: provider::chaos,
    },
    Chore {
        name: "fuzz",
        flags: &["values", "states", "object_keys", "--seconds="],
        about: "feed the codec, state files and object keys with what a fuzzer thinks of, all or those named, for a minute each; needs a C++ \
                compiler",
        run: |arguments| done(fuzz::run(arguments)),
    },
    Chore {
        name: "build",
        flags: &[],
        about: "build the Lambda packages, then the provider and everything else for development",
        run: |_| done(provider::build().map(drop)),
    },
    Chore {
        name: "lambdas",
        flags: &[],
        about: "build the Lambda packages: target/lambdas/<function>-<architecture>.zip",
        run: |_| done(lambdas::build()),
    },
    Chore {
        name: "package",
        flags: &[],
        about: "release build in the layout of a Terraform registry or filesystem mirror: target/package",
        run: |_| done(package::run()),
    },
    Chore {
        name: "docs",
        flags: &["--check"],
        about: "write docs/ and terraform/variables.tf from the provider's schema (--check: only compare)",
        run: |arguments| done(docs::run(arguments)),
    },
    Chore {
        name: "bench",
        flags: &[
            "plugin",
            "functions",
            "lifecycle",
            "callbacks",
            "--mirror=",
            "--executions=",
        ],
        about: "measure the figures the project holds itself to, each with its target, all or those named (--mirror=FOLDER: lifecycle beside \
                hashicorp/aws; --executions=NUMBER: callbacks with that many, instead of 50, 500 and 2,000)",
        run: |arguments| done(bench::run(arguments)),
    },
    Chore {
        name: "tools",
        flags: &[],
        about: "install the pinned tools (local AWS, zig, linters, Terraform) into target/tools and nothing else",
        run: |_| done(tools::install_all()),
    },
];

fn done(result: Result<(), Error>) -> Result<ExitCode, Error> {
    result.map(|()| ExitCode::SUCCESS)
}

/// The list a person sees who typed nothing, or something else.
pub fn usage() -> String {
    let chores: String = CHORES.iter().map(Chore::help).collect();
    format!("usage: cargo xtask <chore>\n\n{chores}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_with_and_without_a_value() {
        let chaos = CHORES.iter().find(|chore| chore.name == "chaos").unwrap();
        assert!(chaos.takes("--slice=1/2") && chaos.takes("--seed=7"));
        let bench = CHORES.iter().find(|chore| chore.name == "bench").unwrap();
        assert!(bench.takes("lifecycle") && bench.takes("--mirror=/a"));
        assert!(bench.takes("callbacks") && bench.takes("--executions=50"));
        assert!(!bench.takes("--mirror") && !bench.takes("lifecycles"));
        assert!(!chaos.takes("--full") && !chaos.takes("--seed=") && !chaos.takes("--seed"));
    }

    #[test]
    fn usage_lists_every_chore_with_its_flags() {
        let usage = usage();
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for chore in CHORES {
            let about = words(&usage).contains(&words(chore.about));
            assert!(about, "{} is missing", chore.name);
            assert!(chore.flags.iter().all(|flag| usage.contains(flag)));
        }
        let longest = usage.lines().map(str::len).max();
        assert!(longest <= Some(WIDTH), "{usage}");
        assert!(usage.contains("\n  test           formatting"), "{usage}");
    }
}
