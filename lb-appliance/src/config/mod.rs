//! The configuration file: YAML in, a typed and wholly checked [`Config`] out.
//!
//! All errors of a file are found in one run, each with its code, field, place and mend; a file with any error
//! yields no configuration at all. The way is text -> tree with places (`yaml`) -> drafts (`section`) -> rules
//! between them (`rules`) -> [`Config`]. Nothing here needs privileges, DPDK or the network.

mod code;
mod draft;
mod finding;
pub mod keys;
mod mac;
pub mod model;
mod prime;
mod read;
mod render;
mod rules;
mod section;
mod snippet;
mod source;
mod suggest;
mod syntax;
mod values;
mod yaml;

pub use code::{Code, Severity};
pub use finding::{Diagnostic, Diagnostics};
pub use mac::{MacAddr, MacAddrError};
pub use model::{Config, Dataplane};
pub use render::{Look, Report};
pub use source::{Source, Span};
pub use values::duration;

use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use draft::Draft;
use finding::Findings;
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

/// Reads a file and reports all there is to say about it.
pub fn examine_file(path: &Path) -> Examination {
    let name = path.display().to_string();
    match std::fs::File::open(path) {
        Ok(file) => examine_reader(&name, file),
        Err(error) => unreadable(&name, &error),
    }
}

/// The same for something already open, such as standard input.
pub fn examine_reader(name: &str, reader: impl Read) -> Examination {
    let mut bytes = Vec::new();
    if let Err(error) = reader.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes) {
        return unreadable(name, &error);
    }
    if bytes.len() > FILE_BYTES_MAX {
        return too_large(name);
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => examine(name, text),
        Err(error) => {
            let valid = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let source = Source::new(name, &valid);
            let mut finding = Diagnostic::new(Code::NotUtf8, "", "the file is not UTF-8 text from here on");
            finding.span = Some(source.span(source.text().len()));
            alone(source, finding.hint("save it as UTF-8; keys and values are plain ASCII anyway"))
        }
    }
}

/// Checks a text and reports all there is to say about it.
pub fn examine(name: &str, text: &str) -> Examination {
    if text.len() > FILE_BYTES_MAX {
        return too_large(name);
    }
    let source = Arc::new(Source::new(name, text));
    let tree = match yaml::parse(&source) {
        Ok(tree) => tree,
        Err(finding) => return alone(source, *finding),
    };
    let findings = Findings::new(&source);
    let root = Item::root(&tree, &findings);
    if root.is_null() {
        let finding = Diagnostic::new(Code::Empty, "", "there is nothing in it but comments, if anything");
        return alone(
            source,
            finding.hint("begin with `version: 1`; config/minimal.yaml is a complete example"),
        );
    }
    let draft = Draft::read(&root);
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
    Examination { config: None, diagnostics: Diagnostics { source: source.into(), list: vec![finding] } }
}

fn unreadable(name: &str, error: &io::Error) -> Examination {
    let finding = Diagnostic::new(Code::Unreadable, "", format!("cannot read {name}: {error}"));
    alone(Source::new(name, ""), finding.hint("check the path and the permissions"))
}

fn too_large(name: &str) -> Examination {
    let finding =
        Diagnostic::new(Code::TooLarge, "", format!("the file has more than {FILE_BYTES_MAX} bytes"));
    alone(Source::new(name, ""), finding.hint("is it the right file?"))
}

/// The name of this host, without asking the resolver.
fn hostname() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}
