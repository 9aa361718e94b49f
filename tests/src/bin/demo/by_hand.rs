//! How to go on by hand with what the demo has kept.

use std::fmt::Write as _;
use std::path::Path;

use bellflower_tests::{Error, MiniStack, Pipeline, Terraform, environment};

use crate::story::{RESOURCE, file};

/// Writes the environment down and prints what can be done in it.
pub fn tell(
    folder: &Path,
    terraform: &Terraform,
    emulator: &MiniStack,
    pipeline: &Pipeline,
) -> Result<(), Error> {
    let script = folder.join("environment.sh");
    let mut variables = emulator.environment();
    // The only name that version 1 of AWS's command line knows.
    variables.push(("AWS_DEFAULT_REGION".into(), emulator.region().into()));
    // Nobody's proxy leads back to this machine.
    for name in ["NO_PROXY", "no_proxy"] {
        variables.push((name.into(), "127.0.0.1,localhost".into()));
    }
    let configuration = terraform.cli_configuration();
    variables.push(("TF_CLI_CONFIG_FILE".into(), path(&configuration)));
    let text = exports(&variables);
    std::fs::write(&script, text).map_err(file("writing to", &script))?;

    let name = terraform.resource(RESOURCE)?["name"].clone();
    println!("\nEverything is still running. To go on by hand:");
    println!("  . {}", shell(&path(&script)));
    println!("  cd {}", shell(&path(terraform.directory())));
    println!("  {} plan", shell(&path(&environment::terraform())));
    println!(
        "  aws stepfunctions start-execution --state-machine-arn {} --input '{{}}'",
        pipeline.state_machine_arn
    );
    println!("  aws s3 ls --recursive s3://{}/outbound/", pipeline.bucket);
    println!(
        "  {} --bucket={}",
        shell(&path(&environment::business_application())),
        pipeline.bucket
    );
    println!(
        "The `aws` commands are those of the AWS CLI, version 2; an old version 1 looks for AWS itself in `aws sqs`, unless it is given `--endpoint-url=$AWS_ENDPOINT_URL`."
    );
    println!(
        "The pipeline {name} is there: to apply an example, or a configuration of your own, to this local AWS, run `terraform init` in its folder and give it another name, or destroy the pipeline first. \
         The local AWS ends no execution for want of a heartbeat."
    );
    println!("To end it (everything is in its memory; the next `cargo xtask demo` ends it too):");
    println!("  kill -- -{}", emulator.id());
    Ok(())
}

fn exports(variables: &[(String, String)]) -> String {
    let mut text = String::from("# The environment of the demo: . environment.sh\n");
    for (name, value) in variables {
        let _ = writeln!(text, "export {name}={}", shell(value));
    }
    text
}

fn path(path: &Path) -> String {
    path.display().to_string()
}

/// The word as a shell has to be given it: quoted where it needs to be.
fn shell(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-:=+,@%".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        for word in [
            "/a/b-c_1.sh",
            "/a b",
            "it's",
            "$HOME `x` \"y\" \\",
            "ä",
            "~",
            "",
        ] {
            let script = format!(
                "{}printf %s \"$WORD\"",
                exports(&[("WORD".into(), word.into())])
            );
            let output = std::process::Command::new("sh")
                .args(["-c", &script])
                .output()
                .unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word, "{script}");
        }
        assert_eq!(shell("/a/b-c_1.sh"), "/a/b-c_1.sh");
    }
}
