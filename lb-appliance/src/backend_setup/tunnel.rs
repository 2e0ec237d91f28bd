//! What ends the tunnels of a pool on a backend: the kernel's devices, and whether the packaged decapsulator can.

use super::Setup;
use crate::config::model::{Encap, GueVariant};

// UDP ports that agent/decap is compiled for.
const GUE_PORT: u16 = 6080;
const GENEVE_PORT: u16 = 6081;
const VXLAN_PORT: u16 = 4789;

/// The receiving end of a pool's tunnel.
#[derive(Clone, Debug)]
pub(super) struct Tunnel {
    /// In words.
    pub(super) words: String,
    /// Shell commands that make the kernel's devices, by the family of the outer header; they fail together.
    pub(super) kernel: [Vec<String>; 2],
    /// The decapsulator as it is packaged knows this tunnel and its UDP port.
    pub(super) is_default_port: bool,
}

/// The end of the tunnels of a pool; `None` if it has none.
pub(super) fn of(setup: &Setup) -> Option<Tunnel> {
    match setup.encap {
        Encap::L2Dsr => None,
        Encap::Ipip => Some(Tunnel { words: "IP in IP".into(), kernel: bare(setup), is_default_port: true }),
        Encap::Gue { port, variant } => {
            let [v4, v6] = bare(setup);
            let with_fou =
                |family: u8, devices| [vec![format!("want_fou {port} {family}")], devices].concat();
            let variant = if variant == GueVariant::One { 1 } else { 0 };
            Some(Tunnel {
                words: format!("GUE variant {variant} on UDP port {port}"),
                kernel: [with_fou(4, v4), with_fou(6, v6)],
                is_default_port: port == GUE_PORT,
            })
        }
        Encap::Vxlan { vni, port } => {
            // Named by what is unique to it: a host may serve several pools.
            let device = |checksum: &str| {
                vec![format!(
                    "want_device gw-vx-{vni} address \"$inner_mac\" type vxlan id {vni} dstport {port} \
                     local \"$address\" nolearning{checksum}"
                )]
            };
            Some(Tunnel {
                words: format!("VXLAN, VNI {vni}, on UDP port {port}"),
                kernel: [device(""), device(" udp6zerocsumrx")],
                is_default_port: port == VXLAN_PORT,
            })
        }
        Encap::Gre { key } => {
            let with_key = key.map_or_else(String::new, |key| format!(" key {key}"));
            let device = |family: u8, kind: &str| {
                let suffix = key.map_or_else(String::new, |key| format!("-{key:x}"));
                vec![format!("want_device gw{family}gre{suffix} type {kind} local \"$address\"{with_key}")]
            };
            Some(Tunnel {
                words: format!("GRE{with_key}"),
                kernel: [device(4, "gre"), device(6, "ip6gre")],
                is_default_port: true,
            })
        }
        Encap::Geneve { vni, port } => {
            let device = vec![format!("want_geneve {port}")];
            Some(Tunnel {
                words: format!("Geneve, VNI {vni}, on UDP port {port}"),
                kernel: [device.clone(), device],
                is_default_port: port == GENEVE_PORT,
            })
        }
    }
}

/// IP in IP, which is also what the kernel makes of GUE once its header is off. Without a remote address: the outer
/// source is that of any balancer.
fn bare(setup: &Setup) -> [Vec<String>; 2] {
    let has = |is_wanted: fn(&super::Address) -> bool| setup.vips.iter().any(is_wanted);
    let mut v4 = Vec::new();
    if has(|vip| !vip.is_ipv6()) || setup.vips.is_empty() {
        v4.push("want_device gw-ipip type ipip local \"$address\"".to_owned());
    }
    if has(super::Address::is_ipv6) {
        v4.push("want_device gw-sit type sit local \"$address\"".to_owned());
    }
    // `mode any` takes both inner families; the default takes IPv6 alone.
    [v4, vec!["want_device gw-ip6tnl type ip6tnl mode any local \"$address\"".to_owned()]]
}
