//! The harness's error type.

use std::path::{Path, PathBuf};

use aws_smithy_types::error::display::DisplayErrorContext;

/// Why the harness could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be made, read or copied.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was being done.
        what: &'static str,
        /// To which file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("{} could not be started: {source}; {hint}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// How to get it.
        hint: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The emulator ended, or did not answer in time.
    #[error("the local AWS did not come up: {reason}; its log is {}:\n{tail}", log.display())]
    Emulator {
        /// What happened.
        reason: String,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// Terraform ended with an error.
    #[error("`terraform {command}` ended with exit code {code}:\n{output}")]
    Terraform {
        /// The command, such as `apply`.
        command: String,
        /// Its exit code, -1 when a signal ended it.
        code: i32,
        /// What it wrote to stdout and stderr.
        output: String,
    },
    /// AWS answered with an error.
    #[error("{doing}: {reason}")]
    Aws {
        /// What was asked for.
        doing: &'static str,
        /// The error with its causes.
        reason: String,
    },
    /// Something did not happen in time.
    #[error("waited {seconds} s in vain for {what}; last seen: {seen}")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
        /// What was there instead.
        seen: String,
    },
    /// Something that should have been in Terraform's state or output was not.
    #[error("{0}")]
    Missing(String),
    /// The certificates could not be made.
    #[error("making a certificate for the local AWS: {0}")]
    Certificate(#[from] rcgen::Error),
}

impl Error {
    /// A closure for `map_err` on the SDK's results.
    pub fn aws<E: std::error::Error>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |error| Self::Aws {
            doing,
            reason: DisplayErrorContext(error).to_string(),
        }
    }

    pub(crate) fn file(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { what, path, source }
    }
}
