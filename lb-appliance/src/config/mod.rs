//! The configuration file: YAML in, a typed and wholly checked [`Config`] out.
//!
//! All errors of a file are found in one run, each with its code, field, place and mend; a file with any error
//! yields no configuration at all. The way is text -> tree with places (`yaml`) -> drafts (`section`) -> rules
//! between them (`rules`) -> [`Config`]. Nothing here needs privileges, DPDK or the network.

mod code;
mod device;
mod draft;
mod files;
mod finding;
mod include;
pub mod keys;
mod mac;
pub mod model;
mod prime;
mod read;
mod render;
mod rules;
mod schema;
mod section;
mod snippet;
mod source;
mod sources;
mod suggest;
mod syntax;
mod values;
mod yaml;

pub use code::{Code, Severity};
pub use device::pci_address;
pub(crate) use files::hexadecimal;
pub use files::{SourceFile, config_hash};
pub use finding::{Diagnostic, Diagnostics};
pub use include::{FILES_MAX, INCLUDED_BYTES_MAX};
pub use mac::{MacAddr, MacAddrError};
pub use model::{Config, Dataplane};
pub use render::{Look, Report};
pub use schema::{included_schema, modeline, schema};
pub use source::{Source, Span};
pub use values::duration;

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use draft::Draft;
use finding::Findings;
use include::Reach;
use read::Item;

/// Largest file, bytes: about 40,000 backends.
pub const FILE_BYTES_MAX: usize = 4 << 20;
/// Where the admin socket is unless configured.
pub const SOCKET_DEFAULT: &str = section::admin::SOCKET_DEFAULT;
/// Where the configuration is unless told.
pub const FILE_DEFAULT: &str = "/etc/guideway/guideway.yaml";

/// What an examination found.
#[derive(Clone, Debug, PartialEq)]
pub struct Examination {
    /// The configuration, unless there are errors.
    pub config: Option<Config>,
    /// Errors and warnings.
    pub diagnostics: Diagnostics,
}

/// Reads and checks a file.
///
/// Errors: everything that is wrong with it, warnings included. Warnings alone are not reported here; see
/// [`examine_file`].
pub fn load(path: &Path) -> Result<Config, Diagnostics> {
    accept(examine_file(path))
}

/// Checks a text; `name` is what messages call it. Errors as for [`load`].
pub fn parse(name: &str, text: &str) -> Result<Config, Diagnostics> {
    accept(examine(name, text))
}

fn accept(examination: Examination) -> Result<Config, Diagnostics> {
    examination.config.ok_or(examination.diagnostics)
}

/// Reads a file with all that it includes; also gives the texts, the main one first.
///
/// Errors as for [`load`].
pub fn load_with_files(path: &Path) -> Result<(Config, Vec<SourceFile>), Diagnostics> {
    let examination = examine_file(path);
    let files = examination.files();
    accept(examination).map(|config| (config, files))
}

/// Reads a file with all that it includes and reports all there is to say about them.
pub fn examine_file(path: &Path) -> Examination {
    let name = path.display().to_string();
    match std::fs::File::open(path) {
        Ok(file) => examine_reader_beside(&name, file, path),
        Err(error) => alone(Source::new(name.as_str(), ""), files::unreadable(&name, &error)),
    }
}

/// The same for something already open that cannot include anything.
pub fn examine_reader(name: &str, reader: impl Read) -> Examination {
    match files::source_of(name, reader) {
        Ok(source) => examine_source(source, Reach::Nowhere),
        Err(refused) => alone(refused.0, refused.1),
    }
}

/// The same for something already open, such as standard input, that may include files as if it stood at `place`.
pub fn examine_reader_beside(name: &str, reader: impl Read, place: &Path) -> Examination {
    match files::source_of(name, reader) {
        Ok(source) => examine_source(source, Reach::Beside(place)),
        Err(refused) => alone(refused.0, refused.1),
    }
}

/// Checks a text that cannot include anything.
pub fn examine(name: &str, text: &str) -> Examination {
    if text.len() > FILE_BYTES_MAX {
        return alone(Source::new(name, ""), files::too_large());
    }
    examine_source(Source::new(name, text), Reach::Nowhere)
}

/// Checks texts that were read before (see [`Examination::files`]) without a look at the disk: the first is the main
/// one, the others are what it includes, whatever its patterns say now.
pub fn examine_sources(files: &[SourceFile]) -> Examination {
    let Some((main, included)) = files.split_first() else { return examine("", "") };
    let name = main.path.display().to_string();
    if main.text.len() > FILE_BYTES_MAX {
        return alone(Source::new(name, ""), files::too_large());
    }
    examine_source(Source::new(name, &main.text), Reach::Given(included))
}

fn examine_source(source: Source, reach: Reach<'_>) -> Examination {
    let source = Arc::new(source);
    let tree = match yaml::parse(&source) {
        Ok(tree) => tree,
        Err(finding) => return alone(source, *finding),
    };
    let findings = Findings::new(&source);
    let root = Item::root(&tree, &findings);
    if root.is_null() {
        let finding = Diagnostic::new(Code::Empty, "", "there is nothing in it but comments, if anything");
        let hint = "begin with `version: 1`; `guideway init` writes a complete file";
        return alone(Arc::clone(&source), finding.hint(hint));
    }
    let parts = include::read(&root, reach, &findings);
    let included: Vec<_> = parts.trees.iter().map(|tree| Item::root(tree, &findings)).collect();
    let draft = Draft::read(&root, &included, parts.is_partial);
    if let Some(draft) = &draft {
        rules::check(draft, &findings);
    }
    let config = draft.filter(|_| !findings.failed()).and_then(|draft| draft.build(hostname));
    let diagnostics = findings.finish();
    debug_assert_eq!(config.is_none(), diagnostics.has_errors(), "{diagnostics}");
    Examination { config, diagnostics }
}

impl Config {
    /// The dataplane of a configuration that is to be run.
    ///
    /// Errors: [`Code::NoPorts`] if it has no port; `check` and `replay` accept such a file.
    pub fn require_dataplane(&self) -> Result<&Dataplane, Box<Diagnostic>> {
        if !self.dataplane.ports.is_empty() {
            return Ok(&self.dataplane);
        }
        let finding =
            Diagnostic::new(Code::NoPorts, "dataplane.ports", "there is no port to receive packets on");
        let hint = "add one: `dataplane: {ports: [{name: uplink0, device: \"net_af_packet0,iface=eth0\"}]}`";
        Err(Box::new(finding.hint(hint)))
    }
}

fn alone(source: impl Into<Arc<Source>>, finding: Diagnostic) -> Examination {
    let diagnostics = Diagnostics { source: source.into(), included: Vec::new(), list: vec![finding] };
    Examination { config: None, diagnostics }
}

/// The name of this host, without asking the resolver.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
