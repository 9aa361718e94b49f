//! Subscriptions that wait for their receivers.

use super::{Play, Scene};
use crate::proxy::call;
use crate::proxy::wire::Answer;

/// How an answer about subscriptions is told.
pub(super) fn told_of_subscriptions(
    scene: &mut Scene,
    operation: &str,
    body: &[u8],
    answer: &mut Answer,
) -> Option<&'static str> {
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let mut told = text.clone();
    match operation {
        "Subscribe" => {
            let arn = text
                .split_once("<SubscriptionArn>")?
                .1
                .split_once("</SubscriptionArn>")?
                .0;
            if !call::form(body, "Protocol")?.starts_with("email") {
                return None;
            }
            let endpoint = call::form(body, "Endpoint")?;
            scene.pending.entry(arn.to_owned()).or_insert(endpoint);
            if call::form(body, "ReturnSubscriptionArn").as_deref() != Some("true") {
                told = text.replace(arn, "pending confirmation");
            }
        }
        "ListSubscriptions" | "ListSubscriptionsByTopic" => {
            for arn in scene.pending.keys() {
                told = told.replace(
                    &format!("<SubscriptionArn>{arn}</SubscriptionArn>"),
                    "<SubscriptionArn>PendingConfirmation</SubscriptionArn>",
                );
            }
        }
        "GetSubscriptionAttributes"
            if scene
                .pending
                .contains_key(&call::form(body, "SubscriptionArn")?) =>
        {
            let says =
                |value: &str| format!("<key>PendingConfirmation</key><value>{value}</value>");
            told = told.replace(&says("false"), &says("true"));
        }
        _ => return None,
    }
    let changed = told != text;
    answer.body = told.into();
    changed.then(|| Play::EmailPending.name())
}
