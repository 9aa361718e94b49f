//! The index of tags as AWS has it: of all services, where the emulator's own knows some.

use futures::future::join_all;
use serde_json::{Value, json};

use super::wire::Answer;
use crate::Aws;

/// The answer to `tag:GetResources` for a list of ARNs, put together from what each service says now.
pub(super) async fn resources(aws: &Aws, request: &Value) -> Answer {
    let arns = request["ResourceARNList"].as_array();
    let arns = arns.into_iter().flatten().filter_map(Value::as_str);
    let found = join_all(arns.map(|arn| entry(aws, arn))).await;
    let list: Vec<Value> = found.into_iter().flatten().collect();
    Answer::json(
        200,
        &json!({"PaginationToken": "", "ResourceTagMappingList": list}),
    )
}

async fn entry(aws: &Aws, arn: &str) -> Option<Value> {
    let tags = tags(aws, arn).await?;
    let tag = |(key, value): (String, String)| json!({"Key": key, "Value": value});
    let tags: Vec<Value> = tags.into_iter().map(tag).collect();
    Some(json!({"ResourceARN": arn, "Tags": tags}))
}

type Pairs = Vec<(String, String)>;

fn both(key: Option<String>, value: Option<String>) -> Option<(String, String)> {
    Some((key?, value?))
}

async fn tags(aws: &Aws, arn: &str) -> Option<Pairs> {
    let fields: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, service, region, account, name] = fields[..] else {
        return None;
    };
    Some(match service {
        "cloudwatch" => {
            let answer = aws.cloudwatch.list_tags_for_resource().resource_arn(arn);
            let tags = answer.send().await.ok()?.tags?;
            tags.into_iter()
                .filter_map(|tag| both(tag.key, tag.value))
                .collect()
        }
        "logs" => {
            let answer = aws.logs.list_tags_for_resource().resource_arn(arn);
            answer.send().await.ok()?.tags?.into_iter().collect()
        }
        "states" => {
            let answer = aws.sfn.list_tags_for_resource().resource_arn(arn);
            let tags = answer.send().await.ok()?.tags?;
            tags.into_iter()
                .filter_map(|tag| both(tag.key, tag.value))
                .collect()
        }
        "sqs" => {
            let url = format!("https://sqs.{region}.amazonaws.com/{account}/{name}");
            let answer = aws.sqs.list_queue_tags().queue_url(url);
            answer.send().await.ok()?.tags?.into_iter().collect()
        }
        "lambda" => {
            let answer = aws.lambda.list_tags().resource(arn);
            answer.send().await.ok()?.tags?.into_iter().collect()
        }
        "sns" => {
            let answer = aws.sns.list_tags_for_resource().resource_arn(arn);
            let tags = answer.send().await.ok()?.tags?;
            tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
        }
        "kms" => {
            let answer = aws.kms.list_resource_tags().key_id(arn);
            let tags = answer.send().await.ok()?.tags?;
            tags.into_iter()
                .map(|tag| (tag.tag_key, tag.tag_value))
                .collect()
        }
        "s3" => {
            let answer = aws.s3.get_bucket_tagging().bucket(name);
            let tags = answer.send().await.ok()?.tag_set;
            tags.into_iter().map(|tag| (tag.key, tag.value)).collect()
        }
        _ => return None,
    })
}
