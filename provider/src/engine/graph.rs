//! Runs the nodes of a graph, each as soon as what it depends on is done.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::future::Future;

use futures::stream::{FuturesUnordered, StreamExt};

/// A node's name with the names of those it waits for. A dependency that is no node of the graph counts as done.
pub type Edges<K> = BTreeMap<K, Vec<K>>;

/// How a run ended, node by node.
#[derive(Debug)]
pub struct Outcome<K, E> {
    /// Nodes whose action succeeded, in the order they finished.
    pub done: Vec<K>,
    /// Nodes whose action failed, with the reason.
    pub failed: Vec<(K, E)>,
    /// Nodes not started: something they wait for failed, the run was stopped, or they wait for themselves.
    pub skipped: Vec<K>,
}

/// Runs `action` for every node. Independent nodes run side by side and go on when another one fails; nodes that wait for a
/// failed one are skipped. When `stopped` turns true no further node starts, and those under way are awaited.
pub async fn run<K, E, F, Fut>(
    edges: &Edges<K>,
    stopped: impl Fn() -> bool,
    action: F,
) -> Outcome<K, E>
where
    K: Ord + Clone + Debug,
    F: Fn(K) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    let mut waiting: BTreeMap<K, BTreeSet<K>> = edges
        .iter()
        .map(|(node, after)| {
            (
                node.clone(),
                after
                    .iter()
                    .filter(|dep| edges.contains_key(dep))
                    .cloned()
                    .collect(),
            )
        })
        .collect();
    let mut outcome = Outcome {
        done: Vec::new(),
        failed: Vec::new(),
        skipped: Vec::new(),
    };
    let mut running = FuturesUnordered::new();
    loop {
        if !stopped() {
            let ready: Vec<K> = waiting
                .iter()
                .filter(|(_, after)| after.is_empty())
                .map(|(node, _)| node.clone())
                .collect();
            for node in ready {
                waiting.remove(&node);
                let work = action(node.clone());
                running.push(async move { (node, work.await) });
            }
        }
        let Some((node, result)) = running.next().await else {
            break;
        };
        match result {
            Ok(()) => {
                for after in waiting.values_mut() {
                    after.remove(&node);
                }
                outcome.done.push(node);
            }
            Err(error) => outcome.failed.push((node, error)),
        }
    }
    outcome.skipped.extend(waiting.into_keys());
    outcome
}

/// The same graph, walked from its end: every node waits for those that waited for it.
#[must_use]
pub fn reversed<K: Ord + Clone>(edges: &Edges<K>) -> Edges<K> {
    let mut result: Edges<K> = edges
        .keys()
        .map(|node| (node.clone(), Vec::new()))
        .collect();
    for (node, after) in edges {
        for dep in after {
            if let Some(list) = result.get_mut(dep) {
                list.push(node.clone());
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;
    use std::time::Duration;
    use tokio::time::{Instant, sleep};

    fn edges(list: &[(&'static str, &[&'static str])]) -> Edges<&'static str> {
        list.iter()
            .map(|(node, after)| (*node, after.to_vec()))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn starts_each_node_as_soon_as_it_can() {
        let graph = edges(&[("a", &[]), ("b", &["a"]), ("c", &[]), ("d", &["b", "c"])]);
        let begin = Instant::now();
        let seconds = |node: &str| if node == "c" { 3 } else { 1 };
        let outcome: Outcome<_, ()> = run(
            &graph,
            || false,
            |node| async move {
                sleep(Duration::from_secs(seconds(node))).await;
                Ok(())
            },
        )
        .await;
        assert_eq!(outcome.done, ["a", "b", "c", "d"]);
        assert_eq!(
            begin.elapsed().as_secs(),
            4,
            "the longest path, not the sum"
        );
    }

    #[tokio::test]
    async fn a_failure_stops_only_what_waits_for_it() {
        let graph = edges(&[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &[])]);
        let outcome = run(
            &graph,
            || false,
            |node| async move { if node == "b" { Err("no") } else { Ok(()) } },
        )
        .await;
        assert_eq!(outcome.failed, [("b", "no")]);
        assert_eq!(outcome.skipped, ["c"]);
        assert!(outcome.done.contains(&"d"));
    }

    #[tokio::test]
    async fn a_stop_starts_nothing_more() {
        let graph = edges(&[("a", &[]), ("b", &["a"])]);
        let stopped = Mutex::new(false);
        let outcome: Outcome<_, ()> = run(
            &graph,
            || *stopped.lock().unwrap(),
            |_| async {
                *stopped.lock().unwrap() = true;
                Ok(())
            },
        )
        .await;
        assert_eq!((outcome.done, outcome.skipped), (vec!["a"], vec!["b"]));
    }

    #[tokio::test]
    async fn a_circle_is_skipped_not_waited_for() {
        let graph = edges(&[("a", &["b"]), ("b", &["a"])]);
        let outcome: Outcome<_, ()> = run(&graph, || false, |_| async { Ok(()) }).await;
        assert_eq!(outcome.skipped, ["a", "b"]);
    }

    #[test]
    fn reverses() {
        assert_eq!(
            reversed(&edges(&[("a", &[]), ("b", &["a"])])),
            edges(&[("a", &["b"]), ("b", &[])])
        );
    }
}
