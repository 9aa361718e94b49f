//! What a plan says: to a person, and as JSON.

use std::collections::BTreeMap;

use bellflower_tests::{ADDRESS, Error, Stage};
use serde_json::Value;

/// A plan, which is in the file `the.plan` of Terraform's folder.
pub struct Shown {
    /// The text as a person sees it.
    pub text: String,
    /// The pipeline's `change`.
    pub change: Value,
    /// The text's lines by the place in the resource they tell of, such as `queue.delay_seconds`.
    lines: BTreeMap<String, String>,
}

impl Shown {
    /// Makes a plan and reads it.
    pub fn new(stage: &Stage) -> Result<Self, Error> {
        let text = stage
            .terraform
            .expect(&["plan", "-no-color", "-out=the.plan"])?
            .stdout;
        let text = without_times(&text);
        let json = stage
            .terraform
            .expect(&["show", "-json", "the.plan"])?
            .stdout;
        let plan: Value =
            serde_json::from_str(&without_times(&json)).expect("Terraform writes JSON");
        let changes = plan["resource_changes"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let ours = changes
            .into_iter()
            .find(|change| change["address"] == ADDRESS);
        let change = ours.map_or(Value::Null, |mut change| change["change"].take());
        Ok(Self {
            lines: lines(&text),
            text,
            change,
        })
    }

    /// The line that tells of a place in the resource.
    pub fn line(&self, path: &str) -> &str {
        self.lines.get(path).map_or("", String::as_str)
    }

    /// The line of `drift` that tells of a part or a property.
    pub fn lines_of_drift(&self, place: &str) -> &str {
        self.line(&format!("drift.{place}"))
    }

    /// What Terraform compares at a place in the resource: before and after.
    pub fn at(&self, path: &str) -> [Option<&Value>; 2] {
        let at = |side: &str| {
            let steps = path.split('.');
            steps.fold(self.change.get(side), |here, step| here?.get(step))
        };
        [at("before"), at("after")]
    }
}

/// A plan without the tag that tells when the pipeline was made: each has another.
fn without_times(plan: &str) -> String {
    const TAG: &str = r#"\"bellflower:made-at\":\""#;
    const END: &str = r#"\","#;
    let (first, rest) = plan
        .split_once(TAG)
        .map_or((plan, None), |(first, rest)| (first, Some(rest)));
    let rest = rest.into_iter().flat_map(|rest| rest.split(TAG));
    let kept = rest.map(|text| text.split_once(END).map_or("", |(_, kept)| kept));
    std::iter::once(first).chain(kept).collect()
}

/// The lines of a plan's text by the places they tell of. Places are nested by indentation.
fn lines(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut above: Vec<(usize, String)> = Vec::new();
    for line in text.lines() {
        let rest = line.trim_start_matches([' ', '~', '+', '-', '/']);
        let Some((name, _)) = rest.split_once(" = ") else {
            continue;
        };
        let name = name.trim().trim_matches('"').to_owned();
        let column = line.len() - rest.len();
        above.retain(|(left, _)| *left < column);
        above.push((column, name));
        let steps: Vec<&str> = above.iter().map(|(_, name)| name.as_str()).collect();
        found
            .entry(steps.join("."))
            .or_insert_with(|| line.trim().to_owned());
    }
    found
}
