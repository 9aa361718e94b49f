//! An emulator that an earlier `--keep` has left running.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process_group};

fn note(folder: &Path) -> PathBuf {
    folder.join("ministack.pid")
}

/// Writes down which process is left running.
pub fn remember(folder: &Path, id: u32) -> std::io::Result<()> {
    std::fs::write(note(folder), format!("{id}\n"))
}

/// Ends the process that was written down, if it still is what it was; true when there was one.
pub fn end(folder: &Path) -> bool {
    let Some(id) = std::fs::read_to_string(note(folder))
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok())
    else {
        return false;
    };
    // Process ids are given again: make sure that this one is the emulator of this very folder.
    let is_ours = std::fs::read_link(format!("/proc/{id}/cwd")).is_ok_and(|cwd| cwd == folder)
        && std::fs::read_to_string(format!("/proc/{id}/cmdline"))
            .is_ok_and(|command| command.contains("ministack"));
    is_ours
        && Pid::from_raw(id).is_some_and(|group| kill_process_group(group, Signal::KILL).is_ok())
}
