//! Whether a request is allowed by a pipeline's policies, as AWS decides it.
//!
//! The crate `iam-rs` says what each policy means for a request. Here is only how AWS puts these answers together, see
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html>.

use std::collections::BTreeMap;

use iam_rs::{
    Arn, Context, Decision, IAMPolicy, IAMRequest, PolicyEvaluator, Principal, PrincipalId,
};
use serde_json::{Value, json};

use super::documents::{Document, Kind};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// One of our roles, by its ARN.
    Role(String),
    /// An AWS service on its own behalf.
    Service(&'static str),
    /// The administrator of an account, whose own policies allow everything.
    Administrator(&'static str),
    /// The bearer of a policy that hangs on nobody yet, by the document's name.
    Bearer(&'static str),
}

/// What AWS answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A statement allows it, and none refuses it.
    Allowed,
    /// No statement allows it.
    Denied,
    /// A statement refuses it, whatever others allow.
    Refused,
}

/// One request, and what must come of it.
#[derive(Debug, Clone)]
pub struct Row {
    pub who: Who,
    pub action: String,
    pub resource: String,
    /// Beside what every request has.
    pub context: Vec<(&'static str, String)>,
    pub outcome: Outcome,
}

/// The account of all rows.
pub const ACCOUNT: &str = "123456789012";

/// Documents, ready to be asked.
#[derive(Debug, Clone)]
pub struct Policies {
    parsed: BTreeMap<String, (Kind, PolicyEvaluator)>,
    everything: PolicyEvaluator,
}

impl Policies {
    pub fn new(documents: &[Document]) -> Self {
        let mut policies = Self {
            parsed: BTreeMap::new(),
            everything: evaluator(&json!({"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
            ]})),
        };
        for document in documents {
            policies.set(document);
        }
        policies
    }

    /// Adds a document, or replaces that of its name.
    pub fn set(&mut self, document: &Document) {
        let mut policy = document.policy.clone();
        // A trust policy's resource is the role it hangs on, and may not be written.
        if let (Kind::Trust(role), Some(statements)) =
            (&document.kind, policy["Statement"].as_array_mut())
        {
            for statement in statements {
                statement["Resource"] = json!(role);
            }
        }
        // Keys are the same in any case to AWS, not to the evaluator.
        if let Some(statements) = policy["Statement"].as_array_mut() {
            let operators = statements
                .iter_mut()
                .filter_map(|statement| statement.get_mut("Condition")?.as_object_mut())
                .flat_map(|operators| operators.values_mut());
            for keys in operators.filter_map(Value::as_object_mut) {
                *keys = std::mem::take(keys)
                    .into_iter()
                    .map(|(key, values)| (key.to_lowercase(), values))
                    .collect();
            }
        }
        let value = (document.kind.clone(), evaluator(&policy));
        self.parsed.insert(document.name.clone(), value);
    }

    fn resource_policy(&self, action: &str, resource: &str) -> Option<&PolicyEvaluator> {
        let bucket = resource.split('/').next().unwrap_or(resource);
        let of = |kind: &Kind| match kind {
            Kind::Identity(_) => false,
            Kind::Trust(arn) => action == "sts:AssumeRole" && arn == resource,
            Kind::Resource(arn) => {
                arn == resource || (arn.starts_with("arn:aws:s3:") && arn == bucket)
            }
        };
        let found = self.parsed.values().find(|(kind, _)| of(kind));
        found.map(|(_, policy)| policy)
    }

    fn identity_policy(&self, who: &Who) -> Option<&PolicyEvaluator> {
        match who {
            Who::Service(_) => None,
            Who::Administrator(_) => Some(&self.everything),
            Who::Bearer(name) => Some(&self.parsed.get(*name)?.1),
            Who::Role(arn) => {
                let of = |kind: &Kind| matches!(kind, Kind::Identity(Some(found)) if found == arn);
                let found = self.parsed.values().find(|(kind, _)| of(kind));
                found.map(|(_, policy)| policy)
            }
        }
    }

    /// What comes of a row's request.
    pub fn outcome(&self, row: &Row) -> Outcome {
        let (account, principal) = match &row.who {
            Who::Role(arn) => (ACCOUNT, aws(arn)),
            Who::Bearer(_) => (ACCOUNT, aws(&format!("arn:aws:iam::{ACCOUNT}:user/bearer"))),
            Who::Administrator(account) => (
                *account,
                aws(&format!("arn:aws:iam::{account}:user/administrator")),
            ),
            Who::Service(name) => (
                "",
                Principal::Service(PrincipalId::String((*name).to_owned())),
            ),
        };
        let service = account.is_empty();
        let mut context = Context::new()
            .with_boolean("aws:securetransport", true)
            .with_boolean("aws:principalisawsservice", service);
        if !service {
            context = context.with_string("aws:principalaccount", account);
        }
        for (key, value) in &row.context {
            let key = key.to_lowercase();
            context = match value.parse() {
                Ok(flag) => context.with_boolean(key, flag),
                Err(_) => context.with_string(key, value),
            };
        }
        let ask = |policy: Option<&PolicyEvaluator>, principal: &Principal| {
            let resource = Arn::parse(&row.resource)
                .unwrap_or_else(|error| panic!("{}: {error}", row.resource));
            let request = IAMRequest::new_with_context(
                principal.clone(),
                row.action.as_str(),
                resource,
                context.clone(),
            );
            policy.map_or(Decision::NotApplicable, |policy| {
                let result = policy.evaluate(&request);
                let result = result.unwrap_or_else(|error| panic!("{row:?}: {error}"));
                result.decision
            })
        };
        let hung = self.resource_policy(&row.action, &row.resource);
        let identity = ask(self.identity_policy(&row.who), &principal);
        let named = ask(hung, &principal);
        if identity == Decision::Deny || named == Decision::Deny {
            return Outcome::Refused;
        }
        let (identity, named) = (identity == Decision::Allow, named == Decision::Allow);
        // A statement for the account's root leaves the choice to the account's own policies.
        let delegated = !service && ask(hung, &aws(account)) == Decision::Allow;
        // Keys and roles have no owner beside their policy.
        let policy_decides = ["kms:", "sts:AssumeRole"]
            .iter()
            .any(|start| row.action.starts_with(start));
        let allowed = if service {
            named
        } else if account != ACCOUNT {
            identity && (named || delegated)
        } else if policy_decides && hung.is_some() {
            named || (delegated && identity)
        } else {
            identity || named
        };
        if allowed {
            Outcome::Allowed
        } else {
            Outcome::Denied
        }
    }
}

fn aws(id: &str) -> Principal {
    Principal::Aws(PrincipalId::String(id.to_owned()))
}

fn evaluator(policy: &Value) -> PolicyEvaluator {
    let parsed: IAMPolicy = serde_json::from_value(policy.clone())
        .unwrap_or_else(|error| panic!("{error}: {policy:#}"));
    PolicyEvaluator::with_policies(vec![parsed])
}

/// A document without one of the things in it, and what that was.
pub fn without_one_thing(document: &Document) -> Vec<(String, Document)> {
    let mut found = Vec::new();
    for (number, (sid, statement)) in document.statements().enumerate() {
        let mut without = |what: String, change: &dyn Fn(&mut Value)| {
            let mut document = document.clone();
            change(&mut document.policy["Statement"]);
            let what = format!("{}, statement {sid}: {what}", document.name);
            found.push((what, document));
        };
        without("the whole".to_owned(), &|all| {
            all.as_array_mut().map(|all| all.remove(number));
        });
        let lists = ["Action", "Resource"]
            .into_iter()
            .map(|element| format!("/{element}"))
            .chain(
                super::documents::conditions(statement).map(|(operator, key, _)| {
                    format!("/Condition/{operator}/{}", key.replace('/', "~1"))
                }),
            );
        for pointer in lists {
            let values = statement.pointer(&pointer).and_then(Value::as_array);
            for (at, value) in values
                .into_iter()
                .flatten()
                .enumerate()
                .filter(|_| values.is_some_and(|values| values.len() > 1))
            {
                without(format!("{value} of {pointer}"), &|all| {
                    let list = all[number].pointer_mut(&pointer);
                    list.and_then(Value::as_array_mut)
                        .map(|list| list.remove(at));
                });
            }
        }
        for (operator, key, _) in super::documents::conditions(statement) {
            without(format!("the condition {operator} {key}"), &|all| {
                let keys = all[number]["Condition"][operator].as_object_mut();
                let none_left = keys.is_some_and(|keys| {
                    keys.remove(key);
                    keys.is_empty()
                });
                if none_left && let Some(operators) = all[number]["Condition"].as_object_mut() {
                    operators.remove(operator);
                }
            });
        }
    }
    found
}
