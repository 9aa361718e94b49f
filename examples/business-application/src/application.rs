//! Looking for work, and doing it, much of it at the same time.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::aws::Error;
use crate::bucket::Bucket;
use crate::complaints::Complaints;
use crate::options::Options;
use crate::queue::{self, Queue};
use crate::work::Work;

/// What is complained about when work cannot be looked for. No execution id has spaces.
const LOOKING: &str = "looking for work";
/// What is complained about when a queue does not tell of work.
const LISTENING: &str = "listening for work";
/// Between attempts to begin, and between calls to a queue that fails.
const PAUSE: Duration = Duration::from_secs(5);

/// What came of an exchange.
#[derive(Debug)]
enum Done {
    /// Answered, by us and now.
    Answered,
    /// Answered before.
    Known,
    /// The program ends; the next run does it.
    Interrupted,
    /// A call failed; it is tried again.
    Failed(Error),
}

/// The application at work.
#[derive(Debug)]
pub struct Application {
    bucket: Arc<Bucket>,
    queue: Option<Queue>,
    every: Duration,
    heartbeat: Duration,
    places: Arc<Semaphore>,
    stop: watch::Receiver<bool>,
    /// Tells exchanges to end.
    halt: watch::Sender<bool>,
    /// Exchanges that are being worked on or are answered: what is not to be begun.
    taken: HashSet<String>,
    running: JoinSet<(String, Done)>,
    complaints: Arc<Complaints>,
    answered: usize,
}

impl Application {
    pub fn new(
        bucket: Arc<Bucket>,
        queue: Option<Queue>,
        options: &Options,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            bucket,
            queue,
            every: options.every,
            heartbeat: options.heartbeat,
            places: Arc::new(Semaphore::new(options.at_once)),
            stop,
            halt: watch::Sender::new(false),
            taken: HashSet::new(),
            running: JoinSet::new(),
            complaints: Arc::default(),
            answered: 0,
        }
    }

    /// Works until it is stopped; how many exchanges it has answered. What cannot get better by itself ends it when it first looks or listens for
    /// work. Later on it may well be mended beside it.
    pub async fn run(mut self) -> Result<usize, Error> {
        let mut stop = self.stop.clone();
        let halt = self.halt.clone();
        let failed = tokio::select! {
            _ = stop.wait_for(|stopped| *stopped) => None,
            error = self.work() => Some(error),
        };
        // What is being worked on ends at once, what is being answered ends answered.
        let _ = halt.send(true);
        while let Some(ended) = self.running.join_next().await {
            self.note(ended);
        }
        failed.map_or(Ok(self.answered), Err)
    }

    /// Listens only once it has looked: before, nobody knows whether this program can do any work, and a message that it takes is hidden from others.
    async fn work(&mut self) -> Error {
        let first = Instant::now();
        if let Err(error) = self.start().await {
            return error;
        }
        let (teller, told) = mpsc::unbounded_channel();
        let listener = Listener {
            queue: self.queue.take(),
            bucket: self.bucket.clone(),
            complaints: self.complaints.clone(),
            teller,
        };
        tokio::select! {
            never = self.rounds(first + self.every, told) => match never {},
            error = listener.listen() => error,
        }
    }

    /// Begins what there is to do, but for what earlier runs have answered: from then on we know ourselves.
    async fn start(&mut self) -> Result<(), Error> {
        loop {
            match self.first_look().await {
                Ok(work) => {
                    self.looked(work);
                    return Ok(());
                }
                Err(error) if error.is_final() => return Err(error),
                Err(error) => self.complaints.say(LOOKING, error.to_string()),
            }
            sleep(self.every.min(PAUSE)).await;
        }
    }

    async fn first_look(&mut self) -> Result<HashSet<String>, Error> {
        let work = self.bucket.work().await?;
        match self.bucket.answered().await {
            Ok(answered) => self.taken = answered,
            // Nothing is lost: S3 takes no second answer. But the work is done again to find that out.
            Err(error) if error.is_denied() => {
                eprintln!("{error}; what was answered before is worked on again");
            }
            Err(error) => return Err(error),
        }
        Ok(work)
    }

    async fn rounds(
        &mut self,
        mut next: Instant,
        mut told: mpsc::UnboundedReceiver<HashSet<String>>,
    ) -> Infallible {
        loop {
            tokio::select! {
                () = sleep_until(next) => {
                    next = Instant::now() + self.every;
                    match self.bucket.work().await {
                        Ok(work) => self.looked(work),
                        Err(error) => self.complaints.say(LOOKING, error.to_string()),
                    }
                }
                Some(ended) = self.running.join_next() => self.note(ended),
                Some(work) = told.recv() => self.begin(work),
            }
        }
    }

    /// Work was looked for, and this is all of it.
    fn looked(&mut self, work: HashSet<String>) {
        if self.complaints.settle(LOOKING) {
            println!("work can be looked for again");
        }
        // Objects expire, and with them what has to be remembered.
        self.taken.retain(|id| work.contains(id));
        self.complaints
            .keep(|about| about == LISTENING || work.contains(about));
        self.begin(work);
    }

    fn begin(&mut self, work: HashSet<String>) {
        for id in work {
            if !self.taken.insert(id.clone()) {
                continue;
            }
            let exchange = Exchange {
                bucket: self.bucket.clone(),
                places: self.places.clone(),
                heartbeat: self.heartbeat,
                stop: self.halt.subscribe(),
                complaints: self.complaints.clone(),
            };
            self.running.spawn(async move {
                let done = exchange.run(&id).await;
                (id, done)
            });
        }
    }

    fn note(&mut self, ended: Result<(String, Done), tokio::task::JoinError>) {
        match ended {
            Ok((id, Done::Answered)) => {
                self.answered += 1;
                self.complaints.settle(&id);
                println!("answered {id}");
            }
            Ok((id, Done::Known)) => println!("{id} has been answered before"),
            Ok((_, Done::Interrupted)) => {}
            Ok((id, Done::Failed(error))) => {
                let line = format!("{id} will be tried again: {error}");
                self.complaints.say(&id, line);
                self.taken.remove(&id);
            }
            Err(error) => eprintln!("work ended in an error of the program: {error}"),
        }
    }
}

/// Whoever hears of work from a queue.
struct Listener {
    queue: Option<Queue>,
    bucket: Arc<Bucket>,
    complaints: Arc<Complaints>,
    teller: mpsc::UnboundedSender<HashSet<String>>,
}

impl Listener {
    /// Passes on what the queue tells; ends as [`Application::run`] does. Without a queue it says nothing, for ever.
    async fn listen(self) -> Error {
        let Some(queue) = &self.queue else {
            return std::future::pending().await;
        };
        let mut first = true;
        loop {
            let heard = match queue.receive().await {
                Ok(messages) => {
                    first = false;
                    let _ = self.teller.send(queue::work(&messages, &self.bucket));
                    // A message has said all it can once it is passed on: should the program end before the work does, the next run finds that by looking.
                    queue.delete(&messages).await
                }
                Err(error) if first && error.is_final() => return error,
                Err(error) => Err(error),
            };
            match heard {
                Ok(()) => {
                    if self.complaints.settle(LISTENING) {
                        println!("work can be heard of again");
                    }
                }
                Err(error) => {
                    self.complaints.say(LISTENING, error.to_string());
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// One exchange, from its data to its answer.
struct Exchange {
    bucket: Arc<Bucket>,
    places: Arc<Semaphore>,
    heartbeat: Duration,
    stop: watch::Receiver<bool>,
    complaints: Arc<Complaints>,
}

impl Exchange {
    async fn run(mut self, id: &str) -> Done {
        let places = self.places.clone();
        let mut stop = self.stop.clone();
        let mut place = std::pin::pin!(places.acquire());
        let _place = loop {
            tokio::select! {
                _ = stop.wait_for(|stopped| *stopped) => return Done::Interrupted,
                place = &mut place => break place,
                () = sleep(self.heartbeat) => {}
            }
            self.give_sign(id).await;
        };
        let work = match self.bucket.data(id).await {
            Ok(data) => Work::new(&data),
            Err(error) => return Done::Failed(error),
        };
        if !self.take_time(id, work.time()).await {
            return Done::Interrupted;
        }
        match self.bucket.answer(id, work.answer()).await {
            Ok(true) => Done::Answered,
            Ok(false) => Done::Known,
            Err(error) => Done::Failed(error),
        }
    }

    /// Whether the work was done before the program is to end.
    async fn take_time(&mut self, id: &str, time: Duration) -> bool {
        let done = Instant::now() + time;
        loop {
            let pause = done
                .saturating_duration_since(Instant::now())
                .min(self.heartbeat);
            tokio::select! {
                _ = self.stop.wait_for(|stopped| *stopped) => return pause.is_zero(),
                () = sleep(pause) => {}
            }
            if Instant::now() >= done {
                return true;
            }
            self.give_sign(id).await;
        }
    }

    async fn give_sign(&self, id: &str) {
        if let Err(error) = self.bucket.heartbeat(id).await {
            // The next one may come through.
            self.complaints.say(id, error.to_string());
        }
    }
}
