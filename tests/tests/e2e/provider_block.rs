//! What the provider block says, and what is left to the environment and shared files.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use bellflower_tests::{Aws, ELSEWHERE, Error, MiniStack, Options, Stage, Terraform};

const REGION: &str = "eu-west-1";
/// What Google would say of somebody, if it had signed it.
const TOKEN: &str = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2FjY291bnRzLmdvb2dsZS5jb20iLCJzdWIiOiJ4IiwiYXVkIjoieSJ9.c2ln";
const OTHER_ACCOUNT: &str = "222222222222";

fn emulator() -> Result<MiniStack, Error> {
    MiniStack::start_with(Options {
        region: REGION.to_owned(),
        ..Options::default()
    })
}

/// The planned bucket's name tells region and account.
fn planned_bucket(terraform: &Terraform) -> Result<String, Error> {
    let shown = terraform.expect(&["plan", "-no-color"])?.stdout;
    let line = shown
        .lines()
        .find(|line| line.contains("+ bucket ") && line.contains('"'));
    Ok(line
        .unwrap_or_else(|| panic!("no bucket in the plan:\n{shown}"))
        .to_owned())
}

/// AWS as somebody of this account sees it.
fn of_account(emulator: &MiniStack, account: &str) -> Aws {
    let authority = fs::read_to_string(emulator.authority_file()).unwrap();
    Aws::new(emulator.endpoint(), &authority, account, "secret", REGION)
}

/// Makes a role in the other account; its ARN.
async fn role_elsewhere(emulator: &MiniStack, name: &str, trust: &str) -> String {
    let there = of_account(emulator, OTHER_ACCOUNT);
    let role = there.iam.create_role().role_name(name);
    let role = role.assume_role_policy_document(trust).send().await;
    role.unwrap().role.unwrap().arn
}

/// The emulator's environment without anybody's keys.
fn without_keys(emulator: &MiniStack) -> Vec<(String, String)> {
    let mut environment = emulator.environment();
    environment.retain(|(name, _)| !name.contains("KEY"));
    environment
}

fn quoted(name: &str, value: &str) -> String {
    format!("  {name} = {value:?}\n")
}

/// Nothing but the block: no variable of AWS is set.
#[tokio::test(flavor = "multi_thread")]
async fn the_block_alone_is_enough() -> Result<(), Error> {
    let emulator = emulator()?;
    let (endpoint, authority) = (emulator.endpoint(), emulator.authority_file());
    let endpoints = [
        "cloudwatch",
        "cloudwatchlogs",
        "iam",
        "kms",
        "lambda",
        "s3",
        "sfn",
        "sns",
        "sqs",
        "sts",
    ]
    .map(|service| quoted(service, endpoint))
    .concat();
    let block = |endpoints: &str| {
        [
            quoted("region", REGION),
            quoted("access_key", emulator.account()),
            quoted("secret_key", "secret"),
            quoted("token", "session"),
            quoted("custom_ca_bundle", &authority.display().to_string()),
            "  s3_use_path_style = true\n  max_retries = 1\n".to_owned(),
            "  default_tags {\n    tags = { owner = \"block\" }\n  }\n".to_owned(),
            format!("  endpoints {{\n{endpoints}  }}\n"),
        ]
        .concat()
    };
    let nowhere = [("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned())];

    // One endpoint for all: the plan reaches STS.
    let all = Stage::text(&block(&quoted("all", endpoint)), "orders", "");
    let terraform = Terraform::configuration(&all, &nowhere)?;
    assert!(planned_bucket(&terraform)?.contains(emulator.account()));

    // One for each service: the whole pipeline stands, with the block's tags.
    terraform.rewrite(&Stage::text(&block(&endpoints), "orders", ""))?;
    terraform.apply()?;
    let aws = emulator.aws();
    let url = aws
        .sqs
        .get_queue_url()
        .queue_name("orders-queue-devl-eu-west-1")
        .send()
        .await
        .unwrap();
    let tags = aws
        .sqs
        .list_queue_tags()
        .queue_url(url.queue_url().unwrap())
        .send()
        .await
        .unwrap();
    assert_eq!(tags.tags().unwrap()["owner"], "block");
    terraform.destroy()?;
    Ok(())
}

/// A profile of the shared configuration file, whose credentials a program tells.
#[tokio::test(flavor = "multi_thread")]
async fn a_profile_names_region_and_credentials() -> Result<(), Error> {
    let emulator = emulator()?;
    let files = tempfile::tempdir().unwrap();
    let credentials = files.path().join("credentials.json");
    let told = format!(
        r#"{{"Version": 1, "AccessKeyId": "{OTHER_ACCOUNT}", "SecretAccessKey": "secret"}}"#
    );
    fs::write(&credentials, told).unwrap();
    let config = files.path().join("config");
    let profile = format!(
        "[profile ops]\nregion = ap-southeast-2\nendpoint_url = {}\ncredential_process = cat {}\n",
        emulator.endpoint(),
        credentials.display()
    );
    fs::write(&config, profile).unwrap();
    let environment = [
        ("AWS_CONFIG_FILE", config.display().to_string()),
        (
            "AWS_CA_BUNDLE",
            emulator.authority_file().display().to_string(),
        ),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value));
    let text = Stage::text(&quoted("profile", "ops"), "orders", "");
    let mut terraform = Terraform::configuration(&text, &environment)?;
    let bucket = planned_bucket(&terraform)?;
    assert!(
        bucket.contains(&format!("{OTHER_ACCOUNT}-devl-ap-southeast-2")),
        "{bucket}"
    );
    // Whatever keys there are beside it; but not whatever profile.
    terraform.set("AWS_ACCESS_KEY_ID", Some(emulator.account()));
    terraform.set("AWS_SECRET_ACCESS_KEY", Some("secret"));
    let bucket = planned_bucket(&terraform)?;
    assert!(bucket.contains(OTHER_ACCOUNT), "{bucket}");
    terraform.rewrite(&Stage::text(&quoted("profile", "nope"), "orders", ""))?;
    terraform.set("AWS_REGION", Some(REGION));
    let said = terraform.refuse(&["plan", "-no-color"])?;
    assert!(said.contains("\"nope\""), "{said}");
    Ok(())
}

/// A container's credentials, which are there for whoever asks.
async fn container(account: &str) -> String {
    let body = format!(
        r#"{{"AccessKeyId": "{account}", "SecretAccessKey": "secret", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}}"#
    );
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/credentials")
}

/// The shared configuration file of somebody whose profiles are in all sorts of trouble.
const TROUBLE: &str = r#"
[profile only_a_region]
region = ap-southeast-2
[profile ghostly]
role_arn = arn:aws:iam::222222222222:role/x
source_profile = ghost
[profile sourceless]
role_arn = arn:aws:iam::222222222222:role/x
[profile failing]
credential_process = sh -c 'echo "no ticket, run kinit" >&2; exit 3'
[profile half]
aws_access_key_id = AKIA
[profile signed_out]
sso_session = corp
sso_account_id = 111111111111
sso_role_name = deployer
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://corp.awsapps.com/start
[profile by_the_console]
login_session = arn:aws:iam::111111111111:user/admin
[profile through_the_signed_out]
role_arn = arn:aws:iam::222222222222:role/x
source_profile = signed_out
[profile keys]
aws_access_key_id = 111111111111
aws_secret_access_key = secret
[profile asks_for_a_code]
role_arn = arn:aws:iam::222222222222:role/nobody
source_profile = keys
mfa_serial = arn:aws:iam::111111111111:mfa/me
[profile refused]
role_arn = arn:aws:iam::222222222222:role/nobody
source_profile = keys
[prod]
region = eu-west-1
"#;

/// What somebody's environment says, files in FOLDER, and a part of what he is told.
const NAMED: [(&[(&str, &str)], &str); 20] = [
    (
        &[("AWS_PROFILE", "nope")],
        "no profile \"nope\", which AWS_PROFILE names",
    ),
    (
        &[("AWS_DEFAULT_PROFILE", "nope")],
        "which AWS_DEFAULT_PROFILE names",
    ),
    (&[("AWS_PROFILE", "prod")], "[profile prod]"),
    (
        &[
            ("AWS_PROFILE", "prod"),
            ("AWS_CONFIG_FILE", "FOLDER/nowhere"),
        ],
        "There are none at all",
    ),
    (
        &[("AWS_CONFIG_FILE", "FOLDER/malformed")],
        "malformed on line 1",
    ),
    (&[("AWS_PROFILE", "ghostly")], "`ghost` was not defined"),
    (
        &[("AWS_PROFILE", "sourceless")],
        "`source_profile` or `credential_source`",
    ),
    (&[("AWS_PROFILE", "failing")], "no ticket, run kinit"),
    (
        &[("AWS_PROFILE", "refused")],
        "\"the role of profile \"refused\"\"",
    ),
    (&[("AWS_PROFILE", "half")], "aws_secret_access_key"),
    (
        &[("AWS_PROFILE", "signed_out")],
        "aws sso login --profile signed_out",
    ),
    (
        &[("AWS_PROFILE", "through_the_signed_out")],
        "aws sso login --profile signed_out",
    ),
    (
        &[("AWS_PROFILE", "by_the_console")],
        "aws login --profile by_the_console",
    ),
    (
        &[("AWS_ACCESS_KEY_ID", "AKIA")],
        "without AWS_SECRET_ACCESS_KEY",
    ),
    (
        &[("AWS_WEB_IDENTITY_TOKEN_FILE", "FOLDER/token")],
        "without AWS_ROLE_ARN",
    ),
    (
        &[
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "FOLDER/nowhere"),
            ("AWS_ROLE_ARN", "arn:aws:iam::222222222222:role/web"),
        ],
        "/nowhere (AWS_WEB_IDENTITY_TOKEN_FILE)",
    ),
    (&[("AWS_PROFILE", "asks_for_a_code")], "get-session-token"),
    (&[("AWS_PROFILE", "my prof")], "whose name has a space"),
    // The network is at fault, not the credentials.
    (
        &[
            ("AWS_PROFILE", "refused"),
            ("AWS_ENDPOINT_URL", "https://127.0.0.1:9"),
        ],
        "No answer came from AWS",
    ),
    (
        &[("HTTPS_PROXY", "socks5://127.0.0.1:9")],
        "HTTPS_PROXY does not name a proxy",
    ),
];

/// What somebody names is used, or it is an error that says why not: never are other credentials taken that a machine has, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_named_is_not_passed_over() -> Result<(), Error> {
    let emulator = emulator()?;
    let files = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = files.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let trouble = write("trouble", TROUBLE);
    write("malformed", "one\ntwo\n");
    let folder = files.path().display().to_string();
    let mut environment = without_keys(&emulator);
    environment.extend([
        ("AWS_CONFIG_FILE".to_owned(), trouble.clone()),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI".to_owned(),
            container(OTHER_ACCOUNT).await,
        ),
    ]);
    let text = |line: &str| Stage::text(line, "orders", "");
    let mut terraform = Terraform::configuration(&text(""), &environment)?;

    // A profile that has no credentials of its own leaves room for the container's, and for what else it says.
    terraform.set("AWS_PROFILE", Some("only_a_region"));
    terraform.set("AWS_REGION", Some(""));
    for (block, profile) in [
        ("", "only_a_region"),
        ("profile = \"only_a_region\"", "nope"),
    ] {
        terraform.rewrite(&text(block))?;
        terraform.set("AWS_PROFILE", Some(profile));
        let bucket = planned_bucket(&terraform)?;
        let there = format!("{OTHER_ACCOUNT}-devl-ap-southeast-2");
        assert!(bucket.contains(&there), "{block}: {bucket}");
    }
    terraform.set("AWS_REGION", Some(REGION));
    terraform.rewrite(&text(""))?;

    for (variables, words) in NAMED {
        for (name, value) in variables {
            terraform.set(name, Some(&value.replace("FOLDER", &folder)));
        }
        let said = terraform.refuse(&["plan", "-no-color"])?;
        assert!(said.contains(words), "{variables:?}: {said}");
        for (name, _) in variables {
            terraform.set(name, None);
        }
        terraform.set("AWS_CONFIG_FILE", Some(&trouble));
        terraform.set("AWS_ENDPOINT_URL", Some(emulator.endpoint()));
    }
    // Where nobody answers, the region may be none.
    terraform.set("AWS_REGION", Some("eu-west-11"));
    terraform.set("AWS_ENDPOINT_URL", Some("https://127.0.0.1:9"));
    let said = terraform.refuse(&["plan", "-no-color"])?;
    assert!(said.contains("credentials in eu-west-11"), "{said}");
    Ok(())
}

/// A web identity that the environment names comes before a profile that nobody named, and a container is asked past the proxy.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_source_that_is_named_is_taken() -> Result<(), Error> {
    let emulator = emulator()?;
    let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Federated": "accounts.google.com"},
        "Action": "sts:AssumeRoleWithWebIdentity"}]}"#;
    let role = role_elsewhere(&emulator, "web", trust).await;
    let files = tempfile::tempdir().unwrap();
    let (config, token) = (files.path().join("config"), files.path().join("token"));
    fs::write(&token, TOKEN).unwrap();
    let keys = "[default]\naws_access_key_id = 111111111111\naws_secret_access_key = secret\n";
    fs::write(&config, keys).unwrap();
    let mut environment = without_keys(&emulator);
    environment.push(("AWS_CONFIG_FILE".to_owned(), config.display().to_string()));
    let text = Stage::text("", "orders", "");
    let mut terraform = Terraform::configuration(&text, &environment)?;
    let bucket = planned_bucket(&terraform)?;
    assert!(bucket.contains("111111111111"), "{bucket}");
    terraform.set("AWS_ROLE_ARN", Some(&role));
    let file = token.display().to_string();
    terraform.set("AWS_WEB_IDENTITY_TOKEN_FILE", Some(&file));
    let bucket = planned_bucket(&terraform)?;
    assert!(bucket.contains(OTHER_ACCOUNT), "{bucket}");

    terraform.set("AWS_WEB_IDENTITY_TOKEN_FILE", None);
    fs::write(&config, "").unwrap();
    let uri = container("333333333333").await;
    terraform.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", Some(&uri));
    let nobody = "http://127.0.0.1:9";
    for proxy in ["HTTP_PROXY", "ALL_PROXY", "HTTPS_PROXY"] {
        terraform.set(proxy, Some(nobody));
    }
    // The emulator is on this machine, and so reached past the proxy, too.
    let bucket = planned_bucket(&terraform)?;
    assert!(bucket.contains("333333333333"), "{bucket}");
    Ok(())
}

/// An empty text in the block is as good as none.
#[tokio::test(flavor = "multi_thread")]
async fn empty_texts_leave_it_to_the_environment() -> Result<(), Error> {
    let emulator = emulator()?;
    let names = [
        "region",
        "profile",
        "access_key",
        "secret_key",
        "token",
        "custom_ca_bundle",
    ];
    let block = names.map(|name| quoted(name, "")).concat() + "  endpoints {\n    s3 = \"\"\n  }\n";
    let mut environment = emulator.environment();
    environment.push(("AWS_PROFILE".to_owned(), String::new()));
    let terraform = Terraform::configuration(&Stage::text(&block, "orders", ""), &environment)?;
    let bucket = planned_bucket(&terraform)?;
    assert!(bucket.contains(emulator.account()), "{bucket}");
    Ok(())
}

/// A proxy that makes tunnels, and counts them.
async fn tunnels() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut request = vec![0; 4096];
                let length = stream.read(&mut request).await.unwrap_or_default();
                let request = String::from_utf8_lossy(&request[..length]).into_owned();
                let mut words = request.split_whitespace();
                let (Some("CONNECT"), Some(target)) = (words.next(), words.next()) else {
                    return;
                };
                counted.fetch_add(1, Ordering::Relaxed);
                let target = target.replace(ELSEWHERE, "127.0.0.1");
                let mut there = TcpStream::connect(target).await.unwrap();
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                let _ = copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    (format!("http://{address}"), count)
}

/// `HTTPS_PROXY` is on the way to AWS, but for the hosts of `NO_PROXY`.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_to_aws_is_through_the_proxy() -> Result<(), Error> {
    let emulator = emulator()?;
    let (proxy, count) = tunnels().await;
    let mut environment = emulator.environment();
    environment.push(("HTTPS_PROXY".to_owned(), proxy));
    let elsewhere = emulator.endpoint().replace("127.0.0.1", ELSEWHERE);
    environment.retain(|(name, _)| name != "AWS_ENDPOINT_URL");
    environment.push(("AWS_ENDPOINT_URL".to_owned(), elsewhere));
    let text = Stage::text("  s3_use_path_style = true\n", "orders", "");
    let mut terraform = Terraform::configuration(&text, &environment)?;
    let bucket = planned_bucket(&terraform)?;
    assert!(bucket.contains(emulator.account()), "{bucket}");
    let tunnelled = count.load(Ordering::Relaxed);
    assert!(tunnelled > 0, "nothing came by way of the proxy");
    terraform.set("NO_PROXY", Some("example.com, *.elsewhere.test:443"));
    terraform.refuse(&["plan", "-no-color"])?;
    assert_eq!(count.load(Ordering::Relaxed), tunnelled);
    // A proxy that is not there is named.
    terraform.set("NO_PROXY", None);
    terraform.set("HTTPS_PROXY", Some("http://127.0.0.1:9"));
    let said = terraform.refuse(&["plan", "-no-color"])?;
    assert!(said.contains("HTTPS_PROXY"), "{said}");
    Ok(())
}

/// The role's account is where the pipeline will be.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed() -> Result<(), Error> {
    let emulator = emulator()?;
    let trust = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {{"AWS": "arn:aws:iam::{}:root"}}}}]}}"#,
        emulator.account()
    );
    role_elsewhere(&emulator, "deployer", &trust).await;
    let role = format!(
        "  assume_role {{\n    role_arn = \"arn:aws:iam::{OTHER_ACCOUNT}:role/deployer\"\n    session_name = \"test\"\n    duration = \"30m\"\n  }}\n"
    );
    let text = Stage::text(&role, "orders", "");
    let terraform = Terraform::configuration(&text, &emulator.environment())?;
    let bucket = planned_bucket(&terraform)?;
    assert!(bucket.contains(OTHER_ACCOUNT), "{bucket}");

    let nobody = role.replace("role/deployer", "role/nobody");
    terraform.rewrite(&Stage::text(&nobody, "orders", ""))?;
    let said = terraform.refuse(&["plan", "-no-color"])?;
    assert!(
        said.contains("sts:AssumeRole") && said.contains("role/nobody"),
        "{said}"
    );
    assert!(!said.contains("No usable credentials"), "{said}");
    Ok(())
}

/// Credentials that changed between plan and apply: what was agreed to is not done elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_not_applied_to_another_account() -> Result<(), Error> {
    let emulator = emulator()?;
    let text = Stage::text("", "orders", "");
    let terraform = Terraform::configuration(&text, &emulator.environment())?;
    terraform.expect(&["plan", "-no-color", "-out=saved"])?;
    let mut command = terraform.command(&["apply", "-no-color", "saved"]);
    let output = command.env("AWS_ACCESS_KEY_ID", OTHER_ACCOUNT).output();
    let said = String::from_utf8_lossy(&output.unwrap().stderr).into_owned();
    // Terraform itself compares what it planned with what it would plan now.
    assert!(said.contains("inconsistent final plan"), "{said}");
    for account in [emulator.account(), OTHER_ACCOUNT] {
        let aws = of_account(&emulator, account);
        let roles = aws.iam.list_roles().send().await.unwrap();
        assert_eq!(roles.roles().len(), 0, "{account}");
    }
    Ok(())
}

/// Two keys that belong together, a URL that is none, a file that is not there: each is told at its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_block_is_told_before_anything_is_asked() -> Result<(), Error> {
    let rows = [
        ("access_key = \"a\"", "secret_key"),
        ("token = \"a\"", "access_key"),
        (
            "default_tags {\n tags = { owner = null }\n}",
            "\"owner\" is null",
        ),
        ("ignore_tags {\n keys = [\"\"]\n}", "an empty text"),
        ("max_retries = -1", "0 to 100"),
        ("custom_ca_bundle = \"/nowhere.pem\"", "/nowhere.pem"),
        ("endpoints {\n s3 = \"localhost\"\n}", "https://"),
        ("assume_role {\n session_name = \"x\"\n}", "role_arn"),
        (
            "assume_role {\n role_arn = \"arn:aws:iam::1:role/x\"\n duration = \"soon\"\n}",
            "15m",
        ),
    ];
    let terraform = Terraform::configuration(&Stage::text("", "orders", ""), &[])?;
    for (line, part) in rows {
        terraform.rewrite(&Stage::text(line, "orders", ""))?;
        let said = terraform.refuse(&["plan", "-no-color"])?;
        assert!(said.contains(part), "{line}: {said}");
        assert!(!said.contains("panicked"), "{line}: {said}");
    }
    Ok(())
}
