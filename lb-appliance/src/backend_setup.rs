//! What a backend host needs for its pool: the script that `guideway backend-setup` prints or runs.
//!
//! A POSIX shell script and nothing else, because the host is another one: it can be read before it is run, and piped
//! through ssh. It is idempotent, keeps a journal of what it changed, and undoes just that.

mod script;
#[cfg(test)]
mod tests;
mod tunnel;

use crate::config::model::{Backend, Config, Encap, Pool};
use crate::doctor::overhead;
use lb_core::prefix::Prefix;
pub use script::{render, render_undo};
use serde::Serialize;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// How tunnels are ended on the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Decap {
    /// By the kernel's tunnel devices; where it has none, by the decapsulator
    #[default]
    Auto,
    /// By the kernel's tunnel devices
    Kernel,
    /// By the decapsulator (agent/decap)
    Bpf,
}

impl Decap {
    fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Kernel => "kernel",
            Self::Bpf => "bpf",
        }
    }
}

/// A name of a network interface, as the kernel takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface(String);

impl FromStr for Interface {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | ':');
        match !text.is_empty() && text.len() < 16 && text.chars().all(legal) && !text.starts_with('-') {
            true => Ok(Self(text.to_owned())),
            false => Err("write the name of an interface, such as eth0".to_owned()),
        }
    }
}

/// One backend of the pool.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    name: String,
    address: IpAddr,
    /// MAC address that its VXLAN or Geneve device must have.
    inner_mac: Option<String>,
    /// Longest IP packet that leaves the balancer for it, bytes; not known without ports.
    mtu: Option<u16>,
    /// Bytes of that which its tunnel takes.
    overhead: u16,
}

/// Addresses of a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    ip: IpAddr,
    /// Bits that are the same in all of them.
    length: u8,
}

impl Address {
    fn is_ipv6(&self) -> bool {
        self.ip.is_ipv6()
    }

    /// One address and not many.
    fn is_host(self) -> bool {
        self.length == if self.is_ipv6() { 128 } else { 32 }
    }
}

impl From<Prefix> for Address {
    fn from(prefix: Prefix) -> Self {
        Self { ip: prefix.first(), length: prefix.len() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.length)
    }
}

/// Everything that the script is made from.
#[derive(Clone, Debug)]
pub struct Setup {
    pool: String,
    encap: Encap,
    hosts: Vec<Host>,
    /// Ascending, each once.
    vips: Vec<Address>,
    decap: Decap,
    object: Option<Vec<u8>>,
    interface: Option<Interface>,
}

/// The setup for programs. Fields are only ever added.
#[derive(Debug, Serialize)]
struct Document<'a> {
    /// Of this form.
    version: u32,
    pool: &'a str,
    /// In words; none for L2 DSR.
    tunnel: Option<String>,
    backends: &'a [Host],
    /// Addresses and prefixes that the host must take for its own.
    vips: Vec<String>,
    script: String,
}

/// Why there is nothing to set up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// No such pool.
    #[error("there is no pool `{name}`; the pools are: {known}")]
    NoPool {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// No such backend.
    #[error("pool `{pool}` has no backend `{name}`; its backends are: {known}")]
    NoBackend {
        /// The pool.
        pool: String,
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = names.collect();
    if all.is_empty() { "none".into() } else { all.join(", ") }
}

impl Setup {
    /// What the backends of a pool need, or one of them.
    ///
    /// # Errors
    /// The configuration has no such pool or backend.
    pub fn new(config: &Config, pool: &str, backend: Option<&str>) -> Result<Self, SetupError> {
        let known = || names(config.pools.iter().map(|pool| pool.name.as_str()));
        let index = config.pools.iter().position(|one| one.name == pool);
        let index = index.ok_or_else(|| SetupError::NoPool { name: pool.into(), known: known() })?;
        let found = &config.pools[index];
        let vips = config.vips.iter().filter(|vip| vip.pool == index).flat_map(|vip| &vip.addresses);
        let mut vips: Vec<Address> = vips.map(|&address| Address::from(address)).collect();
        vips.sort_unstable();
        vips.dedup();
        Ok(Self {
            pool: found.name.clone(),
            encap: found.encap,
            hosts: hosts(config, found, backend)?,
            vips,
            decap: Decap::Auto,
            object: None,
            interface: None,
        })
    }

    /// The same with tunnels ended in another way; `object` is the compiled decapsulator, to be sent along.
    #[must_use]
    pub fn ending_tunnels(mut self, decap: Decap, object: Option<Vec<u8>>) -> Self {
        (self.decap, self.object) = (decap, object);
        self
    }

    /// Whether the decapsulator as it is packaged may be asked for.
    pub fn takes_packaged_object(&self) -> bool {
        self.decap != Decap::Kernel && tunnel::of(self).is_some_and(|tunnel| tunnel.is_default_port)
    }

    /// All of it as JSON.
    ///
    /// # Errors
    /// None that is known: every field has a form in JSON.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(&Document {
            version: 1,
            pool: &self.pool,
            tunnel: tunnel::of(self).map(|tunnel| tunnel.words),
            backends: &self.hosts,
            vips: self.vips.iter().map(ToString::to_string).collect(),
            script: render(self),
        })
    }

    /// The same on an interface that is named, not found.
    #[must_use]
    pub fn on(mut self, interface: Option<Interface>) -> Self {
        self.interface = interface;
        self
    }
}

fn hosts(config: &Config, pool: &Pool, wanted: Option<&str>) -> Result<Vec<Host>, SetupError> {
    let is_wanted = |name: &str| wanted.is_none_or(|wanted| wanted == name);
    let backends = pool.backends.iter().filter(|backend| is_wanted(&backend.name));
    let port = |backend: &Backend| config.dataplane.ports.get(backend.next_hop?.port);
    let host = |backend: &Backend| Host {
        name: backend.name.clone(),
        address: backend.address,
        inner_mac: backend.inner_mac.map(|mac| mac.to_string()),
        mtu: port(backend).map(|port| port.mtu),
        overhead: overhead(pool.encap, backend.address.is_ipv6(), backend.inner_mac.is_some()),
    };
    let hosts: Vec<Host> = backends.map(host).collect();
    match wanted {
        Some(name) if hosts.is_empty() => Err(SetupError::NoBackend {
            pool: pool.name.clone(),
            name: name.into(),
            known: names(pool.backends.iter().map(|backend| backend.name.as_str())),
        }),
        _ => Ok(hosts),
    }
}
