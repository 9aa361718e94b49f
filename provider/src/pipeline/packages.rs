//! The code of the two functions: embedded in this program, or the user's own.

use std::path::Path as FilePath;
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use sha2::{Digest, Sha256};
use tfplugin::{Diagnostic, Path, Value};

use super::settings::Settings;
use crate::parts::function::{Code, Source};

/// Function, architecture, zip.
static EMBEDDED: &[(&str, &str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/zips.rs"));

/// The hashes of [`EMBEDDED`], worked out once.
static HASHES: OnceLock<Vec<String>> = OnceLock::new();

/// The largest zip that Lambda takes in a request, in bytes.
const MOST_DIRECT: usize = 50 * 1024 * 1024;

/// A function's code.
#[derive(Debug, Clone)]
pub struct Package {
    /// In words.
    pub label: String,
    /// The base64 SHA-256 of the zip, where it is at hand.
    pub sha256: Option<String>,
    /// Where it is.
    pub code: Code,
}

/// The code of both functions.
#[derive(Debug, Clone)]
pub struct Packages {
    /// The processing function's.
    pub processing: Package,
    /// The integration function's.
    pub integration: Package,
}

/// Why there is no code, and the argument that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPackage {
    /// The function's attribute.
    pub function: &'static str,
    /// The argument under it.
    pub argument: &'static str,
    /// What is wrong and what to do.
    pub message: String,
}

impl NoPackage {
    /// Where it is wrong.
    #[must_use]
    pub fn path(&self) -> Path {
        Path::root()
            .attribute(self.function)
            .attribute(self.argument)
    }

    /// The error to tell.
    #[must_use]
    pub fn told(self) -> Diagnostic {
        let path = self.path();
        Diagnostic::error("No code for the function", self.message).at(path)
    }

    /// True when what is deployed came from there, and the argument is as it was: the code went away, and nothing else was asked for.
    #[must_use]
    pub fn is_deployed(&self, config: &Value, prior: Option<&Map<String, Json>>) -> bool {
        let before = prior
            .and_then(|prior| prior.get(self.function))
            .and_then(|part| part.get(self.argument))
            .filter(|value| !value.is_null());
        let given = config.at(&self.path()).filter(|value| !value.is_null());
        match (before, given) {
            (Some(before), Some(given)) => Value::from_json(before) == *given,
            // Left out, it is the default, as it was.
            (Some(before), None) => *before == json!(["x86_64"]),
            (None, _) => false,
        }
    }
}

/// The base64 SHA-256 of a zip, as Lambda tells it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    STANDARD.encode(Sha256::digest(bytes))
}

/// Whether this build carries code of Bellflower's own for an architecture.
#[cfg(test)]
pub fn carries(architecture: &str) -> bool {
    EMBEDDED.iter().any(|row| row.1 == architecture)
}

fn embedded(function: &'static str, architectures: &[String]) -> Result<Package, NoPackage> {
    let architecture = architectures.first().map_or("x86_64", String::as_str);
    let hashes = HASHES.get_or_init(|| EMBEDDED.iter().map(|row| sha256(row.2)).collect());
    let found = EMBEDDED
        .iter()
        .zip(hashes)
        .find(|((name, arch, _), _)| *name == function && *arch == architecture);
    let Some(((_, _, zip), hash)) = found else {
        let have: Vec<&str> = EMBEDDED
            .iter()
            .filter(|row| row.0 == function)
            .map(|row| row.1)
            .collect();
        let have = if have.is_empty() {
            "none".to_owned()
        } else {
            have.join(", ")
        };
        return Err(NoPackage {
            function,
            argument: "architectures",
            message: format!(
                "This build of the provider carries no {architecture} code of the {function} function (it carries: {have}). \
                 Choose an architecture it carries{}.",
                if function == "processing" {
                    ", or give code of your own in filename or s3_bucket and s3_key"
                } else {
                    ""
                }
            ),
        });
    };
    Ok(Package {
        label: format!(
            "Bellflower {} for {architecture}",
            env!("CARGO_PKG_VERSION")
        ),
        sha256: Some(hash.clone()),
        code: Code::Given(Source::Zip(Arc::from(*zip))),
    })
}

/// A zip begins with a file's header and has, within the length of the longest comment from its end, the record that ends it.
fn is_zip(bytes: &[u8]) -> bool {
    const END: &[u8] = b"PK\x05\x06";
    let tail = &bytes[bytes.len().saturating_sub(65_557)..];
    bytes.starts_with(b"PK\x03\x04") && tail.windows(END.len()).any(|window| window == END)
}

fn file(path: &str) -> Result<Package, NoPackage> {
    let complain = |message: String| NoPackage {
        function: "processing",
        argument: "filename",
        message,
    };
    let bytes = std::fs::read(FilePath::new(path))
        .map_err(|error| complain(format!("The file \"{path}\" cannot be read: {error}.")))?;
    if !is_zip(&bytes) {
        return Err(complain(format!(
            "The file \"{path}\" is not a whole zip file with something in it: Lambda takes nothing else."
        )));
    }
    if bytes.len() > MOST_DIRECT {
        return Err(complain(format!(
            "The file \"{path}\" has {} bytes; Lambda takes at most {MOST_DIRECT} directly. Upload it to S3 and give s3_bucket and s3_key.",
            bytes.len()
        )));
    }
    let hash = sha256(&bytes);
    Ok(Package {
        label: format!("file {path}, SHA-256 {hash}"),
        sha256: Some(hash),
        code: Code::Given(Source::Zip(bytes.into())),
    })
}

impl Packages {
    /// Finds the code that the arguments ask for, reading a file where they name one.
    ///
    /// # Errors
    /// Which argument asks for code that is not there.
    pub fn of(settings: &Settings) -> Result<Self, NoPackage> {
        Ok(Self {
            processing: Self::processing(settings)?,
            integration: Self::integration(settings)?,
        })
    }

    /// The same, of the processing function alone.
    ///
    /// # Errors
    /// As [`Packages::of`].
    pub fn processing(settings: &Settings) -> Result<Package, NoPackage> {
        let processing = &settings.processing;
        match (
            &processing.filename,
            &processing.s3_bucket,
            &processing.s3_key,
        ) {
            (Some(path), _, _) => file(path),
            (None, Some(bucket), Some(key)) => {
                let version = processing.s3_object_version.clone();
                let suffix = version
                    .as_ref()
                    .map(|version| format!(", version {version}"))
                    .unwrap_or_default();
                let label = format!("s3://{bucket}/{key}{suffix}");
                // Its hash is what it was when it was deployed, as long as it is the same object.
                let same = processing.function.package.as_ref() == Some(&label);
                Ok(Package {
                    sha256: processing.function.code_sha256.clone().filter(|_| same),
                    label,
                    code: Code::Given(Source::Object {
                        s3_bucket: bucket.clone(),
                        s3_key: key.clone(),
                        s3_object_version: version,
                    }),
                })
            }
            _ => embedded("processing", &processing.function.architectures),
        }
    }

    /// The same, of the integration function alone.
    ///
    /// # Errors
    /// As [`Packages::of`].
    pub fn integration(settings: &Settings) -> Result<Package, NoPackage> {
        embedded("integration", &settings.integration.architectures)
    }

    /// The code as a state tells of it, for looking at what is there.
    #[must_use]
    pub fn recorded(settings: &Settings) -> Self {
        let of = |label: &Option<String>, sha256: &Option<String>| Package {
            label: label.clone().unwrap_or_default(),
            sha256: sha256.clone(),
            code: Code::Recorded,
        };
        let (processing, integration) = (&settings.processing.function, &settings.integration);
        Self {
            processing: of(&processing.package, &processing.code_sha256),
            integration: of(&integration.package, &integration.code_sha256),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zip_has_a_beginning_and_an_end() {
        assert!(is_zip(b"PK\x03\x04 some file PK\x05\x06 the end"));
        assert!(!is_zip(b"PK\x03\x04"));
        assert!(!is_zip(b"PK\x05\x06 an empty one"));
        assert!(!is_zip(b""));
    }
}
