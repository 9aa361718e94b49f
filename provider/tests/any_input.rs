//! Any configuration at all: it gives a plan, or an error that names an argument, and never a panic.
//!
//! The configurations follow the resource's own table of fields: most values are ones that fit, some are what nobody would write, some are not
//! known yet. A configuration without unknowns has to be at rest after its plan came true; one with unknowns has to keep what its plan said
//! was known, whatever the unknowns turn out to be, as Terraform demands.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::Union;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Map, Value as Json, json};
use terraform_provider_bellflower::documents::Place;
use terraform_provider_bellflower::pipeline::plan::{Known, Planned, plan};
use terraform_provider_bellflower::pipeline::schema::{self, Check, Field, Origin, Shape};
use terraform_provider_bellflower::pipeline::validate::{validate, validate_planned};
use tfplugin::{Diagnostic, Schema, Severity, Value};

static SCHEMA: LazyLock<Schema> = LazyLock::new(schema::schema);

/// What nobody would write.
const ODD: &[&str] = &[
    "",
    " ",
    "\0",
    "\n",
    "🌸",
    "\u{202e}drow",
    "e\u{301}",
    "${name}",
    "%{ if true }",
    "../../etc/passwd",
    "null",
    "{",
    "{\"a\":{\"b\":[1,2,{\"c\":null}]}}",
    "\"",
    "-",
    "--",
    ".fifo",
    "aws:",
    "AWS:tag",
    "bellflower:pipeline",
    "arn:",
    "arn:aws:kms",
    "arn:aws:kms:eu-west-1:123456789012:key/1",
    "arn:aws:iam::999999999999:role/x",
    "arn:::::::::::::",
    "https://",
    "https://user:word@host/",
    "ops@example.com",
    "+15555550100",
    "unknown-until-apply",
    "18446744073709551616",
];

const NUMBERS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "0.1",
    "2.5",
    "59.999999999999999999999",
    "1e-300",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "18446744073709551616",
    "123456789012345678901234567890",
    "1e15",
    "1e308",
    "1e309",
    "-1e400",
];

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

fn odd_text() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(ODD).prop_map(str::to_owned),
        any::<String>(),
        (1..5000_usize).prop_map(|length| "x".repeat(length)),
        // A document of great depth.
        (1..2000_usize).prop_map(|depth| "[".repeat(depth) + &"]".repeat(depth)),
    ]
}

fn odd_number() -> impl Strategy<Value = Value> {
    prop_oneof![
        proptest::sample::select(NUMBERS).prop_map(number),
        any::<i64>().prop_map(Value::from),
        any::<f64>()
            .prop_filter("a number", |float| float.is_finite())
            .prop_map(Value::from),
    ]
}

fn one_of(texts: &[&str]) -> BoxedStrategy<String> {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    proptest::sample::select(texts).boxed()
}

/// A text that fits.
fn fit_text(field: &Field) -> BoxedStrategy<String> {
    match (&field.check, field.name) {
        (Check::NamePart, _) => "[a-z][a-z0-9]{0,6}(-[a-z0-9]{1,3})?".boxed(),
        (Check::Name(_), "alias") => "alias/[a-z]{3,9}".boxed(),
        (Check::Name(_), _) => "[a-z][a-z0-9-]{1,12}[a-z0-9]".boxed(),
        (Check::OneOf(list), _) => one_of(list),
        (Check::Arn(service, kind), _) => {
            let (service, kind) = (*service, *kind);
            let region = if service == "iam" { "" } else { "eu-west-1" };
            "[a-z0-9]{4,8}"
                .prop_map(move |id| format!("arn:aws:{service}:{region}:123456789012:{kind}/{id}"))
                .boxed()
        }
        (Check::Path, _) => one_of(&["/", "/a/", "/a/b/"]),
        (Check::Json, "redrive_policy") => {
            one_of(&[r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:123456789012:q"}"#])
        }
        (Check::Json, _) => one_of(&["{}", r#"{"a":["b"]}"#, r#"{"a":[{"prefix":"b"}]}"#]),
        (Check::Prefix, _) => one_of(&["in/", "out/", "a/b/"]),
        (_, "endpoint") => one_of(&[
            "ops@example.com",
            "https://example.com/",
            "https://user:word@example.com/hook",
            "arn:aws:sqs:eu-west-1:123456789012:q",
            "arn:aws:lambda:eu-west-1:123456789012:function:f",
            "+15555550100",
        ]),
        _ => "[a-zA-Z0-9 ._-]{1,12}".boxed(),
    }
}

fn fit_number(check: &Check) -> BoxedStrategy<Value> {
    match *check {
        Check::Whole(from, to) => prop_oneof![Just(from), Just(to), from..=to]
            .prop_map(Value::from)
            .boxed(),
        Check::OneOfWhole(list) => proptest::sample::select(list).prop_map(Value::from).boxed(),
        Check::Between(from, to) => prop_oneof![Just(from), Just(to), from..=to]
            .prop_map(Value::from)
            .boxed(),
        _ => (0..1000_i64).prop_map(Value::from).boxed(),
    }
}

/// Mostly what fits; now and then what does not, and what is not known yet.
fn mostly(fit: BoxedStrategy<Value>, odd: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    Union::new_weighted(vec![
        (90, fit),
        (2, odd),
        (4, Just(Value::Unknown).boxed()),
        (4, Just(Value::Null).boxed()),
    ])
    .boxed()
}

fn entries(key: BoxedStrategy<String>, value: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    proptest::collection::btree_map(key, value, 0..4)
        .prop_map(Value::Map)
        .boxed()
}

fn value(field: &Field) -> BoxedStrategy<Value> {
    let text = || {
        mostly(
            "[a-zA-Z0-9 ._-]{0,12}".prop_map(Value::from).boxed(),
            odd_text().prop_map(Value::from).boxed(),
        )
    };
    let key = || prop_oneof![20 => "[a-zA-Z_][a-zA-Z0-9_]{0,8}", 1 => odd_text()].boxed();
    match &field.shape {
        Shape::Text => mostly(
            fit_text(field).prop_map(Value::from).boxed(),
            odd_text().prop_map(Value::from).boxed(),
        ),
        Shape::Number => mostly(fit_number(&field.check), odd_number().boxed()),
        Shape::Flag => {
            let flag = || any::<bool>().prop_map(Value::from).boxed();
            mostly(flag(), flag())
        }
        Shape::TextMap => {
            let map = || entries(key(), text());
            mostly(map(), map())
        }
        Shape::TextList if field.name == "architectures" => mostly(
            one_of(&["x86_64", "arm64"])
                .prop_map(|one| Value::List(vec![one.into()]))
                .boxed(),
            proptest::collection::vec(text(), 0..3)
                .prop_map(Value::List)
                .boxed(),
        ),
        Shape::TextList => {
            let list = || {
                proptest::collection::vec(text(), 0..3)
                    .prop_map(Value::List)
                    .boxed()
            };
            mostly(list(), list())
        }
        Shape::Object(fields) => {
            let empty = || Just(Value::Map(BTreeMap::new())).boxed();
            mostly(object(fields), empty())
        }
        Shape::ObjectMap(fields) => {
            let map = || entries(key(), mostly(object(fields), Just(Value::Null).boxed()));
            mostly(map(), map())
        }
    }
}

/// Some of the fields that a user may set.
fn object(fields: &[Field]) -> BoxedStrategy<Value> {
    let settable: Vec<(String, BoxedStrategy<Option<Value>>)> = fields
        .iter()
        .filter(|field| field.origin != Origin::Computed)
        .map(|field| {
            let share = match (&field.origin, &field.shape) {
                (Origin::Required, _) => 0.99,
                (_, Shape::Object(_)) => 0.25,
                _ => 0.15,
            };
            (
                field.name.to_owned(),
                proptest::option::weighted(share, value(field)).boxed(),
            )
        })
        .collect();
    let (names, values): (Vec<_>, Vec<_>) = settable.into_iter().unzip();
    values
        .prop_map(move |values| {
            let given = names.iter().cloned().zip(values);
            Value::Map(
                given
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect(),
            )
        })
        .boxed()
}

fn configuration() -> BoxedStrategy<Value> {
    let duration = prop_oneof![10 => one_of(&["30s", "20m", "1h", "0s", "500y"]), 1 => odd_text()];
    let timeouts = proptest::option::weighted(
        0.2,
        entries(
            one_of(&["create", "read", "update", "delete"]),
            mostly(
                duration.prop_map(Value::from).boxed(),
                Just(Value::Null).boxed(),
            ),
        ),
    );
    (object(schema::fields()), timeouts)
        .prop_map(|(config, timeouts)| {
            let Value::Map(mut map) = config else {
                return config;
            };
            map.extend(timeouts.map(|block| ("timeouts".to_owned(), block)));
            SCHEMA.conform(Value::Map(map))
        })
        .boxed()
}

fn known(state: &Value) -> Known {
    Known {
        place: Some(Place {
            partition: "aws".into(),
            region: "eu-west-1".into(),
            account: "123456789012".into(),
        }),
        default_tags: Some([("team".to_owned(), "parcels".to_owned())].into()),
        prior: tree(state),
        exact: state.clone(),
        ..Known::default()
    }
}

/// The first error; every error names an argument.
fn refused(told: &[Diagnostic]) -> Result<bool, TestCaseError> {
    for diagnostic in told {
        let placed = diagnostic
            .path
            .as_ref()
            .is_some_and(|path| !path.0.is_empty());
        prop_assert!(
            placed || diagnostic.severity != Severity::Error,
            "no argument is named: {diagnostic:?}"
        );
    }
    Ok(told
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error))
}

/// The plan; none where it was refused.
fn planned(config: &Value, known: &Known) -> Result<Option<Planned>, TestCaseError> {
    let planned = match plan(config, known) {
        Ok(planned) => planned,
        Err(diagnostic) => {
            refused(&[diagnostic])?;
            return Ok(None);
        }
    };
    if let Some(place) = &known.place
        && refused(&validate_planned(config, &planned.value, None, place))?
    {
        return Ok(None);
    }
    prop_assert_eq!(&SCHEMA.conform(planned.value.clone()), &planned.value);
    kept(config, &planned.value, "")?;
    Ok(Some(planned))
}

/// What is known in `one` is the same in `other`.
fn kept(one: &Value, other: &Value, at: &str) -> Result<(), TestCaseError> {
    match (one, other) {
        (Value::Null | Value::Unknown, _) => Ok(()),
        (Value::Map(one), Value::Map(other)) => one.iter().try_for_each(|(name, value)| {
            kept(
                value,
                other.get(name).unwrap_or(&Value::Null),
                &format!("{at}.{name}"),
            )
        }),
        (Value::List(one), Value::List(other)) => {
            prop_assert_eq!(one.len(), other.len(), "{}", at);
            one.iter()
                .zip(other)
                .try_for_each(|(one, other)| kept(one, other, &format!("{at}[]")))
        }
        _ => {
            prop_assert_eq!(one, other, "{}", at);
            Ok(())
        }
    }
}

/// The same, and what is null in `one` is null in `other`: what Terraform demands of an apply after a plan.
fn held(one: &Value, other: &Value, at: &str) -> Result<(), TestCaseError> {
    match (one, other) {
        (Value::Unknown, _) => Ok(()),
        (Value::Map(one), Value::Map(other)) => one.iter().try_for_each(|(name, value)| {
            held(
                value,
                other.get(name).unwrap_or(&Value::Null),
                &format!("{at}.{name}"),
            )
        }),
        (Value::List(one), Value::List(other)) if one.len() == other.len() => one
            .iter()
            .zip(other)
            .try_for_each(|(one, other)| held(one, other, &format!("{at}[]"))),
        _ => {
            prop_assert_eq!(one, other, "{}", at);
            Ok(())
        }
    }
}

/// The value with something for everything unknown, `None` where the schema has an object.
fn filled(fields: &[Field], value: Value, fill: &dyn Fn(&Field) -> Value) -> Value {
    let Value::Map(map) = value else { return value };
    let each = |(name, value): (String, Value)| {
        let Some(field) = fields.iter().find(|field| field.name == name) else {
            let value = value.unknown_to_null();
            return (name, value);
        };
        let value = match (&field.shape, value) {
            (_, Value::Unknown) => fill(field),
            (Shape::Object(inner), value) => filled(inner, value, fill),
            (Shape::ObjectMap(inner), Value::Map(map)) => Value::Map(
                map.into_iter()
                    .map(|(name, value)| match value {
                        Value::Unknown => (
                            name,
                            Value::Map(
                                inner
                                    .iter()
                                    .map(|field| (field.name.to_owned(), fill(field)))
                                    .collect(),
                            ),
                        ),
                        value => (name, filled(inner, value, fill)),
                    })
                    .collect(),
            ),
            (Shape::TextMap, Value::Map(map)) => Value::Map(
                map.into_iter()
                    .map(|(name, value)| {
                        (
                            name,
                            if value.is_unknown() {
                                "came-to-light".into()
                            } else {
                                value
                            },
                        )
                    })
                    .collect(),
            ),
            (Shape::TextList, Value::List(list)) => Value::List(
                list.into_iter()
                    .map(|value| {
                        if value.is_unknown() {
                            "x86_64".into()
                        } else {
                            value
                        }
                    })
                    .collect(),
            ),
            (_, value) => value,
        };
        (name, value)
    };
    Value::Map(map.into_iter().map(each).collect())
}

/// A value for what was unknown in a configuration: none at all, or one that fits.
fn resolved(field: &Field, absent: bool) -> Value {
    if field.origin == Origin::Computed || (absent && field.origin != Origin::Required) {
        return Value::Null;
    }
    match (&field.shape, &field.check) {
        (Shape::Text, Check::OneOf(list)) => list[0].into(),
        (Shape::Text, Check::Arn(service, kind)) => {
            format!("arn:aws:{service}:eu-west-1:123456789012:{kind}/later").into()
        }
        (Shape::Text, Check::Path) => "/later/".into(),
        (Shape::Text, Check::Json) => "{}".into(),
        (Shape::Text, Check::Prefix) => "later/".into(),
        (Shape::Text, Check::Name(_)) if field.name == "alias" => "alias/later".into(),
        (Shape::Text, _) => "later".into(),
        (Shape::Number, Check::Whole(from, to)) => (from + (to - from) / 3).into(),
        (Shape::Number, Check::OneOfWhole(list)) => list[list.len() / 2].into(),
        (Shape::Number, _) => 5.into(),
        (Shape::Flag, _) => (field.origin == Origin::Default(json!(false))).into(),
        (Shape::TextMap, _) => Value::Map([("later".to_owned(), "on".into())].into()),
        (Shape::TextList, _) => Value::List(vec!["x86_64".into()]),
        (Shape::Object(inner), _) => Value::Map(
            inner
                .iter()
                .map(|field| (field.name.to_owned(), resolved(field, absent)))
                .collect(),
        ),
        (Shape::ObjectMap(_), _) => Value::Map(BTreeMap::new()),
    }
}

/// What AWS says of what only AWS knows.
fn told_by_aws(field: &Field) -> Value {
    match &field.shape {
        Shape::Flag => true.into(),
        Shape::Number => 1.into(),
        Shape::Text => format!("known-{}", field.name).into(),
        Shape::TextMap | Shape::ObjectMap(_) => Value::Map(BTreeMap::new()),
        Shape::TextList => Value::List(Vec::new()),
        Shape::Object(inner) => Value::Map(
            inner
                .iter()
                .map(|field| (field.name.to_owned(), told_by_aws(field)))
                .collect(),
        ),
    }
}

fn tree(value: &Value) -> Option<Map<String, Json>> {
    match value.to_json() {
        Some(Json::Object(map)) => Some(map),
        _ => None,
    }
}

/// What became of configurations, so that a generator that makes nothing but nonsense is seen.
#[derive(Debug, Default)]
struct Tally {
    refused: usize,
    planned: usize,
    at_rest: usize,
    resolved: usize,
    longest: Duration,
    validating: Duration,
    planning: Duration,
    all: Duration,
}

fn examine(config: &Value, dice: u8, tally: &mut Tally) -> Result<(), TestCaseError> {
    let begin = Instant::now();
    let refused = refused(&validate(config))?;
    tally.validating += begin.elapsed();
    let begin = Instant::now();
    let first = if refused {
        // Terraform would not go on; it must not panic all the same.
        if dice == 0 {
            let _ = plan(config, &known(&Value::Null));
        }
        None
    } else {
        planned(config, &known(&Value::Null))?
    };
    tally.planning += begin.elapsed();
    let Some(first) = first else {
        tally.refused += 1;
        return Ok(());
    };
    tally.planned += 1;
    prop_assert!(first.replace.is_empty());
    // While the provider is not configured less is known, and nothing else.
    if dice == 0
        && let Some(vague) = planned(config, &Known::default())?
    {
        held(&vague.value, &first.value, "unconfigured")?;
    }
    // The rest takes longer, so that some have to do.
    if dice > 1 {
        return Ok(());
    }
    if config.is_wholly_known() {
        tally.at_rest += 1;
        return at_rest(config, &first.value);
    }
    // What was unknown turns out to be nothing, or something.
    let resolved = filled(schema::fields(), config.clone(), &|field| {
        resolved(field, dice == 1)
    });
    if self::refused(&validate(&resolved))? {
        return Ok(());
    }
    if let Some(then) = planned(&resolved, &known(&Value::Null))? {
        tally.resolved += 1;
        held(&first.value, &then.value, "resolved")?;
    }
    Ok(())
}

/// When what was planned has come true, there is nothing left to do.
fn at_rest(config: &Value, first: &Value) -> Result<(), TestCaseError> {
    // The key's ARN and the like are AWS's to tell; what follows from them then does.
    let told = filled(schema::fields(), first.clone(), &told_by_aws);
    let again = |state: &Value| {
        plan(config, &known(state)).map_err(|error| TestCaseError::fail(format!("{error:?}")))
    };
    let state = again(&told)?;
    held(first, &state.value, "applied")?;
    prop_assert!(state.value.is_wholly_known());
    let last = again(&state.value)?;
    held(&state.value, &last.value, "again")?;
    // A refresh leaves of numbers what AWS keeps.
    let kept = tree(&state.value).map(Json::Object).unwrap_or_default();
    let kept = SCHEMA.conform(Value::from_json(&kept));
    held(&kept, &again(&kept)?.value, "refreshed")?;
    prop_assert!(
        last.replace.is_empty() && state.replace.is_empty(),
        "{:?} {:?}",
        last.replace,
        state.replace
    );
    Ok(())
}

/// Half of the 10,000 each, since two processors are faster than one.
fn many(seed: u8) {
    let mut runner = TestRunner::new_with_rng(
        Config {
            cases: std::env::var("CASES").map_or(5_000, |text| text.parse().unwrap()),
            failure_persistence: None,
            max_shrink_iters: 2_000,
            ..Config::default()
        },
        TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
    );
    let (start, tally) = (Instant::now(), RefCell::new(Tally::default()));
    let outcome = runner.run(&(configuration(), 0..8_u8), |(config, dice)| {
        let begin = Instant::now();
        let outcome = examine(&config, dice, &mut tally.borrow_mut());
        let mut tally = tally.borrow_mut();
        tally.all += begin.elapsed();
        tally.longest = tally.longest.max(begin.elapsed());
        outcome
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let tally = tally.into_inner();
    println!("{tally:?} in {:?}", start.elapsed());
    assert!(
        tally.planned > 1_000
            && tally.at_rest > 200
            && tally.resolved > 50
            && tally.refused > 1_000,
        "{tally:?}"
    );
}

#[test]
fn five_thousand_configurations() {
    many(1);
}

#[test]
fn five_thousand_more() {
    many(2);
}
