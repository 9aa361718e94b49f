//! Embeds the Lambda zips that `cargo xtask lambdas` made: whichever there are.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::{env, fs};

const ARCHITECTURES: [&str; 2] = ["x86_64", "arm64"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let zips = manifest.join("../target/lambdas");
    // The folder must exist, or cargo runs this again at every build.
    fs::create_dir_all(&zips)?;
    println!("cargo::rerun-if-changed={}", zips.display());
    let mut table = String::from("&[\n");
    for function in ["processing", "integration"] {
        for architecture in ARCHITECTURES {
            let zip = zips.join(format!("{function}-{architecture}.zip"));
            if zip.is_file() {
                let zip = zip.canonicalize()?.display().to_string();
                writeln!(
                    table,
                    "    ({function:?}, {architecture:?}, include_bytes!({zip:?})),"
                )?;
            }
        }
    }
    table.push_str("]\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("zips.rs"), table)?;
    Ok(())
}
