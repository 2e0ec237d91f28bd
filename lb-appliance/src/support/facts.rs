//! What can be had without a running daemon: configuration, its verdict, and the host's own files.

use std::path::{Path, PathBuf};

use super::{BundleSource, masked, read_bounded};
use crate::config;
use crate::doctor::Host;

/// The files of a configuration as one text each, masked; a file that is refused is still shown.
pub struct ConfigTexts {
    file: PathBuf,
}

impl ConfigTexts {
    /// Of this main file and what it includes.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }
}

impl BundleSource for ConfigTexts {
    fn name(&self) -> String {
        "config/texts.yaml.txt".to_owned()
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        // Readable or not is the question here; valid or not is the verdict's.
        read_bounded(&self.file)?;
        let mut all = String::new();
        for file in config::examine_file(&self.file).files() {
            let name = file.path.display();
            all += &format!("##### {name} (sha256 {})\n{}\n", file.sha256, masked(&file.text));
        }
        Ok(all.into_bytes())
    }
}

/// What `guideway check -o json` says.
pub struct Verdict {
    file: PathBuf,
}

impl Verdict {
    /// On this main file.
    pub fn new(file: &Path) -> Self {
        Self { file: file.to_owned() }
    }
}

impl BundleSource for Verdict {
    fn name(&self) -> String {
        "config/check.json".to_owned()
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        let examination = config::examine_file(&self.file);
        serde_json::to_vec_pretty(&examination.diagnostics.report(false)).map_err(|error| error.to_string())
    }
}

/// The kernel's command line: it may hold anything, of which only these are of use.
const CMDLINE: &str = "proc/cmdline";
const CMDLINE_WORDS: [&str; 12] = [
    "isolcpus",
    "nohz",
    "rcu_",
    "hugepages",
    "default_hugepagesz",
    "transparent_hugepage",
    "intel_",
    "amd_",
    "iommu",
    "mitigations",
    "tsc",
    "clocksource",
];

/// Files of the host that say what machine it is; none of them holds a secret, but for the one that is sifted.
const FACTS: [&str; 16] = [
    "proc/version",
    CMDLINE,
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/mounts",
    "proc/modules",
    "proc/interrupts",
    "proc/softirqs",
    "proc/net/dev",
    "proc/net/snmp",
    "proc/net/route",
    "proc/net/if_inet6",
    "proc/self/status",
    "proc/self/limits",
    "etc/os-release",
    "sys/devices/system/node/node0/cpulist",
];

/// One file of the host, as it is.
pub struct HostFacts {
    path: &'static str,
    host: Host,
}

impl HostFacts {
    /// All that are looked at.
    pub fn all(host: &Host) -> Vec<Self> {
        FACTS.iter().map(|path| Self { path, host: host.clone() }).collect()
    }
}

impl BundleSource for HostFacts {
    fn name(&self) -> String {
        format!("host/{}", self.path)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, String> {
        let bytes = read_bounded(&self.host.path(self.path))?;
        if self.path != CMDLINE {
            return Ok(bytes);
        }
        let text = String::from_utf8_lossy(&bytes);
        let useful = |word: &&str| CMDLINE_WORDS.iter().any(|start| word.starts_with(start));
        Ok(text.split_whitespace().filter(useful).collect::<Vec<_>>().join(" ").into_bytes())
    }
}
