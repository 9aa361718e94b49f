//! The local AWS as a child process.

use std::fs::File;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_iam::types::AccessKey;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;

use crate::authority::Authority;
use crate::{Aws, Error, environment};

/// How long the emulator may take to listen; it needs half a second on an idle machine.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Runs the emulator, and ends its whole process group when the standard input closes, which happens however the
/// harness ends: a test run that is killed leaves no emulator behind. A line on it says that the emulator is to stay.
const UNTIL_INPUT_CLOSES: &str = r#"
exec 3<&0
"$0" </dev/null 3<&- &
emulator=$!
(read -r stay <&3 || kill -KILL 0) &
wait "$emulator"
"#;

/// How the emulator is to be run.
#[derive(Debug, Clone)]
pub struct Options {
    /// The account everything happens in: 12 digits, which the emulator also takes as an access key.
    pub account: String,
    /// The region of clients and Terraform.
    pub region: String,
    /// Whether the emulator checks signatures and IAM policies. On, since that is what AWS does.
    pub enforce_iam: bool,
    /// What the seconds of a state machine's waits and retries are multiplied by.
    pub wait_scale: f32,
    /// Seconds until a function is given an event again that it failed at; the second time twice as many. AWS waits for a minute.
    pub event_retry_seconds: u32,
    /// Where functions find AWS, if not at the emulator itself: see [`crate::proxy::Door`].
    pub functions_endpoint: Option<String>,
    /// The folder for its log, certificates and temporary files; without one, a temporary folder.
    pub folder: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            account: "123456789012".to_owned(),
            region: "us-east-1".to_owned(),
            enforce_iam: true,
            wait_scale: 1.0,
            event_retry_seconds: 1,
            functions_endpoint: None,
            folder: None,
        }
    }
}

/// A running MiniStack: AWS on a free port of 127.0.0.1, over https. Dropping it ends it and every Lambda
/// process it has started.
#[derive(Debug)]
pub struct MiniStack {
    // Before `folder`: the process must be gone when its folder goes.
    process: Process,
    folder: PathBuf,
    temporary: Option<TempDir>,
    endpoint: String,
    authority: String,
    options: Options,
}

impl MiniStack {
    /// Starts an emulator with the [default options](Options).
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub fn start() -> Result<Self, Error> {
        Self::start_with(Options::default())
    }

    /// Starts an emulator.
    ///
    /// # Errors
    /// When it is not installed or does not come up.
    pub fn start_with(options: Options) -> Result<Self, Error> {
        let temporary = if options.folder.is_none() {
            let made = TempDir::with_prefix("bellflower-aws-");
            Some(made.map_err(Error::file("creating", &std::env::temp_dir()))?)
        } else {
            None
        };
        let folder = temporary
            .as_ref()
            .map(|made| made.path().to_owned())
            .or_else(|| options.folder.clone())
            .unwrap_or_default();
        let scratch = folder.join("tmp");
        std::fs::create_dir_all(&scratch).map_err(Error::file("creating", &scratch))?;

        let authority = Authority::new()?;
        write(&folder.join("ca.pem"), &authority.certificate)?;
        write(&folder.join("server.pem"), &authority.server_certificate)?;
        write(&folder.join("server.key"), &authority.server_key)?;
        let python = folder.join("python");
        std::fs::create_dir_all(&python).map_err(Error::file("creating", &python))?;
        write(&python.join("sitecustomize.py"), SITE)?;

        if !environment::ministack().is_file() {
            return Err(Error::Missing(format!(
                "there is no local AWS at {}; `cargo xtask tools` installs it",
                environment::ministack().display()
            )));
        }
        hold_port_443();
        let port = free_port().map_err(Error::file(
            "looking for a free port on",
            Path::new("127.0.0.1"),
        ))?;
        let endpoint = format!("https://127.0.0.1:{port}");
        let log = folder.join("ministack.log");
        let mut command = command(&folder, port, &endpoint, &options);
        let output = File::create(&log).map_err(Error::file("creating", &log))?;
        let errors = output.try_clone().map_err(Error::file("opening", &log))?;
        command.stdout(output).stderr(errors);
        let child = command.spawn().map_err(|source| Error::Start {
            program: environment::ministack(),
            hint: "`cargo xtask tools` installs it",
            source,
        })?;
        let mut emulator = Self {
            process: Process {
                child,
                detached: false,
            },
            folder,
            temporary,
            endpoint,
            authority: authority.certificate,
            options,
        };
        emulator.wait_until_it_listens(port)?;
        Ok(emulator)
    }

    fn wait_until_it_listens(&mut self, port: u16) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            // A connection alone proves nothing about who answers; the log is this emulator's own.
            let serves = format!("Running on {}", self.endpoint);
            if std::fs::read_to_string(self.log()).is_ok_and(|log| log.contains(&serves))
                && TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            {
                return Ok(());
            }
            let reason = match self.process.child.try_wait() {
                Ok(Some(status)) => Some(format!("it ended with {status}")),
                Ok(None) if started.elapsed() > START_LIMIT => {
                    Some(format!("no answer after {} s", START_LIMIT.as_secs()))
                }
                Ok(None) => None,
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = reason {
                return Err(Error::Emulator {
                    reason,
                    tail: tail(&self.log()),
                    log: self.log(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The address of every service, such as `https://127.0.0.1:40123`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The account everything happens in.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.options.account
    }

    /// The region of clients and Terraform.
    #[must_use]
    pub fn region(&self) -> &str {
        &self.options.region
    }

    /// The certificate authority to trust, as a PEM file.
    #[must_use]
    pub fn authority_file(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    /// The certificate authority to trust, as PEM.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// The log file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("ministack.log")
    }

    /// The process id, which is also the id of its process group.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Clients that look at it.
    #[must_use]
    pub fn aws(&self) -> Aws {
        self.aws_as(&self.options.account, "secret")
    }

    /// Clients that look at it with an access key of somebody's own.
    #[must_use]
    pub fn aws_as(&self, access_key: &str, secret_key: &str) -> Aws {
        Aws::new(
            &self.endpoint,
            &self.authority,
            access_key,
            secret_key,
            &self.options.region,
        )
    }

    /// The variables that make AWS tools use it, in the names every AWS tool knows.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment_as(&self.options.account, "secret")
    }

    /// The same with an access key of somebody's own.
    #[must_use]
    pub fn environment_as(&self, access_key: &str, secret_key: &str) -> Vec<(String, String)> {
        let authority = self.authority_file().display().to_string();
        [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_CA_BUNDLE", &authority),
            ("AWS_REGION", &self.options.region),
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            // Nothing here should ever wait for an instance role.
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    /// Makes an IAM user who has this policy, or none, and no other; the user's access key.
    ///
    /// # Errors
    /// When IAM refuses.
    pub async fn user(&self, name: &str, policy: Option<&Value>) -> Result<AccessKey, Error> {
        let iam = self.aws().iam;
        let making = "making an IAM user";
        let user = iam.create_user().user_name(name).send().await;
        user.map_err(Error::aws(making))?;
        if let Some(policy) = policy {
            // A policy of its own and not the user's: those may have 2,048 characters at most.
            let made = iam.create_policy().policy_name(name);
            let made = made.policy_document(policy.to_string()).send().await;
            let made = made.map_err(Error::aws(making))?;
            let arn = made.policy().and_then(|policy| policy.arn());
            let attach = iam.attach_user_policy().user_name(name);
            let attach = attach.set_policy_arn(arn.map(str::to_owned)).send().await;
            attach.map_err(Error::aws(making))?;
        }
        let key = iam.create_access_key().user_name(name).send().await;
        let key = key.map_err(Error::aws(making))?.access_key;
        key.ok_or_else(|| Error::Missing("IAM made no access key".to_owned()))
    }

    /// Lets it go on when this value is dropped and when this process ends; the files stay too.
    ///
    /// # Errors
    /// When it has ended meanwhile.
    pub fn leave_running(mut self) -> Result<(), Error> {
        if let Some(input) = &mut self.process.child.stdin {
            let told = input.write_all(b"stay\n");
            told.map_err(Error::file("leaving running what logs to", &self.log()))?;
        }
        self.process.detached = true;
        if let Some(temporary) = self.temporary.take() {
            let _ = temporary.keep();
        }
        Ok(())
    }
}

/// What the emulator's Python reads first.
const SITE: &str = include_str!("python/sitecustomize.py");

fn command(folder: &Path, port: u16, endpoint: &str, options: &Options) -> Command {
    let mut command = Command::new("/bin/sh");
    environment::isolate(&mut command, folder);
    command
        .args(["-c", UNTIL_INPUT_CLOSES])
        .arg(environment::ministack())
        .stdin(Stdio::piped())
        .current_dir(folder)
        // A group of its own: Lambda processes end with it, and a Ctrl-C for Terraform does not end it.
        .process_group(0)
        .env("TMPDIR", folder.join("tmp"))
        .env("PYTHONUNBUFFERED", "1")
        .env("PYTHONPATH", folder.join("python"))
        .env("GATEWAY_PORT", port.to_string())
        .env("BIND_HOST", "127.0.0.1")
        .env("AUTH", options.enforce_iam.to_string())
        .env("SFN_WAIT_SCALE", options.wait_scale.to_string())
        .env(
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS",
            options.event_retry_seconds.to_string(),
        )
        .env("LAMBDA_ASYNC_RETRY_MAX_SECONDS", "300")
        .env("MINISTACK_REGION", &options.region)
        .env("MINISTACK_ACCOUNT_ID", &options.account)
        .env("AWS_DEFAULT_REGION", &options.region)
        .env("USE_SSL", "1")
        .env("MINISTACK_SSL_CERT", folder.join("server.pem"))
        .env("MINISTACK_SSL_KEY", folder.join("server.key"))
        // Functions inherit these: where AWS is, and whom to believe that it is.
        .env(
            "AWS_ENDPOINT_URL",
            options.functions_endpoint.as_deref().unwrap_or(endpoint),
        )
        .env("SSL_CERT_FILE", folder.join("ca.pem"))
        .env("AWS_CA_BUNDLE", folder.join("ca.pem"));
    command
}

/// Takes port 443 for as long as this process runs. Every emulator would like to have it beside its own, and one that finds it
/// free and then loses it to another drops its own port, too, and ends when somebody is connected to that already. Whoever may
/// not take it, or finds it taken, has nothing to fear: neither may the emulator.
fn hold_port_443() {
    static HELD: OnceLock<Option<TcpListener>> = OnceLock::new();
    HELD.get_or_init(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 443)).ok());
}

/// The ports that are looked at: below those that systems give to clients, so that no client gets it before the emulator,
/// and a connection to it while nothing listens cannot end up at itself.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port nobody listens on. Every call begins at another one: several emulators may start at once.
///
/// It is found by knocking, not by listening: a listener of ours would live on for a moment in every child that is
/// started meanwhile, and be taken for the emulator.
fn free_port() -> std::io::Result<u16> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let count = u32::from(PORTS.end - PORTS.start);
    for _ in 0..100 {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        let step = std::process::id().wrapping_mul(7919).wrapping_add(calls) % count;
        let port = PORTS.start + u16::try_from(step).unwrap_or_default();
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            return Ok(port);
        }
    }
    Err(std::io::ErrorKind::AddrInUse.into())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(Error::file("writing", path))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// A child process and its process group.
#[derive(Debug)]
struct Process {
    child: Child,
    detached: bool,
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.detached {
            return;
        }
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It has nothing to save: state is in memory, and its folder is ours.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn serves_https_that_only_its_own_authority_vouches_for() {
        let emulator = MiniStack::start().unwrap();
        let identity = emulator
            .aws()
            .sts
            .get_caller_identity()
            .send()
            .await
            .unwrap();
        assert_eq!(identity.account(), Some(emulator.account()));

        let other = Authority::new().unwrap().certificate;
        let stranger = Aws::new(
            emulator.endpoint(),
            &other,
            emulator.account(),
            "secret",
            "us-east-1",
        );
        let error = stranger.sts.get_caller_identity().send().await.unwrap_err();
        assert!(
            format!("{error:?}").contains("InvalidCertificate"),
            "{error:?}"
        );
    }

    /// The whole chain of trust: a real function of ours, in a process of the emulator's, writes to S3 over https.
    #[tokio::test(flavor = "multi_thread")]
    async fn functions_trust_its_authority() {
        let emulator = MiniStack::start().unwrap();
        let aws = emulator.aws();
        aws.s3
            .create_bucket()
            .bucket("exchange")
            .send()
            .await
            .unwrap();
        let role = role_with(
            &aws,
            r#"{"Effect": "Allow", "Action": ["s3:GetObject", "s3:ListBucket", "s3:PutObject"], "Resource": "*"}"#,
        )
        .await;
        let package = std::fs::read(environment::lambda_package("integration", "x86_64"))
            .expect("`cargo xtask lambdas` builds the package");
        aws.lambda
            .create_function()
            .function_name("integration")
            .runtime(aws_sdk_lambda::types::Runtime::Providedal2023)
            .handler("bootstrap")
            .role(role)
            .code(
                aws_sdk_lambda::types::FunctionCode::builder()
                    .zip_file(aws_sdk_lambda::primitives::Blob::new(package))
                    .build(),
            )
            .environment(
                aws_sdk_lambda::types::Environment::builder()
                    .variables(bellflower_contract::env::BUCKET, "exchange")
                    .build(),
            )
            .send()
            .await
            .unwrap();
        let message = r#"{"Input": {"execution_id": "e-1", "n": 1.50}, "TaskToken": "token-1"}"#;
        let event = serde_json::json!({"Records": [{
            "messageId": "1", "receiptHandle": "1", "body": message, "attributes": {}, "messageAttributes": {},
            "eventSource": "aws:sqs", "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:q", "awsRegion": "us-east-1",
        }]});
        let answer = aws
            .lambda
            .invoke()
            .function_name("integration")
            .payload(aws_sdk_lambda::primitives::Blob::new(event.to_string()))
            .send()
            .await
            .unwrap();
        let payload = String::from_utf8(answer.payload.unwrap().into_inner()).unwrap();
        assert_eq!(answer.function_error, None, "{payload}");
        let listed = aws
            .s3
            .list_objects_v2()
            .bucket("exchange")
            .send()
            .await
            .unwrap();
        let keys: Vec<_> = listed
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .collect();
        assert_eq!(
            keys,
            ["outbound/e-1/data.json", "outbound/e-1/task_token.txt"],
            "{payload}"
        );
    }

    async fn role_with(aws: &Aws, statement: &str) -> String {
        let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}"#;
        let role = aws
            .iam
            .create_role()
            .role_name("function")
            .assume_role_policy_document(trust)
            .send()
            .await
            .unwrap();
        aws.iam
            .put_role_policy()
            .role_name("function")
            .policy_name("function")
            .policy_document(format!(
                r#"{{"Version": "2012-10-17", "Statement": [{statement}]}}"#
            ))
            .send()
            .await
            .unwrap();
        role.role.unwrap().arn
    }

    #[test]
    fn ends_when_the_harness_dies() {
        let mut emulator = MiniStack::start().unwrap();
        let address = emulator
            .endpoint()
            .trim_start_matches("https://")
            .to_owned();
        // What the kernel does when this process ends in any way.
        drop(emulator.process.child.stdin.take());
        assert_silent(&address);
    }

    fn assert_silent(address: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).is_ok() {
            assert!(Instant::now() < deadline, "it still listens");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[test]
    fn goes_on_without_us_once_it_is_left_running() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options {
            folder: Some(folder.path().to_owned()),
            ..Options::default()
        };
        let emulator = MiniStack::start_with(options).unwrap();
        let group = Pid::from_raw(i32::try_from(emulator.id()).unwrap()).unwrap();
        let endpoint = emulator.endpoint().to_owned();
        let address = endpoint.trim_start_matches("https://");
        // This also closes its standard input, as our end would.
        emulator.leave_running().unwrap();
        std::thread::sleep(Duration::from_secs(1));
        let goes_on = TcpStream::connect(address).is_ok();
        kill_process_group(group, Signal::KILL).unwrap();
        assert!(goes_on);
        assert_silent(address);
    }

    #[test]
    fn ends_when_it_is_dropped() {
        let emulator = MiniStack::start().unwrap();
        let (endpoint, log) = (emulator.endpoint().to_owned(), emulator.log());
        let address = endpoint.trim_start_matches("https://").to_owned();
        assert!(TcpStream::connect(&address).is_ok());
        drop(emulator);
        assert_silent(&address);
        assert!(!log.exists());
    }
}
