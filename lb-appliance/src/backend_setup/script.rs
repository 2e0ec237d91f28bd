//! The script's text: a head of values, the library, what this pool wants, and the order of it all.

use super::tunnel::{self, Tunnel};
use super::{Decap, Host, Setup};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// What all scripts share.
const LIBRARY: &str = include_str!("library.sh");
/// Characters of base64 in a line of the script.
const LINE: usize = 120;

/// The script that sets a backend up.
pub fn render(setup: &Setup) -> String {
    let tunnel = tunnel::of(setup);
    let words = tunnel.as_ref().map_or("L2 DSR", |tunnel| &tunnel.words);
    let mut text = head(&setup.pool, &format!("sets up a backend of pool {} ({words})", setup.pool));
    let interface = setup.interface.as_ref().map_or("", |interface| &interface.0);
    let _ = writeln!(text, "interface={interface}");
    if let Some(tunnel) = &tunnel {
        let is_packaged = if tunnel.is_default_port { "yes" } else { "no" };
        let _ = writeln!(text, "tunnel='{}'\ndecap={}", tunnel.words, setup.decap.name());
        let _ = writeln!(text, "is_packaged_one_right={is_packaged}");
    }
    text += "\n";
    text += LIBRARY;
    text += &find_host(&setup.pool, &setup.hosts);
    if let Some(tunnel) = &tunnel {
        text += &want_kernel(tunnel);
        if let (Some(object), Decap::Auto | Decap::Bpf) = (&setup.object, setup.decap) {
            text += &embedded(object);
        }
    }
    text += &in_main(&body(setup, tunnel.as_ref()));
    text
}

/// The script that takes back what any script for this pool has done.
pub fn render_undo(pool: &str) -> String {
    let what = format!("takes back what was set up on a backend of pool {pool}");
    format!("{}\n{LIBRARY}{}", head(pool, &what), in_main("\tprepare\n\tundo_all\n"))
}

fn head(pool: &str, what: &str) -> String {
    format!(
        "#!/bin/sh\n# Guideway {}: {what}. Run it as root on the backend.\n\
         # What it changes is noted in $folder/journal; the script of `guideway backend-setup --pool {pool} --undo` \
         takes back just that.\n# shellcheck disable=SC2034,SC2317 # the library is the same in every script\n\
         set -eu\n\npool={pool}\ninterface= tunnel= decap= is_packaged_one_right= program= address= inner_mac=\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// A script that is cut short on its way must not be run in part, and no command may read the script.
fn in_main(body: &str) -> String {
    format!("\nmain() {{\n{body}}}\n\nmain </dev/null\n")
}

/// A compiled decapsulator as a shell variable.
fn embedded(object: &[u8]) -> String {
    let encoded = STANDARD.encode(object);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(LINE).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("\n# The compiled decapsulator, agent/decap of Guideway.\nprogram='\n{}\n'\n", lines.join("\n"))
}

/// Which of the pool's backends the host is, by its addresses.
fn find_host(pool: &str, hosts: &[Host]) -> String {
    let mut text = "\n# Which backend this host is, by its addresses: name, address, MAC address inside the tunnel, MTU and\n\
                    # overhead of the balancer's packets.\nfind_host() {\n\thost=\n\t\
                    while read -r name address inner_mac mtu overhead; do\n\t\t\
                    if [ -n \"$(ip -o addr show to \"$address\")\" ]; then\n\t\t\thost=$name\n\t\t\tbreak\n\t\tfi\n\tdone <<HOSTS\n"
        .to_owned();
    for Host { name, address, inner_mac, mtu, overhead } in hosts {
        let mac = inner_mac.as_deref().unwrap_or("-");
        let mtu = mtu.map_or_else(|| "-".to_owned(), |mtu| mtu.to_string());
        let _ = writeln!(text, "{name} {address} {mac} {mtu} {overhead}");
    }
    let _ = write!(
        text,
        "HOSTS\n\t[ -n \"$host\" ] || die \"this host has no address of a backend of pool {pool}: is it the right host?\"\n}}\n"
    );
    text
}

/// The kernel's devices, all of them or a failure.
fn want_kernel(tunnel: &Tunnel) -> String {
    let all = |commands: &[String]| commands.join(" &&\n\t\t\t");
    let [v4, v6] = &tunnel.kernel;
    format!(
        "\n# {}, ended by the kernel.\nwant_kernel() {{\n\tcase $address in\n\t*:*)\n\t\t{}\n\t\t;;\n\t*)\n\t\t{}\n\t\t;;\n\tesac\n}}\n",
        tunnel.words,
        all(v6),
        all(v4)
    )
}

/// The order of things: what must hold before the VIP is there comes before it.
fn body(setup: &Setup, tunnel: Option<&Tunnel>) -> String {
    let mut text = "\tprepare\n\tfind_host\n\tfind_interface\n".to_owned();
    text += "\t# Answer ARP for own addresses only: the VIPs are the balancer's to announce.\n\
             \twant_least ipv4/conf/all/arp_ignore 1\n\
             \twant_least ipv4/conf/all/arp_announce 2\n\
             \twant_loose \"$interface\"\n";
    if tunnel.is_some() {
        text += "\tunpack\n\twant_decapsulation\n";
    }
    for address in &setup.vips {
        let verb = if address.is_host() { "want_address" } else { "want_prefix" };
        let _ = writeln!(text, "\t{verb} {address}");
    }
    text += "\tdrop_unwanted\n\t[ \"$mtu\" = - ] || advise \"$mtu\" \"$overhead\"\n\
             \tsay \"this host is backend $host of pool $pool, on $interface\"\n";
    text
}
