//! How a plugin and the program that starts it find each other.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::{env, fs, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use tempfile::TempDir;
use tokio::net::UnixListener;

/// Tells a plugin that it was started as one. No secret: it only keeps people from running a plugin
/// by hand.
const COOKIE: (&str, &str) = (
    "TF_PLUGIN_MAGIC_COOKIE",
    "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2",
);

/// The version of the handshake itself.
const CORE_VERSION: u32 = 1;

/// The version of the provider protocol that this crate speaks.
const PROTOCOL_VERSION: u32 = 6;

/// The longest path that a socket can have on every Unix, with its closing zero.
const LONGEST_SOCKET_PATH: usize = 104;

/// Why this process and Terraform cannot talk to each other.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error(
        "this provider speaks version {PROTOCOL_VERSION} of the plugin protocol, but Terraform asks \
         for {offered}; Terraform 1.0 and later know version 6"
    )]
    Version { offered: String },
    #[error(
        "Terraform did not send a certificate (PLUGIN_CLIENT_CERT); without one every process on this \
         machine could use this provider and the credentials that it has"
    )]
    NoCertificate,
    #[error("making a socket in {}: {source}", directory.display())]
    Socket {
        directory: PathBuf,
        source: io::Error,
    },
}

/// Whether Terraform started this process.
pub(crate) fn started_as_plugin() -> bool {
    env::var(COOKIE.0).is_ok_and(|value| value == COOKIE.1)
}

/// Makes sure that Terraform speaks our version. One that says nothing is too old to be asked.
pub(crate) fn negotiate() -> Result<(), HandshakeError> {
    let offered = env::var("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_default();
    if offered.is_empty() || speaks_ours(&offered) {
        Ok(())
    } else {
        Err(HandshakeError::Version { offered })
    }
}

fn speaks_ours(offered: &str) -> bool {
    offered
        .split(',')
        .any(|version| version.trim().parse() == Ok(PROTOCOL_VERSION))
}

/// The certificate of the one who may connect.
pub(crate) fn client_certificate() -> Result<String, HandshakeError> {
    env::var("PLUGIN_CLIENT_CERT")
        .ok()
        .filter(|certificate| !certificate.is_empty())
        .ok_or(HandshakeError::NoCertificate)
}

/// Where a socket lies: in a directory of its own, into which only this user can look. Both go when
/// this value goes.
pub(crate) struct Place {
    path: PathBuf,
    _directory: TempDir,
}

impl Place {
    /// Opens a socket where Terraform wants it, or else where temporary files are.
    pub(crate) fn open() -> Result<(UnixListener, Self), HandshakeError> {
        let wanted =
            env::var_os("PLUGIN_UNIX_SOCKET_DIR").filter(|directory| !directory.is_empty());
        let parent = wanted.map_or_else(env::temp_dir, PathBuf::from);
        Self::open_in(parent)
    }

    fn open_in(parent: PathBuf) -> Result<(UnixListener, Self), HandshakeError> {
        let name = "tfplugin-XXXXXX/socket";
        let fits = parent.as_os_str().len() + name.len() + 2 < LONGEST_SOCKET_PATH;
        let parent = if fits { parent } else { PathBuf::from("/tmp") };
        let attempt = || {
            let directory = tempfile::Builder::new()
                .prefix("tfplugin-")
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir_in(&parent)?;
            let path = directory.path().join("socket");
            let listener = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            Ok((
                listener,
                Self {
                    path,
                    _directory: directory,
                },
            ))
        };
        attempt().map_err(|source| HandshakeError::Socket {
            directory: parent.clone(),
            source,
        })
    }

    /// The line that tells Terraform where to connect and whom to expect there.
    pub(crate) fn announcement(&self, certificate: &[u8]) -> String {
        let certificate = STANDARD_NO_PAD.encode(certificate);
        let path = self.path.display();
        format!("{CORE_VERSION}|{PROTOCOL_VERSION}|unix|{path}|grpc|{certificate}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_version_is_found_among_others() {
        assert!(speaks_ours("5,6"));
        assert!(speaks_ours("6"));
        assert!(!speaks_ours("5"));
        assert!(!speaks_ours("16,60"));
    }

    #[tokio::test]
    async fn the_socket_is_private_and_goes_with_its_value() {
        let parent = tempfile::tempdir().unwrap();
        let (_listener, place) = Place::open_in(parent.path().to_owned()).unwrap();
        let mode =
            |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&place.path), 0o600);
        assert_eq!(mode(place.path.parent().unwrap()), 0o700);
        drop(place);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_path_too_long_for_a_socket_is_avoided() {
        let parent = tempfile::tempdir().unwrap();
        let deep = parent.path().join("x".repeat(120));
        fs::create_dir(&deep).unwrap();
        let (_listener, place) = Place::open_in(deep).unwrap();
        assert!(place.path.starts_with("/tmp"));
    }

    #[tokio::test]
    async fn the_announcement_has_six_parts() {
        let parent = tempfile::tempdir().unwrap();
        let (_listener, place) = Place::open_in(parent.path().to_owned()).unwrap();
        let line = place.announcement(&[1, 2, 3, 4]);
        let parts: Vec<_> = line.split('|').collect();
        assert_eq!(
            parts,
            [
                "1",
                "6",
                "unix",
                place.path.to_str().unwrap(),
                "grpc",
                "AQIDBA"
            ]
        );
    }
}
