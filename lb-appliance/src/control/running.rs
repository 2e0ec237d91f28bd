//! What is in force: one immutable value per generation, from which every question is answered.

use crate::config::Config;
use std::sync::Arc;

/// One generation, with everything about it that can be asked for.
#[derive(Debug)]
pub struct Running {
    /// Number of the tables.
    pub generation: u64,
    /// The configuration.
    pub config: Arc<Config>,
    /// Its files: name and text.
    pub files: Vec<(String, String)>,
}

impl Running {
    /// The configuration's files, secrets masked.
    pub fn texts(&self) -> Vec<(String, String)> {
        self.files.clone()
    }
}
