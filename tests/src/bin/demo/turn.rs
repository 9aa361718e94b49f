//! One demo at a time: all of them use the same folder.

use std::fs::{File, TryLockError};
use std::path::Path;

use bellflower_tests::Error;

use crate::story::file;

/// Takes the turn, which lasts until the file is dropped or this process ends, however it ends.
pub fn take(target: &Path) -> Result<File, Error> {
    std::fs::create_dir_all(target).map_err(file("creating", target))?;
    let path = target.join("demo.lock");
    let open = File::options().create(true).append(true).open(&path);
    let lock = open.map_err(file("opening", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Missing(
            "Another demo is running. Wait for its end, or end it with Ctrl-C where it runs."
                .to_owned(),
        )),
        Err(TryLockError::Error(source)) => Err(file("locking", &path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_for_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let first = take(folder.path()).unwrap();
        let refusal = take(folder.path()).unwrap_err().to_string();
        assert!(refusal.starts_with("Another demo is running"), "{refusal}");
        drop(first);
        assert!(take(folder.path()).is_ok());
    }
}
