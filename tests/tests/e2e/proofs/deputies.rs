//! AWS services act for whoever asks them to: what a service may do here, it may only do for us.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html>

use super::documents::{Document, conditions, texts};

/// Keys that tell for whom a service acts. The encryption context of a log group has its ARN, with the account in it: AWS documents it
/// instead of the other two, <https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html>.
const FOR_WHOM: [&str; 3] = [
    "aws:sourceaccount",
    "aws:sourcearn",
    "kms:encryptioncontext:aws:logs:arn",
];

/// Operators that hold only where the key is there and is what it must be.
const FIRM: [&str; 4] = ["ArnEquals", "ArnLike", "StringEquals", "StringLike"];

/// Statements that let in a service for anybody, or anybody at all.
pub fn findings(documents: &[Document]) -> Vec<String> {
    let mut found = Vec::new();
    for document in documents {
        for (sid, statement) in document.statements() {
            if statement["Effect"] != "Allow" {
                continue;
            }
            let principal = &statement["Principal"];
            let at = format!("{}, statement {sid}", document.name);
            if principal == "*" || texts(&principal["AWS"]).contains(&"*") {
                found.push(format!("{at}: it lets in everybody"));
            }
            let services = texts(&principal["Service"]);
            let bound = conditions(statement).any(|(operator, key, values)| {
                FIRM.contains(&operator)
                    && FOR_WHOM.contains(&key.to_lowercase().as_str())
                    && texts(values).iter().all(|value| names_an_account(value))
            });
            if !services.is_empty() && !bound {
                found.push(format!(
                    "{at}: {services:?} may act for any account; add aws:SourceAccount or aws:SourceArn"
                ));
            }
        }
    }
    found
}

/// Buckets are the only objects whose ARN has no account: an account may take over another's deleted bucket.
fn names_an_account(value: &str) -> bool {
    let account = value.split(':').nth(4).unwrap_or(value);
    account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit())
}
