//! A `CloudWatch` dashboard.
//!
//! It takes no tags, so it says in its text whose it is.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html>

use async_trait::async_trait;
use serde::Serialize;
use serde_json::Value;

use super::{Aws, absent, properties};
use crate::documents::dashboard;
use crate::engine::{Attributes, Changes, Failure, Found, Owner, Part};

/// An endpoint may tell the name of the shape instead of the code.
const GONE: &[&str] = &[
    "ResourceNotFound",
    "DashboardNotFoundError",
    "ResourceNotFoundException",
];

/// How a dashboard should be.
#[derive(Debug, Clone, Serialize)]
pub struct Dashboard {
    /// The dashboard's name.
    pub dashboard_name: String,
    /// Its ARN, which follows from the name.
    pub arn: String,
    /// What it shows, JSON.
    pub dashboard_body: String,
}

/// What `CloudWatch` returned for the body `want`: `want` itself when both mean the same.
fn settled(found: &str, want: &str) -> String {
    let [parsed, wanted] = [found, want].map(|text| serde_json::from_str::<Value>(text).ok());
    match parsed {
        Some(parsed) if Some(&parsed) != wanted.as_ref() => parsed.to_string(),
        Some(_) => want.to_owned(),
        None => found.to_owned(),
    }
}

impl Dashboard {
    async fn put(&self, aws: &Aws) -> Result<(), Failure> {
        let put = || {
            aws.cloudwatch
                .put_dashboard()
                .dashboard_name(&self.dashboard_name)
                .dashboard_body(&self.dashboard_body)
                .send()
        };
        aws.call("cloudwatch:PutDashboard", &self.dashboard_name, put)
            .await
            .map(drop)
    }
}

#[async_trait]
impl Part<Aws> for Dashboard {
    fn kind(&self) -> &'static str {
        "CloudWatch dashboard"
    }

    fn name(&self) -> &str {
        &self.dashboard_name
    }

    fn desired(&self) -> Attributes {
        properties(self)
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let get = || {
            aws.cloudwatch
                .get_dashboard()
                .dashboard_name(&self.dashboard_name)
                .send()
        };
        let answer = aws.call("cloudwatch:GetDashboard", &self.dashboard_name, get);
        let Some(have) = absent(answer.await, GONE)? else {
            return Ok(None);
        };
        let body = have.dashboard_body.unwrap_or_default();
        let whose = dashboard::owner(&body);
        let owner = if whose == dashboard::owner(&self.dashboard_body) {
            Owner::Us
        } else {
            Owner::SomeoneElse(whose)
        };
        let found = Self {
            dashboard_body: settled(&body, &self.dashboard_body),
            // An endpoint may tell none.
            arn: have
                .dashboard_arn
                .filter(|arn| !arn.is_empty())
                .unwrap_or_else(|| self.arn.clone()),
            ..self.clone()
        };
        Ok(Some(Found {
            attributes: properties(&found),
            owner,
        }))
    }

    /// Its mark may have gone with a widget, and others are still there.
    fn is_known_by(&self, found: &Attributes) -> bool {
        let body = found.get("dashboard_body").and_then(Value::as_str);
        body.is_some_and(|body| dashboard::is_left_of(body, &self.dashboard_body))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        self.put(aws).await?;
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        _found: &Found,
        _changes: &Changes,
    ) -> Result<Attributes, Failure> {
        self.put(aws).await?;
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        let delete = || {
            aws.cloudwatch
                .delete_dashboards()
                .dashboard_names(&self.dashboard_name)
                .send()
        };
        let name = &self.dashboard_name;
        let answer = aws.remove("cloudwatch:DeleteDashboards", name, delete, GONE);
        answer.await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_order_of_fields_is_no_difference() {
        let want = r#"{"widgets":[{"x":0,"y":1}]}"#;
        assert_eq!(settled(r#"{ "widgets": [{"y": 1, "x": 0}] }"#, want), want);
        assert_eq!(settled(r#"{"widgets": []}"#, want), r#"{"widgets":[]}"#);
        assert_eq!(settled("no JSON", want), "no JSON");
    }
}
