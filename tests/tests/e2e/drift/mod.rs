//! Drift: every property we set on every part, changed behind Terraform's back, and every part deleted there. The plan says
//! which part, which property, from what to what; apply mends it; the next plan is empty.
//!
//! The properties are listed in `properties.txt`, which the provider's own test `properties` holds against what it compares.

mod gone;
mod ground;
mod harmless;
mod marks;
mod rows;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use self::ground::{Ground, Kind, kind};
use self::rows::{NOTHING, Row, Words, rows, untestable};
use self::shown::Shown;
use bellflower_tests::{Error, Plan, Stage, differences};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(1);

/// All parts with their properties.
fn listed() -> BTreeMap<&'static str, Vec<&'static str>> {
    let lines = include_str!("properties.txt").lines();
    let parts = lines.map(|line| line.split_once(": ").expect("a part and its properties"));
    parts
        .map(|(path, names)| (path, names.split(' ').collect()))
        .collect()
}

/// Nothing the provider compares is without a row or a reason, and no row is of something it does not compare.
#[test]
fn the_table_is_complete() {
    let mut deleted: BTreeSet<&str> = gone::ROUNDS.concat().into_iter().collect();
    deleted.remove("subscriptions.operator");
    assert_eq!(
        deleted,
        listed().into_keys().collect(),
        "parts that disappear"
    );
    for (path, properties) in listed() {
        let tested: BTreeSet<&str> = rows(kind(path)).iter().map(|row| row.property).collect();
        let reasons: BTreeSet<&str> = untestable(kind(path))
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            tested.intersection(&reasons).collect::<Vec<_>>(),
            [] as [&&str; 0],
            "{path}: both"
        );
        let known: BTreeSet<&str> = tested.union(&reasons).copied().collect();
        assert_eq!(known, properties.into_iter().collect(), "{path}");
    }
}

fn assert_no_changes(stage: &Stage) -> Result<(), Error> {
    match stage.terraform.plan()? {
        Plan::NoChanges => Ok(()),
        Plan::Changes(text) => panic!("the plan was to be empty:\n{text}"),
    }
}

/// Ids that AWS gives anew with a new object.
const IDS: [&str; 2] = ["event_source/uuid", "/SubscriptionArn"];

/// Applies the plan, and sees that everything is as it was and nothing is left to do.
async fn mend(ground: &Ground) -> Result<(), Error> {
    ground
        .stage
        .terraform
        .expect(&["apply", "-no-color", "the.plan"])?;
    // What was made anew under a key made anew is as before but for the key.
    let mut before = ground.before.to_string();
    let now = ground.stage.observe().await;
    for name in ["arn", "key_id"] {
        let [was, is] =
            [&ground.before, &now].map(|all| all["key"][name].as_str().unwrap_or_default());
        before = before.replace(was, is);
    }
    let before: Value = serde_json::from_str(&before).unwrap();
    let mut found = differences(&before, &now);
    found.retain(|at, _| !IDS.iter().any(|id| at.ends_with(id)));
    assert_eq!(found, BTreeMap::new(), "not as it was");
    assert_no_changes(&ground.stage)
}

/// A value in the words of the plan.
fn told(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NOTHING.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A value as Terraform writes it into a plan's text.
fn quoted(text: &str) -> String {
    json!(text)
        .to_string()
        .replace("${", "$${")
        .replace("%{", "%%{")
}

fn same(one: &str, other: &str) -> bool {
    let [parsed, wanted] = [one, other].map(|text| serde_json::from_str::<Value>(text).ok());
    one == other || (parsed.is_some() && parsed == wanted)
}

/// What was found wrong, a line each.
#[derive(Default)]
struct Wrong(Vec<String>);

impl Wrong {
    fn unless(&mut self, right: bool, what: impl FnOnce() -> String) {
        if !right {
            self.0.push(what());
        }
    }

    fn none(self, shown: &Shown) {
        assert!(
            self.0.is_empty(),
            "{}\n\nthe plan:\n{}",
            self.0.join("\n"),
            shown.text
        );
    }
}

/// Holds what a plan tells of a property against its row.
fn hold(ground: &Ground, shown: &Shown, path: &str, row: &Row, wrong: &mut Wrong) {
    let place = format!("{path}.{}", row.property);
    let known = ground
        .known
        .pointer(&format!("/{}", place.replace('.', "/")));
    let (is, should) = if let Some(known) = known {
        // It has an attribute.
        let [before, after] = shown.at(&place);
        wrong.unless(after == Some(known), || {
            format!("{place}: would become {after:?}, was {known}")
        });
        let line = shown.line(&place);
        let [from, to] = [before, after].map(|value| value.unwrap_or(&Value::Null).to_string());
        let plain =
            |value: &str| !value.contains(['{', '[', '\\']) && value != "\"\"" && value != "null";
        let right = match (plain(&from), plain(&to)) {
            (true, true) => line.contains(&format!("{from} -> {to}")),
            (true, false) if to == "null" => line.starts_with('-') && line.contains(&from),
            (false, true) if from == "null" => line.starts_with('+') && line.contains(&to),
            _ => line.starts_with(['~', '+', '-']),
        };
        wrong.unless(right, || {
            format!("{place}: the plan's line is {line:?}, not {from} -> {to}")
        });
        (told(before), told(after))
    } else {
        let drift = shown.change["before"]["drift"][&place]
            .as_str()
            .unwrap_or_default();
        wrong.unless(shown.change["after"]["drift"] == json!({}), || {
            "drift would stay".to_owned()
        });
        let line = shown.lines_of_drift(&place);
        wrong.unless(line.contains(&quoted(drift)), || {
            format!("{place}: the plan's line is {line:?}, not {drift:?}")
        });
        let split = drift
            .strip_prefix("is ")
            .and_then(|rest| rest.split_once(", should be "));
        split.map_or_else(Default::default, |(is, should)| {
            (is.to_owned(), should.to_owned())
        })
    };
    for (what, told, words) in [("is", &is, row.is), ("should be", &should, row.should)] {
        let right = match words {
            Words::Are(words) => same(told, &ground.filled_for(path, words)),
            Words::Hold(words) => told.contains(&ground.filled_for(path, words)),
            Words::AsBefore => known.is_some(),
        };
        wrong.unless(right, || {
            format!("{place}: it {what} {told:?}, the row has {words:?}")
        });
    }
    wrong.unless(is != should, || format!("{place}: no difference is shown"));
}

/// Holds what a plan tells of a part that is gone.
fn hold_gone(ground: &Ground, shown: &Shown, path: &str, wrong: &mut Wrong) {
    let arn = format!("{path}.arn");
    if kind(path) == Kind::EventInvokeConfig {
        // It has arguments, but nothing that AWS gives it.
        let place = format!("{path}.maximum_retry_attempts");
        let [before, after] = shown.at(&place);
        wrong.unless(before.is_none_or(Value::is_null), || {
            format!("{path}: is there, {before:?}")
        });
        wrong.unless(after == Some(&json!(2)), || {
            format!("{path}: would become {after:?}")
        });
        let line = shown.line(&place);
        wrong.unless(line.starts_with('+'), || {
            format!("{path}: the plan's line is {line:?}")
        });
    } else if ground.arn(path).is_empty() {
        let drift = shown.change["before"]["drift"][path]
            .as_str()
            .unwrap_or_default();
        wrong.unless(drift.ends_with(" is missing"), || {
            format!("{path}: drift has {drift:?}")
        });
        let line = shown.lines_of_drift(path);
        wrong.unless(line.contains(&quoted(drift)), || {
            format!("{path}: the plan's line is {line:?}")
        });
    } else {
        let [before, after] = shown.at(&arn);
        wrong.unless(before.is_none_or(Value::is_null), || {
            format!("{path}: is there, {before:?}")
        });
        let named = after.is_none_or(|after| after == &json!(ground.arn(path)));
        wrong.unless(named, || format!("{path}: would become {after:?}"));
        let line = shown.line(&arn);
        wrong.unless(line.starts_with('+'), || {
            format!("{path}: the plan's line is {line:?}")
        });
    }
}

/// Changes properties and deletes parts, and holds what the plan tells of both against the table; how many there were.
async fn round(
    ground: &Ground,
    changed: &[(&'static str, Row)],
    deleted: &[&'static str],
) -> Result<(), Error> {
    for (path, row) in changed {
        if let Some(change) = row.change {
            change(ground, path).await;
        }
    }
    for path in deleted {
        gone::delete(ground, path).await;
    }
    let mut wrong = Wrong::default();
    let visible = differences(&ground.before, &ground.stage.observe().await);
    for (path, row) in changed {
        let at = format!("{}/{}", ground.observed_at(path), row.seen);
        let at = at.trim_end_matches('/');
        let above = |one: &str, other: &str| {
            other
                .strip_prefix(one)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let seen = visible
            .keys()
            .any(|place| above(place, at) || above(at, place));
        wrong.unless(seen, || {
            format!(
                "{path}.{}: AWS does not show the change at {at}",
                row.property
            )
        });
    }
    let shown = Shown::new(&ground.stage)?;
    let update = shown.change["actions"] == json!(["update"]);
    wrong.unless(update, || {
        format!("not in place: {}", shown.change["actions"])
    });
    for (path, row) in changed {
        hold(ground, &shown, path, row, &mut wrong);
    }
    for path in deleted {
        for path in std::iter::once(path).chain(gone::goes_with(path)) {
            hold_gone(ground, &shown, path, &mut wrong);
        }
    }
    wrong.none(&shown);
    mend(ground).await
}

/// The rows of a round, by the parts they are of.
fn of_round(number: usize) -> Vec<(&'static str, Row)> {
    let of_part = |path| rows(kind(path)).into_iter().map(move |row| (path, row));
    listed()
        .into_keys()
        .flat_map(of_part)
        .filter(|(_, row)| row.round == number)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_changed_is_shown_and_mended() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let mut tested = 0;
    for number in 1..=rows::ROUNDS {
        let rows = of_round(number);
        tested += rows.len();
        round(&ground, &rows, &[]).await?;
    }
    assert_works(&ground.stage).await?;
    let parts = listed();
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for path in parts.keys() {
        for (name, reason) in untestable(kind(path)) {
            reasons
                .entry(reason)
                .or_default()
                .push(format!("{path}.{name}"));
        }
    }
    let untested: usize = reasons.values().map(Vec::len).sum();
    let all: usize = parts.values().map(Vec::len).sum();
    println!(
        "drift: {tested} changes of {} properties of {} parts tested; {untested} properties not testable:",
        all - untested,
        parts.len(),
    );
    for (reason, places) in &reasons {
        println!("  {} {reason}: {}", places.len(), places.join(", "));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_disappears_is_shown_and_made_again() -> Result<(), Error> {
    let mut ground = Ground::new().await?;
    let mut tested = 0;
    for (number, deleted) in gone::ROUNDS.iter().enumerate() {
        let rows = if number == 0 {
            of_round(rows::WITH_THE_FIRST_TO_GO)
        } else {
            Vec::new()
        };
        tested += rows.len() + deleted.len();
        round(&ground, &rows, deleted).await?;
        ground.look().await?;
    }
    assert_works(&ground.stage).await?;
    println!("drift: {tested} disappearances tested");
    Ok(())
}

/// What AWS sets by itself, and other ways to say the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_means_the_same_is_no_change() -> Result<(), Error> {
    let ground = Ground::new().await?;
    let rows = harmless::rows();
    for (what, change) in &rows {
        println!("no change: {what}");
        change(&ground, "").await;
    }
    assert_no_changes(&ground.stage)?;
    println!("drift: {} harmless changes tested", rows.len());
    Ok(())
}

/// One execution from start to end.
async fn assert_works(stage: &Stage) -> Result<(), Error> {
    let pipeline = stage.pipeline()?;
    let before = pipeline.exchanges().await?;
    let execution = pipeline.start("{}").await?;
    let id = pipeline.new_exchange(&before, LIMIT).await?;
    pipeline.answer(&id, "{}").await?;
    let ended = pipeline.ended(&execution, LIMIT).await?;
    assert_eq!(ended.status.as_str(), "SUCCEEDED", "{ended:?}");
    Ok(())
}
