//! What the provider block says, and what is left to the environment and shared files.

use std::fs;

use bellflower_tests::{Aws, Error, MiniStack, Options, Stage, Terraform};

const REGION: &str = "eu-west-1";
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

/// The role's account is where the pipeline will be.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_is_assumed() -> Result<(), Error> {
    let emulator = emulator()?;
    let authority = fs::read_to_string(emulator.authority_file()).unwrap();
    let there = Aws::new(
        emulator.endpoint(),
        &authority,
        OTHER_ACCOUNT,
        "secret",
        REGION,
    );
    let trust = format!(
        r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {{"AWS": "arn:aws:iam::{}:root"}}}}]}}"#,
        emulator.account()
    );
    let role = there.iam.create_role().role_name("deployer");
    role.assume_role_policy_document(trust)
        .send()
        .await
        .unwrap();
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
    let authority = fs::read_to_string(emulator.authority_file()).unwrap();
    for account in [emulator.account(), OTHER_ACCOUNT] {
        let aws = Aws::new(emulator.endpoint(), &authority, account, "secret", REGION);
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
