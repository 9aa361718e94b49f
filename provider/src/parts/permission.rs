//! One statement of a Lambda function's resource policy.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html>

use async_trait::async_trait;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Aws, absent, attributes, properties};
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

const GONE: &[&str] = &["ResourceNotFoundException"];

/// Who may invoke a function, and on whose behalf.
#[derive(Debug, Clone, Serialize)]
pub struct Permission {
    /// The function's name.
    pub function_name: String,
    /// The statement's id, unique in the function's policy.
    pub statement_id: String,
    /// The Lambda action allowed.
    pub action: String,
    /// The service principal allowed.
    pub principal: String,
    /// The object on whose behalf it may call.
    pub source_arn: String,
    /// The account that object must belong to.
    pub source_account: String,
}

/// Each of these holds a value to just the one that is given: Lambda documents `StringLike` and writes `ArnLike`.
const ALIKE: [&str; 4] = ["ArnEquals", "ArnLike", "StringEquals", "StringLike"];

/// A value as text: of a list of one the one, of nothing nothing.
fn said(value: Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text,
        Value::Array(mut list) if list.len() == 1 => list.pop().map(said).unwrap_or_default(),
        other => other.to_string(),
    }
}

/// Takes out of a statement's conditions what a key is held to.
fn held(conditions: &mut Map<String, Value>, key: &str) -> String {
    let alike = |operator: &str| {
        ALIKE
            .iter()
            .any(|known| known.eq_ignore_ascii_case(operator))
    };
    let value = conditions
        .iter_mut()
        .filter(|(operator, _)| alike(operator))
        .filter_map(|(_, pairs)| pairs.as_object_mut())
        .find_map(|pairs| {
            let mut names = pairs.keys();
            let name = names.find(|name| name.eq_ignore_ascii_case(key))?.clone();
            pairs.remove(&name)
        });
    value.map(said).unwrap_or_default()
}

impl Permission {
    /// Reads the statement back out of the policy document that Lambda keeps.
    fn parsed(&self, document: &str) -> Option<Attributes> {
        let document: Value = serde_json::from_str(document).ok()?;
        let statements = document["Statement"].as_array()?;
        let statement = statements
            .iter()
            .find(|statement| statement["Sid"] == self.statement_id.as_str())?;
        let mut rest = statement.as_object()?.clone();
        let mut take = |name: &str| rest.remove(name).unwrap_or_default();
        let action = said(take("Action"));
        let principal = match take("Principal") {
            Value::Object(mut who) if who.len() == 1 && who.contains_key("Service") => {
                who.remove("Service").unwrap_or_default()
            }
            other => other,
        };
        let mut conditions = match take("Condition") {
            Value::Object(conditions) => conditions,
            _ => Map::new(),
        };
        // The policy is of our function alone.
        for name in ["Sid", "Resource"] {
            rest.remove(name);
        }
        if rest.get("Effect").is_some_and(|effect| effect == "Allow") {
            rest.remove("Effect");
        }
        let have = Self {
            function_name: self.function_name.clone(),
            statement_id: self.statement_id.clone(),
            action,
            principal: said(principal),
            source_arn: held(&mut conditions, "aws:SourceArn"),
            source_account: held(&mut conditions, "aws:SourceAccount"),
        };
        let is_left = |pairs: &Value| pairs.as_object().is_none_or(|pairs| !pairs.is_empty());
        conditions.retain(|_, pairs| is_left(pairs));
        if !conditions.is_empty() {
            rest.insert("Condition".to_owned(), Value::Object(conditions));
        }
        let further = (!rest.is_empty()).then_some(rest);
        let mut found = properties(&have);
        found.extend(attributes! { "further": further });
        Some(found)
    }
}

#[async_trait]
impl Part<Aws> for Permission {
    fn kind(&self) -> &'static str {
        "Lambda permission"
    }

    fn name(&self) -> &str {
        &self.statement_id
    }

    fn desired(&self) -> Attributes {
        let mut desired = properties(self);
        // What the statement says that we do not.
        desired.extend(attributes! { "further": Value::Null });
        desired
    }

    fn writes_too(&self, _one: &str, _other: &str) -> bool {
        true
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let get = || {
            aws.lambda
                .get_policy()
                .function_name(&self.function_name)
                .send()
        };
        let answer = absent(
            aws.call("lambda:GetPolicy", &self.function_name, get).await,
            GONE,
        )?;
        let document = answer.and_then(|answer| answer.policy).unwrap_or_default();
        Ok(self.parsed(&document).map(|attributes| Found {
            attributes,
            owner: Owner::Us,
        }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        let add = || {
            aws.lambda
                .add_permission()
                .function_name(&self.function_name)
                .statement_id(&self.statement_id)
                .action(&self.action)
                .principal(&self.principal)
                .source_arn(&self.source_arn)
                .source_account(&self.source_account)
                .send()
        };
        aws.call("lambda:AddPermission", &self.function_name, add)
            .await?;
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        _changes: &Changes,
    ) -> Result<Attributes, Failure> {
        // A statement cannot be changed, only made anew.
        self.delete(aws, found).await?;
        self.create(aws).await
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let remove = || {
            aws.lambda
                .remove_permission()
                .function_name(&self.function_name)
                .statement_id(&self.statement_id)
                .send()
        };
        absent(
            aws.call("lambda:RemovePermission", &self.function_name, remove)
                .await,
            GONE,
        )
        .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn permission() -> Permission {
        Permission {
            function_name: "f".into(),
            statement_id: "bucket".into(),
            action: "lambda:InvokeFunction".into(),
            principal: "s3.amazonaws.com".into(),
            source_arn: "arn:aws:s3:::b".into(),
            source_account: "123456789012".into(),
        }
    }

    /// A policy with our statement as Lambda writes it, altered.
    fn policy(alter: fn(&mut Value)) -> String {
        let mut statement = json!({
            "Sid": "bucket",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": "arn:f",
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": "123456789012"},
                "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::b"},
            },
        });
        alter(&mut statement);
        json!({"Version": "2012-10-17", "Statement": [{"Sid": "other"}, statement]}).to_string()
    }

    #[test]
    fn reads_its_own_statement_out_of_the_policy() {
        let found = permission().parsed(&policy(|_| {}));
        assert_eq!(found, Some(permission().desired()));
        assert!(permission().parsed("{}").is_none());
    }

    #[test]
    fn whatever_means_something_else_is_a_difference() {
        type Case = (fn(&mut Value), &'static [&'static str]);
        let cases: [Case; 10] = [
            (
                |one| {
                    one["Condition"] = json!({
                        "stringlike": {"aws:sourcearn": ["arn:aws:s3:::b"]},
                        "StringEquals": {"aws:SourceAccount": "123456789012"},
                    });
                },
                &[],
            ),
            (
                |one| {
                    one["Condition"] = json!({"StringEquals": {
                        "aws:SourceArn": "arn:aws:s3:::b",
                        "aws:SourceAccount": "123456789012",
                    }});
                },
                &[],
            ),
            (
                |one| one["Condition"]["StringEquals"]["aws:PrincipalOrgID"] = json!("o-1"),
                &["further"],
            ),
            (
                |one| one["Condition"]["Bool"] = json!({"aws:SecureTransport": "true"}),
                &["further"],
            ),
            (
                |one| {
                    one["Condition"]["ArnLike"] = json!({"AWS:SourceArn": ["arn:a", "arn:b"]});
                },
                &["source_arn"],
            ),
            (
                |one| {
                    one["Condition"] = json!({
                        "ArnLikeIfExists": {"aws:SourceArn": "arn:aws:s3:::b"},
                        "StringEquals": {"aws:SourceAccount": "123456789012"},
                    });
                },
                &["further", "source_arn"],
            ),
            (
                |one| one["Condition"] = Value::Null,
                &["source_account", "source_arn"],
            ),
            (|one| one["Effect"] = json!("Deny"), &["further"]),
            (
                |one| one["Principal"]["AWS"] = json!("123456789012"),
                &["principal"],
            ),
            (
                |one| one["Action"] = json!(["lambda:InvokeFunction", "lambda:GetFunction"]),
                &["action"],
            ),
        ];
        for (alter, differ) in cases {
            let policy = policy(alter);
            let found = permission().parsed(&policy).unwrap();
            let changes = Changes::between(&permission().desired(), &found);
            assert_eq!(changes.names().collect::<Vec<_>>(), differ, "{policy}");
        }
    }
}
