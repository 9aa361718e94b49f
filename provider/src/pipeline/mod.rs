//! `bellflower_callback_pipeline`.

mod apply;
pub mod blueprint;
mod claims;
mod import;
mod memory;
mod order;
mod packages;
pub mod pending;
pub mod plan;
pub mod schema;
pub mod settings;
mod state;
mod upgrade;
pub mod validate;
mod warnings;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};
use tfplugin::{
    ApplyReply, ApplyRequest, Diagnostic, Diagnostics, ImportReply, PlanReply, PlanRequest,
    ReadReply, ReadRequest, Resource, Schema, Value, Work,
};
use tokio_util::sync::CancellationToken;

use crate::config::{Session, Shared};
use crate::documents::Place;
use crate::engine::{Failure, Owner};
use crate::parts::Aws;
use crate::parts::tags::MARK;
use apply::{
    Deadline, Findings, Outcome, Progress, converge, disown, for_looks, is_another, look,
    look_again, made_at, ours, recognise, refusals, still_forgotten, take_down,
};
use blueprint::{Blueprint, Facts};
use claims::Claims;
use order::Order;
use packages::Packages;
use plan::{Known, key_arn, settled};
use schema::{Field, Origin, Shape};
use settings::Settings;

/// The resource's name.
pub const NAME: &str = "bellflower_callback_pipeline";

type Tree = Map<String, Json>;

/// The resource.
#[derive(Debug)]
pub struct CallbackPipeline {
    shared: Shared,
    claims: Claims,
}

impl CallbackPipeline {
    /// A resource that works with what the provider block is configured with.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            claims: Claims::default(),
        }
    }
}

/// Another resource of the same name makes the pipeline, and this one is to be taken down.
fn made_elsewhere(settings: &Settings) -> Diagnostic {
    let detail = format!(
        "Another resource of this configuration makes or changes the pipeline \"{}\" at this moment, of the parts that this one would remove. Nothing was destroyed. If it is the same pipeline \
         under another address, take this one out of the state with `terraform state rm`; before the next such change, tell Terraform of it in a `moved` block.",
        blueprint::id(settings)
    );
    Diagnostic::error("Pipeline twice", detail)
}

/// What was to be destroyed has become part of what this run made. The rest stays, too: what the new pipeline works with may depend on it, the old key above all, and
/// a destroy that failed half-way would be tried again by a run that knows nothing of this.
fn held_anew(settings: &Settings, titles: &[String]) -> Diagnostic {
    let rest = if titles.is_empty() {
        String::new()
    } else {
        format!(
            " The new one does not have these; remove what is left of them when nothing needs them any more: {}.",
            titles.join(", ")
        )
    };
    let detail = format!(
        "This run has made the pipeline \"{}\" before it came to destroy this object of the same name, and of the parts that were left of it. They are the new one's now, so nothing was \
         destroyed.{rest} A pipeline cannot be replaced by create_before_destroy; another address for it wants a `moved` block.",
        blueprint::id(settings)
    );
    Diagnostic::warning("Parts left to the pipeline that was made", detail)
}

/// The same, where another run made it.
fn made_since(settings: &Settings) -> Diagnostic {
    let detail = format!(
        "The pipeline \"{}\" that stands was made anew after the one this object of the state tells of, and its parts are the new one's. So this object counts as gone, and nothing of it is destroyed. \
         What the new one does not have may be left; it carries the tag {MARK}. If the new one is in no state, `terraform import` takes it over.",
        blueprint::id(settings)
    );
    Diagnostic::warning("Pipeline made anew", detail)
}

fn told(failure: &Failure) -> Diagnostic {
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
fn all_told(failures: &[Failure]) -> Diagnostics {
    let mut diagnostics = Vec::new();
    for diagnostic in failures.iter().map(told) {
        if !diagnostics.contains(&diagnostic) {
            diagnostics.push(diagnostic);
        }
    }
    diagnostics
}

fn tree_of(value: &Value) -> Option<Tree> {
    match value.clone().unknown_to_null().to_json() {
        Some(Json::Object(map)) => Some(map),
        _ => None,
    }
}

fn value_of(tree: Tree) -> Value {
    schema::schema().conform(Value::from_json(&Json::Object(tree)))
}

fn settings_of(tree: &Tree) -> Result<Settings, Diagnostic> {
    Settings::read(tree)
        .map_err(|error| Diagnostic::error("Arguments not understood", error.to_string()))
}

/// The time limit of an operation, from the `timeouts` block.
fn limit(tree: &Tree, operation: &str) -> Duration {
    let text = tree
        .get("timeouts")
        .and_then(|block| block.get(operation))
        .and_then(Json::as_str);
    let default = Duration::from_secs(if operation == "read" { 300 } else { 1200 });
    text.and_then(|text| humantime::parse_duration(text).ok())
        .unwrap_or(default)
}

fn not_configured() -> Diagnostics {
    let detail = "The provider block depends on values that are not known yet.";
    vec![Diagnostic::error("Provider not configured", detail)]
}

/// Where the credentials lead.
async fn whereabouts(session: &Session) -> Result<Place, Diagnostics> {
    session
        .place()
        .await
        .map_err(|failure| vec![told(&failure)])
}

/// The same, which must be where the state's pipeline is.
async fn home(session: &Session, state: Option<&Tree>) -> Result<Place, Diagnostics> {
    let place = whereabouts(session).await?;
    if let Some(state) = state {
        at_home(state, &place)?;
    }
    Ok(place)
}

/// Where a state says that its pipeline is, if the provider works in that region.
fn stated(state: &Tree, region: &str) -> Option<Place> {
    let arn = state.get(blueprint::MACHINE)?.get("arn")?.as_str()?;
    let fields: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "states", place, account, ..] = fields[..] else {
        return None;
    };
    let stated = Place {
        partition: partition.to_owned(),
        region: place.to_owned(),
        account: account.to_owned(),
    };
    (place == region && at_home(state, &stated).is_ok()).then_some(stated)
}

/// Where the pipeline of a state is to be looked for: where it says, which is still to be proven, or else where the credentials lead.
async fn supposed(session: &Session, state: &Tree) -> Result<Place, Diagnostics> {
    match stated(state, session.region()) {
        Some(place) => Ok(place),
        None => home(session, Some(state)).await,
    }
}

/// Looks at the state machine, whose answer tells as well as STS would that the credentials in use are of the account it is said to be in. Without one,
/// STS is asked.
async fn met(
    session: &Session,
    state: &Tree,
    blueprint: &Blueprint,
    place: &Place,
    aws: &Aws,
) -> Result<Findings, Diagnostics> {
    if !session.is_placed()
        && let Some(machine) = blueprint.node(&[blueprint::MACHINE.to_owned()])
    {
        // Once: what stands in the way is STS's to tell.
        let once = Aws {
            max_retries: Some(0),
            ..aws.clone()
        };
        if let Ok(Some(found)) = machine.part.read(&once).await {
            session.is_at(place.clone());
            return Ok(Findings::from([(machine.path.clone(), Some(found))]));
        }
    }
    home(session, Some(state)).await.map(|_| Findings::new())
}

/// The ARNs of a pipeline's parts, wherever a state has them.
fn arns<'a>(fields: &[Field], state: &'a Tree) -> Vec<&'a str> {
    let mut found = Vec::new();
    for field in fields {
        match (&field.shape, state.get(field.name)) {
            (Shape::Text, Some(Json::String(arn)))
                if field.name == "arn" && field.origin == Origin::Computed =>
            {
                found.push(arn.as_str());
            }
            (Shape::Object(inner), Some(Json::Object(part))) => found.extend(arns(inner, part)),
            (Shape::ObjectMap(inner), Some(Json::Object(parts))) => {
                let parts = parts.values().filter_map(Json::as_object);
                found.extend(parts.flat_map(|part| arns(inner, part)));
            }
            _ => {}
        }
    }
    found
}

/// A pipeline is looked for where it was made: elsewhere there would seem to be none.
fn at_home(state: &Tree, place: &Place) -> Result<(), Diagnostics> {
    // The user's key is in the pipeline's region, in whichever account.
    let key = state.get("kms_key_arn").and_then(Json::as_str);
    for arn in arns(schema::fields(), state).into_iter().chain(key) {
        let fields: Vec<&str> = arn.splitn(6, ':').collect();
        // A bucket's ARN names neither, a role's no region, and a subscription that waits for its receiver has none.
        let ["arn", _, _, region, account, _] = fields[..] else {
            continue;
        };
        let account = if key == Some(arn) {
            &place.account
        } else {
            account
        };
        let elsewhere = |field: &str, place: &str| !field.is_empty() && field != place;
        if !elsewhere(region, &place.region) && !elsewhere(account, &place.account) {
            continue;
        }
        let region = if region.is_empty() {
            String::new()
        } else {
            format!("{region} of ")
        };
        let detail = format!(
            "The pipeline is in {region}account {account}, and the provider works in {} of account {}. Nothing was looked at or changed. Give the provider the pipeline's region and credentials; to move the pipeline, destroy it there first.",
            place.region, place.account
        );
        return Err(vec![Diagnostic::error("Another region or account", detail)]);
    }
    Ok(())
}

/// What a refresh found.
struct Refreshed {
    state: Option<Tree>,
    memory: Vec<u8>,
}

impl CallbackPipeline {
    async fn session(&self) -> Result<Arc<Session>, Diagnostics> {
        self.shared.session().await?.ok_or_else(not_configured)
    }

    /// What there is, and what a destroy may want to know of it.
    async fn refresh(
        &self,
        request: &ReadRequest,
    ) -> Result<(Refreshed, Diagnostics), Diagnostics> {
        let session = self.session().await?;
        let mut base = tree_of(&request.state).ok_or_else(not_configured)?;
        let place = supposed(&session, &base).await?;
        let stop = CancellationToken::new();
        let deadline = Deadline::start(limit(&base, "read"), stop.clone());
        let aws = session.aws(stop);
        let imported = base.get("tags_all").is_none_or(Json::is_null);
        if imported {
            let tags = session.config.default_tags();
            let found = import::discover(&base, &place, &tags, &aws).await;
            base = found.map_err(|failures| all_told(&failures))?;
        }
        let settings = settings_of(&base).map_err(|error| vec![error])?;
        let recorded = settings.processing.function.package.is_some();
        let packages = if recorded {
            None
        } else {
            Packages::of(&settings).ok()
        };
        let mut facts = Facts {
            // What is told of a key that is missing.
            key_arn: key_arn(&settings, Some(&base))
                .unwrap_or_else(|| "the key that is to be made".to_owned()),
            key_id: settings.key.key_id.clone(),
            tags: settings.tags_all.clone().unwrap_or_default(),
            made_at: memory::made_at(&request.private),
            packages: packages.unwrap_or_else(|| Packages::recorded(&settings)),
            place,
        };
        let mut blueprint = Blueprint::of(&settings, &facts);
        let eyes = for_looks(&blueprint, &aws);
        let met = met(&session, &base, &blueprint, &facts.place, &eyes).await?;
        let looked = look(&blueprint, &eyes, met).await;
        let mut findings = looked.map_err(|failures| {
            let mut told = all_told(&failures);
            if deadline.is_over() {
                told.push(too_late("read", limit(&base, "read")));
            }
            told
        })?;
        if is_another(facts.made_at.as_deref(), &findings) {
            let gone = Refreshed {
                state: None,
                memory: Vec::new(),
            };
            return Ok((gone, vec![made_since(&settings)]));
        }
        // An import brings none with it.
        if facts.made_at.is_none() {
            facts.made_at = made_at(&findings);
            blueprint = Blueprint::of(&settings, &facts);
        }
        if !imported {
            recognise(&blueprint, &blueprint, &mut findings);
            still_forgotten(&base, &blueprint, &mut findings);
        }
        disown(&blueprint, &mut findings);
        let mut warnings = unmarked(&blueprint, &findings);
        if imported {
            let mark = blueprint::mark(&settings, &facts.place);
            let marked = aws.tagged(MARK, &mark).await;
            warnings.extend(import::by_other_names(&marked, &findings));
        }
        let refreshed = Refreshed {
            state: state::state(&base, &blueprint, &ours(&findings)),
            memory: memory::written(&blueprint, &findings, facts.made_at),
        };
        Ok((refreshed, warnings))
    }

    async fn planned(&self, request: &PlanRequest) -> Result<PlanReply, Diagnostics> {
        if request.config.is_null() {
            return Ok(PlanReply {
                private: request.private.clone(),
                ..PlanReply::default()
            });
        }
        let mut known = Known {
            prior: tree_of(&request.prior),
            exact: request.prior.clone(),
            ..Known::default()
        };
        if let Some(session) = self.shared.session().await? {
            known.place = Some(home(&session, known.prior.as_ref()).await?);
            known.default_tags = Some(session.config.default_tags());
        }
        let planned = plan::plan(&request.config, &known).map_err(|error| vec![error])?;
        let mut diagnostics = planned.warnings;
        if !request.prior.is_null() {
            diagnostics.extend(warnings::of_change(
                &request.prior,
                &planned.value,
                planned.replace.is_empty(),
            ));
        }
        if let Some(place) = &known.place {
            let found = validate::validate_planned(&request.config, &planned.value, place);
            diagnostics.extend(found);
        }
        Ok(PlanReply {
            planned: planned.value,
            requires_replace: planned.replace,
            private: request.private.clone(),
            diagnostics,
        })
    }

    async fn make(
        &self,
        request: ApplyRequest,
        made_at: Option<String>,
        work: &Work,
    ) -> (Value, Diagnostics) {
        let nothing = request.prior.clone();
        let prior = tree_of(&request.prior);
        let creating = prior.is_none();
        let operation = if creating { "create" } else { "update" };
        let prepared = async {
            let session = self.session().await?;
            let base = tree_of(&request.planned).ok_or_else(not_configured)?;
            let place = home(&session, prior.as_ref()).await?;
            let defaults = session.config.default_tags();
            let order = Order::of(&base, prior, place, &defaults, made_at)?;
            let making = order.claimed(&self.claims)?;
            Ok::<_, Diagnostics>((session, base, order, making))
        };
        let (session, base, order, making) = match prepared.await {
            Ok(prepared) => prepared,
            Err(diagnostics) => return (nothing, diagnostics),
        };
        let stop = stop_with(work);
        let deadline = Deadline::start(limit(&base, operation), stop.clone());
        let aws = session.aws(stop);
        let findings = match order.cleared(&making, &aws).await {
            Ok(Some(findings)) => findings,
            Ok(None) => {
                let why = cut_short(work, operation, limit(&base, operation));
                return (nothing, vec![why]);
            }
            Err(diagnostics) => return (nothing, diagnostics),
        };
        let Order {
            settings,
            facts,
            blueprint,
            ..
        } = order;
        let (base, blueprint) = (Arc::new(base), Arc::new(blueprint));
        let progress = checkpoints(
            work,
            &base,
            Arc::clone(&blueprint),
            &findings,
            facts.made_at.clone(),
        );
        let outcome = converge(&settings, &facts, blueprint, findings, &aws, &progress).await;
        if outcome.failures.is_empty() && outcome.skipped.is_empty() {
            if creating && let Some(made_at) = facts.made_at {
                making.is_whole(made_at, outcome.blueprint.identities());
            }
            let mut tree = outcome.blueprint.outputs.clone();
            let observed = outcome.observed;
            for (path, attributes) in &observed {
                let attributes = attributes.clone().unwrap_or_default();
                blueprint::graft(&mut tree, path, attributes);
            }
            let tree = Json::Object(tree);
            let anew = plan::otherwise(&request.planned, &tree);
            if anew.is_empty() {
                return (settled(request.planned, &tree), Vec::new());
            }
            let state = state::state(&base, &outcome.blueprint, &observed);
            return (state.map_or(Value::Null, value_of), vec![made_anew(&anew)]);
        }
        let mut diagnostics = all_told(&outcome.failures);
        diagnostics.extend(unfinished(
            &outcome,
            work,
            &deadline,
            operation,
            limit(&base, operation),
        ));
        let state = state::state(&base, &outcome.blueprint, &outcome.observed)
            .map_or(Value::Null, value_of);
        if creating && !state.is_null() {
            diagnostics.push(in_part());
        }
        (state, diagnostics)
    }

    async fn destroy(
        &self,
        request: ApplyRequest,
        made_at: Option<String>,
        work: &Work,
    ) -> (Value, Diagnostics) {
        let kept = request.prior.clone();
        let prepared = async {
            let session = self.session().await?;
            let base = tree_of(&request.prior).ok_or_else(not_configured)?;
            let place = supposed(&session, &base).await?;
            let settings = settings_of(&base).map_err(|error| vec![error])?;
            let claim = self.claims.destroying(blueprint::mark(&settings, &place));
            let claim = claim.ok_or_else(|| vec![made_elsewhere(&settings)])?;
            let spared = claim.made_since(made_at.as_deref());
            Ok::<_, Diagnostics>((session, base, settings, place, spared, claim))
        };
        let (session, base, settings, place, spared, _claim) = match prepared.await {
            Ok(prepared) => prepared,
            Err(diagnostics) => return (kept, diagnostics),
        };
        let known = Known {
            place: Some(place),
            prior: Some(base.clone()),
            made_at,
            ..Known::default()
        };
        let Some(blueprint) = plan::recorded(&base, &known) else {
            return (kept, not_configured());
        };
        if let Some(spared) = spared {
            let nodes = blueprint.nodes.iter();
            let alone = nodes.filter(|node| !spared.contains(&node.identity()));
            let titles: Vec<String> = alone.map(|node| node.part.title()).collect();
            return (Value::Null, vec![held_anew(&settings, &titles)]);
        }
        let stop = stop_with(work);
        let deadline = Deadline::start(limit(&base, "delete"), stop.clone());
        let aws = session.aws(stop);
        let findings = if let Some(seen) = memory::read(&request.private, &blueprint) {
            seen
        } else {
            if let Err(diagnostics) = home(&session, Some(&base)).await {
                return (kept, diagnostics);
            }
            let mut findings = match look_again(&blueprint, &aws).await {
                Ok(findings) => findings,
                Err(failures) => return (kept, all_told(&failures)),
            };
            if is_another(known.made_at.as_deref(), &findings) {
                return (Value::Null, vec![made_since(&settings)]);
            }
            recognise(&blueprint, &blueprint, &mut findings);
            // A destroy that does not get to its end leaves a state to go on from.
            still_forgotten(&base, &blueprint, &mut findings);
            disown(&blueprint, &mut findings);
            findings
        };
        let used = in_use(&blueprint, &findings, &aws).await;
        // What was seen a moment ago may have been seen with other credentials.
        if !aws.at_home.load(Ordering::Relaxed)
            && let Err(diagnostics) = home(&session, Some(&base)).await
        {
            return (kept, diagnostics);
        }
        match used {
            Ok(reasons) if reasons.is_empty() => {}
            Ok(reasons) => {
                let mut told = all_told(&reasons);
                told.push(Diagnostic::error(
                    "Nothing was destroyed",
                    "The pipeline is still in use.",
                ));
                return (kept, told);
            }
            Err(failure) => return (kept, vec![told(&failure)]),
        }
        let left = unmarked(&blueprint, &findings);
        let (base, blueprint) = (Arc::new(base), Arc::new(blueprint));
        let progress = checkpoints(
            work,
            &base,
            Arc::clone(&blueprint),
            &findings,
            known.made_at,
        );
        let outcome = take_down(blueprint, findings, &aws, &progress).await;
        if outcome.failures.is_empty() && outcome.skipped.is_empty() {
            return (Value::Null, left);
        }
        let mut diagnostics = all_told(&outcome.failures);
        diagnostics.extend(unfinished(
            &outcome,
            work,
            &deadline,
            "delete",
            limit(&base, "delete"),
        ));
        let state = state::state(&base, &outcome.blueprint, &outcome.observed);
        (state.map_or(Value::Null, value_of), diagnostics)
    }
}

/// Where the work notes what it has done; Terraform gets the state from it if the work does not get to its end.
fn checkpoints(
    work: &Work,
    base: &Arc<Tree>,
    blueprint: Arc<Blueprint>,
    findings: &Findings,
    made_at: Option<String>,
) -> Progress {
    let progress = Progress::from(findings);
    let (base, noted) = (Arc::clone(base), progress.clone());
    let private = memory::of_one_made_at(made_at);
    work.checkpoint_from(move || {
        let state = state::state(&base, &blueprint, &noted.now())?;
        Some((value_of(state), private.clone()))
    });
    progress
}

/// Warns of parts that a state tells of, that exist, and that do not carry this pipeline's mark.
fn unmarked(blueprint: &Blueprint, findings: &Findings) -> Diagnostics {
    let told = |failure: &Failure| {
        let detail = format!(
            "{}. It counts as missing, and neither apply nor destroy touches it. If it is this pipeline's, give it back its tag {MARK}.",
            failure.message
        );
        Diagnostic::warning(failure.object.clone(), detail)
    };
    refusals(blueprint, findings).iter().map(told).collect()
}

/// A signal that follows Terraform's.
fn stop_with(work: &Work) -> CancellationToken {
    let stop = CancellationToken::new();
    let (work, signal) = (work.clone(), stop.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = work.cancelled() => signal.cancel(),
            () = signal.cancelled() => {}
        }
    });
    stop
}

fn too_late(operation: &str, limit: Duration) -> Diagnostic {
    let detail = format!(
        "The {operation} was not done within {}. Raise timeouts.{operation} if it needs longer.",
        humantime::format_duration(limit)
    );
    Diagnostic::error("Time is over", detail)
}

/// What AWS alone says was known in the plan and came out otherwise.
fn made_anew(attributes: &[String]) -> Diagnostic {
    let detail = format!(
        "Between the plan and now somebody removed what these attributes tell of, and it was made anew: {}. Everything was applied, and the state has the new values; what was made from the old ones elsewhere in the configuration has to be made again. Run the plan and apply once more.",
        attributes.join(", ")
    );
    Diagnostic::error("Made anew since the plan", detail)
}

/// What a create that did not get to its end means to Terraform, and the way on.
fn in_part() -> Diagnostic {
    Diagnostic::warning(
        "The pipeline is there in part",
        "What exists is in the state, and Terraform calls it tainted: the next apply would destroy it and begin anew. To go on from \
         where this apply ended, run `terraform untaint` for this resource before the next apply.",
    )
}

/// That the work was ended before its end: by the user, or by its time limit.
fn cut_short(work: &Work, operation: &str, limit: Duration) -> Diagnostic {
    if work.is_cancelled() {
        let detail = "Terraform was interrupted. What exists is in the state.";
        return Diagnostic::error("Interrupted", detail);
    }
    too_late(operation, limit)
}

/// Why parts were left: interrupted, too late, or waiting for one that failed.
fn unfinished(
    outcome: &Outcome,
    work: &Work,
    deadline: &Deadline,
    operation: &str,
    limit: Duration,
) -> Diagnostics {
    let mut found = Vec::new();
    if work.is_cancelled() || deadline.is_over() {
        found.push(cut_short(work, operation, limit));
    }
    if !outcome.skipped.is_empty() {
        let list: Vec<String> = outcome.skipped.iter().map(|path| path.join(".")).collect();
        let detail = format!("These parts were not worked on: {}.", list.join(", "));
        found.push(Diagnostic::warning("Parts left as they are", detail));
    }
    found
}

/// What stands against a destroy: objects in the bucket, running executions.
async fn in_use(
    blueprint: &Blueprint,
    findings: &Findings,
    aws: &Aws,
) -> Result<Vec<Failure>, Failure> {
    let mut reasons = Vec::new();
    for node in &blueprint.nodes {
        let found = findings.get(&node.path).and_then(Option::as_ref);
        if found.is_some_and(|found| found.owner == Owner::Us) {
            reasons.extend(node.part.in_use(aws).await?);
        }
    }
    Ok(reasons)
}

#[async_trait]
impl Resource for CallbackPipeline {
    fn name(&self) -> &str {
        NAME
    }

    fn schema(&self) -> Schema {
        schema::schema()
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        validate::validate(config)
    }

    async fn upgrade(&self, version: i64, state: Json) -> Result<Json, Diagnostics> {
        upgrade::upgrade(version, state)
    }

    async fn read(&self, request: ReadRequest) -> ReadReply {
        match self.refresh(&request).await {
            Ok((found, diagnostics)) => ReadReply {
                state: found.state.map_or(Value::Null, value_of),
                private: found.memory,
                diagnostics,
            },
            Err(diagnostics) => ReadReply {
                state: request.state,
                private: request.private,
                diagnostics,
            },
        }
    }

    async fn plan(&self, request: PlanRequest) -> PlanReply {
        match self.planned(&request).await {
            Ok(reply) => reply,
            Err(diagnostics) => PlanReply {
                planned: request.proposed,
                private: request.private,
                diagnostics,
                ..PlanReply::default()
            },
        }
    }

    async fn apply(&self, request: ApplyRequest, work: Work) -> ApplyReply {
        let made_at = if request.prior.is_null() {
            Some(memory::making_begins())
        } else {
            memory::made_at(&request.private)
        };
        // What else the plan wrote down is of this run alone.
        let private = memory::of_one_made_at(made_at.clone());
        let (state, diagnostics) = if request.planned.is_null() {
            self.destroy(request, made_at, &work).await
        } else {
            self.make(request, made_at, &work).await
        };
        ApplyReply {
            state,
            private,
            diagnostics,
        }
    }

    async fn import(&self, id: &str) -> ImportReply {
        let (name, environment) = id.split_once('/').unwrap_or((id, "devl"));
        let mut tree = Tree::new();
        tree.insert("name".to_owned(), json!(name));
        tree.insert("environment".to_owned(), json!(environment));
        let legal = |text: &str| {
            !text.is_empty()
                && text
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        };
        if !legal(name) || !legal(environment) {
            let detail =
                format!("\"{id}\" is not NAME or NAME/ENVIRONMENT, such as orders or orders/prod.");
            let diagnostics = vec![Diagnostic::error("Not an import id", detail)];
            return ImportReply {
                diagnostics,
                ..ImportReply::default()
            };
        }
        ImportReply {
            state: value_of(tree),
            ..ImportReply::default()
        }
    }
}
