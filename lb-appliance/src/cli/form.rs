//! `-o table|json|yaml`: one answer in the form that its reader wants.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

/// Form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For people
    Table,
    /// For programs
    Json,
    /// For programs that prefer it
    Yaml,
}

impl Form {
    /// Writes `value` as JSON or YAML, or lets `table` write it for people.
    pub fn write<T: Serialize>(
        self,
        value: &T,
        out: &mut dyn Write,
        table: impl FnOnce(&T, &mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        match self {
            Self::Table => table(value, out),
            Self::Json => {
                serde_json::to_writer_pretty(&mut *out, value)?;
                writeln!(out)
            }
            Self::Yaml => serde_yaml::to_writer(out, value).map_err(io::Error::other),
        }
    }
}
