//! A bucket and Step Functions in memory, for the tests of what the function does with them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use bellflower_contract::log::{Level, Log};
use bellflower_contract::{Layout, TaskToken};
use serde_json::Value;

use crate::answer::Reply;
use crate::exchange::Exchanges;
use crate::metrics::Dimensions;
use crate::ports::{CallError, Callbacks, Fetched, Object, Outcome, Store, When, Write};

/// How long ago every object was written.
pub const AGE: Duration = Duration::from_secs(7);

#[derive(Default)]
pub struct Memory {
    objects: RefCell<BTreeMap<String, (Vec<u8>, u64)>>,
    writes: Cell<u64>,
    /// Reads of the token file that still find nothing.
    pub missing_reads: Cell<usize>,
    /// The code with which reads of a key are refused.
    refused: RefCell<BTreeMap<String, &'static str>>,
    /// What someone else does just before the calls whose `operation key` these are, in this order.
    meanwhile: RefCell<VecDeque<(String, &'static str, Option<&'static str>)>>,
}

impl Memory {
    pub fn with(objects: &[(&str, &str)]) -> Self {
        let memory = Self::default();
        for (key, body) in objects {
            memory.set(key, body);
        }
        memory
    }

    pub fn set(&self, key: &str, body: &str) {
        let version = self.writes.get() + 1;
        self.writes.set(version);
        let object = (body.as_bytes().to_vec(), version);
        self.objects.borrow_mut().insert(key.to_owned(), object);
    }

    /// From now on nobody may read the object `key`.
    pub fn refuse(&self, key: &str, code: &'static str) {
        self.refused.borrow_mut().insert(key.to_owned(), code);
    }

    pub fn text(&self, key: &str) -> Option<String> {
        let objects = self.objects.borrow();
        let (body, _) = objects.get(key)?;
        Some(String::from_utf8(body.clone()).unwrap())
    }

    /// Just before `call`, someone else writes (or deletes) the object `key`.
    pub fn meanwhile(&self, call: &str, key: &'static str, body: Option<&'static str>) {
        let mut meanwhile = self.meanwhile.borrow_mut();
        meanwhile.push_back((call.to_owned(), key, body));
    }

    fn before(&self, operation: &str, key: &str) {
        let call = format!("{operation} {key}");
        let due = self
            .meanwhile
            .borrow_mut()
            .pop_front_if(|(next, ..)| *next == call);
        match due {
            Some((_, key, Some(body))) => self.set(key, body),
            Some((_, key, None)) => {
                self.objects.borrow_mut().remove(key);
            }
            None => {}
        }
    }

    fn holds(&self, key: &str, when: When<'_>) -> bool {
        let objects = self.objects.borrow();
        let version = objects.get(key).map(|(_, version)| version.to_string());
        match when {
            When::Always => true,
            When::Absent => version.is_none(),
            When::Unchanged(expected) => version.as_deref() == Some(expected),
        }
    }
}

impl Store for Memory {
    async fn put(
        &self,
        key: &str,
        _: &'static str,
        body: Vec<u8>,
        when: When<'_>,
    ) -> Result<Write, CallError> {
        self.before("put", key);
        if !self.holds(key, when) {
            return Ok(Write::Lost {
                after_silence: false,
            });
        }
        self.set(key, &String::from_utf8(body).unwrap());
        Ok(Write::Done)
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Fetched, CallError> {
        self.before("get", key);
        if let Some(code) = self.refused.borrow().get(key) {
            return Err(CallError {
                doing: format!("reading {key}"),
                code: (*code).to_owned(),
                message: None,
                request_id: None,
            });
        }
        if key.ends_with("task_token.txt") && self.missing_reads.get() > 0 {
            self.missing_reads.set(self.missing_reads.get() - 1);
            return Ok(Fetched::Missing);
        }
        Ok(match self.objects.borrow().get(key) {
            None => Fetched::Missing,
            Some((body, _)) if body.len() > limit => Fetched::TooLong,
            Some((body, version)) => Fetched::Object(Object {
                body: body.clone(),
                version: version.to_string(),
                written: Some(SystemTime::now() - AGE),
            }),
        })
    }

    async fn delete(&self, key: &str, when: When<'_>) -> Result<Write, CallError> {
        self.before("delete", key);
        if !self.holds(key, when) {
            return Ok(Write::Lost {
                after_silence: false,
            });
        }
        self.objects.borrow_mut().remove(key);
        Ok(Write::Done)
    }
}

/// Takes one closing reply for each token.
#[derive(Default)]
pub struct Machine {
    closed: RefCell<BTreeSet<String>>,
    /// The code with which every reply but a heartbeat is refused.
    refusal: Option<&'static str>,
    /// Whether its first answer was lost each time.
    pub silent: bool,
    /// Whether it answers no call at all.
    pub failing: bool,
    taken: RefCell<Vec<(String, Reply)>>,
}

impl Machine {
    /// One whose callbacks with these tokens are closed.
    pub fn closed(tokens: &[&str]) -> Self {
        let closed = tokens.iter().map(ToString::to_string).collect();
        Self {
            closed: RefCell::new(closed),
            ..Self::default()
        }
    }

    /// One that refuses every reply but heartbeats with this code, if there is one.
    pub fn refusing(refusal: Option<&'static str>) -> Self {
        Self {
            refusal,
            ..Self::default()
        }
    }

    /// What was taken, in order, as `token: reply`.
    pub fn taken(&self) -> Vec<String> {
        let taken = self.taken.borrow();
        taken
            .iter()
            .map(|(token, reply)| match reply {
                Reply::Success(result) => format!("{token}: {result}"),
                Reply::Failure { error, cause } => format!("{token}: {error}: {cause}"),
                Reply::Heartbeat => format!("{token}: alive"),
            })
            .collect()
    }
}

impl Callbacks for Machine {
    async fn send(&self, token: &TaskToken, reply: &Reply) -> Result<Outcome, CallError> {
        if self.failing {
            return Err(CallError {
                doing: "calling Step Functions".to_owned(),
                code: "ThrottlingException".to_owned(),
                message: None,
                request_id: None,
            });
        }
        let token = token.reveal().to_owned();
        if self.closed.borrow().contains(&token) {
            return Ok(Outcome::NotOpen {
                code: "TaskTimedOut".to_owned(),
                after_silence: self.silent,
            });
        }
        if let Some(code) = self.refusal.filter(|_| *reply != Reply::Heartbeat) {
            return Ok(Outcome::Refused(code.to_owned()));
        }
        if *reply != Reply::Heartbeat {
            self.closed.borrow_mut().insert(token.clone());
        }
        self.taken.borrow_mut().push((token, reply.clone()));
        Ok(Outcome::Taken)
    }
}

/// What a run told.
pub struct Told(Vec<Value>);

impl Told {
    /// The log's messages, without the metrics.
    pub fn messages(&self) -> Vec<&str> {
        let messages = self.0.iter().map(|line| line["message"].as_str().unwrap());
        messages.filter(|message| *message != "metrics").collect()
    }

    /// The metrics counted, in order.
    pub fn metrics(&self) -> Vec<&str> {
        let lines = self.0.iter().filter(|line| line["message"] == "metrics");
        lines
            .map(|line| {
                let metrics = &line["_aws"]["CloudWatchMetrics"][0]["Metrics"];
                let name = metrics[0]["Name"].as_str().unwrap();
                assert_eq!(line[name], 1, "{line}");
                name
            })
            .collect()
    }

    /// A field of the one line that has it.
    pub fn field(&self, name: &str) -> &Value {
        let mut found = self.0.iter().filter_map(|line| line.get(name));
        let field = found.next().unwrap();
        assert_eq!(found.next(), None, "{name}");
        field
    }
}

/// Does `work` on exchanges in `store`, and checks that no token is told: every token in these tests begins with `AQB8`.
pub async fn run<'a, T>(
    store: &'a Memory,
    machine: &'a Machine,
    work: impl AsyncFnOnce(&Exchanges<'_, Memory, Machine>) -> T,
) -> (T, Told) {
    let lines = Mutex::new(Vec::new());
    let sink = |line: &str| lines.lock().unwrap().push(line.to_owned());
    let exchanges = Exchanges {
        store,
        callbacks: machine,
        layout: &Layout::default(),
        dimensions: &Dimensions::default(),
        log: &Log::new("r-1", Level::Info, &sink),
    };
    let done = work(&exchanges).await;
    let lines = lines.into_inner().unwrap();
    assert!(!lines.concat().contains("AQB8"), "{lines:?}");
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (done, Told(lines))
}
