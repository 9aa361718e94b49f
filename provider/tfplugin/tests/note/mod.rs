//! The example provider, built.

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The program. Cargo builds examples along with tests only if it is asked for all of them, and a stale
/// one would prove nothing.
pub fn program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        // TARGET/PROFILE/deps/TEST
        let test = std::env::current_exe().unwrap();
        let profile = test.ancestors().nth(2).unwrap();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME")]);
        cargo.args(["--example", "terraform-provider-note", "--target-dir"]);
        cargo.arg(profile.parent().unwrap());
        // What cargo says about this package to its tests would make build scripts run again.
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            let about_package = ["CARGO_PKG_", "CARGO_MANIFEST_"];
            if name == "OUT_DIR" || about_package.iter().any(|own| name_text.starts_with(own)) {
                cargo.env_remove(&name);
            }
        }
        if profile.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().unwrap().success());
        profile.join("examples/terraform-provider-note")
    });
    program.clone()
}
