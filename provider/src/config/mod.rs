//! The provider block, and the AWS clients that follow from it.
//!
//! What the block leaves out comes from where every AWS tool takes it: environment variables, shared configuration files with
//! their profiles, SSO, credential processes, web identity, container and instance roles.

mod clients;
mod credentials;
mod shared;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tfplugin::{
    Attribute, Block, Diagnostic, Diagnostics, Kind, Nesting, Path, Schema, Type, Value,
};

pub use clients::{Session, SetupError};
pub use shared::Shared;

use crate::documents::names;
use crate::parts::tags::{self, Ignored};

/// The services with an endpoint of their own, under hashicorp/aws's names, and the name for all of them.
pub const ENDPOINTS: &[&str] = &[
    "all",
    "cloudwatch",
    "cloudwatchlogs",
    "iam",
    "kms",
    "lambda",
    "resourcegroupstaggingapi",
    "s3",
    "sfn",
    "sns",
    "sqs",
    "sts",
];

/// The provider block.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "each field is documented where users see it: in the schema"
)]
pub struct Config {
    pub region: Option<String>,
    pub profile: Option<String>,
    pub access_key: Option<String>,
    pub secret_key: Option<String>,
    pub token: Option<String>,
    pub assume_role: Option<AssumeRole>,
    pub endpoints: Option<BTreeMap<String, String>>,
    pub default_tags: Option<DefaultTags>,
    pub ignore_tags: Option<Ignored>,
    pub s3_use_path_style: Option<bool>,
    pub custom_ca_bundle: Option<String>,
    pub max_retries: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "each field is documented where users see it: in the schema"
)]
pub struct AssumeRole {
    pub role_arn: Option<String>,
    pub session_name: Option<String>,
    pub external_id: Option<String>,
    pub duration: Option<String>,
    pub policy: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[allow(
    missing_docs,
    reason = "each field is documented where users see it: in the schema"
)]
pub struct DefaultTags {
    pub tags: Option<BTreeMap<String, String>>,
}

impl Config {
    /// The tags for everything that takes tags.
    #[must_use]
    pub fn default_tags(&self) -> BTreeMap<String, String> {
        self.default_tags
            .as_ref()
            .and_then(|block| block.tags.clone())
            .unwrap_or_default()
    }

    /// The endpoint set for a service: its own, or the one for all.
    #[must_use]
    pub fn endpoint(&self, service: &str) -> Option<String> {
        let endpoints = self.endpoints.as_ref()?;
        let own = endpoints.get(service);
        own.or_else(|| endpoints.get("all")).cloned()
    }
}

/// The schema of the provider block.
#[must_use]
pub fn schema() -> Schema {
    let text = |name: &str, doc: &str| {
        Attribute::new(name, Kind::Type(Type::String))
            .optional()
            .describe(doc)
    };
    let block = |name: &str, doc: &str, attributes| Block {
        name: name.to_owned(),
        nesting: Nesting::Single,
        attributes,
        blocks: Vec::new(),
        description: doc.to_owned(),
    };
    let assume_role = vec![
        text("role_arn", "The ARN of the role; needed in this block."),
        text(
            "session_name",
            "The name of the session, for the logs of AWS: 2 to 64 letters, digits and characters of `+ = , . @ - _`. Default: `terraform-provider-bellflower`.",
        ),
        text("external_id", "The external id the role's owner asks for."),
        text(
            "duration",
            "How long the session's credentials are valid, as in `1h`: 15 minutes to 12 hours.",
        ),
        text("policy", "A policy, JSON, that bounds the session further."),
    ];
    let endpoints = ENDPOINTS
        .iter()
        .map(|name| match *name {
            "all" => text(
                name,
                "The URL used for every service without one of its own. Also `AWS_ENDPOINT_URL`.",
            ),
            "sts" => text(
                name,
                "The URL used for sts. A role that a profile or a web identity names is asked for at the one of `AWS_ENDPOINT_URL_STS` or `AWS_ENDPOINT_URL`.",
            ),
            _ => text(name, &format!("The URL used for {name}.")),
        })
        .collect();
    let tags = Kind::Type(Type::Map(Box::new(Type::String)));
    let default_tags = vec![
        Attribute::new("tags", tags)
            .optional()
            .describe("The tags. Allowed: letters, digits, spaces and `_ . : / = + - @`."),
    ];
    let texts = |name: &str, doc: &str| {
        Attribute::new(name, Kind::Type(Type::Set(Box::new(Type::String))))
            .optional()
            .describe(doc)
    };
    let ignore_tags = vec![
        texts("keys", "The keys of these tags."),
        texts("key_prefixes", "How their keys begin."),
    ];
    Schema {
        version: 0,
        description: "Callback pipelines on AWS Step Functions, each with one block.".to_owned(),
        attributes: vec![
            text("region", "The AWS region. Also `AWS_REGION` or `AWS_DEFAULT_REGION`, or else the profile's."),
            text("profile", "The profile of the shared configuration files. Its credentials are used whatever keys the environment holds; `AWS_PROFILE` or `AWS_DEFAULT_PROFILE`, which may be set instead, come after those."),
            text("access_key", "The access key id. Also `AWS_ACCESS_KEY_ID`."),
            text("secret_key", "The secret access key. Also `AWS_SECRET_ACCESS_KEY`.").sensitive(),
            text("token", "The session token of temporary credentials. Also `AWS_SESSION_TOKEN`.").sensitive(),
            Attribute::new("s3_use_path_style", Kind::Type(Type::Bool))
                .optional()
                .describe("Whether buckets are addressed in the URL's path rather than in its host name."),
            text("custom_ca_bundle", "The path of a PEM file with the certificates to trust. Also `AWS_CA_BUNDLE`."),
            Attribute::new("max_retries", Kind::Type(Type::Number))
                .optional()
                .describe("How often a request is sent again that AWS throttled, failed to serve or did not answer. Default: as often as fits into two minutes."),
        ],
        blocks: vec![
            block("assume_role", "The role to work as.", assume_role),
            block("default_tags", "Tags for everything that takes tags.", default_tags),
            block("ignore_tags", "Tags that others set: no plan tells of them, and no apply takes them away. What `tags` and `default_tags` give is not among them.", ignore_tags),
            block("endpoints", "Where services answer, instead of AWS's own endpoints.", endpoints),
        ],
    }
}

/// How long a session of an assumed role may be: <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>.
const SESSION: std::ops::RangeInclusive<Duration> =
    Duration::from_mins(15)..=Duration::from_hours(12);

/// Looks for mistakes that can be seen without asking anyone.
#[must_use]
pub fn validate(config: &Value) -> Diagnostics {
    let mut found = Vec::new();
    let root = Path::root;
    let known = |path: Path| text(config, &path);
    let given = |name: &str| {
        let value = config.get(name);
        value.is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    };
    let region = root().attribute("region");
    if let Some(name) = known(region.clone())
        && !names::is_region(&name)
    {
        let detail = format!("\"{name}\" is not the name of an AWS region such as eu-west-1.");
        found.push(Diagnostic::error("Not a region", detail).at(region));
    }
    for (one, other) in [("access_key", "secret_key"), ("secret_key", "access_key")] {
        if given(one) && !given(other) {
            let detail = format!(
                "{one} is given without {other}: give both, or neither and let the environment or a profile say."
            );
            found.push(
                Diagnostic::error("Incomplete credentials", detail).at(root().attribute(one)),
            );
        }
    }
    if given("token") && !given("access_key") {
        let detail = "token belongs to temporary credentials: give access_key and secret_key too.";
        found.push(
            Diagnostic::error("Incomplete credentials", detail).at(root().attribute("token")),
        );
    }
    if let Some(retries) = config
        .get("max_retries")
        .filter(|value| !value.is_null() && !value.is_unknown())
        && !retries
            .as_i64()
            .is_some_and(|number| (0..=100).contains(&number))
    {
        let detail = "max_retries must be a whole number from 0 to 100.";
        found.push(
            Diagnostic::error("Number out of range", detail).at(root().attribute("max_retries")),
        );
    }
    for name in ENDPOINTS {
        let path = root().attribute("endpoints").attribute(*name);
        if let Some(url) = known(path.clone())
            && !is_url(&url)
        {
            let detail = format!("\"{url}\" is not a URL: it must begin with https:// or http://.");
            found.push(Diagnostic::error("Not a URL", detail).at(path));
        }
    }
    found.extend(faults_of_role(config));
    let at = root().attribute("default_tags").attribute("tags");
    if let Some(map) = config.at(&at).and_then(Value::as_map) {
        for (key, value) in map {
            // What is unknown is looked at when it is known; the key can be judged now.
            let said = if value.is_null() {
                Some(format!(
                    "The tag \"{key}\" is null: give it a value or leave it out."
                ))
            } else {
                tags::complaint(key, value.as_str().unwrap_or_default())
            };
            if let Some(detail) = said {
                found.push(Diagnostic::error("Illegal tag", detail).at(at.clone().key(key)));
            }
        }
    }
    for name in ["keys", "key_prefixes"] {
        let at = root().attribute("ignore_tags").attribute(name);
        let elements = config.at(&at).and_then(Value::as_list).unwrap_or_default();
        if elements
            .iter()
            .any(|text| text.is_null() || text.as_str() == Some(""))
        {
            let detail = format!("{name} holds a null or an empty text, which names no tag.");
            found.push(Diagnostic::error("No tag", detail).at(at));
        }
    }
    if let Some(file) = known(root().attribute("custom_ca_bundle"))
        && !std::path::Path::new(&file).is_file()
    {
        let detail = format!("There is no file \"{file}\".");
        found.push(
            Diagnostic::error("No CA bundle", detail).at(root().attribute("custom_ca_bundle")),
        );
    }
    found
}

/// What is wrong with `assume_role`.
fn faults_of_role(config: &Value) -> Diagnostics {
    let mut found = Vec::new();
    let known = |path: &Path| text(config, path);
    let role = Path::root().attribute("assume_role");
    if config
        .at(&role)
        .is_none_or(|value| value.as_map().is_none())
    {
        return found;
    }
    let path = role.clone().attribute("role_arn");
    match config.at(&path) {
        Some(Value::Unknown) => {}
        Some(Value::String(arn)) if arn.starts_with("arn:") && arn.contains(":iam:") => {}
        _ => {
            let detail = "assume_role needs role_arn, the ARN of an IAM role: arn:aws:iam::123456789012:role/name.";
            found.push(Diagnostic::error("No role to assume", detail).at(path));
        }
    }
    let path = role.clone().attribute("duration");
    if let Some(text) = known(&path)
        && !humantime::parse_duration(&text).is_ok_and(|length| SESSION.contains(&length))
    {
        let detail = format!("\"{text}\" is not a duration such as 1h, from 15m to 12h.");
        found.push(Diagnostic::error("Not a duration", detail).at(path));
    }
    let path = role.clone().attribute("session_name");
    let legal = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    if let Some(text) = known(&path)
        && !((2..=64).contains(&text.len()) && text.chars().all(legal))
    {
        let detail = format!(
            "\"{text}\" is not a session's name: it has 2 to 64 letters, digits and characters of + = , . @ - _"
        );
        found.push(Diagnostic::error("Illegal name", detail).at(path));
    }
    let path = role.attribute("policy");
    if let Some(text) = known(&path)
        && !serde_json::from_str::<Json>(&text).is_ok_and(|policy| policy.is_object())
    {
        let detail = "policy is not a policy document, which is a JSON object.";
        found.push(Diagnostic::error("Not a policy", detail).at(path));
    }
    found
}

/// The text at a path, if it is known and not empty.
fn text(config: &Value, path: &Path) -> Option<String> {
    let text = config.at(path).and_then(Value::as_str);
    text.filter(|text| !text.is_empty()).map(str::to_owned)
}

fn is_url(text: &str) -> bool {
    ["https://", "http://"].iter().any(|scheme| {
        text.strip_prefix(scheme)
            .is_some_and(|rest| !rest.is_empty())
    })
}

/// Reads the provider block. `None` while parts of it are unknown, as they may be during a plan.
///
/// # Errors
/// What is in it that does not fit.
pub fn read(config: &Value) -> Result<Option<Config>, Diagnostics> {
    if config.is_null() {
        return Ok(Some(Config::default()));
    }
    let Some(json) = config.to_json() else {
        return Ok(None);
    };
    let json = if json.is_object() { json } else { json!({}) };
    serde_json::from_value::<Config>(given(json))
        .map(Some)
        .map_err(|error| {
            vec![Diagnostic::error(
                "Provider block not understood",
                error.to_string(),
            )]
        })
}

/// What is given: neither null nor, but for a tag's value, an empty text, which says as little.
fn given(value: Json) -> Json {
    let of_fields = |(name, value): (String, Json)| match name.as_str() {
        _ if value.is_null() || value == "" => None,
        "tags" => Some((name, value)),
        _ => Some((name, given(value))),
    };
    match value {
        Json::Object(fields) => Json::Object(fields.into_iter().filter_map(of_fields).collect()),
        other => other,
    }
}
