//! The work: a stand-in. Here your own begins.
//!
//! It answers with what it was told, and does as the field `work` of the execution's input says:
//!
//! ```json
//! {"Comment": "an order", "work": {"seconds": 90, "answer": {"price": 12.5}, "fail": "out of stock"}}
//! ```

use std::time::Duration;

use serde_json::{Value, json};

use crate::bucket::Answer;

/// The longest result. Step Functions takes 262,144 bytes, and the pipeline puts the execution id around it.
const LONGEST: usize = 261_888;

/// The longest cause, in characters.
const LONGEST_CAUSE: usize = 32_768;

/// A piece of work.
#[derive(Debug)]
pub struct Work {
    data: Value,
}

impl Work {
    /// Reads `data.json`. What is no JSON is work, too: it fails.
    pub fn new(data: &[u8]) -> Self {
        Self {
            data: serde_json::from_slice(data).unwrap_or_default(),
        }
    }

    fn asked(&self, name: &str) -> &Value {
        &self.data["input"]["work"][name]
    }

    /// How long it takes.
    pub fn time(&self) -> Duration {
        let seconds = self.asked("seconds").as_f64().unwrap_or_default();
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// What comes of it.
    pub fn answer(&self) -> Answer {
        if self.data.is_null() {
            return failure("BusinessApplication.IllegibleWork", "data.json is no JSON");
        }
        if let Some(cause) = self.asked("fail").as_str() {
            return failure("BusinessApplication.WorkFailed", cause);
        }
        let mut result = json!({"status": "done", "info": self.data["info"]});
        if !self.asked("answer").is_null() {
            result["answer"] = self.asked("answer").clone();
        }
        let body = result.to_string().into_bytes();
        if body.len() > LONGEST {
            return failure(
                "BusinessApplication.TooLong",
                &format!("the result would have {} bytes", body.len()),
            );
        }
        Answer::Success(body)
    }
}

fn failure(error: &str, cause: &str) -> Answer {
    let cause: String = cause.chars().take(LONGEST_CAUSE).collect();
    Answer::Failure(
        json!({"error": error, "cause": cause})
            .to_string()
            .into_bytes(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(data: &Value) -> (bool, Value) {
        match Work::new(data.to_string().as_bytes()).answer() {
            Answer::Success(body) => (true, serde_json::from_slice(&body).unwrap()),
            Answer::Failure(body) => (false, serde_json::from_slice(&body).unwrap()),
        }
    }

    #[test]
    fn the_answer_is_made_from_the_data() {
        let data = json!({"info": "an order", "input": {"work": {"answer": [1, "ä"]}}});
        let expected = json!({"status": "done", "info": "an order", "answer": [1, "ä"]});
        assert_eq!(answer(&data), (true, expected));
        // Of anybody's processing function.
        let expected = json!({"status": "done", "info": null});
        assert_eq!(answer(&json!({"order": 7})), (true, expected));
    }

    #[test]
    fn work_fails_where_it_is_asked_to_and_where_it_cannot_be_done() {
        let (good, said) = answer(&json!({"input": {"work": {"fail": "out of stock"}}}));
        assert!(!good);
        assert_eq!(
            said,
            json!({"error": "BusinessApplication.WorkFailed", "cause": "out of stock"})
        );
        assert!(!answer(&json!({"info": "x".repeat(LONGEST)})).0);
        let (_, said) = answer(&json!({"input": {"work": {"fail": "ä".repeat(40_000)}}}));
        assert_eq!(said["cause"], "ä".repeat(LONGEST_CAUSE));
        assert!(matches!(Work::new(b"{").answer(), Answer::Failure(_)));
    }

    #[test]
    fn time_is_what_it_is_asked_to_be() {
        let time = |seconds: Value| {
            Work::new(
                json!({"input": {"work": {"seconds": seconds}}})
                    .to_string()
                    .as_bytes(),
            )
            .time()
        };
        assert_eq!(time(json!(1.5)), Duration::from_millis(1500));
        assert_eq!(time(json!(-1)), Duration::ZERO);
        assert_eq!(time(json!("x")), Duration::ZERO);
    }
}
