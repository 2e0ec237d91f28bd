//! What outlives the process: the last good configuration, and the operator's persistent words.
//!
//! Files are replaced as a whole or not at all: written beside, synced, renamed.

use super::loaded::ConfigFile;
use super::overrides::{Kept, Overrides};
use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Where state is kept unless told.
pub const STATE_DIRECTORY_DEFAULT: &str = "/var/lib/guideway";
const LAST_GOOD: &str = "last-good.json";
const OVERRIDES: &str = "overrides.json";
/// Larger files are not ours.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// The state directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// The last good configuration.
#[derive(Debug, Serialize, Deserialize)]
struct LastGood {
    /// The file that it was loaded as.
    of: PathBuf,
    files: Vec<ConfigFile>,
}

impl Store {
    /// State in `directory`, which is made when something is kept for the first time.
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Keeps a configuration that is in force, loaded as the file `of`.
    ///
    /// # Errors
    /// The directory cannot be written; what was kept before is still there.
    pub(super) fn keep_last_good(&self, of: &Path, files: &[ConfigFile]) -> Result<()> {
        self.keep(LAST_GOOD, &LastGood { of: of.to_owned(), files: files.to_vec() })
    }

    /// The last configuration that was in force and was loaded as the file `of`.
    ///
    /// # Errors
    /// What is kept cannot be read.
    pub fn last_good(&self, of: &Path) -> Result<Option<Vec<ConfigFile>>> {
        let kept: Option<LastGood> = self.read(LAST_GOOD)?;
        Ok(kept.filter(|kept| kept.of == of).map(|kept| kept.files))
    }

    /// Keeps the persistent words.
    ///
    /// # Errors
    /// The directory cannot be written; what was kept before is still there.
    pub(super) fn keep_overrides(&self, overrides: &Overrides) -> Result<()> {
        self.keep(OVERRIDES, &overrides.persistent())
    }

    /// The persistent words.
    ///
    /// # Errors
    /// What is kept cannot be read.
    pub(super) fn overrides(&self) -> Result<Overrides> {
        Ok(Overrides::restore(self.read::<Vec<Kept>>(OVERRIDES)?.unwrap_or_default()))
    }

    fn keep(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.directory.join(name);
        let bytes = serde_json::to_vec_pretty(value)?;
        self.replace(&path, &bytes).with_context(|| {
            format!(
                "{} cannot be written: make the directory writable, or name another by --state-dir",
                path.display()
            )
        })
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let beside = path.with_extension("new");
        let written = File::create(&beside).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        });
        if let Err(error) = written.and_then(|()| fs::rename(&beside, path)) {
            // Nothing half-written stays; that it cannot be removed either changes nothing.
            let _ = fs::remove_file(&beside);
            return Err(error);
        }
        File::open(&self.directory)?.sync_all()
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.directory.join(name);
        let mend = || format!("{} cannot be read: remove it to start without it", path.display());
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(mend),
            Ok(found) if found.len() > FILE_BYTES_MAX => anyhow::bail!("{}", mend()),
            Ok(_) => {}
        }
        let bytes = fs::read(&path).with_context(mend)?;
        serde_json::from_slice(&bytes).map(Some).with_context(mend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<ConfigFile> {
        vec![ConfigFile { name: "a.yaml".into(), text: "version: 1".into() }]
    }

    #[test]
    fn what_is_kept_is_found_again_by_the_file_it_belongs_to() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("deeper"));
        let main = Path::new("/etc/guideway/a.yaml");
        assert_eq!(store.last_good(main).unwrap(), None);
        store.keep_last_good(main, &files()).unwrap();
        assert_eq!(store.last_good(main).unwrap(), Some(files()));
        assert_eq!(store.last_good(Path::new("/other.yaml")).unwrap(), None);
    }

    #[test]
    fn a_full_disk_leaves_what_was_kept_before() {
        // /dev/full is a disk that is always full; a link to it stands where the new file is written.
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().to_owned());
        let main = Path::new("/a.yaml");
        store.keep_last_good(main, &files()).unwrap();
        std::os::unix::fs::symlink("/dev/full", directory.path().join("last-good.new")).unwrap();
        let error = format!("{:#}", store.keep_last_good(main, &[]).unwrap_err());
        assert!(
            error.contains("last-good.json cannot be written") && error.contains("--state-dir"),
            "{error}"
        );
        assert_eq!(store.last_good(main).unwrap(), Some(files()));
    }

    #[test]
    fn rubbish_is_an_error_with_a_mend() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(OVERRIDES), "{").unwrap();
        let error = format!("{:#}", Store::new(directory.path().to_owned()).overrides().unwrap_err());
        assert!(error.contains("overrides.json") && error.contains("remove it"), "{error}");
    }
}
