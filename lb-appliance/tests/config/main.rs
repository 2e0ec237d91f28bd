//! The configuration from outside: broken and valid files, examples, documentation, hostile input.
//!
//! Everything here goes through the public doors of `lb_appliance::config` and needs no root and no network.

mod corpus;
mod documentation;
mod health;
mod hostile;
mod include;
mod model;
mod schema;

use std::path::{Path, PathBuf};

/// A path of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The YAML files of a directory, sorted.
fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).expect("the directory exists");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    files
}
