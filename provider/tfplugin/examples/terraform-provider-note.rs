//! A small provider that keeps notes in text files: the shortest way to see what this crate asks of
//! a provider, and what the tests run under a real Terraform.
//!
//! ```hcl
//! provider "note" {
//!   directory = "/tmp/notes"
//! }
//!
//! resource "note_file" "shopping" {
//!   path    = "shopping.txt"
//!   content = "milk"
//!   heading = { text = "To buy", underline = true }
//! }
//! ```
//!
//! With `NOTE_FAULT` in its environment, an apply fails half-way, after the heading and before the
//! content: `error`, `panic`, `patient` (works until it is interrupted, and says so) or `deaf`
//! (works on and on).

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::{fs, io};

use async_trait::async_trait;
use tfplugin::{
    ApplyReply, ApplyRequest, Attribute, Block, DataReply, DataSource, Diagnostic, Diagnostics,
    Identity, ImportReply, Nesting, Path, PlanReply, PlanRequest, Provider, ReadReply, ReadRequest,
    Resource, Schema, Type, Value, Work,
};

#[tokio::main]
async fn main() -> ExitCode {
    let identity = Identity {
        name: "terraform-provider-note",
        address: "registry.terraform.io/example/note",
        version: env!("CARGO_PKG_VERSION"),
        about: "Keeps notes in text files.",
    };
    tfplugin::serve(Notes::default(), identity).await
}

/// The directory in which the notes are; known after `configure`.
type Directory = Arc<OnceLock<PathBuf>>;

#[derive(Default)]
struct Notes {
    directory: Directory,
}

#[async_trait]
impl Provider for Notes {
    fn schema(&self) -> Schema {
        Schema {
            attributes: vec![
                Attribute::string("directory")
                    .optional()
                    .describe("Where the notes are. Default: the working directory."),
            ],
            ..Schema::default()
        }
    }

    fn resources(&self) -> Vec<Arc<dyn Resource>> {
        vec![Arc::new(NoteFile {
            directory: Arc::clone(&self.directory),
        })]
    }

    fn data_sources(&self) -> Vec<Arc<dyn DataSource>> {
        vec![Arc::new(NoteText {
            directory: Arc::clone(&self.directory),
        })]
    }

    async fn configure(&self, config: &Value, terraform_version: &str) -> Diagnostics {
        tracing::info!(terraform_version, "configured");
        let directory = config
            .get("directory")
            .and_then(Value::as_str)
            .unwrap_or(".");
        match fs::metadata(directory) {
            Ok(found) if found.is_dir() => {
                self.directory.get_or_init(|| PathBuf::from(directory));
                Vec::new()
            }
            _ => vec![
                Diagnostic::error(
                    "No place for notes",
                    format!("{directory} is not a directory."),
                )
                .at(Path::root().attribute("directory")),
            ],
        }
    }
}

struct NoteFile {
    directory: Directory,
}

impl NoteFile {
    fn file(&self, path: &str) -> PathBuf {
        self.directory
            .get()
            .map_or_else(|| PathBuf::from(path), |directory| directory.join(path))
    }

    /// The first lines of a note.
    fn heading(state: &Value) -> String {
        let Some(heading) = state.get("heading").filter(|heading| !heading.is_null()) else {
            return String::new();
        };
        let text = heading
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let underline = heading
            .get("underline")
            .and_then(Value::as_bool)
            .unwrap_or_default();
        let line = if underline {
            "=".repeat(text.chars().count()) + "\n"
        } else {
            String::new()
        };
        format!("{text}\n{line}")
    }

    fn body(state: &Value) -> String {
        let content = state
            .get("content")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let lines = state
            .get("line")
            .and_then(Value::as_list)
            .unwrap_or_default();
        let lines = lines.iter().filter_map(|line| line.get("text")?.as_str());
        lines.fold(content.to_owned(), |body, line| body + "\n" + line)
    }

    fn write(&self, state: &Value, text: &str) -> io::Result<()> {
        fs::write(self.file(text_of(state, "path")), text)
    }
}

fn text_of<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn with(state: &Value, changes: &[(&str, Value)]) -> Value {
    let mut attributes = state.as_map().cloned().unwrap_or_default();
    attributes.extend(
        changes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone())),
    );
    Value::Map(attributes)
}

fn length(text: &str) -> Value {
    Value::from(i64::try_from(text.len()).unwrap_or(i64::MAX))
}

#[async_trait]
impl Resource for NoteFile {
    fn name(&self) -> &'static str {
        "note_file"
    }

    fn schema(&self) -> Schema {
        Schema {
            version: 1,
            description: "A note in a text file.".to_owned(),
            attributes: vec![
                Attribute::string("path")
                    .required()
                    .describe("The name of the file."),
                Attribute::string("content")
                    .required()
                    .describe("What the note says."),
                Attribute::nested(
                    "heading",
                    Nesting::Single,
                    vec![
                        Attribute::string("text").required(),
                        Attribute::boolean("underline").optional().computed(),
                    ],
                )
                .optional()
                .describe("What stands above the content."),
                Attribute::number("weight")
                    .optional()
                    .describe("Any number; kept as it is."),
                Attribute::map_of_strings("labels")
                    .optional()
                    .describe("Anything; kept as it is."),
                Attribute::of("readers", Type::Set(Box::new(Type::String))).optional(),
                Attribute::number("size")
                    .computed()
                    .describe("How many bytes the file has."),
                Attribute::boolean("complete")
                    .computed()
                    .describe("Whether everything has been written."),
            ],
            blocks: vec![
                Block::new("line", Nesting::List)
                    .with(vec![Attribute::string("text").required()])
                    .describe("A line below the content."),
            ],
        }
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        let mut diagnostics = Vec::new();
        if text_of(config, "path").contains("..") {
            diagnostics.push(
                Diagnostic::error(
                    "Unsafe path",
                    "A note cannot be outside of the directory of the provider.",
                )
                .at(Path::root().attribute("path")),
            );
        }
        if config
            .at(&Path::root().attribute("heading").attribute("text"))
            .and_then(Value::as_str)
            == Some("")
        {
            diagnostics.push(
                Diagnostic::error("Empty heading", "Leave `heading` out instead.")
                    .at(Path::root().attribute("heading").attribute("text")),
            );
        }
        diagnostics
    }

    async fn upgrade(
        &self,
        _version: i64,
        mut state: serde_json::Value,
    ) -> Result<serde_json::Value, Diagnostics> {
        // In version 0, `content` was called `text`.
        if let Some(attributes) = state.as_object_mut()
            && let Some(text) = attributes.remove("text")
        {
            attributes.insert("content".to_owned(), text);
        }
        Ok(state)
    }

    async fn read(&self, ReadRequest { state, private }: ReadRequest) -> ReadReply {
        let file = self.file(text_of(&state, "path"));
        let found = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return ReadReply::default(),
            Err(error) => {
                let detail = format!("Reading {}: {error}.", file.display());
                return ReadReply {
                    diagnostics: vec![Diagnostic::error("A note cannot be read", detail)],
                    ..ReadReply::default()
                };
            }
        };
        let expected = Self::heading(&state) + &Self::body(&state);
        let state = if found == expected {
            state
        } else {
            // Whatever is there now is shown as content, so that a plan shows the difference.
            with(
                &state,
                &[("content", found.as_str().into()), ("size", length(&found))],
            )
        };
        ReadReply {
            state,
            private,
            diagnostics: Vec::new(),
        }
    }

    async fn plan(&self, request: PlanRequest) -> PlanReply {
        let PlanRequest {
            prior,
            proposed,
            private,
            ..
        } = request;
        if proposed.is_null() {
            return PlanReply {
                private,
                ..PlanReply::default()
            };
        }
        let underline = match proposed.get("heading") {
            Some(Value::Map(heading))
                if heading
                    .get("underline")
                    .is_none_or(|set| !matches!(set, Value::Bool(_))) =>
            {
                Some(with(
                    &Value::Map(heading.clone()),
                    &[("underline", false.into())],
                ))
            }
            _ => None,
        };
        let planned = match underline {
            Some(heading) => with(&proposed, &[("heading", heading)]),
            None => proposed,
        };
        let planned = if planned == prior && prior.get("complete") == Some(&Value::Bool(true)) {
            planned
        } else {
            with(
                &planned,
                &[("size", Value::Unknown), ("complete", Value::Unknown)],
            )
        };
        PlanReply {
            planned,
            requires_replace: vec![Path::root().attribute("path")],
            private,
            diagnostics: Vec::new(),
        }
    }

    async fn apply(&self, request: ApplyRequest, work: Work) -> ApplyReply {
        let ApplyRequest {
            prior,
            planned,
            private,
            ..
        } = request;
        if planned.is_null() {
            let file = self.file(text_of(&prior, "path"));
            return match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => ApplyReply {
                    state: prior,
                    private,
                    diagnostics: vec![Diagnostic::error(
                        "A note cannot be removed",
                        format!("{}: {error}.", file.display()),
                    )],
                },
                _ => ApplyReply::default(),
            };
        }

        let failed = |state: Value, summary: &str, detail: String| ApplyReply {
            state,
            private: Vec::new(),
            diagnostics: vec![Diagnostic::error(summary, detail)],
        };
        let heading = Self::heading(&planned);
        let text = heading.clone() + &Self::body(&planned);
        if let Err(error) = self.write(&planned, &heading) {
            let detail = format!(
                "Writing {}: {error}.",
                self.file(text_of(&planned, "path")).display()
            );
            return failed(Value::Null, "A note cannot be written", detail);
        }
        let half = with(
            &planned,
            &[("size", length(&heading)), ("complete", false.into())],
        );
        work.checkpoint(half.clone(), b"half".to_vec());

        match std::env::var("NOTE_FAULT").unwrap_or_default().as_str() {
            "error" => {
                return failed(
                    half,
                    "Out of ink",
                    "The heading is there, the content is not.".to_owned(),
                );
            }
            "panic" => panic!("the pen broke"),
            "patient" => {
                work.cancelled().await;
                return failed(
                    half,
                    "Put down the pen",
                    "The heading is there, the content is not.".to_owned(),
                );
            }
            "deaf" => std::future::pending().await,
            _ => {}
        }

        if let Err(error) = self.write(&planned, &text) {
            return failed(half, "A note cannot be written", error.to_string());
        }
        ApplyReply {
            state: with(
                &planned,
                &[("size", length(&text)), ("complete", true.into())],
            ),
            private: b"whole".to_vec(),
            diagnostics: Vec::new(),
        }
    }

    async fn import(&self, id: &str) -> ImportReply {
        let Ok(text) = fs::read_to_string(self.file(id)) else {
            return ImportReply::default();
        };
        let state = [
            ("path", id.into()),
            ("size", length(&text)),
            ("content", Value::from(text)),
            ("complete", true.into()),
        ];
        ImportReply {
            state: state.into_iter().collect(),
            private: b"imported".to_vec(),
            diagnostics: Vec::new(),
        }
    }
}

struct NoteText {
    directory: Directory,
}

#[async_trait]
impl DataSource for NoteText {
    fn name(&self) -> &'static str {
        "note_text"
    }

    fn schema(&self) -> Schema {
        Schema {
            description: "The text of a note that something else wrote.".to_owned(),
            attributes: vec![
                Attribute::string("path").required(),
                Attribute::string("text").computed(),
            ],
            ..Schema::default()
        }
    }

    async fn read(&self, config: Value) -> DataReply {
        let path = text_of(&config, "path").to_owned();
        let file = self
            .directory
            .get()
            .map_or_else(|| PathBuf::from(&path), |directory| directory.join(&path));
        match fs::read_to_string(&file) {
            Ok(text) => DataReply {
                state: with(&config, &[("text", text.into())]),
                diagnostics: Vec::new(),
            },
            Err(error) => DataReply {
                state: Value::Null,
                diagnostics: vec![
                    Diagnostic::error(
                        "A note cannot be read",
                        format!("{}: {error}.", file.display()),
                    )
                    .at(Path::root().attribute("path")),
                ],
            },
        }
    }
}
