//! What one value may be, by the table of fields.

use bellflower_contract::{IllegalLayout, Layout};
use serde_json::Value as Json;
use tfplugin::{Diagnostic, Diagnostics, Path, Value};

use crate::documents::names::{self, FIFO};
use crate::pipeline::schema::{Check, Field, LONGEST_PREFIX, Origin, RUNTIMES, Shape};

/// Holds each known value against its field's check, and looks for nulls where values are needed.
pub fn each(fields: &[Field], config: &Value, at: &Path, found: &mut Diagnostics) {
    for field in fields {
        let Some(value) = config.get(field.name) else {
            continue;
        };
        let path = at.clone().attribute(field.name);
        match (&field.shape, value) {
            (_, Value::Null) if field.origin == Origin::Required => {
                let detail = format!("{} must have a value; it is null.", field.name);
                found.push(Diagnostic::error("Value missing", detail).at(path));
            }
            (_, Value::Null) => {}
            _ if field.origin == Origin::Computed => {
                let detail = format!(
                    "{} is read-only: Bellflower tells it. Take it out of the configuration.",
                    field.name
                );
                found.push(Diagnostic::error("Read-only attribute", detail).at(path));
            }
            (_, Value::Unknown) => {}
            (Shape::Object(inner), value) => each(inner, value, &path, found),
            (Shape::ObjectMap(inner), Value::Map(map)) => {
                for (name, entry) in map {
                    if entry.is_null() {
                        found.push(null_entry(field, name, path.clone()));
                        continue;
                    }
                    each(inner, entry, &path.clone().key(name), found);
                }
            }
            (Shape::TextMap, Value::Map(map)) => {
                for (name, _) in map.iter().filter(|(_, value)| value.is_null()) {
                    found.push(null_entry(field, name, path.clone()));
                }
            }
            (_, value) => {
                if let Some((summary, detail)) = complaint(field, value) {
                    found.push(Diagnostic::error(summary, detail).at(path));
                }
            }
        }
    }
}

fn null_entry(field: &Field, name: &str, path: Path) -> Diagnostic {
    let detail = format!(
        "The entry \"{name}\" of {} is null: give it a value or leave it out.",
        field.name
    );
    Diagnostic::error("Value missing", detail).at(path.key(name))
}

/// What is wrong with a known value, in short and in full.
pub fn complaint(field: &Field, value: &Value) -> Option<(&'static str, String)> {
    let name = field.name;
    let allowed = || field.check.allowed().unwrap_or_default();
    let text = value.as_str().unwrap_or_default();
    let whole = || value.as_i64();
    let not_allowed = || {
        let said = format!("{name} is \"{text}\"; allowed is {}.", allowed());
        ("Value not allowed", said)
    };
    let out_of_range = |said: String| Some(("Number out of range", said));
    match &field.check {
        Check::None => None,
        Check::Whole(from, to) if whole().is_some_and(|number| (*from..=*to).contains(&number)) => {
            None
        }
        Check::OneOfWhole(list) if whole().is_some_and(|number| list.contains(&number)) => None,
        Check::Between(from, to)
            if value
                .as_f64()
                .is_some_and(|number| (*from..=*to).contains(&number)) =>
        {
            None
        }
        Check::Whole(..) | Check::OneOfWhole(_) | Check::Between(..) => {
            let shown = value.to_json().unwrap_or(Json::Null);
            out_of_range(format!("{name} is {shown}; allowed is {}.", allowed()))
        }
        Check::OneOf(list) if list.contains(&text) => None,
        Check::OneOf(_) => Some((
            "Value not allowed",
            format!("{name} is \"{text}\"; allowed is one of {}.", allowed()),
        )),
        Check::Word(..) if text.contains(char::is_whitespace) => Some(not_allowed()),
        Check::Length(least, most) | Check::Word(least, most) => {
            unfit_text(name, text, (*least, *most), &allowed())
        }
        Check::Name(limit) if name == "alias" => {
            let rest = text.strip_prefix("alias/").unwrap_or_default();
            if rest.is_empty() || rest.starts_with("aws/") {
                let said = format!(
                    "The alias \"{text}\" must begin with alias/ and must not begin with alias/aws/."
                );
                return Some(("Illegal name", said));
            }
            limit.complaint(text).map(|said| ("Illegal name", said))
        }
        Check::Name(limit) => limit.complaint(text).map(|said| ("Illegal name", said)),
        Check::NamePart => {
            names::not_a_part(text).map(|said| ("Illegal name", format!("{name} {said}")))
        }
        Check::Runtime => (!is_runtime(text)).then(not_allowed),
        Check::Arn(service, kind) => {
            let id = |resource: &str| resource.strip_prefix(kind)?.strip_prefix('/').map(str::len);
            let fits = |resource: &str| id(resource).is_some_and(|length| length > 0);
            not_an_arn(
                (name, text),
                service,
                fits,
                &format!("{kind}/…"),
                &allowed(),
            )
        }
        Check::StandardQueue => {
            let fits = |queue: &str| {
                !queue.is_empty() && !queue.contains([':', '/']) && !queue.ends_with(FIFO)
            };
            not_an_arn((name, text), "sqs", fits, "…", &allowed())
        }
        Check::Path => (!is_path(text)).then(|| {
            let said = format!("{name} is \"{text}\"; allowed is {}.", allowed());
            ("Illegal path", said)
        }),
        Check::Json => {
            let said = match serde_json::from_str::<Json>(text) {
                Ok(Json::Object(_)) => return None,
                Ok(other) => format!("{name} is {}; needed is a JSON object.", kind(&other)),
                Err(error) => format!("{name} is not JSON: {error}. Needed is a JSON object."),
            };
            Some(("Not a JSON object", said))
        }
        Check::Prefix if text.len() > LONGEST_PREFIX => Some((
            "Prefix too long",
            format!(
                "{name} has {} characters; at most {LONGEST_PREFIX} are allowed, since a key in S3 has 1,024 at most.",
                text.len()
            ),
        )),
        Check::Prefix => match Layout::new(text, "\u{1}/") {
            Err(IllegalLayout::Prefix(prefix)) if prefix == text => {
                Some(("Illegal prefix", IllegalLayout::Prefix(prefix).to_string()))
            }
            _ => None,
        },
    }
}

/// `/`, or `/…/` of what Lambda takes in the ARN of a role: IAM takes more.
fn is_path(text: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-/".contains(c);
    let whole = text == "/" || text.len() > 2 && text.starts_with('/') && text.ends_with('/');
    whole && text.chars().all(legal) && text.len() <= 512 && !text.contains("//")
}

fn unfit_text(
    name: &str,
    text: &str,
    (least, most): (usize, usize),
    allowed: &str,
) -> Option<(&'static str, String)> {
    let one_line = name == "display_name";
    if text
        .chars()
        .any(|c| c.is_control() && (one_line || !matches!(c, '\n' | '\t')))
    {
        let said = format!("{name} is {text:?}, which holds a control character.");
        return Some(("Illegal character", said));
    }
    let count = text.chars().count();
    let summary = match count {
        _ if count > most => "Text too long",
        _ if count < least => "Text too short",
        _ => return None,
    };
    let characters = if count == 1 {
        "character"
    } else {
        "characters"
    };
    let said = format!("{name} has {count} {characters}; allowed is {allowed}.");
    Some((summary, said))
}

/// `python3.13`, `nodejs22.x`, `java8.al2`, `provided`, `provided.al2023`.
fn is_runtime(text: &str) -> bool {
    let mut shape = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if shape.ends_with('N') => {}
            '0'..='9' => shape.push('N'),
            'N' => return false,
            c => shape.push(c),
        }
    }
    RUNTIMES.contains(&shape.as_str())
}

/// What a JSON document is, in words.
pub fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "the JSON value null",
        Json::Bool(_) => "a JSON boolean",
        Json::Number(_) => "a JSON number",
        Json::String(_) => "a JSON string",
        Json::Array(_) => "a JSON array",
        Json::Object(_) => "a JSON object",
    }
}

/// What is wrong with the ARN of an object of a service, whose last section has to fit.
fn not_an_arn(
    (name, text): (&str, &str),
    service: &str,
    fits: impl Fn(&str) -> bool,
    example: &str,
    allowed: &str,
) -> Option<(&'static str, String)> {
    let place = if service == "iam" {
        ":123456789012"
    } else {
        "eu-west-1:123456789012"
    };
    let good = is_arn(text, service, fits);
    let said = || {
        format!(
            "{name} is \"{text}\"; needed is {allowed}, such as arn:aws:{service}:{place}:{example}."
        )
    };
    let summary = if text.starts_with("arn:") {
        "ARN of something else"
    } else {
        "Not an ARN"
    };
    (!good).then(|| (summary, said()))
}

/// Whether it is the ARN of an object of a service, whose last section fits.
pub fn is_arn(text: &str, service: &str, fits: impl Fn(&str) -> bool) -> bool {
    let global = service == "iam";
    // Policies of AWS itself have no number there.
    let is_account = |account: &str| {
        global && account == "aws"
            || account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(parts[..], ["arn", partition, of, region, account, resource]
        if partition.starts_with("aws") && of == service && is_account(account) && fits(resource)
            && !resource.contains(char::is_whitespace)
            && region.is_empty() == global
            && (global || partition == names::partition_of(region)))
}
