//! What a built Lambda needs from the machine it will run on.

use object::elf::FileHeader64;
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, elf};

/// The newest glibc version that any symbol of the 64-bit ELF file asks for, as (major, minor); `None` when it asks
/// for none.
///
/// # Errors
/// When the bytes are not such a file.
pub fn newest_glibc(bytes: &[u8]) -> object::Result<Option<(u32, u32)>> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let mut newest = None;
    for section in sections.iter() {
        if section.sh_type(endian) != elf::SHT_GNU_VERNEED {
            continue;
        }
        let Some((mut needs, link)) = section.gnu_verneed(endian, bytes)? else {
            continue;
        };
        let strings = sections.strings(endian, bytes, link)?;
        while let Some((_, mut versions)) = needs.next()? {
            while let Some(version) = versions.next()? {
                newest = newest.max(glibc(version.name(endian, strings)?));
            }
        }
    }
    Ok(newest)
}

fn glibc(symbol_version: &[u8]) -> Option<(u32, u32)> {
    let text = std::str::from_utf8(symbol_version).ok()?;
    let mut parts = text.strip_prefix("GLIBC_")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_symbol_versions() {
        assert_eq!(glibc(b"GLIBC_2.34"), Some((2, 34)));
        assert_eq!(glibc(b"GLIBC_2.2.5"), Some((2, 2)));
        assert_eq!(glibc(b"GLIBC_PRIVATE"), None);
        assert_eq!(glibc(b"GCC_3.0"), None);
    }

    #[test]
    fn this_very_program_needs_some_glibc() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let newest = newest_glibc(&bytes).unwrap().unwrap();
        assert!(((2, 2)..(3, 0)).contains(&newest), "{newest:?}");
    }

    #[test]
    fn refuses_what_is_not_elf() {
        assert!(newest_glibc(b"#!/bin/sh").is_err());
    }
}
