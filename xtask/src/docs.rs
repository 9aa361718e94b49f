//! What follows from the provider's schema and is kept in the repository: the pages of the Terraform Registry and the
//! variables of the module.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Map, Value};

use crate::command::{self, Error};
use crate::{layout, provider, tools};

const RESOURCE: &str = "bellflower_callback_pipeline";
const DATA_SOURCE: &str = "bellflower_pending_callbacks";

/// What a part of `terraform providers schema -json` holds by name.
type Table = Map<String, Value>;

/// A file that follows from the schema.
struct Page {
    /// Its path in the repository.
    path: &'static str,
    text: String,
}

/// Builds the provider and writes what follows from its schema; with `--check`, only looks whether it is there already.
pub fn run(arguments: &[String]) -> Result<(), Error> {
    let provider = match std::env::var_os("BELLFLOWER_PROVIDER") {
        Some(built) => PathBuf::from(built),
        None => provider::build()?,
    };
    let terraform = tools::terraform()?;
    if arguments.iter().any(|given| given == "--check") {
        return check(&provider, &terraform);
    }
    for page in pages(&provider, &terraform)? {
        if command::write_if_changed(&layout::root().join(page.path), page.text.as_bytes())? {
            println!("written: {}", page.path);
        }
    }
    Ok(())
}

/// An error when a file differs from what follows from this provider's schema.
pub fn check(provider: &Path, terraform: &Path) -> Result<(), Error> {
    let stale: Vec<&str> = pages(provider, terraform)?
        .into_iter()
        .filter(|page| {
            std::fs::read(layout::root().join(page.path))
                .ok()
                .as_deref()
                != Some(page.text.as_bytes())
        })
        .map(|page| page.path)
        .collect();
    if stale.is_empty() {
        println!("docs are as the provider's schema has them");
        Ok(())
    } else {
        Err(Error::Other(format!(
            "not as the provider's schema has it: {} (`cargo xtask docs` mends it)",
            stale.join(", ")
        )))
    }
}

fn pages(provider: &Path, terraform: &Path) -> Result<Vec<Page>, Error> {
    let schema = schema(provider, terraform)?;
    let no_schema = || Error::Other("terraform told no schema of the provider".to_owned());
    let provider_block = block(&schema["provider"]).ok_or_else(no_schema)?;
    let resource = block(&schema["resource_schemas"][RESOURCE]).ok_or_else(no_schema)?;
    module_passes_on(resource)?;
    let data_source = block(&schema["data_source_schemas"][DATA_SOURCE]).ok_or_else(no_schema)?;
    let basic = text_of("examples/basic/main.tf")?;
    let pending = text_of("examples/pending-callbacks/main.tf")?;
    let page = |template: &str, block: &Table, example: &str| {
        template
            .replace("{{description}}", description(block))
            .replace("{{example}}", example.trim_end())
            .replace("{{schema}}", reference(block).trim_end())
    };
    Ok(vec![
        Page {
            path: "docs/index.md",
            text: page(include_str!("../docs/index.md"), provider_block, &basic),
        },
        Page {
            path: "docs/resources/callback_pipeline.md",
            text: page(
                include_str!("../docs/callback_pipeline.md"),
                resource,
                &basic,
            ),
        },
        Page {
            path: "docs/data-sources/pending_callbacks.md",
            text: page(
                include_str!("../docs/pending_callbacks.md"),
                data_source,
                &pending,
            ),
        },
        Page {
            path: "terraform/variables.tf",
            text: formatted(terraform, &variables(resource))?,
        },
    ])
}

fn text_of(path: &str) -> Result<String, Error> {
    let bytes = command::read(&layout::root().join(path))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The schema of the provider as Terraform tells it.
fn schema(provider: &Path, terraform: &Path) -> Result<Value, Error> {
    let folder = tempfile::tempdir().map_err(Error::file("creating", &std::env::temp_dir()))?;
    let configuration = "terraform {\n  required_providers {\n    bellflower = { source = \"bellflower/bellflower\" }\n  }\n}\n";
    command::write_if_changed(&folder.path().join("main.tf"), configuration.as_bytes())?;
    let rc = folder.path().join("terraform.rc");
    let built = provider.parent().unwrap_or(provider).display().to_string();
    let overrides = format!(
        "provider_installation {{\n  dev_overrides {{\n    \"bellflower/bellflower\" = {built:?}\n  }}\n}}\n"
    );
    command::write_if_changed(&rc, overrides.as_bytes())?;
    let output = command::output(
        command::command(terraform)
            .args(["providers", "schema", "-json"])
            .current_dir(folder.path())
            .env("TF_CLI_CONFIG_FILE", &rc)
            .env("CHECKPOINT_DISABLE", "1"),
    )?;
    let found: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| Error::Other(format!("reading the provider's schema: {error}")))?;
    let only = found["provider_schemas"]
        .as_object()
        .and_then(|all| all.values().next());
    Ok(only.cloned().unwrap_or_default())
}

fn formatted(terraform: &Path, text: &str) -> Result<String, Error> {
    let failed = |error: std::io::Error| Error::Other(format!("running `terraform fmt`: {error}"));
    let mut child = command::command(terraform)
        .args(["fmt", "-"])
        .env_remove("TF_CLI_CONFIG_FILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(failed)?;
    }
    let output = child.wait_with_output().map_err(failed)?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(Error::Other(
            "`terraform fmt` refused the module's variables".to_owned(),
        ))
    }
}

fn block(schema: &Value) -> Option<&Table> {
    schema["block"].as_object()
}

fn description(of: &Table) -> &str {
    of.get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn table<'a>(of: &'a Table, name: &str) -> impl Iterator<Item = (&'a str, &'a Table)> {
    of.get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_object()?)))
}

fn is(attribute: &Table, flag: &str) -> bool {
    attribute.get(flag).and_then(Value::as_bool) == Some(true)
}

/// Who says what an attribute's value is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Setter {
    MustBeUser,
    MayBeUser,
    Provider,
}

fn who_sets(attribute: &Table) -> Setter {
    if is(attribute, "required") {
        return Setter::MustBeUser;
    }
    // An object is the user's to set only if something in it is.
    let something = nested(attribute).is_none_or(|(inner, _)| arguments(inner).next().is_some());
    if is(attribute, "optional") && something {
        Setter::MayBeUser
    } else {
        Setter::Provider
    }
}

/// Attributes of an attribute, and how many sets of them there are: `single`, `list`, `map`.
fn nested(attribute: &Table) -> Option<(&Table, &str)> {
    let nested = attribute.get("nested_type")?.as_object()?;
    Some((nested, nested.get("nesting_mode")?.as_str()?))
}

/// The reference part of a page, laid out as the Registry's own generator does.
fn reference(block: &Table) -> String {
    let mut text = "## Schema\n".to_owned();
    let mut below = Vec::new();
    members(&mut text, block, &mut Vec::new(), &mut below);
    for (path, anchor, of) in below {
        let _ = write!(
            text,
            "\n<a id=\"{anchor}\"></a>\n### Nested Schema for `{}`\n",
            path.join(".")
        );
        members(&mut text, of, &mut path.clone(), &mut Vec::new());
    }
    text
}

/// A nested schema that gets a section of its own: its path, its anchor, what it holds.
type Section<'a> = (Vec<String>, String, &'a Table);

/// The lists of what a block or an object holds. Every nested schema, however deep, is added to `below`.
fn members<'a>(
    text: &mut String,
    of: &'a Table,
    path: &mut Vec<String>,
    below: &mut Vec<Section<'a>>,
) {
    for (title, setter) in [
        ("Required", Setter::MustBeUser),
        ("Optional", Setter::MayBeUser),
        ("Read-Only", Setter::Provider),
    ] {
        let mut lines = String::new();
        for (name, attribute) in table(of, "attributes").filter(|(_, one)| who_sets(one) == setter)
        {
            path.push(name.to_owned());
            let link = nested(attribute).map(|(inner, _)| {
                let anchor = format!("nestedatt--{}", path.join("--"));
                below.push((path.clone(), anchor.clone(), inner));
                members(&mut String::new(), inner, path, below);
                anchor
            });
            path.pop();
            line(
                &mut lines,
                name,
                &label(attribute),
                description(attribute),
                link,
            );
        }
        if title == "Optional" {
            for (name, block) in table(of, "block_types") {
                let Some(inner) = block.get("block").and_then(Value::as_object) else {
                    continue;
                };
                let anchor = format!("nestedblock--{name}");
                below.push((vec![name.to_owned()], anchor.clone(), inner));
                line(&mut lines, name, "Block", description(inner), Some(anchor));
            }
        }
        if !lines.is_empty() {
            let heading = if path.is_empty() {
                format!("### {title}")
            } else {
                format!("{title}:")
            };
            let _ = write!(text, "\n{heading}\n\n{lines}");
        }
    }
}

fn line(lines: &mut String, name: &str, label: &str, description: &str, link: Option<String>) {
    let below = link
        .map(|anchor| format!(" (see [below for nested schema](#{anchor}))"))
        .unwrap_or_default();
    let _ = writeln!(lines, "- `{name}` ({label}) {description}{below}");
}

/// The type of an attribute in the Registry's words.
fn label(attribute: &Table) -> String {
    let kind = match nested(attribute) {
        Some((_, "list")) => "Attributes List".to_owned(),
        Some((_, "map")) => "Attributes Map".to_owned(),
        Some(_) => "Attributes".to_owned(),
        None => spoken(attribute.get("type").unwrap_or(&Value::Null)),
    };
    if is(attribute, "sensitive") {
        format!("{kind}, Sensitive")
    } else {
        kind
    }
}

fn spoken(of: &Value) -> String {
    match of {
        Value::Array(both) => {
            let [outer, inner] = [0, 1].map(|at| both.get(at).map(spoken).unwrap_or_default());
            format!("{outer} of {inner}")
        }
        Value::String(name) if name == "bool" => "Boolean".to_owned(),
        Value::String(name) => {
            let mut letters = name.chars();
            letters
                .next()
                .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
                .unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// What a user may set in a block or an object.
fn arguments(of: &Table) -> impl Iterator<Item = (&str, &Table)> {
    table(of, "attributes").filter(|(_, one)| who_sets(one) != Setter::Provider)
}

/// The module's variables: one for each argument of the resource, typed as the resource's schema is.
fn variables(resource: &Table) -> String {
    let mut text = "# Written by `cargo xtask docs` from the provider's schema: one variable for each argument of the resource.\n\
                    # What is left out, or null, has the provider's default.\n"
        .to_owned();
    let mut variable = |name: &str, about: &str, kind: &str, required: bool| {
        let about = about
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace("${", "$${");
        let default = if required {
            "nullable = false"
        } else {
            "default = null"
        };
        let _ = write!(
            text,
            "\nvariable \"{name}\" {{\n  description = \"{about}\"\n  type = {kind}\n  {default}\n}}\n"
        );
    };
    for (name, attribute) in arguments(resource) {
        variable(
            name,
            description(attribute),
            &hcl(attribute),
            is(attribute, "required"),
        );
    }
    for (name, block) in table(resource, "block_types") {
        if let Some(inner) = block.get("block").and_then(Value::as_object) {
            variable(name, description(inner), &object(inner), false);
        }
    }
    text
}

/// An attribute's type as a type constraint of Terraform's language.
fn hcl(attribute: &Table) -> String {
    match nested(attribute) {
        Some((inner, "single")) => object(inner),
        Some((inner, many)) => format!("{many}({})", object(inner)),
        None => constraint(attribute.get("type").unwrap_or(&Value::Null)),
    }
}

fn object(of: &Table) -> String {
    let mut text = "object({\n".to_owned();
    for (name, attribute) in arguments(of) {
        let kind = hcl(attribute);
        let _ = if is(attribute, "required") {
            writeln!(text, "{name} = {kind}")
        } else {
            writeln!(text, "{name} = optional({kind})")
        };
    }
    text + "})"
}

fn constraint(of: &Value) -> String {
    match of {
        Value::Array(both) => {
            let [outer, inner] = [0, 1].map(|at| both.get(at).map(constraint).unwrap_or_default());
            format!("{outer}({inner})")
        }
        Value::String(name) => name.clone(),
        _ => "any".to_owned(),
    }
}

/// An error when the module's `main.tf` does not pass on what its variables take.
fn module_passes_on(resource: &Table) -> Result<(), Error> {
    let text = text_of("terraform/main.tf")?;
    let passed: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| {
            let (name, value) = line.split_once('=')?;
            (value.trim() == format!("var.{}", name.trim())).then_some(name.trim())
        })
        .collect();
    let missing: Vec<&str> = arguments(resource)
        .map(|(name, _)| name)
        .filter(|name| !passed.contains(name))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Error::Other(format!(
            "terraform/main.tf does not pass on: {}",
            missing.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sample() -> Table {
        let schema = json!({
            "attributes": {
                "name": {"type": "string", "description": "The name.", "required": true},
                "arn": {"type": "string", "description": "The ARN.", "computed": true},
                "secret": {"type": "string", "description": "Quiet \"${now}\".", "optional": true, "sensitive": true},
                "tags": {"type": ["map", "string"], "description": "Tags.", "optional": true, "computed": true},
                "logs": {"description": "Nothing to set.", "optional": true, "computed": true, "nested_type": {"nesting_mode": "single", "attributes": {
                    "id": {"type": "string", "description": "The id.", "computed": true},
                }}},
                "part": {"description": "A part.", "optional": true, "nested_type": {"nesting_mode": "single", "attributes": {
                    "on": {"type": "bool", "description": "Whether.", "optional": true},
                    "inner": {"description": "Deeper.", "optional": true, "nested_type": {"nesting_mode": "map", "attributes": {
                        "kind": {"type": "string", "description": "Which.", "required": true},
                    }}},
                }}},
            },
            "block_types": {"timeouts": {"nesting_mode": "single", "block": {
                "description": "How long.",
                "attributes": {"create": {"type": "string", "description": "To make.", "optional": true}},
            }}},
        });
        schema.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn every_nested_schema_has_a_section_and_a_link() {
        let text = reference(&sample());
        for anchor in [
            "nestedatt--part",
            "nestedatt--part--inner",
            "nestedblock--timeouts",
        ] {
            assert_eq!(
                text.matches(&format!("(#{anchor})")).count(),
                1,
                "{anchor}: {text}"
            );
            assert_eq!(
                text.matches(&format!("id=\"{anchor}\"")).count(),
                1,
                "{anchor}: {text}"
            );
        }
    }

    #[test]
    fn attributes_stand_in_the_list_of_who_sets_them() {
        let text = reference(&sample());
        let place = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
        assert!(place("### Required") < place("- `name` (String) The name."));
        assert!(place("- `name`") < place("### Optional"));
        assert!(place("### Optional") < place("- `tags` (Map of String) Tags."));
        assert!(place("- `secret` (String, Sensitive)") < place("### Read-Only"));
        assert!(place("### Read-Only") < place("- `arn` (String) The ARN."));
        assert!(place("### Read-Only") < place("- `logs` (Attributes) Nothing to set."));
        assert!(place("Nested Schema for `part.inner`") < place("- `kind` (String) Which."));
    }

    #[test]
    fn variables_take_what_a_user_may_set() {
        let text = variables(&sample());
        assert!(text.contains("variable \"name\" {\n  description = \"The name.\"\n  type = string\n  nullable = false\n}"));
        assert!(text.contains("Quiet \\\"$${now}\\\"."), "{text}");
        assert!(
            text.contains("inner = optional(map(object({\nkind = string\n})))"),
            "{text}"
        );
        assert!(text.contains("variable \"timeouts\""));
        assert!(!text.contains("arn") && !text.contains("logs"), "{text}");
    }
}
