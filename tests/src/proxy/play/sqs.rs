//! Queues that show late, and whose names are not to be had again at once.

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::{Map, Value, json};

use super::{Event, Given, Plays, RECENTLY, STALE};
use crate::proxy::lock;
use crate::proxy::wire::{Answer, To};

impl Plays {
    pub(super) async fn queue(
        &self,
        operation: &str,
        object: &str,
        request: &Value,
        to: &To<'_>,
    ) -> Given {
        if operation == "CreateQueue" {
            let scene = lock(&self.scene);
            if scene.fresh(Event::QueueDeleted, object, scene.time(RECENTLY)) {
                let code = "AWS.SimpleQueueService.QueueDeletedRecently";
                let text = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
                return Some((RECENTLY.name(), to.error(400, code, text)));
            }
        }
        let sets_policy = request["Attributes"].get("Policy").is_some();
        if matches!(operation, "CreateQueue" | "SetQueueAttributes") && sets_policy {
            let text = "Invalid value for the parameter Policy.";
            let refused = self.unknown_principal(to.error(400, "InvalidAttributeValue", text));
            if refused.is_some() {
                return refused;
            }
        }
        let stale = lock(&self.scene).is_on(STALE);
        match operation {
            "CreateQueue" if stale => {
                let known = self
                    .aws
                    .sqs
                    .get_queue_url()
                    .queue_name(object)
                    .send()
                    .await
                    .is_ok();
                if !known {
                    lock(&self.scene).begin(Event::QueueCreated, object);
                }
                None
            }
            "SetQueueAttributes" if stale => {
                let url = request["QueueUrl"].as_str()?;
                let all = self
                    .aws
                    .sqs
                    .get_queue_attributes()
                    .queue_url(url)
                    .attribute_names(QueueAttributeName::All);
                let answer = all.send().await.ok()?;
                let attributes = answer.attributes().into_iter().flatten();
                let shown: Map<String, Value> = attributes
                    .map(|(name, value)| (name.as_str().to_owned(), json!(value)))
                    .collect();
                let mut scene = lock(&self.scene);
                // A second change at once hides the first one, too.
                if !scene.fresh(Event::QueueChanged, object, scene.time(STALE)) {
                    scene.shown.insert(
                        (Event::QueueChanged, object.to_owned()),
                        Value::Object(shown),
                    );
                }
                None
            }
            "GetQueueUrl" | "GetQueueAttributes" | "ListQueueTags" => {
                let scene = lock(&self.scene);
                let time = scene.time(STALE);
                if scene.fresh(Event::QueueCreated, object, time) {
                    let code = "AWS.SimpleQueueService.NonExistentQueue";
                    let text = "The specified queue does not exist.";
                    return Some((STALE.name(), to.error(400, code, text)));
                }
                if operation == "GetQueueAttributes"
                    && scene.fresh(Event::QueueChanged, object, time)
                {
                    let shown = scene.shown.get(&(Event::QueueChanged, object.to_owned()))?;
                    let wanted: Vec<&str> = request["AttributeNames"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str)
                        .collect();
                    let wanted = |name: &str| wanted.contains(&"All") || wanted.contains(&name);
                    let shown: Map<String, Value> = shown
                        .as_object()
                        .into_iter()
                        .flatten()
                        .filter(|(name, _)| wanted(name))
                        .map(|(name, value)| (name.clone(), value.clone()))
                        .collect();
                    return Some((
                        STALE.name(),
                        Answer::json(200, &json!({"Attributes": shown})),
                    ));
                }
                None
            }
            _ => None,
        }
    }
}
