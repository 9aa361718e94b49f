//! Policy documents as values: one canonical text, compared by meaning.

use serde_json::{Map, Value};

/// A document's canonical text: compact, keys in order.
#[must_use]
pub fn text(document: &Value) -> String {
    document.to_string()
}

/// What AWS returned for the policy `want`: exactly `want` when both mean the same, else the canonical text of what it is.
///
/// AWS reorders keys, turns lists of one into single values and back, and IAM encodes documents as URLs.
#[must_use]
pub fn settled(found: &str, want: Option<&str>) -> String {
    settled_by(normal, found, want)
}

/// The same for JSON that is no policy: only spaces, the order of keys and the way numbers are written make no difference.
#[must_use]
pub fn settled_json(found: &str, want: Option<&str>) -> String {
    settled_by(plain, found, want)
}

/// Whether two texts say the same: policies, or other JSON.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    let settle = if other.contains("\"Statement\"") {
        settled
    } else {
        settled_json
    };
    one == other || settle(one, Some(other)) == other
}

fn settled_by(form: fn(&Value) -> Value, found: &str, want: Option<&str>) -> String {
    let Ok(value) = serde_json::from_str::<Value>(found) else {
        return found.to_owned();
    };
    let same = |want: &&str| {
        serde_json::from_str::<Value>(want).is_ok_and(|want| form(&want) == form(&value))
    };
    want.filter(same)
        .map_or_else(|| text(&value), str::to_owned)
}

/// Numbers that are equal are written alike.
fn plain(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(plain).collect(),
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect(),
        ),
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), Value::from),
        other => other.clone(),
    }
}

/// The form in which equal documents are equal: statements and lists of texts sorted and without repetition, lists of one as the
/// one, true and false as text, and an account's root principal as its number.
fn normal(value: &Value) -> Value {
    match value {
        Value::Array(list) => {
            let mut list: Vec<Value> = list.iter().map(normal).collect();
            if list.iter().all(Value::is_string) {
                list.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                list.dedup();
            }
            match <[Value; 1]>::try_from(list) {
                Ok([one]) => one,
                Err(list) => Value::Array(list),
            }
        }
        Value::Object(map) => Value::Object(
            map.iter()
                .map(|(key, value)| (key.clone(), sorted(key, normal(value))))
                .collect::<Map<_, _>>(),
        ),
        Value::Bool(flag) => Value::String(flag.to_string()),
        Value::Number(number) => Value::String(number.to_string()),
        Value::String(text) => Value::String(root_account(text).unwrap_or(text).to_owned()),
        Value::Null => Value::Null,
    }
}

/// A policy's statements mean the same in any order.
fn sorted(key: &str, value: Value) -> Value {
    match value {
        Value::Array(mut statements) if key == "Statement" => {
            statements.sort_by_cached_key(Value::to_string);
            Value::Array(statements)
        }
        other => other,
    }
}

/// `123456789012` of `arn:aws:iam::123456789012:root`.
fn root_account(text: &str) -> Option<&str> {
    let mut fields = text.split(':');
    let account = (fields.next()? == "arn").then(|| fields.nth(3)).flatten()?;
    (text.contains(":iam::") && fields.next() == Some("root")).then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_meaning_gives_our_own_text_back() {
        let want = r#"{"Statement":[{"Action":["a","b"],"Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Condition":{"Bool":{"x":"false"}}}]}"#;
        let found = r#"{"Statement":{"Condition":{"Bool":{"x":false}},"Action":["b","a"],"Principal":{"AWS":"123456789012"}}}"#;
        assert_eq!(settled(found, Some(want)), want);
    }

    #[test]
    fn what_is_no_policy_is_compared_as_json() {
        let want = r#"{"a":[3,"b"],"n":{"numeric":["<",3,">=",10]}}"#;
        let same = r#"{ "n": {"numeric": ["<", 3.0, ">=", 10]}, "a": [3, "b"] }"#;
        assert_eq!(settled_json(same, Some(want)), want);
        for other in [
            r#"{"a":["3","b"],"n":{"numeric":["<",3,">=",10]}}"#,
            r#"{"a":["b",3],"n":{"numeric":["<",3,">=",10]}}"#,
            r#"{"a":[3,"b"],"n":{"numeric":[">=",3,"<",10]}}"#,
            r#"{"a":[3,"b","b"],"n":{"numeric":["<",3,">=",10]}}"#,
        ] {
            assert_eq!(settled_json(other, Some(want)), other);
        }
    }

    #[test]
    fn statements_mean_the_same_in_any_order() {
        let want = r#"{"Statement":[{"Sid":"a"},{"Sid":"b"}]}"#;
        let found = r#"{"Statement":[{"Sid":"b"},{"Sid":"a"}]}"#;
        assert_eq!(settled(found, Some(want)), want);
        let other = r#"{"Next":[{"Sid":"b"},{"Sid":"a"}]}"#;
        let want = r#"{"Next":[{"Sid":"a"},{"Sid":"b"}]}"#;
        assert_eq!(settled(other, Some(want)), other);
    }

    #[test]
    fn another_meaning_is_shown_as_it_is() {
        assert_eq!(
            settled(r#"{"b": 1, "a": 2}"#, Some("{}")),
            r#"{"a":2,"b":1}"#
        );
        assert_eq!(settled("not json", Some("{}")), "not json");
        assert_eq!(root_account("arn:aws:iam::123456789012:role/root"), None);
    }
}
