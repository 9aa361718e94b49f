//! Runs the example provider under a real Terraform: the one named by `TERRAFORM`, or else the one
//! on the path.

mod note;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use serde_json::Value;
use tempfile::TempDir;

/// A directory with a configuration, its state and its notes.
struct Workspace {
    directory: TempDir,
    terraform: OsString,
}

struct Outcome {
    code: Option<i32>,
    text: String,
}

impl Outcome {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}", self.text);
        self
    }

    #[track_caller]
    fn says(self, part: &str) -> Self {
        // Terraform breaks lines and draws a frame; neither says anything.
        let flat = |text: &str| {
            text.replace(['│', '╷', '╵'], " ")
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert!(
            flat(&self.text).contains(&flat(part)),
            "{part:?} is not in:\n{}",
            self.text
        );
        self
    }
}

impl Workspace {
    fn new(resources: &str) -> Self {
        let terraform = env::var_os("TERRAFORM").unwrap_or_else(|| "terraform".into());
        let version = Command::new(&terraform)
            .arg("version")
            .env("TF_CLI_CONFIG_FILE", "/dev/null")
            .output();
        assert!(
            version.is_ok(),
            "{} cannot be run: install Terraform from https://developer.hashicorp.com/terraform/install, \
             or say in the environment variable TERRAFORM where it is",
            terraform.display()
        );
        let workspace = Self {
            directory: tempfile::tempdir().unwrap(),
            terraform,
        };
        fs::create_dir(workspace.path("notes")).unwrap();
        let cli = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"example/note\" = \"{}\"\n  }}\n  direct {{}}\n}}\n",
            note::program().parent().unwrap().display()
        );
        fs::write(workspace.path("cli.tfrc"), cli).unwrap();
        workspace.configure(resources);
        workspace
    }

    fn configure(&self, resources: &str) {
        let header = r#"
            terraform {
              required_providers {
                note = { source = "example/note" }
              }
            }
            provider "note" {
              directory = "notes"
            }
        "#;
        fs::write(self.path("main.tf"), format!("{header}\n{resources}")).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn note(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.path("notes").join(name)).ok()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.terraform);
        for (name, _) in
            env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TF_"))
        {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("TF_CLI_CONFIG_FILE", self.path("cli.tfrc"))
            .env("CHECKPOINT_DISABLE", "1")
            .env("NO_COLOR", "1")
            .env_remove("NOTE_FAULT");
        command
    }

    fn run_with(&self, fault: &str, arguments: &[&str]) -> Outcome {
        let output = self
            .command(arguments)
            .env("NOTE_FAULT", fault)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        Outcome {
            code: output.status.code(),
            text: String::from_utf8_lossy(&text).into_owned(),
        }
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with("", arguments)
    }

    fn apply(&self) -> Outcome {
        self.run(&["apply", "-auto-approve", "-no-color"])
    }

    fn plan(&self) -> Outcome {
        self.run(&["plan", "-detailed-exitcode", "-no-color"])
    }

    fn state(&self) -> Value {
        serde_json::from_str(&fs::read_to_string(self.path("terraform.tfstate")).unwrap()).unwrap()
    }

    /// The one instance of the first resource in the state.
    fn instance(&self) -> Value {
        self.state()["resources"][0]["instances"][0].clone()
    }

    fn change_state(&self, change: impl FnOnce(&mut Value)) {
        let mut state = self.state();
        change(&mut state["resources"][0]["instances"][0]);
        fs::write(self.path("terraform.tfstate"), state.to_string()).unwrap();
    }

    /// Starts an apply in a process group of its own, and waits until the note is half written.
    fn half_applied(&self, fault: &str, note: &str) -> Child {
        let child = self
            .command(&["apply", "-auto-approve", "-no-color"])
            .env("NOTE_FAULT", fault)
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_for("the first half of the note", || self.note(note).is_some());
        // The checkpoint comes right after the file.
        thread::sleep(Duration::from_millis(300));
        child
    }
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(
            start.elapsed() < Duration::from_secs(30),
            "{what} did not come"
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// What a terminal does on Ctrl-C: every process of the group gets the signal.
fn interrupt(child: &Child) {
    let group = format!("-{}", child.id());
    assert!(
        Command::new("kill")
            .args(["-s", "INT", "--", &group])
            .status()
            .unwrap()
            .success()
    );
}

fn outcome(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    Outcome {
        code: output.status.code(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

const SHOPPING: &str = r#"
    resource "note_file" "shopping" {
      path    = "shopping.txt"
      content = "milk"
      heading = { text = "To buy", underline = true }
      weight  = 12345678901234567890123456789.000000000123456789
      labels  = { shop = "corner" }
      readers = ["me", "you"]
      line {
        text = "bread"
      }
      line {
        text = "salt"
      }
    }
"#;

const PLAIN: &str = r#"
    resource "note_file" "plain" {
      path    = "plain.txt"
      heading = { text = "Heading" }
      content = "content"
    }
"#;

#[test]
fn a_note_lives_and_dies() {
    let workspace = Workspace::new(SHOPPING);
    workspace
        .plan()
        .expect(2)
        .says("size = (known after apply)");
    workspace.apply().expect(0);
    assert_eq!(
        workspace.note("shopping.txt").unwrap(),
        "To buy\n======\nmilk\nbread\nsalt"
    );
    workspace.plan().expect(0).says("No changes");

    // Update in place.
    workspace.configure(&SHOPPING.replace("milk", "cream"));
    workspace
        .plan()
        .expect(2)
        .says(r#"~ content = "milk" -> "cream""#)
        .says("0 to add, 1 to change, 0 to destroy");
    workspace.apply().expect(0);
    assert_eq!(
        workspace.note("shopping.txt").unwrap(),
        "To buy\n======\ncream\nbread\nsalt"
    );
    workspace.plan().expect(0);

    // Replacement.
    workspace.configure(
        &SHOPPING
            .replace("milk", "cream")
            .replace("shopping.txt", "list.txt"),
    );
    workspace.plan().expect(2).says("forces replacement");
    workspace.apply().expect(0);
    assert_eq!(workspace.note("shopping.txt"), None);
    assert!(workspace.note("list.txt").is_some());
    workspace.plan().expect(0);

    workspace
        .run(&["destroy", "-auto-approve", "-no-color"])
        .expect(0);
    assert_eq!(workspace.note("list.txt"), None);
    assert_eq!(workspace.state()["resources"], serde_json::json!([]));
}

#[test]
fn values_that_only_an_apply_can_tell_reach_other_resources() {
    let workspace = Workspace::new(
        r#"
        resource "note_file" "first" {
          path    = "first.txt"
          content = "12345"
        }
        resource "note_file" "second" {
          path    = "second.txt"
          content = "first has ${note_file.first.size} bytes"
          weight  = note_file.first.size / 10
        }
        data "note_text" "second" {
          path = note_file.second.path
          depends_on = [note_file.second]
        }
        output "text" {
          value = data.note_text.second.text
        }
    "#,
    );
    workspace
        .apply()
        .expect(0)
        .says(r#"text = "first has 5 bytes""#);
    workspace.plan().expect(0);
}

#[test]
fn drift_is_seen_and_repaired() {
    let workspace = Workspace::new(PLAIN);
    workspace.apply().expect(0);

    fs::write(workspace.path("notes/plain.txt"), "something else").unwrap();
    workspace
        .plan()
        .expect(2)
        .says(r#"~ content = "something else" -> "content""#);
    workspace.apply().expect(0);
    assert_eq!(workspace.note("plain.txt").unwrap(), "Heading\ncontent");

    fs::remove_file(workspace.path("notes/plain.txt")).unwrap();
    workspace
        .plan()
        .expect(2)
        .says("1 to add, 0 to change, 0 to destroy");
    workspace.apply().expect(0);
    assert_eq!(workspace.note("plain.txt").unwrap(), "Heading\ncontent");
}

#[test]
fn what_exists_is_imported() {
    let workspace = Workspace::new(
        r#"
        resource "note_file" "old" {
          path    = "old.txt"
          content = "written by hand"
        }
    "#,
    );
    workspace
        .run(&["import", "-no-color", "note_file.old", "old.txt"])
        .expect(1)
        .says("Nothing to import");
    fs::write(workspace.path("notes/old.txt"), "written by hand").unwrap();
    workspace
        .run(&["import", "-no-color", "note_file.old", "old.txt"])
        .expect(0);
    workspace.plan().expect(0);
}

#[test]
fn mistakes_are_shown_where_they_are() {
    let workspace = Workspace::new(
        r#"
        resource "note_file" "bad" {
          path    = "../outside.txt"
          content = ""
          heading = { text = "" }
        }
    "#,
    );
    workspace
        .plan()
        .expect(1)
        .says(r#"path = "../outside.txt" A note cannot be outside of the directory"#)
        .says(r#"heading = { text = "" } Leave `heading` out instead."#);

    let workspace = Workspace::new(PLAIN);
    fs::remove_dir(workspace.path("notes")).unwrap();
    workspace
        .plan()
        .expect(1)
        .says(r#"directory = "notes" notes is not a directory."#);
}

#[test]
fn a_failed_apply_keeps_what_was_done() {
    for (fault, message) in [("error", "Out of ink"), ("panic", "the pen broke")] {
        let workspace = Workspace::new(PLAIN);
        // While it is created: what is there is tainted, and made anew.
        workspace
            .run_with(fault, &["apply", "-auto-approve", "-no-color"])
            .expect(1)
            .says(message);
        let instance = workspace.instance();
        assert_eq!(instance["status"], "tainted");
        assert_eq!(instance["attributes"]["complete"], false);
        assert_eq!(workspace.note("plain.txt").unwrap(), "Heading\n");
        workspace
            .apply()
            .expect(0)
            .says("1 added, 0 changed, 1 destroyed");
        assert_eq!(workspace.note("plain.txt").unwrap(), "Heading\ncontent");

        // While it is updated: the next apply goes on.
        workspace.configure(&PLAIN.replace("\"content\"", "\"other\""));
        workspace
            .run_with(fault, &["apply", "-auto-approve", "-no-color"])
            .expect(1)
            .says(message);
        let instance = workspace.instance();
        assert_eq!(instance["status"], Value::Null);
        assert_eq!(instance["attributes"]["complete"], false);
        workspace
            .apply()
            .expect(0)
            .says("0 added, 1 changed, 0 destroyed");
        assert_eq!(workspace.note("plain.txt").unwrap(), "Heading\nother");
        workspace.plan().expect(0);
    }
}

#[test]
fn an_interrupt_keeps_what_was_done() {
    // One provider that listens to the interrupt, and one that has to be cut off.
    for (fault, message, limit) in [
        ("patient", "Put down the pen", Duration::from_secs(3)),
        (
            "deaf",
            "did not end within 4 seconds",
            Duration::from_secs(8),
        ),
    ] {
        let workspace = Workspace::new(PLAIN);
        let child = workspace.half_applied(fault, "plain.txt");
        let start = Instant::now();
        interrupt(&child);
        outcome(child)
            .expect(1)
            .says(message)
            .says("Interrupt received");
        assert!(start.elapsed() < limit, "{fault}: {:?}", start.elapsed());
        let instance = workspace.instance();
        assert_eq!(instance["status"], "tainted");
        assert_eq!(instance["attributes"]["complete"], false);
        workspace.apply().expect(0);
        assert_eq!(workspace.note("plain.txt").unwrap(), "Heading\ncontent");
    }
}

#[test]
fn a_provider_outlives_neither_terraform_nor_its_socket() {
    let workspace = Workspace::new(PLAIN);
    let sockets = workspace.path("sockets");
    fs::create_dir(&sockets).unwrap();
    let mut terraform = workspace
        .command(&["apply", "-auto-approve", "-no-color"])
        .env("NOTE_FAULT", "patient")
        .env("PLUGIN_UNIX_SOCKET_DIR", &sockets)
        .env("TMPDIR", &sockets)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the first half of the note", || {
        workspace.note("plain.txt").is_some()
    });
    assert_eq!(socket_directories(&sockets), 1);
    // No plugin can be told about this.
    terraform.kill().unwrap();
    terraform.wait().unwrap();
    wait_for("the end of the provider", || {
        socket_directories(&sockets) == 0
    });
}

fn socket_directories(parent: &Path) -> usize {
    let entries = fs::read_dir(parent).unwrap();
    entries
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("tfplugin-")
        })
        .count()
}

#[test]
fn old_state_is_upgraded_and_newer_state_is_refused() {
    let workspace = Workspace::new(PLAIN);
    workspace.apply().expect(0);

    // Schema version 0 called the content `text`.
    workspace.change_state(|instance| {
        instance["schema_version"] = 0.into();
        let attributes = instance["attributes"].as_object_mut().unwrap();
        let content = attributes.remove("content").unwrap();
        attributes.insert("text".to_owned(), content);
    });
    workspace.plan().expect(0);

    workspace.change_state(|instance| {
        instance["schema_version"] = 7.into();
    });
    workspace
        .plan()
        .expect(1)
        .says("managed by newer provider version");
}

#[test]
fn logs_say_what_happens_and_never_a_value() {
    let secret = "nobody-may-read-this";
    let workspace = Workspace::new(&PLAIN.replace("\"content\"", &format!("\"{secret}\"")));
    let log = workspace.path("provider.log");
    let output = workspace
        .command(&["apply", "-auto-approve", "-no-color"])
        .env("TF_LOG_PROVIDER", "TRACE")
        .env("TF_LOG_PATH", &log)
        .env("NOTE_FAULT", "panic")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = fs::read_to_string(log).unwrap();
    for part in [
        "[INFO]  provider.terraform-provider-note: configured: ",
        "[DEBUG] provider.terraform-provider-note: answered: ",
        "[ERROR] provider.terraform-provider-note: a panic: ",
    ] {
        assert!(log.contains(part), "{part:?} is not in:\n{log}");
    }
    assert!(!log.contains(secret), "{log}");
}
