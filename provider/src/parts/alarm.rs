//! A `CloudWatch` alarm on one metric, or on what is calculated from several.
//!
//! <https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html>

use std::collections::{BTreeMap, BTreeSet, HashMap};

use async_trait::async_trait;
use aws_sdk_cloudwatch::types::{
    ComparisonOperator, Dimension, Metric, MetricAlarm, MetricDataQuery, MetricStat, StandardUnit,
    Statistic, Tag,
};
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::tags::Tags;
use super::{Aws, absent, attributes, properties};
use crate::engine::{Attributes, Changes, Failure, Found, Part};

const GONE: &[&str] = &["ResourceNotFound", "ResourceNotFoundException"];
/// How the deletion of an alarm that a composite alarm needs is refused.
const NEEDED: &[&str] = &["ValidationError", "ValidationException"];
const DENIED: &[&str] = &["AccessDenied", "AccessDeniedException"];

/// How a `CloudWatch` alarm should be. Times are in seconds.
#[derive(Debug, Clone, Serialize)]
pub struct Alarm {
    /// The alarm's name.
    pub alarm_name: String,
    /// Its ARN, which follows from the name.
    pub arn: String,
    /// What it tells the person it wakes.
    pub alarm_description: String,
    /// What is watched.
    #[serde(flatten)]
    pub watched: Watched,
    /// How many periods are looked at.
    pub evaluation_periods: i64,
    /// In how many of them the threshold has to be crossed.
    pub datapoints_to_alarm: i64,
    /// The threshold.
    #[serde(serialize_with = "shortest")]
    pub threshold: f64,
    /// How values are compared with the threshold.
    pub comparison_operator: String,
    /// What a period without values counts as.
    pub treat_missing_data: String,
    /// Whether the alarm tells anybody.
    pub actions_enabled: bool,
    /// The ARNs told when the alarm goes off.
    pub alarm_actions: Vec<String>,
    /// The ARNs told when all is well again.
    pub ok_actions: Vec<String>,
    /// All tags.
    pub tags: Tags,
}

/// What an alarm watches.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Watched {
    /// One metric.
    Metric {
        /// The namespace of the metric.
        namespace: String,
        /// The metric.
        metric_name: String,
        /// What the metric is of.
        dimensions: BTreeMap<String, String>,
        /// How the values of a period become one.
        statistic: String,
        /// The length of a period.
        period: i64,
    },
    /// The result of an expression over metrics.
    Math {
        /// The metrics and the expressions.
        metric_query: Vec<Query>,
    },
}

/// A metric, or an expression over the others.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Query {
    /// Its name in expressions.
    pub id: String,
    /// The expression, in CloudWatch's metric math.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// The metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<QueriedMetric>,
    /// Whether it is what the alarm watches.
    pub return_data: bool,
}

/// A metric of a [`Query`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueriedMetric {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub metric_name: String,
    /// What it is of.
    pub dimensions: BTreeMap<String, String>,
    /// The length of a period.
    pub period: i64,
    /// How the values of a period become one.
    pub stat: String,
    /// The unit of the values that count; none for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
}

impl Watched {
    /// The sum of several metrics of one object, or the only one.
    #[must_use]
    pub fn sum(
        namespace: &str,
        metrics: &[&str],
        dimensions: &BTreeMap<String, String>,
        statistic: &str,
        period: i64,
    ) -> Self {
        if let [metric] = metrics {
            return Self::Metric {
                namespace: namespace.to_owned(),
                metric_name: (*metric).to_owned(),
                dimensions: dimensions.clone(),
                statistic: statistic.to_owned(),
                period,
            };
        }
        let ids: Vec<String> = (1..=metrics.len())
            .map(|number| format!("m{number}"))
            .collect();
        // A metric of which nothing was counted has no values, and a sum with it would have none.
        let filled: Vec<String> = ids.iter().map(|id| format!("FILL({id}, 0)")).collect();
        let total = Query {
            id: "total".to_owned(),
            expression: Some(filled.join(" + ")),
            metric: None,
            return_data: true,
        };
        let of = |(id, metric): (&String, &&str)| Query {
            id: id.clone(),
            metric: Some(QueriedMetric {
                namespace: namespace.to_owned(),
                metric_name: (*metric).to_owned(),
                dimensions: dimensions.clone(),
                period,
                stat: statistic.to_owned(),
                unit: None,
            }),
            ..Query::default()
        };
        let mut metric_query = vec![total];
        metric_query.extend(ids.iter().zip(metrics).map(of));
        Self::Math { metric_query }
    }

    /// What AWS describes, where `self` is what should be.
    fn described(&self, alarm: &mut MetricAlarm) -> Self {
        let queries = alarm.metrics.take().unwrap_or_default();
        let metric_name = alarm.metric_name.take().unwrap_or_default();
        if !queries.is_empty() {
            let mut metric_query: Vec<Query> = queries.into_iter().map(Query::of).collect();
            // AWS may tell them in any order.
            if let Self::Math { metric_query: want } = self {
                let place = |id: &str| want.iter().position(|query| query.id == id);
                metric_query.sort_by_key(|query| place(&query.id).unwrap_or(usize::MAX));
            }
            return Self::Math { metric_query };
        }
        if metric_name.is_empty() && matches!(self, Self::Math { .. }) {
            // AWS always tells one or the other. An emulator keeps no metric math.
            return self.clone();
        }
        Self::Metric {
            namespace: alarm.namespace.take().unwrap_or_default(),
            metric_name,
            dimensions: pairs(alarm.dimensions.take()),
            // A percentile stands in place of a statistic.
            statistic: alarm
                .extended_statistic
                .take()
                .or_else(|| Some(alarm.statistic.as_ref()?.as_str().to_owned()))
                .unwrap_or_default(),
            period: alarm.period.map_or(0, i64::from),
        }
    }
}

impl Query {
    fn of(found: MetricDataQuery) -> Self {
        let metric = found.metric_stat.map(|with| {
            let metric = with.metric.unwrap_or_else(|| Metric::builder().build());
            QueriedMetric {
                namespace: metric.namespace.unwrap_or_default(),
                metric_name: metric.metric_name.unwrap_or_default(),
                dimensions: pairs(metric.dimensions),
                period: with.period.map_or(0, i64::from),
                stat: with.stat.unwrap_or_default(),
                unit: with.unit.map(|unit| unit.as_str().to_owned()),
            }
        });
        Self {
            id: found.id.unwrap_or_default(),
            expression: found.expression.filter(|text| !text.is_empty()),
            metric,
            // Left out means that it is.
            return_data: found.return_data.unwrap_or(true),
        }
    }

    fn asked(&self) -> MetricDataQuery {
        let stat = self.metric.as_ref().map(|with| {
            let metric = Metric::builder()
                .namespace(&with.namespace)
                .metric_name(&with.metric_name)
                .set_dimensions(Some(listed(&with.dimensions)))
                .build();
            MetricStat::builder()
                .metric(metric)
                .period(narrow(with.period))
                .stat(&with.stat)
                .set_unit(with.unit.as_deref().map(StandardUnit::from))
                .build()
        });
        MetricDataQuery::builder()
            .id(&self.id)
            .set_expression(self.expression.clone())
            .set_metric_stat(stat)
            .return_data(self.return_data)
            .build()
    }
}

fn pairs(dimensions: Option<Vec<Dimension>>) -> BTreeMap<String, String> {
    let pair = |dimension: Dimension| Some((dimension.name?, dimension.value?));
    dimensions
        .unwrap_or_default()
        .into_iter()
        .filter_map(pair)
        .collect()
}

fn listed(dimensions: &BTreeMap<String, String>) -> Vec<Dimension> {
    dimensions
        .iter()
        .map(|(name, value)| Dimension::builder().name(name).value(value).build())
        .collect()
}

/// A whole number without decimals, as Terraform has it: 5, not 5.0, which JSON holds for another value.
#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn shortest<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    let whole = format!("{number:.0}").parse::<i64>();
    match whole {
        Ok(whole) if number.fract() == 0.0 => to.serialize_i64(whole),
        _ => to.serialize_f64(*number),
    }
}

fn narrow(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// `want` when `found` holds the same in any order.
fn in_order(found: Vec<String>, want: &[String]) -> Vec<String> {
    let set = |list: &[String]| list.iter().cloned().collect::<BTreeSet<_>>();
    if set(&found) == set(want) {
        want.to_vec()
    } else {
        found
    }
}

fn tags(pairs: &BTreeMap<String, String>) -> Vec<Tag> {
    pairs
        .iter()
        .map(|(key, value)| Tag::builder().key(key).value(value).build())
        .collect()
}

impl Alarm {
    async fn describe(&self, aws: &Aws) -> Result<Option<MetricAlarm>, Failure> {
        let describe = |names: Vec<String>| async move {
            let (mut found, mut token) = (Vec::new(), None);
            loop {
                let describe = || {
                    let request = aws.cloudwatch.describe_alarms().max_records(100);
                    request
                        .set_alarm_names(Some(names.clone()))
                        .set_next_token(token.clone())
                        .send()
                };
                let page = aws.call("cloudwatch:DescribeAlarms", &self.alarm_name, describe);
                let page = page.await?;
                let alarms = page.metric_alarms.unwrap_or_default().into_iter();
                found.extend(alarms.filter_map(|alarm| Some((alarm.alarm_name.clone()?, alarm))));
                token = page.next_token.filter(|token| !token.is_empty());
                if token.is_none() {
                    return Ok(found.into_iter().collect());
                }
            }
        };
        aws.batches
            .describe_alarms
            .ask(&self.alarm_name, describe)
            .await
    }

    /// The alarm's properties as AWS describes them.
    fn described(&self, mut alarm: MetricAlarm, tags: Tags) -> Self {
        let periods = alarm.evaluation_periods.map_or(0, i64::from);
        let watched = self.watched.described(&mut alarm);
        Self {
            alarm_name: self.alarm_name.clone(),
            arn: alarm.alarm_arn.unwrap_or_default(),
            alarm_description: alarm.alarm_description.unwrap_or_default(),
            watched,
            evaluation_periods: periods,
            // Left out means all of them.
            datapoints_to_alarm: alarm.datapoints_to_alarm.map_or(periods, i64::from),
            threshold: alarm.threshold.unwrap_or_default(),
            comparison_operator: alarm
                .comparison_operator
                .map(|operator| operator.as_str().to_owned())
                .unwrap_or_default(),
            treat_missing_data: alarm
                .treat_missing_data
                .unwrap_or_else(|| "missing".to_owned()),
            actions_enabled: alarm.actions_enabled.unwrap_or(true),
            alarm_actions: in_order(alarm.alarm_actions.unwrap_or_default(), &self.alarm_actions),
            ok_actions: in_order(alarm.ok_actions.unwrap_or_default(), &self.ok_actions),
            tags,
        }
    }

    /// Writes the whole alarm, which leaves out nothing that others have set `before` and that is not ours to say. `CloudWatch` heeds the tags only
    /// when the alarm is new.
    async fn put(&self, aws: &Aws, before: Option<MetricAlarm>) -> Result<(), Failure> {
        let tags = tags(&self.tags.0);
        let put = || {
            let request = aws.cloudwatch.put_metric_alarm();
            let request = match &self.watched {
                Watched::Metric {
                    namespace,
                    metric_name,
                    dimensions,
                    statistic,
                    period,
                } => request
                    .namespace(namespace)
                    .metric_name(metric_name)
                    .set_dimensions(Some(listed(dimensions)))
                    .statistic(Statistic::from(statistic.as_str()))
                    .period(narrow(*period)),
                Watched::Math { metric_query } => {
                    request.set_metrics(Some(metric_query.iter().map(Query::asked).collect()))
                }
            };
            let request = request
                .alarm_name(&self.alarm_name)
                .alarm_description(&self.alarm_description)
                .evaluation_periods(narrow(self.evaluation_periods))
                .datapoints_to_alarm(narrow(self.datapoints_to_alarm))
                .threshold(self.threshold)
                .comparison_operator(ComparisonOperator::from(self.comparison_operator.as_str()))
                .treat_missing_data(&self.treat_missing_data)
                .actions_enabled(self.actions_enabled)
                .set_alarm_actions(Some(self.alarm_actions.clone()))
                .set_ok_actions(Some(self.ok_actions.clone()))
                .set_tags(Some(tags.clone()));
            match before.clone() {
                Some(before) => request
                    .set_insufficient_data_actions(before.insufficient_data_actions)
                    .set_action_configuration(before.action_configuration)
                    .set_evaluation_window(before.evaluation_window)
                    .set_warm_up_configuration(before.warm_up_configuration),
                None => request,
            }
            .send()
        };
        aws.call("cloudwatch:PutMetricAlarm", &self.alarm_name, put)
            .await
            .map(drop)
    }

    async fn set_tags(&self, aws: &Aws, found: &Found) -> Result<(), Failure> {
        let arn = found.text("arn");
        let tag = |set| async move {
            let tag = || {
                let request = aws.cloudwatch.tag_resource().resource_arn(arn);
                request.set_tags(Some(tags(&set))).send()
            };
            let answer = aws.call("cloudwatch:TagResource", &self.alarm_name, tag);
            answer.await.map(drop)
        };
        let untag = |keys: Vec<String>| async move {
            let untag = || {
                let request = aws.cloudwatch.untag_resource().resource_arn(arn);
                request.set_tag_keys(Some(keys.clone())).send()
            };
            let answer = aws.call("cloudwatch:UntagResource", &self.alarm_name, untag);
            answer.await.map(drop)
        };
        self.tags.write(&found.attributes, tag, untag).await
    }
}

#[async_trait]
impl Part<Aws> for Alarm {
    fn kind(&self) -> &'static str {
        "CloudWatch alarm"
    }

    fn name(&self) -> &str {
        &self.alarm_name
    }

    fn desired(&self) -> Attributes {
        let mut desired = properties(self);
        // With one, values of any other do not count, and the alarm may never go off.
        desired.extend(attributes! { "unit": Value::Null });
        desired
    }

    fn tagged_as(&self) -> Option<&str> {
        Some(&self.arn)
    }

    fn writes_too(&self, one: &str, other: &str) -> bool {
        one != "tags" && other != "tags"
    }

    async fn read(&self, aws: &Aws) -> Result<Option<Found>, Failure> {
        let Some(alarm) = self.describe(aws).await? else {
            return Ok(None);
        };
        let arn = alarm.alarm_arn.clone().unwrap_or_default();
        let unit = alarm.unit.as_ref().map(|unit| unit.as_str().to_owned());
        let list = || {
            aws.cloudwatch
                .list_tags_for_resource()
                .resource_arn(&arn)
                .send()
        };
        let ask = || async {
            let answer = aws.call("cloudwatch:ListTagsForResource", &self.alarm_name, list);
            let answer = absent(answer.await, GONE)?;
            let pair = |tag: Tag| Some((tag.key?, tag.value?));
            let pairs = |tags: Vec<Tag>| Tags::listed(tags.into_iter().filter_map(pair));
            Ok(answer.map(|answer| pairs(answer.tags.unwrap_or_default())))
        };
        let Some(tags) = aws.tags(&arn, &self.tags, ask).await? else {
            return Ok(None);
        };
        let owner = self.tags.owner_of(&tags);
        let mut attributes = properties(&self.described(alarm, tags));
        attributes.extend(attributes! { "unit": unit });
        Ok(Some(Found { attributes, owner }))
    }

    async fn create(&self, aws: &Aws) -> Result<Attributes, Failure> {
        self.put(aws, None).await?;
        Ok(Attributes::new())
    }

    async fn update(
        &self,
        aws: &Aws,
        found: &Found,
        changes: &Changes,
    ) -> Result<Attributes, Failure> {
        let put = async {
            if changes.names().any(|name| name != "tags") {
                let before = self.describe(aws).await?;
                self.put(aws, before).await?;
            }
            Ok(())
        };
        tokio::try_join!(put, self.set_tags(aws, found))?;
        Ok(Attributes::new())
    }

    async fn delete(&self, aws: &Aws, _found: &Found) -> Result<(), Failure> {
        // A call that names one alarm that is gone, that somebody's composite alarm needs, or that is not to be deleted by the caller, deletes none: each is then deleted for itself.
        let delete = |names: Vec<String>| async move {
            let delete = || {
                aws.cloudwatch
                    .delete_alarms()
                    .set_alarm_names(Some(names.clone()))
                    .send()
            };
            aws.call("cloudwatch:DeleteAlarms", &self.alarm_name, delete)
                .await?;
            Ok(names.into_iter().map(|name| (name, ())).collect())
        };
        match aws
            .batches
            .delete_alarms
            .ask(&self.alarm_name, delete)
            .await
        {
            Err(failure) if [GONE, NEEDED, DENIED].iter().any(|codes| failure.is(codes)) => {
                absent(
                    delete(vec![self.alarm_name.clone()])
                        .await
                        .map(|_: HashMap<_, _>| ()),
                    GONE,
                )?;
            }
            other => drop(other?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(function: &str) -> BTreeMap<String, String> {
        [("FunctionName".to_owned(), function.to_owned())].into()
    }

    fn alarm() -> Alarm {
        Alarm {
            alarm_name: "errors".into(),
            arn: "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:errors".into(),
            alarm_description: "It fails.".into(),
            watched: Watched::sum("AWS/Lambda", &["Errors"], &of("f"), "Sum", 900),
            evaluation_periods: 2,
            datapoints_to_alarm: 2,
            threshold: 5.0,
            comparison_operator: "GreaterThanOrEqualToThreshold".into(),
            treat_missing_data: "missing".into(),
            actions_enabled: true,
            alarm_actions: vec!["arn:b".into(), "arn:a".into()],
            ok_actions: vec![],
            tags: Tags::default(),
        }
    }

    #[test]
    fn a_whole_threshold_has_no_decimals() {
        let threshold = |number| {
            properties(&Alarm {
                threshold: number,
                ..alarm()
            })["threshold"]
                .clone()
        };
        assert_eq!(threshold(5.0), serde_json::json!(5));
        assert_eq!(threshold(-3.0), serde_json::json!(-3));
        assert_eq!(threshold(0.5), serde_json::json!(0.5));
        assert_eq!(threshold(1e300), serde_json::json!(1e300));
    }

    #[test]
    fn what_cloudwatch_leaves_out_or_reorders_is_no_difference() {
        let have = MetricAlarm::builder()
            .alarm_name("errors")
            .alarm_arn("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:errors")
            .alarm_description("It fails.")
            .namespace("AWS/Lambda")
            .metric_name("Errors")
            .dimensions(Dimension::builder().name("FunctionName").value("f").build())
            .statistic(Statistic::Sum)
            .period(900)
            .evaluation_periods(2)
            .threshold(5.0)
            .comparison_operator(ComparisonOperator::GreaterThanOrEqualToThreshold)
            .alarm_actions("arn:a")
            .alarm_actions("arn:b")
            .build();
        let found = alarm().described(have, Tags::default());
        assert_eq!(properties(&found), properties(&alarm()));
    }

    #[test]
    fn a_percentile_or_a_unit_is_a_difference() {
        let mut have = MetricAlarm::builder()
            .metric_name("Errors")
            .extended_statistic("p99")
            .build();
        let Watched::Metric { statistic, .. } = alarm().watched.described(&mut have) else {
            unreachable!("one metric")
        };
        assert_eq!(statistic, "p99");
        let Watched::Math { metric_query } = total().watched else {
            unreachable!("two metrics")
        };
        let mut query = metric_query[1].asked();
        query.metric_stat.as_mut().unwrap().unit = Some(StandardUnit::Bytes);
        assert_ne!(Query::of(query), metric_query[1]);
    }

    fn total() -> Alarm {
        Alarm {
            watched: Watched::sum("AWS/Lambda", &["Errors", "Throttles"], &of("f"), "Sum", 300),
            ..alarm()
        }
    }

    #[test]
    fn several_metrics_are_watched_as_their_sum() {
        let shown = properties(&total());
        assert_eq!(shown.get("metric_name"), None);
        let queries = &shown["metric_query"];
        assert_eq!(queries[0]["expression"], "FILL(m1, 0) + FILL(m2, 0)");
        assert_eq!(queries[0]["return_data"], true);
        assert_eq!(queries[2]["metric"]["metric_name"], "Throttles");
        assert_eq!(queries[2]["return_data"], false);
    }

    #[test]
    fn a_sum_is_known_again_and_anything_else_is_a_difference() {
        let Watched::Math { metric_query } = total().watched else {
            unreachable!("two metrics")
        };
        let mut queries: Vec<MetricDataQuery> = metric_query.iter().map(Query::asked).collect();
        queries.reverse();
        let found = |have: MetricAlarm| total().watched.described(&mut { have });
        let have = MetricAlarm::builder().set_metrics(Some(queries.clone()));
        assert_eq!(found(have.build()), total().watched);
        queries[0].return_data = Some(true);
        let have = MetricAlarm::builder().set_metrics(Some(queries));
        assert_ne!(found(have.build()), total().watched);
        let single = MetricAlarm::builder().metric_name("Errors");
        assert_ne!(found(single.build()), total().watched);
        // An emulator that keeps no metric math tells nothing of what is watched.
        let nothing = MetricAlarm::builder().statistic(Statistic::Average);
        assert_eq!(found(nothing.build()), total().watched);
    }
}
