//! States of older schema versions, brought up to the present one.

use serde_json::Value as Json;
use tfplugin::{Diagnostic, Diagnostics};

/// What makes a state of version N one of version N + 1, for N from 0 on.
type Step = fn(&mut super::Tree);

/// One step for each version there was. An attribute that is new, or is no more, needs none: it is null, or left out.
const STEPS: &[Step] = &[];

/// The schema's version; it rises when a state of an older version needs a change to be read.
#[allow(
    clippy::cast_possible_wrap,
    reason = "there will not be that many versions"
)]
pub const VERSION: i64 = STEPS.len() as i64;

/// A state of an older version as one of the present version.
///
/// # Errors
/// The state is none of ours.
pub fn upgrade(version: i64, state: Json) -> Result<Json, Diagnostics> {
    climb(STEPS, version, state)
}

fn climb(steps: &[Step], version: i64, state: Json) -> Result<Json, Diagnostics> {
    let rest = usize::try_from(version)
        .ok()
        .and_then(|from| steps.get(from..));
    let (Json::Object(mut tree), Some(rest)) = (state, rest) else {
        let detail =
            format!("No provider of this name wrote a state of version {version} like this.");
        return Err(vec![Diagnostic::error(
            "The saved state cannot be read",
            detail,
        )]);
    };
    for step in rest {
        step(&mut tree);
    }
    Ok(Json::Object(tree))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_state_takes_every_step_from_its_own_version_on() {
        let steps: &[Step] = &[
            |tree| drop(tree.insert("one".to_owned(), json!(1))),
            |tree| {
                if let Some(old) = tree.remove("title") {
                    tree.insert("name".to_owned(), old);
                }
            },
        ];
        let state = || json!({ "title": "orders" });
        assert_eq!(
            climb(steps, 0, state()).unwrap(),
            json!({ "one": 1, "name": "orders" })
        );
        assert_eq!(
            climb(steps, 1, state()).unwrap(),
            json!({ "name": "orders" })
        );
        assert_eq!(climb(steps, 2, state()).unwrap(), state());
        assert!(climb(steps, 3, state()).is_err());
        assert!(climb(steps, -1, state()).is_err());
        assert!(climb(steps, 0, json!([])).is_err());
    }
}
