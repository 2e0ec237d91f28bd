//! The files of a configuration: how one becomes a text, and how all of them are remembered.

use std::fmt::Write;
use std::io::{self, Read};
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::code::Code;
use super::finding::Diagnostic;
use super::source::Source;
use super::{Examination, FILE_BYTES_MAX};

/// One file of a configuration, as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// As messages name it.
    pub path: PathBuf,
    /// Its text without byte order mark.
    pub text: String,
    /// SHA-256 of the text, 64 hexadecimal digits.
    pub sha256: String,
}

impl SourceFile {
    /// Takes a text.
    pub fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        let text: String = text.into();
        let sha256 = hexadecimal(&Sha256::digest(text.as_bytes()));
        Self { path: path.into(), text, sha256 }
    }
}

impl Examination {
    /// The files that were read: the main one, then the included ones as they were merged. Never empty; after a file
    /// that could not be read its text is.
    pub fn files(&self) -> Vec<SourceFile> {
        let all = std::iter::once(&self.diagnostics.source).chain(&self.diagnostics.included);
        all.map(|source| SourceFile::new(source.name(), source.text())).collect()
    }
}

/// What `guideway_config_info` shows: 16 hexadecimal digits of the SHA-256 over the texts in the order of merging,
/// each behind its length (8 bytes, little-endian).
///
/// Names and places of the files play no part, comments and blanks do: the hash says whether two nodes, or a node and
/// a repository, hold the same text.
pub fn config_hash(files: &[SourceFile]) -> String {
    let mut hasher = Sha256::new();
    for file in files {
        hasher.update((file.text.len() as u64).to_le_bytes());
        hasher.update(file.text.as_bytes());
    }
    hexadecimal(&hasher.finalize()[..8])
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads a text, bounded.
///
/// Errors: the finding, and as much of the text as it points into.
pub(super) fn source_of(name: &str, reader: impl Read) -> Result<Source, Box<(Source, Diagnostic)>> {
    let mut bytes = Vec::new();
    if let Err(error) = reader.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes) {
        return Err(Box::new((Source::new(name, ""), unreadable(name, &error))));
    }
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Box::new((Source::new(name, ""), too_large())));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Source::new(name, text)),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let source = Source::new(name, &valid);
            let mut finding = Diagnostic::new(Code::NotUtf8, "", "the file is not UTF-8 text from here on");
            finding.span = Some(source.span(source.text().len()));
            let finding = finding.hint("save it as UTF-8; keys and values are plain ASCII anyway");
            Err(Box::new((source, finding)))
        }
    }
}

pub(super) fn unreadable(name: &str, error: &io::Error) -> Diagnostic {
    let finding = Diagnostic::new(Code::Unreadable, "", format!("cannot read {name}: {error}"));
    finding.hint("check the path and the permissions")
}

pub(super) fn too_large() -> Diagnostic {
    let message = format!("the file has more than {FILE_BYTES_MAX} bytes");
    Diagnostic::new(Code::TooLarge, "", message).hint("is it the right file?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha_256() {
        // FIPS 180-2, B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(SourceFile::new("x", "abc").sha256, expected);
    }

    #[test]
    fn the_hash_knows_texts_and_their_borders_but_no_names() {
        let hash = |texts: &[&str]| {
            let files: Vec<_> = texts.iter().map(|text| SourceFile::new("x", *text)).collect();
            config_hash(&files)
        };
        assert_eq!(hash(&["a", "b"]), config_hash(&[SourceFile::new("y", "a"), SourceFile::new("z", "b")]));
        assert_ne!(hash(&["ab"]), hash(&["a", "b"]));
        assert_ne!(hash(&["a", "b"]), hash(&["b", "a"]));
        assert_eq!(hash(&["a"]).len(), 16);
    }
}
