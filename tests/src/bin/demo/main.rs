//! `cargo xtask demo`: the whole callback pattern, told line by line, on a local AWS.
//!
//! Everything is in `target/demo`: the working copy of the example, Terraform's and the emulator's logs.

mod by_hand;
mod leftover;
mod story;
mod telling;
mod turn;

use std::process::ExitCode;

use bellflower_tests::environment;
use telling::Telling;

#[tokio::main]
async fn main() -> ExitCode {
    let keep = std::env::args()
        .skip(1)
        .any(|argument| argument == "--keep");
    let target = environment::repository().join("target");
    let _turn = match turn::take(&target) {
        Ok(turn) => turn,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let folder = target.join("demo");
    let telling = Telling::new();
    match story::tell(&telling, &folder, keep).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe demo failed: {error}\n");
            eprintln!("The logs are in {}:", folder.display());
            eprintln!("  ministack.log                the local AWS");
            eprintln!("  terraform.log                what Terraform printed");
            eprintln!("  provider.log                 what Terraform and the provider logged");
            eprintln!("  lambda.log                   what the functions logged");
            eprintln!("  business-application.log     what the application said");
            ExitCode::FAILURE
        }
    }
}
