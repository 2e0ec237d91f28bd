//! A configuration on its way in: read, wholly checked, with its texts, from wherever it comes.

use super::action::ConfigSource;
use super::problem;
use super::store::Store;
use super::view::{Finding, Problem};
use crate::config::{self, Config, Examination, SourceFile};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// One file of a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigFile {
    /// Its path, or what messages call the text.
    pub name: String,
    /// YAML.
    pub text: String,
}

/// A valid configuration with its texts.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the texts mean.
    pub config: Arc<Config>,
    /// The texts, the main file first.
    pub files: Arc<[ConfigFile]>,
    /// Hash over the texts, see [`config::config_hash`].
    pub hash: String,
    /// What is odd about it, and accepted.
    pub warnings: Vec<Finding>,
}

impl Loaded {
    /// Reads a source; `running` is the file that the process was started with.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn read(source: &ConfigSource, running: &Path) -> Result<Self, Problem> {
        match source {
            ConfigSource::Running => Self::file(running),
            ConfigSource::File(path) => Self::file(path),
            ConfigSource::Text { name, text } => Self::text(name, text),
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn file(path: &Path) -> Result<Self, Problem> {
        Self::accept(config::examine_file(path))
    }

    /// Takes a text.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn text(name: &str, text: &str) -> Result<Self, Problem> {
        Self::accept(config::examine(name, text))
    }

    fn accept(examination: Examination) -> Result<Self, Problem> {
        let sources = examination.files();
        let Examination { config, diagnostics } = examination;
        let Some(config) = config else { return Err(problem::invalid(&diagnostics)) };
        let hash = config::config_hash(&sources);
        let files = sources
            .into_iter()
            .map(|file| ConfigFile { name: file.path.display().to_string(), text: file.text });
        let warnings = problem::findings(&diagnostics);
        Ok(Self { config: Arc::new(config), hash, files: files.collect(), warnings })
    }
}

/// Why there is nothing to start with.
#[derive(Debug)]
pub struct NoBoot {
    /// What is wrong with the file.
    pub broken: Problem,
    /// Why the last good configuration does not help, if there is one.
    pub last_good: Option<String>,
}

/// The configuration that a process starts with.
#[derive(Debug)]
pub struct Boot {
    /// What it is.
    pub loaded: Loaded,
    /// Why it is not what the file says, if it is not.
    pub complaint: Option<String>,
}

impl Boot {
    /// The file; if it is broken, the last configuration that was in force when it was loaded from this file.
    ///
    /// # Errors
    /// The file is broken, and there is no other that is good.
    pub fn load(path: &Path, store: &Store) -> Result<Self, NoBoot> {
        let broken = match Loaded::file(path) {
            Ok(loaded) => return Ok(Self { loaded, complaint: None }),
            Err(problem) => problem,
        };
        let kept = match store.last_good(path) {
            Ok(Some(files)) => files,
            Ok(None) => return Err(NoBoot { broken, last_good: None }),
            Err(error) => {
                let last_good = Some(format!("the last good configuration cannot be read: {error:#}"));
                return Err(NoBoot { broken, last_good });
            }
        };
        let loaded = match Self::of_kept(&kept) {
            Ok(loaded) => loaded,
            // What was good once may not be to a later version.
            Err(problem) => {
                let last_good = format!(
                    "the last good configuration is not valid for this version of Guideway: {}",
                    problem.first_complaint()
                );
                return Err(NoBoot { broken, last_good: Some(last_good) });
            }
        };
        let first = broken.first_complaint();
        let complaint = format!(
            "{} is broken ({first}): the last good configuration is used instead; mend the file, see `guideway \
             check {}`, then `guideway reload`",
            path.display(),
            path.display()
        );
        Ok(Self { loaded, complaint: Some(complaint) })
    }

    fn of_kept(files: &[ConfigFile]) -> Result<Loaded, Problem> {
        let source = |file: &ConfigFile| SourceFile::new(&file.name, &*file.text);
        Loaded::accept(config::examine_sources(&files.iter().map(source).collect::<Vec<_>>()))
    }
}
