//! Reproducible zip files: same entries, same bytes, whenever and wherever they are made.

use std::io::{Cursor, Write as _};

use zip::result::ZipResult;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// One executable file (mode 0755) in a zip.
///
/// # Errors
/// When the entry cannot be written, which for memory means that it is too large.
pub fn executable(name: &str, bytes: &[u8]) -> ZipResult<Vec<u8>> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        // The zip format's own beginning of time, 1980-01-01: any fixed moment will do.
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file(name, options)?;
    writer.write_all(bytes)?;
    Ok(writer.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_same_input_gives_the_same_bytes() {
        let input = b"some executable".repeat(1000);
        let bytes = executable("bootstrap", &input).unwrap();
        assert_eq!(bytes, executable("bootstrap", &input).unwrap());
        // Two quick runs would agree on the present moment too: the clock must not be in there at all.
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let entry = archive.by_index(0).unwrap();
        assert_eq!(entry.last_modified().unwrap().year(), 1980);
    }

    #[test]
    fn one_entry_that_can_be_executed() {
        let bytes = executable("bootstrap", b"hello").unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(archive.len(), 1);
        let mut entry = archive.by_name("bootstrap").unwrap();
        assert_eq!(entry.unix_mode().unwrap() & 0o777, 0o755);
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        assert_eq!(content, "hello");
    }
}
