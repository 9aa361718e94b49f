//! A proxy in front of the local AWS that does what networks and AWS do and an emulator does not.
//!
//! It serves https on a port of its own with the emulator's certificate, passes every call on as it is, and
//! * logs it: service, operation, object, status, code, times ([`Proxy::calls`], [`sequence`], [`busy`], [`counts`]);
//! * holds it up for a fixed time ([`Proxy::latency`]);
//! * lets it go wrong as told ([`Proxy::inject`]): server failures, throttles and named errors in each service's own wire form,
//!   lost answers, resets, hangs, stale reads, before or after the call took effect, or calls back ([`Fault::Hook`]);
//! * plays what AWS does in the seconds after a change ([`Proxy::play`]).
//!
//! Whoever is given [`Proxy::environment`] or [`Proxy::aws`] talks to it; the Lambdas (unless their emulator was shown to a [`Door`]) and
//! everybody else talk to the emulator itself, so that assertions see what is really there.
//!
//! ```no_run
//! # fn example() -> Result<(), bellflower_tests::Error> {
//! use bellflower_tests::MiniStack;
//! use bellflower_tests::proxy::{Fault, Proxy, Rule};
//!
//! let emulator = MiniStack::start()?;
//! let proxy = Proxy::start(&emulator)?;
//! let lost = proxy.inject(Rule::after(Fault::Drop).on("sqs:CreateQueue").first(1));
//! // … `terraform apply` with `proxy.environment()` …
//! assert_eq!(lost.count(), 1);
//! # Ok(()) }
//! ```

mod call;
mod log;
mod play;
mod rule;
mod server;
mod tag_index;
mod wire;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

pub use log::{Call, busy, counts, sequence};
pub use play::Play;
pub use rule::{Fault, Hits, Rule, When};

use crate::{Aws, Error, MiniStack};
use call::Recognised;
use play::Plays;
use rule::Armed;
use wire::Answer;

/// A running proxy. Dropping it closes its connections, also those that hang.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    endpoint: String,
    authority: String,
    account: String,
    region: String,
    environment: Vec<(String, String)>,
    runtime: Option<Runtime>,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    /// The emulator's `host:port`.
    upstream: String,
    state: Mutex<State>,
    plays: Plays,
    latency: AtomicU64,
    connections: AtomicU64,
}

#[derive(Debug)]
struct State {
    began: Instant,
    /// Which of the resets this is: calls of an earlier one are no longer logged.
    round: u64,
    calls: Vec<Call>,
    rules: Vec<Armed>,
    /// The last answer to each read, for stale reads.
    answers: HashMap<u64, Answer>,
}

/// What rules say of a call.
#[derive(Debug)]
struct Arrival {
    call: Call,
    round: u64,
    before: Vec<Fault>,
    after: Vec<Fault>,
    /// An earlier answer to be served.
    stale: Option<Answer>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A proxy's address before there is an emulator behind it: one that is to send its functions to the proxy has to be told when it starts.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    endpoint: String,
}

impl Door {
    /// Takes a port. Whoever knocks waits until [`Door::open`].
    ///
    /// # Errors
    /// When no port is to be had.
    pub fn new() -> Result<Self, Error> {
        let here = Path::new("127.0.0.1");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(Error::file("listening on", here))?;
        let port = listener
            .local_addr()
            .map_err(Error::file("listening on", here))?
            .port();
        Ok(Self {
            listener,
            endpoint: format!("https://127.0.0.1:{port}"),
        })
    }

    /// The address of the proxy to come.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Starts the proxy in front of this emulator.
    ///
    /// # Errors
    /// As [`Proxy::start`].
    pub fn open(self, emulator: &MiniStack) -> Result<Proxy, Error> {
        Proxy::behind(self, emulator)
    }
}

impl Proxy {
    /// Starts a proxy in front of this emulator.
    ///
    /// # Errors
    /// When no port or thread is to be had, or the emulator's certificate cannot be used.
    pub fn start(emulator: &MiniStack) -> Result<Self, Error> {
        Door::new()?.open(emulator)
    }

    fn behind(door: Door, emulator: &MiniStack) -> Result<Self, Error> {
        let here = Path::new("127.0.0.1");
        let Door { listener, endpoint } = door;
        let mut environment = emulator.environment();
        for (name, value) in &mut environment {
            if name == "AWS_ENDPOINT_URL" {
                value.clone_from(&endpoint);
            }
        }
        let (acceptor, connector) = server::tls(emulator)?;
        let shared = Arc::new(Shared {
            upstream: emulator
                .endpoint()
                .trim_start_matches("https://")
                .to_owned(),
            state: Mutex::new(State {
                began: Instant::now(),
                round: 0,
                calls: Vec::new(),
                rules: Vec::new(),
                answers: HashMap::new(),
            }),
            plays: Plays::new(emulator.aws()),
            latency: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        // A runtime of its own: tests block theirs while Terraform runs.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("proxy")
            .enable_all()
            .build()
            .map_err(Error::file("starting the threads of a proxy on", here))?;
        runtime.spawn(server::serve(listener, acceptor, connector, shared.clone()));
        Ok(Self {
            shared,
            endpoint,
            authority: emulator.authority().to_owned(),
            account: emulator.account().to_owned(),
            region: emulator.region().to_owned(),
            environment,
            runtime: Some(runtime),
        })
    }

    /// The address of every service, such as `https://127.0.0.1:40123`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The variables that make AWS tools use it.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// Clients that go through it.
    #[must_use]
    pub fn aws(&self) -> Aws {
        Aws::new(
            &self.endpoint,
            &self.authority,
            &self.account,
            "secret",
            &self.region,
        )
    }

    /// Holds up every call from now on for this time.
    pub fn latency(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.shared.latency.store(micros, Ordering::SeqCst);
    }

    /// Lets calls go wrong from now on; the rules already there stay. The first of them that strikes a call decides, hooks
    /// apart, which are all called.
    pub fn inject(&self, rule: Rule) -> Hits {
        let (armed, hits) = Armed::new(rule);
        lock(&self.shared.state).rules.push(armed);
        hits
    }

    /// Takes all rules away. What hangs goes on hanging.
    pub fn clear(&self) {
        lock(&self.shared.state).rules.clear();
    }

    /// Plays this from now on.
    pub fn play(&self, play: Play) {
        self.shared.plays.start(play);
    }

    /// Plays nothing any more.
    pub fn stop_playing(&self) {
        self.shared.plays.stop();
    }

    /// Somebody agrees to the e-mail subscriptions of this endpoint: see [`Play::EmailPending`].
    pub fn confirm(&self, endpoint: &str) {
        self.shared.plays.confirm(endpoint);
    }

    /// Forgets all calls, and lets the next one have index 0. Rules and plays stay.
    pub fn reset(&self) {
        let mut state = lock(&self.shared.state);
        state.calls.clear();
        state.round += 1;
        state.began = Instant::now();
    }

    /// The calls since the start or the last reset.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.state).calls.clone()
    }

    /// How often this operation was called.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        let state = lock(&self.shared.state);
        state
            .calls
            .iter()
            .filter(|call| call.operation == operation)
            .count()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Shared {
    /// A call has come, whose first bytes came at `begun`: it gets its index, and the rules are asked.
    fn arrive(
        &self,
        recognised: &Recognised,
        connection: u64,
        peer: u16,
        read: Option<u64>,
        begun: Instant,
    ) -> Arrival {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let mut call = Call {
            index: state.calls.len(),
            operation: recognised.operation.clone(),
            object: recognised.object.clone(),
            connection,
            peer,
            start: begun.saturating_duration_since(state.began),
            ..Call::default()
        };
        let mut arrival = Arrival {
            call: Call::default(),
            round: state.round,
            before: Vec::new(),
            after: Vec::new(),
            stale: None,
        };
        for armed in &mut state.rules {
            if !armed.strikes(&call) {
                continue;
            }
            if matches!(armed.rule.fault, Fault::Stale) {
                let Some(answer) = read.and_then(|read| state.answers.get(&read)) else {
                    armed.missed();
                    continue;
                };
                arrival.stale = Some(answer.clone());
            }
            let faults = match armed.rule.when {
                When::Before => &mut arrival.before,
                When::After => &mut arrival.after,
            };
            faults.push(armed.rule.fault.clone());
            call.injected.push(armed.rule.fault.to_string());
        }
        state.calls.push(call.clone());
        arrival.call = call;
        arrival
    }

    /// Writes down how a call went on.
    fn note(&self, arrival: &Arrival, change: impl FnOnce(&mut Call, Duration)) {
        let mut state = lock(&self.state);
        let now = state.began.elapsed();
        if state.round == arrival.round
            && let Some(call) = state.calls.get_mut(arrival.call.index)
        {
            change(call, now);
        }
    }

    fn remember(&self, read: Option<u64>, answer: &Answer) {
        if let Some(read) = read {
            lock(&self.state).answers.insert(read, answer.clone());
        }
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests;
