//! Functions that are not ready yet, and mappings on their way.

use serde_json::{Value, json};

use super::{Event, Given, MAPPING, PENDING, Play, Plays, ROLE, Scene, UPDATING};
use crate::proxy::lock;
use crate::proxy::wire::{Answer, To};

impl Plays {
    pub(super) fn lambda(
        &self,
        operation: &str,
        object: &str,
        request: &Value,
        to: &To<'_>,
    ) -> Given {
        const IN_USE: &str = "because it is in use.";
        let scene = lock(&self.scene);
        let parameter = |text: &str| {
            Some((
                ROLE.name(),
                to.error(400, "InvalidParameterValueException", text),
            ))
        };
        match operation {
            "UpdateFunctionCode" | "UpdateFunctionConfiguration" | "Invoke" | "PublishVersion" => {
                if scene.fresh(Event::FunctionCreated, object, scene.time(PENDING)) {
                    let text = "The operation cannot be performed at this time. The function is currently in the following state: Pending";
                    return Some((
                        PENDING.name(),
                        to.error(409, "ResourceConflictException", text),
                    ));
                }
                if scene.fresh(Event::FunctionUpdated, object, scene.time(UPDATING)) {
                    let text = format!(
                        "The operation cannot be performed at this time. An update is in progress for resource: {object}"
                    );
                    return Some((
                        UPDATING.name(),
                        to.error(409, "ResourceConflictException", &text),
                    ));
                }
            }
            "UpdateEventSourceMapping" | "DeleteEventSourceMapping" => {
                let verb = if operation.starts_with("Update") {
                    "update"
                } else {
                    "delete"
                };
                if scene.mapping(object).is_some() {
                    let text = format!("Cannot {verb} the event source mapping {IN_USE}");
                    return Some((
                        MAPPING.name(),
                        to.error(400, "ResourceInUseException", &text),
                    ));
                }
            }
            "GetEventSourceMapping"
                if scene.fresh(Event::MappingDeleted, object, scene.time(MAPPING)) =>
            {
                let shown = scene
                    .shown
                    .get(&(Event::MappingDeleted, object.to_owned()))?;
                return Some((MAPPING.name(), Answer::json(200, shown)));
            }
            "CreateEventSourceMapping" => {
                let source = request["EventSourceArn"].as_str().unwrap_or_default();
                let other = scene.shown.iter().find(|((event, uuid), shown)| {
                    *event == Event::MappingDeleted
                        && shown["EventSourceArn"] == source
                        && scene.fresh(*event, uuid, scene.time(MAPPING))
                });
                if let Some(((_, uuid), _)) = other {
                    return Some((MAPPING.name(), taken(to, source, object, uuid)));
                }
            }
            _ => {}
        }
        let role = match operation {
            "CreateFunction" | "UpdateFunctionConfiguration" => request["Role"]
                .as_str()
                .and_then(|arn| arn.rsplit('/').next())
                .map(str::to_owned),
            "CreateEventSourceMapping" => scene.roles.get(object).cloned(),
            _ => None,
        }?;
        let time = scene.time(ROLE);
        if operation == "CreateEventSourceMapping" {
            if scene.fresh(Event::PolicyWritten, &role, time) {
                return parameter(
                    "The function execution role does not have permissions to call ReceiveMessage on SQS",
                );
            }
        } else if scene.fresh(Event::RoleCreated, &role, time) {
            return parameter("The role defined for the function cannot be assumed by Lambda.");
        }
        None
    }

    pub(super) async fn second_mapping(
        &self,
        function: &str,
        request: &Value,
        to: &To<'_>,
    ) -> Given {
        if !lock(&self.scene).is_on(Play::OneMapping) {
            return None;
        }
        let source = request["EventSourceArn"].as_str()?;
        let list = self
            .aws
            .lambda
            .list_event_source_mappings()
            .function_name(function)
            .event_source_arn(source);
        let found = list.send().await.ok()?;
        let uuid = found.event_source_mappings().first()?.uuid()?;
        Some((Play::OneMapping.name(), taken(to, source, function, uuid)))
    }
}

/// A mapping's place is taken.
fn taken(to: &To<'_>, source: &str, function: &str, uuid: &str) -> Answer {
    let text = format!(
        "An event source mapping with SQS arn (\" {source} \") and function (\" {function} \") already exists. \
         Please update or delete the existing mapping with UUID {uuid}"
    );
    to.error(409, "ResourceConflictException", &text)
}

/// How an answer about functions is told.
pub(super) fn told_of_functions(
    scene: &mut Scene,
    operation: &str,
    object: &str,
    answer: &mut Answer,
) -> Option<&'static str> {
    let mut value = answer.value();
    match operation {
        "CreateFunction" => {
            scene.begin(Event::FunctionCreated, object);
            let role = value["Role"]
                .as_str()
                .and_then(|arn| arn.rsplit('/').next())
                .unwrap_or_default()
                .to_owned();
            scene.roles.insert(object.to_owned(), role);
        }
        "UpdateFunctionCode" | "UpdateFunctionConfiguration" => {
            scene.begin(Event::FunctionUpdated, object);
        }
        "DeleteFunction" => {
            scene.end(Event::FunctionCreated, object);
            scene.end(Event::FunctionUpdated, object);
        }
        "AddPermission" => scene.begin(Event::PermissionAdded, object),
        _ => {}
    }
    let uuid = value["UUID"].as_str().unwrap_or_default().to_owned();
    match operation {
        "CreateEventSourceMapping" => scene.begin(Event::MappingCreated, &uuid),
        "UpdateEventSourceMapping" => scene.begin(Event::MappingUpdated, &uuid),
        "DeleteEventSourceMapping" => {
            scene.begin(Event::MappingDeleted, &uuid);
            value["State"] = json!("Deleting");
            scene
                .shown
                .insert((Event::MappingDeleted, uuid.clone()), value.clone());
        }
        _ => {}
    }
    if operation == "ListEventSourceMappings" {
        let deleting: Vec<Value> = scene
            .shown
            .iter()
            .filter(|((event, uuid), shown)| {
                let function = shown["FunctionArn"].as_str().unwrap_or_default();
                scene.fresh(*event, uuid, scene.time(MAPPING))
                    && *event == Event::MappingDeleted
                    && (function.ends_with(object)
                        || shown["EventSourceArn"]
                            .as_str()
                            .is_some_and(|arn| arn.ends_with(object)))
            })
            .map(|(_, shown)| shown.clone())
            .collect();
        let all = value["EventSourceMappings"].as_array_mut()?;
        let mut changed = !deleting.is_empty();
        for mapping in all.iter_mut() {
            let state = scene.mapping(mapping["UUID"].as_str().unwrap_or_default());
            if let Some(state) = state {
                mapping["State"] = json!(state);
                changed = true;
            }
        }
        all.extend(deleting);
        answer.replace(&value);
        return changed.then(|| MAPPING.name());
    }
    if let Some(state) = scene.mapping(&uuid) {
        value["State"] = json!(state);
        answer.replace(&value);
        return Some(MAPPING.name());
    }
    let function = if value["Configuration"].is_object() {
        &mut value["Configuration"]
    } else {
        &mut value
    };
    if function["FunctionName"].as_str() != Some(object) || !function["FunctionArn"].is_string() {
        return None;
    }
    if scene.fresh(Event::FunctionCreated, object, scene.time(PENDING)) {
        function["State"] = json!("Pending");
        function["StateReason"] = json!("The function is being created.");
        function["StateReasonCode"] = json!("Creating");
        function["LastUpdateStatus"] = Value::Null;
        answer.replace(&value);
        return Some(PENDING.name());
    }
    if scene.fresh(Event::FunctionUpdated, object, scene.time(UPDATING)) {
        function["LastUpdateStatus"] = json!("InProgress");
        function["LastUpdateStatusReason"] = json!("The function is being created.");
        function["LastUpdateStatusReasonCode"] = json!("Creating");
        answer.replace(&value);
        return Some(UPDATING.name());
    }
    None
}
