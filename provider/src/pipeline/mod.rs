//! `bellflower_callback_pipeline`.

mod apply;
pub mod blueprint;
mod claims;
mod destroy;
mod elsewhere;
mod findings;
mod foresight;
mod import;
mod left;
mod memory;
mod order;
mod packages;
pub mod pending;
mod place;
pub mod plan;
pub mod schema;
pub mod settings;
mod state;
mod upgrade;
pub mod validate;
mod warnings;
mod words;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value as Json, json};
use tfplugin::{
    ApplyReply, ApplyRequest, Diagnostic, Diagnostics, ImportReply, PlanReply, PlanRequest,
    ReadReply, ReadRequest, Resource, Schema, Value, Work,
};
use tokio_util::sync::CancellationToken;

use crate::config::{Session, Shared};
use crate::engine::{Failure, Owner};
use apply::{Deadline, Progress, converge, tell_whose};
use blueprint::{Blueprint, Facts, Node};
use claims::{Claims, Creation, Intents};
use destroy::held_by_another;
use findings::{Findings, for_looks, look_well, ours};
use memory::Memories;
use order::{Order, made_since};
use packages::Packages;
use place::{home, met, stated, supposed, whereabouts};
use plan::{Known, Planned, key_arn, settled};
use settings::Settings;
use words::{
    all_told, cut_short, in_part, made_anew, not_configured, not_ours, not_shown, or_cut_short,
    other_code, since, to_be_twice, told, too_late, unfinished, unmarked,
};

/// The resource's name.
pub const NAME: &str = "bellflower_callback_pipeline";

type Tree = Map<String, Json>;

/// The resource.
#[derive(Debug)]
pub struct CallbackPipeline {
    shared: Shared,
    claims: Claims,
    intents: Intents,
    memories: Memories,
}

impl CallbackPipeline {
    /// A resource that works with what the provider block is configured with.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            claims: Claims::default(),
            intents: Intents::default(),
            memories: Memories::default(),
        }
    }
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

/// What a pipeline is called, for an import and in messages, where a tree has its name.
fn named(tree: &Tree) -> Option<String> {
    let text = |name: &str| tree.get(name)?.as_str();
    Some(format!("{}/{}", text("name")?, text("environment")?))
}

/// The same of a value.
fn named_by(value: &Value) -> Option<String> {
    named(&tree_of(value)?)
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

/// What was looked for though it is switched off is on where it is there, and nothing that is missed where it is not.
fn switch_on(base: &mut Tree, blueprint: &Blueprint, findings: &mut Findings) {
    findings.retain(|path, found| {
        let is_on = blueprint.node(path).is_some();
        let is_there = found.as_ref().is_some_and(|found| found.owner == Owner::Us);
        if !is_on && is_there {
            let on = Tree::from_iter([("enabled".to_owned(), json!(true))]);
            blueprint::graft(base, path, on);
        }
        is_on || is_there
    });
}

/// What is to be said of a plan: what it loses or leaves, what of it AWS would refuse, what will be of no use.
async fn remarks(
    request: &PlanRequest,
    planned: &Planned,
    memory: &[u8],
    known: &Known,
    session: Option<&Session>,
) -> Diagnostics {
    let replaces = !planned.replace.is_empty();
    let mut told = Vec::new();
    if !request.prior.is_null() {
        if !replaces {
            told.extend(warnings::of_change(&request.prior, &planned.value));
        }
        let key = memory::lost_key(memory);
        let lost = warnings::lost_key(&request.prior, &planned.value, key.as_deref());
        told.extend(lost);
        told.extend(warnings::of_unknown_names(&request.config, &request.prior));
    }
    if let Some(place) = &known.place {
        // A destroy is not kept from what it takes away.
        let before = (!known.destroys && !request.prior.is_null()).then_some(&request.prior);
        let found = validate::validate_planned(&request.config, &planned.value, before, place);
        told.extend(found);
    }
    if let Some(session) = session {
        let ignored = session.config.ignore_tags.as_ref();
        told.extend(ignored.and_then(|ignored| {
            warnings::of_tags_that_stay(&request.prior, &planned.value, ignored)
        }));
        // A replacement's key is a new one.
        let own = (!replaces).then_some(&request.prior);
        let alias = foresight::wanted_alias(own, &planned.value, session);
        let key = foresight::given_key(&request.config, replaces && !known.destroys, session);
        let (alias, key) = tokio::join!(alias, key);
        told.extend(alias.into_iter().chain(key));
    }
    told
}

/// What a refresh found.
struct Refreshed {
    state: Option<Tree>,
    memory: Vec<u8>,
}

impl CallbackPipeline {
    /// What was planned for an object is done now, and what was to be new is there.
    fn begins(&self, request: &ApplyRequest) {
        self.ends(&request.prior);
        if let Some(id) = named_by(&request.planned) {
            self.intents.made(&id);
            self.memories.ended(&id);
        }
    }

    /// What a refresh has seen of an object is not so any more.
    fn is_past(&self, prior: &Value) {
        if let Some(now) = named_by(prior) {
            self.memories.ended(&now);
        }
    }

    /// What was planned for an object is done now.
    fn ends(&self, prior: &Value) {
        if let Some(now) = named_by(prior) {
            self.intents.end(&now);
        }
    }

    /// What a refresh of this process has seen of an object.
    fn seen_of(&self, state: Option<&Tree>) -> Option<Vec<u8>> {
        self.memories.of(&memory::of(state?)?)
    }

    /// The state of the pipeline of the name that is configured, where this process has seen it.
    fn standing(&self, config: &Value) -> Option<Tree> {
        let is_unknown = |name| config.get(name).is_some_and(Value::is_unknown);
        if ["name", "environment"].into_iter().any(is_unknown) {
            return None;
        }
        let given = schema::with_defaults(schema::fields(), &tree_of(config)?);
        self.memories.standing(&named(&given)?)
    }

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
        let mut doubtful = None;
        if imported {
            let tags = session.config.default_tags();
            let found = import::discover(&base, &place, &tags, &aws).await;
            (base, doubtful) = found.map_err(|failures| all_told(&failures))?;
        }
        let mut settings = settings_of(&base).map_err(|error| vec![error])?;
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
            packages: packages.unwrap_or_else(|| Packages::recorded(&settings)),
            place,
        };
        // With the alarms that are switched off, which cost no call: a run that was killed may have left one.
        let all = Blueprint::of(&settings.with_all_alarms(), &facts);
        let mut eyes = for_looks(&all, &aws);
        eyes.in_brief = memory::destroys();
        let met = met(&session, &base, &all, &facts.place, &eyes).await?;
        let looked = look_well(&base, &all, &eyes, met).await;
        let mut findings = looked.map_err(|failures| not_read(&failures, &deadline, &base))?;
        // One that was missing may have come back.
        facts.key_arn = findings::own_key(&findings).unwrap_or(facts.key_arn);
        let mut blueprint = Blueprint::of(&settings, &facts);
        switch_on(&mut base, &blueprint, &mut findings);
        findings::agree(&mut base, &blueprint, &findings);
        settings = settings_of(&base).map_err(|error| vec![error])?;
        blueprint = Blueprint::of(&settings, &facts);
        let mark = blueprint::mark(&settings, &facts.place);
        let at = settings.made_at.as_deref();
        let since = made_since(at, &blueprint, &mark, &findings, &aws).await;
        if since.map_err(|failure| vec![told(&failure)])?.is_some() {
            // Terraform says nothing of what a refresh has found gone where it is to be destroyed: so the plan or the destroy does.
            let refreshed = Refreshed {
                state: tree_of(&request.state),
                memory: memory::of_another(),
            };
            return Ok((refreshed, vec![held_by_another(&settings)]));
        }
        // An import brings none with it.
        if settings.made_at.is_none() {
            settings.made_at = findings::made_at(&findings);
            blueprint = Blueprint::of(&settings, &facts);
            base.insert("made_at".to_owned(), json!(settings.made_at));
        }
        if imported {
            import::tell_whose(&blueprint, &mut findings);
        } else {
            // A state that was emptied for want of the mark would call a pipeline destroyed that stands.
            let recorded = with_lost_key(&settings, &facts, &request.private);
            tell_whose(
                &base,
                recorded.as_ref().unwrap_or(&blueprint),
                &mut findings,
            )?;
        }
        let mut warnings = unmarked(&blueprint, &findings);
        let is_left = !warnings.is_empty();
        let found = ours(&findings);
        let others = elsewhere::consumers(&blueprint, &findings, &eyes).await;
        warnings.extend(warnings::of_consumers(&blueprint::id(&settings), others));
        let mut state = state::state(&base, &blueprint, &found);
        if imported && state.is_none() {
            let id = blueprint::id(&settings);
            return Err(not_ours(&id, &facts.place, &blueprint, &findings));
        }
        // What there is of arguments is what they are, also for what follows from them in other parts.
        if let Some(base) = &state
            && let Ok(settings) = settings_of(base)
        {
            let follows = Blueprint::of(&settings, &facts);
            let before = if imported { &follows } else { &blueprint };
            state = state::state_since(base, before, &follows, &found);
            blueprint = follows;
        }
        if imported {
            let doubtful = doubtful.as_ref();
            let unseen = import::unseen(&blueprint, &mark, &findings, doubtful, &aws).await;
            warnings.extend(unseen.map_err(|failure| vec![told(&failure)])?);
        }
        // Nor does it pass on what a refresh has told: so there is a destroy, which tells what is left.
        if state.is_none() && is_left && memory::destroys() {
            state = tree_of(&request.state);
        }
        self.is_past(&request.state);
        let memory = memory::written(&blueprint, &findings, &request.private);
        Ok((self.noted(state, memory), warnings))
    }

    /// What a refresh has found, noted for what the same run does next.
    fn noted(&self, state: Option<Tree>, memory: Vec<u8>) -> Refreshed {
        if let Some(state) = &state {
            self.memories.stands(state);
        }
        let of = state.as_ref().and_then(memory::of);
        let memory = of.map(|of| self.memories.note(of, memory));
        Refreshed {
            state,
            memory: memory.unwrap_or_default(),
        }
    }

    /// The plan of an end.
    async fn end(
        &self,
        request: &PlanRequest,
        memory: Vec<u8>,
        known: &Known,
        session: Option<&Session>,
    ) -> PlanReply {
        self.ends(&request.prior);
        let lost = destroy::lost(&memory, known, session).await;
        PlanReply {
            private: memory::told(memory, &lost),
            diagnostics: lost,
            ..PlanReply::default()
        }
    }

    /// What a plan goes by beside the configuration.
    async fn known(
        &self,
        request: &PlanRequest,
        session: Option<&Session>,
    ) -> Result<Known, Diagnostics> {
        let prior = tree_of(&request.prior);
        let place = match session {
            Some(session) => Some(home(session, prior.as_ref()).await?),
            None => prior.as_ref().and_then(stated),
        };
        let standing = match prior {
            Some(_) => None,
            None => self.standing(&request.config),
        };
        Ok(Known {
            place,
            default_tags: session.map(|session| session.config.default_tags()),
            prior,
            exact: request.prior.clone(),
            standing,
            destroys: memory::destroys(),
            lost_key: None,
        })
    }

    async fn planned(&self, request: &PlanRequest) -> Result<PlanReply, Diagnostics> {
        let session = self.shared.session().await;
        let prior = tree_of(&request.prior);
        if let Some(prior) = &prior {
            self.memories.stands(prior);
        }
        let memory = self.seen_of(prior.as_ref());
        let memory = memory.unwrap_or_else(|| request.private.clone());
        if request.config.is_null() {
            let known = self.known(request, None).await?;
            let session = session.ok().flatten();
            return Ok(self.end(request, memory, &known, session.as_deref()).await);
        }
        let session = session?;
        let mut known = self.known(request, session.as_deref()).await?;
        let mut planned = plan::plan(&request.config, &known).map_err(|error| vec![error])?;
        if let Value::Map(value) = &mut planned.value
            && memory::is_of_another(&request.private)
        {
            // An apply refuses, and there has to be one: an error here would end a destroy, too.
            value.insert("made_at".to_owned(), Value::Unknown);
        }
        let session = session.as_deref();
        let mut diagnostics = std::mem::take(&mut planned.warnings);
        diagnostics.extend(remarks(request, &planned, &memory, &known, session).await);
        let replaces = !planned.replace.is_empty();
        let id = named_by(&planned.value);
        let intent = (id.clone(), planned.after.alone());
        let (twin, creation) = match known.prior.as_ref().and_then(named) {
            Some(now) => (self.intents.note(now, intent, replaces), None),
            None => match self.intents.create(intent) {
                Ok(creation) => (None, Some(creation)),
                Err(taken) => (Some(taken), None),
            },
        };
        // What Terraform replaces for reasons of its own, it plans as something new.
        if matches!(creation, Some(Creation::New | Creation::Forced)) {
            known.prior = known.standing.take();
            known.place = known.place.or(known.prior.as_ref().and_then(stated));
        }
        let mut private = memory;
        if replaces || (creation.is_some() && known.prior.is_some()) {
            let seen = self.seen_of(known.prior.as_ref()).unwrap_or_default();
            if creation != Some(Creation::Forced) {
                let lost = destroy::lost(&seen, &known, session).await;
                private = memory::told(private, &lost);
                diagnostics.extend(lost);
            }
            // A destroy makes nothing, so that nothing is in its way.
            if !known.destroys {
                diagnostics.extend(foresight::against(&planned.after, &known, session).await);
                diagnostics.extend(foresight::held(&seen, &known, session).await);
            }
        }
        if let Some(taken) = twin.filter(|_| !known.destroys) {
            diagnostics.push(to_be_twice(taken, &id.unwrap_or_default()));
        }
        Ok(PlanReply {
            planned: planned.value,
            requires_replace: planned.replace,
            private,
            diagnostics,
        })
    }

    async fn make(&self, request: ApplyRequest, work: &Work) -> (Value, Diagnostics) {
        let nothing = |diagnostics| (request.prior.clone(), diagnostics);
        let prior = tree_of(&request.prior);
        let creating = prior.is_none();
        let operation = if creating { "create" } else { "update" };
        let prepared = async {
            let session = self.session().await?;
            let base = tree_of(&request.planned).ok_or_else(not_configured)?;
            let place = home(&session, prior.as_ref()).await?;
            let defaults = session.config.default_tags();
            let lost_key = memory::lost_key(&request.private);
            let order = Order::of(&base, prior, lost_key, place, &defaults)?;
            let making = order.claimed(&self.claims)?;
            Ok::<_, Diagnostics>((session, base, order, making))
        };
        let (session, mut base, mut order, making) = match prepared.await {
            Ok(prepared) => prepared,
            Err(diagnostics) => return nothing(diagnostics),
        };
        let stop = stop_with(work);
        let limit = limit(&base, operation);
        let deadline = Deadline::start(limit, stop.clone());
        let aws = session.aws(stop);
        let (findings, left) = match order.cleared(&base, &making, &aws).await {
            Ok(Some(cleared)) => cleared,
            Ok(None) => return nothing(vec![cut_short(work, operation, limit)]),
            Err(failed) => {
                return nothing(or_cut_short(failed, work, &deadline, operation, limit));
            }
        };
        let Order {
            settings,
            facts,
            blueprint,
            ..
        } = order;
        base.insert("made_at".to_owned(), json!(settings.made_at));
        let taken_up = if creating {
            there(&blueprint, &findings)
        } else {
            Vec::new()
        };
        let (base, blueprint) = (Arc::new(base), Arc::new(blueprint));
        let progress = checkpoints(work, &request, &base, &blueprint, &findings);
        self.begins(&request);
        let outcome = converge(
            &settings,
            &facts,
            blueprint,
            findings,
            &left.found,
            &aws,
            &progress,
        )
        .await;
        if outcome.failures.is_empty() && outcome.skipped.is_empty() {
            making.is_whole(settings.made_at.clone(), outcome.blueprint.identities());
            let mut told = not_shown(&outcome.not_shown);
            told.extend(other_code(&request.planned, &outcome.observed));
            told.extend(since(&blueprint::id(&settings), &left));
            if creating {
                let given = settings.kms_key_arn.as_deref();
                let found = import::found(&taken_up, &left.removed, &outcome, given, &aws);
                told.extend(found.await);
            }
            let mut tree = outcome.blueprint.outputs.clone();
            tree.insert("made_at".to_owned(), json!(settings.made_at));
            let observed = outcome.observed;
            for (path, attributes) in &observed {
                let attributes = attributes.clone().unwrap_or_default();
                blueprint::graft(&mut tree, path, attributes);
            }
            let tree = Json::Object(tree);
            let anew = plan::otherwise(&request.planned, &tree);
            if anew.is_empty() {
                return (settled(request.planned, &tree), told);
            }
            // What was planned of the old objects is not so.
            let mut base = Tree::clone(&base);
            base.extend(outcome.blueprint.outputs.clone());
            let state = state::state(&base, &outcome.blueprint, &observed);
            let state = state.map_or(Value::Null, value_of);
            told.push(made_anew(&anew));
            return (state, told);
        }
        let mut diagnostics = all_told(&outcome.failures);
        diagnostics.extend(unfinished(&outcome, work, &deadline, operation, limit));
        let state = state::state(&base, &outcome.blueprint, &outcome.observed)
            .map_or(Value::Null, value_of);
        diagnostics.extend(since(&blueprint::id(&settings), &left));
        if creating && !state.is_null() {
            diagnostics.push(in_part());
        }
        (state, diagnostics)
    }
}

/// The blueprint by which parts were made whose key an earlier refresh has not found any more.
fn with_lost_key(settings: &Settings, facts: &Facts, memory: &[u8]) -> Option<Blueprint> {
    let facts = Facts {
        key_arn: memory::lost_key(memory)?,
        ..facts.clone()
    };
    Some(Blueprint::of(settings, &facts))
}

/// Why a refresh could not see what there is.
fn not_read(failures: &[Failure], deadline: &Deadline, base: &Tree) -> Diagnostics {
    let mut told = all_told(failures);
    if deadline.is_over() {
        told.push(too_late("read", limit(base, "read")));
    }
    told
}

/// What there is of ours, in a person's words.
fn there(blueprint: &Blueprint, findings: &Findings) -> Vec<String> {
    let ours = ours(findings);
    let is_there = |node: &&Node| ours.get(&node.path).is_some_and(Option::is_some);
    let there = blueprint.nodes.iter().filter(is_there);
    // A key may not have the alias that it is to have.
    let title = |node: &Node| {
        let known = ours.get(&node.path).and_then(Option::as_ref);
        let id = known.and_then(|known| known.get("key_id")?.as_str());
        let id = id.map(|id| format!(" ({id})")).unwrap_or_default();
        format!("{}{id}", node.part.title())
    };
    there.map(title).collect()
}

/// Where the work notes what it has done; Terraform gets the state from it if the work does not get to its end.
fn checkpoints(
    work: &Work,
    request: &ApplyRequest,
    base: &Arc<Tree>,
    blueprint: &Arc<Blueprint>,
    findings: &Findings,
) -> Progress {
    let progress = Progress::from(findings);
    let (base, blueprint) = (Arc::clone(base), Arc::clone(blueprint));
    let (noted, planned) = (progress.clone(), request.private.clone());
    work.checkpoint_from(move || {
        let state = state::state(&base, &blueprint, &noted.now())?;
        let kept = memory::kept(&planned, Some(&state));
        Some((value_of(state), kept))
    });
    progress
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
        let unknown = matches!(self.shared.session().await, Ok(None));
        // An import has to look.
        if unknown
            && request
                .state
                .get("tags_all")
                .is_some_and(|tags| !tags.is_null())
        {
            let detail = "The provider block depends on values that are known only after apply, so the pipeline was not looked at: the plan follows from the state.";
            return ReadReply {
                state: request.state,
                private: request.private,
                diagnostics: vec![Diagnostic::warning("Not refreshed", detail)],
            };
        }
        match Box::pin(self.refresh(&request)).await {
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
        let planned = request.private.clone();
        let (state, diagnostics) = if request.planned.is_null() {
            self.destroy(request, &work).await
        } else {
            self.make(request, &work).await
        };
        ApplyReply {
            private: memory::kept(&planned, tree_of(&state).as_ref()),
            state,
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
