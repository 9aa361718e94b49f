//! Names of the state machine's states.

/// Runs the processing function.
pub const PROCESSING: &str = "Processing Lambda";

/// Hands the work to the queue and waits for the callback.
pub const WAIT_FOR_RESPONSE: &str = "Wait For Response";

/// Tells the topic that the execution succeeded.
pub const PUBLISH_SUCCESS: &str = "SNS Publish (Success)";

/// The good end.
pub const SUCCESS: &str = "Success";

/// Removes the task token of a callback that nobody will answer any more.
pub const REMOVE_TOKEN: &str = "Remove token";

/// Tells the topic that the execution failed.
pub const PUBLISH_FAILURE: &str = "SNS Publish (Failure)";

/// The bad end.
pub const FAIL: &str = "Fail";
