//! One statement of a Lambda function's resource policy.
//!
//! <https://docs.aws.amazon.com/lambda/latest/api/API_AddPermission.html>

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::{Aws, absent, properties};
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

impl Permission {
    /// Reads the statement back out of the policy document that Lambda keeps.
    fn parsed(&self, document: &str) -> Option<Self> {
        let document: Value = serde_json::from_str(document).ok()?;
        let statements = document["Statement"].as_array()?;
        let statement = statements
            .iter()
            .find(|statement| statement["Sid"] == self.statement_id.as_str())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let condition = |key: &str| {
            let operators = statement["Condition"].as_object();
            let values = operators
                .into_iter()
                .flatten()
                .filter_map(|(_, pairs)| pairs.as_object());
            let found = values
                .flatten()
                .find(|(name, _)| name.eq_ignore_ascii_case(key));
            found.map(|(_, value)| text(value)).unwrap_or_default()
        };
        let principal = &statement["Principal"];
        Some(Self {
            function_name: self.function_name.clone(),
            statement_id: self.statement_id.clone(),
            action: text(&statement["Action"]),
            principal: if principal.is_string() {
                text(principal)
            } else {
                text(&principal["Service"])
            },
            source_arn: condition("aws:SourceArn"),
            source_account: condition("aws:SourceAccount"),
        })
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
        properties(self)
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
        Ok(self.parsed(&document).map(|have| Found {
            attributes: properties(&have),
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

    #[test]
    fn reads_its_own_statement_out_of_the_policy() {
        let document = r#"{"Version":"2012-10-17","Statement":[{"Sid":"other"},{"Sid":"bucket","Effect":"Allow",
            "Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction","Resource":"arn:f",
            "Condition":{"StringEquals":{"AWS:SourceAccount":"123456789012"},"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::b"}}}]}"#;
        let found = permission()
            .parsed(document)
            .map(|found| properties(&found));
        assert_eq!(found, Some(properties(&permission())));
        assert!(permission().parsed("{}").is_none());
    }
}
