//! The support bundle: everything that a bug report needs, in one archive, secrets masked.
//!
//! A source that cannot be read becomes a file with the error: a bundle is made when things are broken, so nothing that
//! is broken may prevent it. Sources are read one after the other, each bounded; nothing is ever written but the bundle.

mod facts;
mod mask;

pub use facts::{ConfigTexts, HostFacts, Verdict};
pub use mask::{MASK, masked};

use std::io::{self, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

/// Bytes of one file; what is more is cut off, and the manifest says so.
pub const FILE_BYTES_MAX: usize = 32 << 20;

/// Something that goes into a bundle, read when its turn comes.
pub trait BundleSource {
    /// Path inside the bundle, e.g. `runtime/status.json`; unique.
    fn name(&self) -> String;

    /// Its bytes.
    ///
    /// Errors: why it cannot be had; the reason goes into the bundle in its place.
    fn bytes(&mut self) -> Result<Vec<u8>, String>;
}

/// A source that is a name and a function.
pub struct Part<F> {
    name: String,
    read: F,
}

impl<F> Part<F>
where
    F: FnMut() -> Result<Vec<u8>, String>,
{
    /// Names what `read` gives.
    pub fn new(name: impl Into<String>, read: F) -> Self {
        Self { name: name.into(), read }
    }
}

impl<F> BundleSource for Part<F>
where
    F: FnMut() -> Result<Vec<u8>, String>,
{
    fn name(&self) -> String {
        self.name.clone()
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        (self.read)()
    }
}

/// What became of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// File in the bundle; with `.error` behind it if the source failed.
    pub file: String,
    /// Its size.
    pub bytes: usize,
    /// Why it could not be read.
    pub error: Option<String>,
    /// Whether its end is missing.
    pub is_cut: bool,
}

/// `manifest.json` of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Manifest {
    /// Of this form.
    pub version: u32,
    /// When it was begun, seconds since 1970.
    pub created_unix_seconds: u64,
    /// All files but this one.
    pub files: Vec<Entry>,
}

/// Writes a gzipped tar archive below the folder `root`: all sources, then the manifest.
///
/// Errors: those of `out` alone.
pub fn write(
    root: &str,
    sources: &mut [Box<dyn BundleSource>],
    out: impl Write,
    now: SystemTime,
) -> io::Result<Manifest> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut archive = tar::Builder::new(GzEncoder::new(out, Compression::default()));
    let mut manifest = Manifest { version: 1, created_unix_seconds: seconds, files: Vec::new() };
    for source in sources {
        let name = source.name();
        let (file, mut bytes, error) = match source.bytes() {
            Ok(bytes) => (name, bytes, None),
            Err(error) => (format!("{name}.error"), format!("{error}\n").into_bytes(), Some(error)),
        };
        let is_cut = bytes.len() > FILE_BYTES_MAX;
        bytes.truncate(FILE_BYTES_MAX);
        append(&mut archive, &format!("{root}/{file}"), &bytes, seconds)?;
        manifest.files.push(Entry { file, bytes: bytes.len(), error, is_cut });
    }
    let text = serde_json::to_vec_pretty(&manifest)?;
    append(&mut archive, &format!("{root}/manifest.json"), &text, seconds)?;
    archive.into_inner()?.finish()?.flush()?;
    Ok(manifest)
}

fn append(archive: &mut tar::Builder<impl Write>, path: &str, bytes: &[u8], seconds: u64) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    header.set_mtime(seconds);
    archive.append_data(&mut header, path, bytes)
}

/// Reads a file of the host, bounded: some in `/proc` have no end that is worth waiting for.
fn read_bounded(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = FILE_BYTES_MAX as u64 + 1;
    std::fs::File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
