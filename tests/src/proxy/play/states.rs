//! State machines that take their time to go.

use aws_sdk_sfn::types::ExecutionStatus;
use serde_json::{Value, json};

use super::{Event, Given, MACHINE, Plays, ROLE};
use crate::proxy::lock;
use crate::proxy::wire::{Answer, To};

impl Plays {
    /// Whether executions of a state machine are running.
    async fn is_busy(&self, arn: &str) -> bool {
        let list = self.aws.sfn.list_executions().state_machine_arn(arn);
        let list = list.status_filter(ExecutionStatus::Running).send().await;
        list.is_ok_and(|list| !list.executions().is_empty())
    }

    /// A state machine that is to be deleted, as it is shown; it is deleted once none of its executions is running.
    async fn held(&self, object: &str) -> Option<Value> {
        let key = (Event::MachineHeld, object.to_owned());
        let shown = lock(&self.scene).shown.get(&key).cloned()?;
        let arn = shown["stateMachineArn"].as_str()?;
        if self.is_busy(arn).await {
            return Some(shown);
        }
        let delete = self.aws.sfn.delete_state_machine().state_machine_arn(arn);
        delete.send().await.ok()?;
        let mut scene = lock(&self.scene);
        scene.shown.remove(&key);
        scene.begin(Event::MachineDeleted, object);
        scene
            .shown
            .insert((Event::MachineDeleted, object.to_owned()), shown);
        None
    }

    pub(super) async fn machine(
        &self,
        operation: &str,
        object: &str,
        request: &Value,
        to: &To<'_>,
    ) -> Given {
        let held = self.held(object).await;
        let deleting = held.or_else(|| {
            let scene = lock(&self.scene);
            scene
                .fresh(Event::MachineDeleted, object, scene.time(MACHINE))
                .then(|| {
                    scene
                        .shown
                        .get(&(Event::MachineDeleted, object.to_owned()))
                        .cloned()
                        .unwrap_or_default()
                })
        });
        match (operation, deleting) {
            ("DescribeStateMachine", Some(shown)) => {
                Some((MACHINE.name(), Answer::json(200, &shown)))
            }
            ("DeleteStateMachine", Some(_)) => {
                Some((MACHINE.name(), Answer::json(200, &json!({}))))
            }
            ("CreateStateMachine" | "UpdateStateMachine" | "StartExecution", Some(shown)) => {
                let text = format!(
                    "State Machine is being deleted: '{}'",
                    shown["stateMachineArn"].as_str().unwrap_or(object)
                );
                Some((MACHINE.name(), to.error(400, "StateMachineDeleting", &text)))
            }
            ("DeleteStateMachine", None) => {
                if lock(&self.scene).is_on(MACHINE) {
                    let arn = request["stateMachineArn"].as_str()?;
                    let found = self
                        .aws
                        .sfn
                        .describe_state_machine()
                        .state_machine_arn(arn)
                        .send()
                        .await
                        .ok()?;
                    let shown = json!({
                        "stateMachineArn": arn,
                        "name": found.name(),
                        "status": "DELETING",
                        "type": found.r#type().as_str(),
                        "roleArn": found.role_arn(),
                        "definition": found.definition(),
                        "creationDate": found.creation_date().as_secs_f64(),
                    });
                    let busy = self.is_busy(arn).await;
                    let event = if busy {
                        Event::MachineHeld
                    } else {
                        Event::MachineDeleted
                    };
                    let mut scene = lock(&self.scene);
                    scene.shown.insert((event, object.to_owned()), shown);
                    if busy {
                        return Some((MACHINE.name(), Answer::json(200, &json!({}))));
                    }
                }
                None
            }
            ("CreateStateMachine" | "UpdateStateMachine", None) => {
                let role = request["roleArn"].as_str()?.rsplit('/').next()?;
                let scene = lock(&self.scene);
                let time = scene.time(ROLE);
                let text = if scene.fresh(Event::RoleCreated, role, time) {
                    "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the \
                     provided role."
                } else if scene.fresh(Event::PolicyWritten, role, time) {
                    "The state machine IAM Role is not authorized to access the Log Destination"
                } else {
                    return None;
                };
                Some((ROLE.name(), to.error(400, "AccessDeniedException", text)))
            }
            _ => None,
        }
    }
}
