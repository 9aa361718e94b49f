//! What a user is told of an operation that went otherwise than Terraform expects.

use std::time::Duration;

use tfplugin::{Diagnostic, Diagnostics, Path, Value, Work};

use super::apply::{Deadline, Outcome};
use super::blueprint::Blueprint;
use super::claims::Taken;
use super::findings::{Findings, refusals};
use super::left::Left;
use super::state;
use super::warnings::{unseen, warning_of};
use crate::documents::Place;
use crate::engine::Failure;
use crate::parts::tags::MARK;

pub fn told(failure: &Failure) -> Diagnostic {
    let summary = if failure.operation.is_empty() {
        failure.object.clone()
    } else {
        format!("{} failed for \"{}\"", failure.operation, failure.object)
    };
    let mut detail = failure.why();
    if let Some(advice) = &failure.advice {
        detail.push_str("\n\n");
        detail.push_str(advice);
    }
    Diagnostic::error(summary, detail)
}

/// Each failure once: parts that share a call share its failure.
pub fn all_told(failures: &[Failure]) -> Diagnostics {
    let mut diagnostics = Vec::new();
    for diagnostic in failures.iter().map(told) {
        if !diagnostics.contains(&diagnostic) {
            diagnostics.push(diagnostic);
        }
    }
    diagnostics
}

pub fn not_configured() -> Diagnostics {
    let detail = "The provider block depends on values that are not known yet.";
    vec![Diagnostic::error("Provider not configured", detail)]
}

/// Warns of parts that a state tells of, that exist, and that do not carry this pipeline's mark.
pub fn unmarked(blueprint: &Blueprint, findings: &Findings) -> Diagnostics {
    let told = |failure: &Failure| {
        let detail = format!(
            "{}. It counts as missing: an apply that is to have it is refused, and one that takes it out, or a destroy, leaves it, or is refused where what it holds would be lost. {}",
            failure.message,
            give_back(blueprint.mark())
        );
        Diagnostic::warning(failure.object.clone(), detail)
    };
    refusals(blueprint, findings).iter().map(told).collect()
}

fn give_back(mark: Option<String>) -> String {
    format!(
        "If it is this pipeline's, give it back its tag {MARK} = {}; a dashboard has that in the text of its first widget.",
        mark.unwrap_or_default()
    )
}

/// The parts that are not ours, where an apply would make or change them: what is there already, or of the pipeline that is `known` and may have lost its mark.
pub fn in_the_way(mut refusals: Vec<Failure>, known: Option<&Blueprint>) -> Diagnostics {
    if let Some(known) = known {
        for refusal in &mut refusals {
            let advice = refusal.advice.take().unwrap_or_default();
            refusal.advice = Some(format!("{} {advice}", give_back(known.mark())));
        }
    }
    all_told(&refusals)
}

/// The ways on where an alias is another key's.
pub const ANOTHER_ALIAS: &str = "Give `key.alias` another name, or point the alias back with `aws kms update-alias` if nothing needs it there.";

/// That the alias that the pipeline's key is to get is another key's.
pub fn alias_elsewhere(alias: &str, other: &str) -> Diagnostic {
    let detail = format!(
        "The alias that the pipeline's key is to have, {alias}, is of {other}. An apply fails for that. {ANOTHER_ALIAS}"
    );
    let path = Path::root().attribute("key").attribute("alias");
    Diagnostic::warning("The alias of another key", detail).at(path)
}

/// That nobody has looked whether there is room for what is to replace the pipeline.
pub fn not_foreseen() -> Diagnostic {
    let detail = "The provider block depends on values that are known only after apply, so nobody has looked whether there is room for the new pipeline. Should its names be taken, the old one is destroyed all \
                  the same. Apply what the provider block comes from first.";
    Diagnostic::warning("The replacement was not looked at", detail)
}

/// That there is nothing of the pipeline, or that nothing of what has its names carries its mark, for whoever would import it.
pub fn not_ours(
    id: &str,
    place: &Place,
    blueprint: &Blueprint,
    findings: &Findings,
) -> Diagnostics {
    if !refusals(blueprint, findings).is_empty() {
        return vec![strangers(blueprint, findings, ", and import it then.")];
    }
    let detail = format!(
        "Nothing was found of the pipeline \"{id}\" in region {} of account {}. An id is NAME, for the environment devl, or NAME/ENVIRONMENT.",
        place.region, place.account
    );
    vec![Diagnostic::error("No such pipeline", detail)]
}

/// The same of a pipeline that a state tells of, for whoever would change or destroy it.
pub fn not_ours_any_more(blueprint: &Blueprint, findings: &Findings) -> Diagnostics {
    let way_on = ". Nothing was changed or destroyed, and the state keeps what it has. Where it is another's by now, take the object out of the state with `terraform state rm`, and remove \
                  what is left of it by hand.";
    vec![strangers(blueprint, findings, way_on)]
}

fn strangers(blueprint: &Blueprint, findings: &Findings, way_on: &str) -> Diagnostic {
    let refusals = refusals(blueprint, findings);
    let found: Vec<&str> = refusals.iter().map(|one| one.object.as_str()).collect();
    let detail = format!(
        "What has the names of this pipeline does not carry its tag, {MARK} = {}: {}. Where it is this pipeline's, give it back the tag{way_on}",
        blueprint.mark().unwrap_or_default(),
        found.join(", ")
    );
    Diagnostic::error("No part of this pipeline", detail)
}

pub fn too_late(operation: &str, limit: Duration) -> Diagnostic {
    // Terraform refreshes and destroys with what the state has, and tells nothing of the configuration.
    let way_on = match operation {
        "read" => ", and apply that with -refresh=false",
        "delete" => {
            ": it counts once it has been applied. A destroy that is run again goes on from where this one ended"
        }
        _ => "",
    };
    let detail = format!(
        "The {operation} was not done within {}. Raise timeouts.{operation} if it needs longer{way_on}.",
        humantime::format_duration(limit)
    );
    Diagnostic::error("Time is over", detail)
}

/// What AWS alone says was known in the plan and came out otherwise.
pub fn made_anew(attributes: &[String]) -> Diagnostic {
    let detail = format!(
        "Between the refresh that the plan went by (with `-refresh=false`, an earlier one) and now somebody, or another resource of this run that holds the same pipeline, removed what these attributes tell of, and it was made anew: {}. Everything was applied, and the state has the new values; what was made from the old ones elsewhere in the configuration has to be made again. Run the plan and apply once more.",
        attributes.join(", ")
    );
    Diagnostic::error("Made anew since the plan", detail)
}

/// What was written and does not show.
pub fn not_shown(failures: &[Failure]) -> Diagnostics {
    let told = |failure: &Failure| {
        let detail = format!(
            "It was written, and was not seen so: {}. The next plan tells what AWS shows.",
            failure.why()
        );
        Diagnostic::warning(failure.object.clone(), detail)
    };
    let failures = failures.iter().filter(|failure| !failure.interrupted);
    failures.map(told).collect()
}

/// Functions that the plan left the code they had, and that have other code by now.
pub fn other_code(planned: &Value, observed: &state::Observed) -> Diagnostics {
    let told = |function: &str| {
        let path = Path::root().attribute(function).attribute("code_sha256");
        let expected = planned.at(&path)?.as_str()?;
        let found = observed.get(&[function.to_owned()][..])?.as_ref()?;
        let found = found.get("code_sha256")?.as_str()?;
        if found == expected {
            return None;
        }
        let detail = format!(
            "Somebody deployed other code since the plan, which leaves the function what it has: its SHA-256 is {found}, and was {expected}. The next plan shows it."
        );
        Some(Diagnostic::warning("Other code than in the plan", detail).at(path))
    };
    ["processing", "integration"]
        .into_iter()
        .filter_map(told)
        .collect()
}

/// What somebody has changed or removed since the plan of a pipeline: what was left, and what was not.
pub fn since(whose: &str, left: &Left) -> Vec<Diagnostic> {
    let told = |summary: &str, labels: &[String], what: &str| {
        let labels = Some(labels.join(", ")).filter(|labels| !labels.is_empty())?;
        let detail = format!("{what}: {labels}.");
        Some(warning_of(whose, summary, detail))
    };
    let titles: Vec<String> = left
        .missing
        .iter()
        .map(|(_, title)| title.clone())
        .collect();
    let missing = left.missing.iter().map(|(path, _)| path.join("."));
    let cut: Vec<String> = missing.chain(left.overwritten.iter().cloned()).collect();
    [
        told(
            "Changed since the plan",
            &left.since,
            "Somebody has changed these since the plan, which does not change them, so they were left as they are, and the next plan shows them",
        ),
        told(
            "Put back since the plan",
            &left.overwritten,
            "Somebody has changed these since the plan, which does not tell of it. The apply puts them back all the same, since AWS writes them in one with what the plan \
             changes, or nothing was left of them",
        ),
        told(
            "Removed since the plan",
            &titles,
            "The plan took these for being there, and somebody has removed them since. They are made anew, without what was in them",
        ),
        unseen(whose, cut.iter().map(String::as_str)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// That two resources are to be one pipeline, or to have one part.
pub fn twice(taken: Taken, id: &str) -> Diagnostic {
    let (summary, detail) = match taken {
        Taken::Pipeline => (
            "Pipeline twice",
            format!(
                "Another resource of this configuration makes the pipeline \"{id}\". Each needs a name or an environment of its own."
            ),
        ),
        Taken::Part((kind, name)) => (
            "Part twice",
            format!(
                "Another pipeline of this configuration makes the {kind} \"{name}\". Each needs one with a name of its own."
            ),
        ),
    };
    Diagnostic::error(summary, detail).at(Path::root().attribute("name"))
}

/// The same, where a plan shows it.
pub fn to_be_twice(taken: Taken, id: &str) -> Diagnostic {
    let mut told = twice(taken, id);
    told.detail.push_str(
        " An apply would destroy what each of them is now, and make one. To destroy them as they are, run `terraform destroy`.",
    );
    told
}

/// That the pipeline's own key went since the plan.
pub fn key_gone(id: &str) -> Diagnostic {
    let detail = format!(
        "The pipeline's KMS key {id} was there when the plan was made, and now it is not, or waits for its deletion. Nothing was changed: with another key the files of open callbacks and the messages in the queues could not \
         be read. A key that waits for its deletion can be had back, `aws kms cancel-key-deletion --key-id {id}`; the next plan shows how it is then. To go on with another key, make a new plan, with a refresh."
    );
    let path = Path::root().attribute("key");
    Diagnostic::error("Key removed since the plan", detail).at(path)
}

/// That a key of the user's own cannot be used.
pub fn key_of_no_use(arn: &str, why: &str, replaces: bool) -> Diagnostic {
    let detail = format!(
        "{arn} {why}, and nothing of the pipeline works without it. A key that waits for its deletion can be had back: `aws kms cancel-key-deletion` and `aws kms enable-key`, with this ARN as --key-id."
    );
    let path = Path::root().attribute("kms_key_arn");
    let summary = "The key cannot be used";
    // What stands would be destroyed for what cannot be made.
    let told = if replaces {
        Diagnostic::error(summary, detail)
    } else {
        Diagnostic::warning(summary, detail)
    };
    told.at(path)
}

/// Refuses to go on with an object of the state whose pipeline is another by now.
pub fn another_stands(id: &str) -> Diagnostic {
    let detail = format!(
        "The pipeline \"{id}\" that stands is another than the one this object of the state tells of: it was made anew since. Take the old object out of the state, `terraform state rm ADDRESS`, and the new pipeline into it, \
         `terraform import ADDRESS {id}`, unless another configuration holds it."
    );
    let path = Path::root().attribute("name");
    Diagnostic::error("Pipeline made anew", detail).at(path)
}

/// What a create that did not get to its end means to Terraform, and the way on.
pub fn in_part() -> Diagnostic {
    Diagnostic::warning(
        "The pipeline is there in part",
        "What exists is in the state, and Terraform calls it tainted: the next apply would destroy it and begin anew. To go on from \
         where this apply ended, run `terraform untaint` for this resource before the next apply.",
    )
}

/// That the work was ended before its end: by the user, or by its time limit.
pub fn cut_short(work: &Work, operation: &str, limit: Duration) -> Diagnostic {
    if work.is_cancelled() {
        let detail = "Terraform was interrupted. What exists is in the state.";
        return Diagnostic::error("Interrupted", detail);
    }
    too_late(operation, limit)
}

/// The same beside what failed, where that was so.
pub fn or_cut_short(
    mut failed: Diagnostics,
    work: &Work,
    deadline: &Deadline,
    operation: &str,
    limit: Duration,
) -> Diagnostics {
    if work.is_cancelled() || deadline.is_over() {
        failed.push(cut_short(work, operation, limit));
    }
    failed
}

/// Why parts were left: interrupted, too late, or waiting for one that failed.
pub fn unfinished(
    outcome: &Outcome,
    work: &Work,
    deadline: &Deadline,
    operation: &str,
    limit: Duration,
) -> Diagnostics {
    let mut found = or_cut_short(Vec::new(), work, deadline, operation, limit);
    if !outcome.skipped.is_empty() {
        let list: Vec<String> = outcome.skipped.iter().map(|path| path.join(".")).collect();
        let detail = format!("These parts were not worked on: {}.", list.join(", "));
        found.push(Diagnostic::warning("Parts left as they are", detail));
    }
    found
}
