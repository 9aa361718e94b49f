//! Puts questions for many names, asked at the same moment, into few calls.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::Failure;

/// How long the first to ask waits for others: far less than a call takes.
const GATHER: Duration = Duration::from_millis(2);

type Answer<T> = Result<Option<T>, Failure>;

/// Those who wait for the answer to the next call.
pub struct Batch<T> {
    most: usize,
    waiting: Mutex<Vec<(String, oneshot::Sender<Answer<T>>)>>,
}

impl<T> fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

/// If the first to ask goes away before it has called, those who joined it learn so and ask for themselves.
struct Leader<'a, T>(&'a Batch<T>);

impl<T> Leader<'_, T> {
    fn take(&self) -> Vec<(String, oneshot::Sender<Answer<T>>)> {
        std::mem::take(
            &mut *self
                .0
                .waiting
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl<T> Drop for Leader<'_, T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

impl<T: Clone> Batch<T> {
    /// A batch of at most `most` names a call.
    #[must_use]
    pub fn of(most: usize) -> Self {
        Self {
            most,
            waiting: Mutex::default(),
        }
    }

    /// The answer for `name`; none if the call's answer does not hold it. All who ask within a moment share a call.
    ///
    /// # Errors
    /// The failure of the call, the same for all who shared it.
    pub async fn ask<F, Fut>(&self, name: &str, call: F) -> Answer<T>
    where
        F: Fn(Vec<String>) -> Fut,
        Fut: Future<Output = Result<HashMap<String, T>, Failure>>,
    {
        let (sender, mut receiver) = oneshot::channel();
        let first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.push((name.to_owned(), sender));
            waiting.len() == 1
        };
        if first {
            let leader = Leader(self);
            tokio::time::sleep(GATHER).await;
            let mut all = leader.take();
            // From here on a newcomer is the first of the next call.
            std::mem::forget(leader);
            while !all.is_empty() {
                let some: Vec<_> = all.drain(..all.len().min(self.most)).collect();
                let answer = call(some.iter().map(|(name, _)| name.clone()).collect()).await;
                for (name, sender) in some {
                    let own = answer
                        .as_ref()
                        .map(|found| found.get(&name).cloned())
                        .map_err(Clone::clone);
                    // Who is no longer there needs no answer.
                    let _ = sender.send(own);
                }
            }
            if let Ok(answer) = receiver.try_recv() {
                return answer;
            }
        } else if let Ok(answer) = receiver.await {
            // That the first to ask was interrupted is not for those who joined it.
            match answer {
                Err(failure) if failure.interrupted => {}
                answer => return answer,
            }
        }
        Ok(call(vec![name.to_owned()]).await?.remove(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn answer(names: &[String]) -> HashMap<String, usize> {
        names
            .iter()
            .filter(|name| *name != "none")
            .map(|name| (name.clone(), name.len()))
            .collect()
    }

    #[tokio::test]
    async fn many_questions_make_few_calls() {
        let (batch, calls) = (Batch::of(3), AtomicUsize::new(0));
        let ask = |name: &'static str| {
            batch.ask(name, |names| {
                calls.fetch_add(1, Ordering::SeqCst);
                async move { Ok(answer(&names)) }
            })
        };
        let answers = join_all(["a", "bb", "none", "dddd", "a"].map(ask)).await;
        let answers: Vec<Option<usize>> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, [Some(1), Some(2), None, Some(4), Some(1)]);
        assert_eq!(calls.load(Ordering::SeqCst), 2, "five names, three a call");
    }

    #[tokio::test]
    async fn a_failure_is_everyones() {
        let batch: Batch<usize> = Batch::of(10);
        let ask = |name| batch.ask(name, |_| async { Err(Failure::refusal("x", "no")) });
        assert!(
            join_all(["a", "b"].map(ask))
                .await
                .iter()
                .all(Result::is_err)
        );
    }

    #[tokio::test]
    async fn those_who_joined_one_that_went_away_ask_for_themselves() {
        let batch = Batch::of(10);
        let ask = |name| batch.ask(name, |names: Vec<String>| async move { Ok(answer(&names)) });
        let first = ask("gone");
        let second = async {
            tokio::task::yield_now().await;
            ask("bb").await
        };
        let lost = tokio::time::timeout(Duration::from_micros(1), first);
        let (_, found) = tokio::join!(lost, second);
        assert_eq!(found.unwrap(), Some(2));
    }

    /// Each has a time limit and a user of its own.
    #[tokio::test]
    async fn that_the_first_was_interrupted_is_not_for_the_others() {
        let batch: Batch<u32> = Batch::of(100);
        let interrupted = |_: Vec<String>| async {
            Err(Failure {
                interrupted: true,
                ..Failure::default()
            })
        };
        let answered = |names: Vec<String>| async {
            let each = names.into_iter().map(|name| (name, 7));
            Ok(each.collect::<HashMap<_, _>>())
        };
        let (first, second) = tokio::join!(batch.ask("a", interrupted), batch.ask("b", answered));
        assert!(first.unwrap_err().interrupted);
        assert_eq!(second.unwrap(), Some(7));
    }
}
