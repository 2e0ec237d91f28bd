//! The forwarding hash: equal where nodes forward alike, different where they do not.

use super::fixture::{CONFIG, config, plan};
use lb_appliance::metrics::forwarding_hash;

fn hash(text: &str) -> String {
    let (plan, tables) = plan(&config(text));
    forwarding_hash(&plan.spec, &tables)
}

/// `CONFIG` with one piece replaced, which must be there.
fn changed(old: &str, new: &str) -> String {
    assert!(CONFIG.contains(old), "{old}");
    hash(&CONFIG.replace(old, new))
}

#[test]
fn what_decides_no_backend_changes_nothing() {
    let original = hash(CONFIG);
    assert_eq!(original.len(), 16);
    assert_eq!(changed("name: lb1", "name: lb2"), original, "node name");
    assert_eq!(changed("mtu: 1500", "mtu: 1400"), original, "port");
    let web_1 = "      - {name: web-1, address: 10.0.1.11, weight: 100}\n";
    let web_2 = "      - {name: web-2, address: 10.0.1.12, weight: 50, state: drain}\n";
    assert_eq!(
        changed(&format!("{web_1}{web_2}"), &format!("{web_2}{web_1}")),
        original,
        "order of backends"
    );
    assert_eq!(changed("name: web-1", "name: other"), original, "name of a backend");
    assert_eq!(
        changed("[203.0.113.10, \"2001:db8:cafe::10\"]", "[\"2001:db8:cafe::10\", 203.0.113.10]"),
        original,
        "order of addresses"
    );
    assert_eq!(changed("ports: [80, 443]", "ports: [443, 80]"), original, "order of ports");
}

#[test]
fn what_decides_a_backend_changes_it() {
    let mut hashes = vec![
        hash(CONFIG),
        changed("seed: \"0x01\"", "seed: \"0x02\""),
        changed("table_size: 251", "table_size: 257"),
        changed("10.0.1.11", "10.0.1.13"),
        changed("state: drain", "state: active"),
        changed("weight: 0", "weight: 7"),
        changed("203.0.113.20", "203.0.113.21"),
        changed("ports: [443]", "ports: [444]"),
        changed("protocol: udp", "protocol: tcp"),
        changed("sessions: none", "sessions: tracked"),
        changed("ports: [443], protocol: tcp, pool: web", "ports: [443], protocol: tcp, pool: dns"),
        changed("203.0.113.20", "203.0.113.16/28"),
        changed("203.0.113.20", "203.0.113.16/29"),
        changed("ports: [443]", "ports: [443-444]"),
        changed("ports: [443]", "ports: [443-445]"),
        changed("protocol: udp", "protocol: any"),
        changed("ports: [443]", "hash: source_address, ports: [443]"),
        changed("ports: [443]", "hash: source_prefix, ports: [443]"),
        changed("ports: [443]", "slices: [{ports: 443, backend: web-1}]"),
        changed("ports: [443]", "slices: [{ports: 443, backend: web-2}]"),
    ];
    hashes.sort_unstable();
    let all = hashes.len();
    hashes.dedup();
    assert_eq!(hashes.len(), all);
}

#[test]
fn the_layout_is_the_documented_one() {
    // The whole of docs/metrics.md, "The forwarding hash", written a second time for one service whose pool
    // takes nothing: its table is empty, and its digest that of docs/maglev.md for no owners.
    let text = CONFIG.split("vips:").next().expect("a part").to_owned()
        + "vips: [{name: dns, addresses: [203.0.113.53], protocol: udp, pool: dns, sessions: none}]\n";
    let digest = {
        let mut message = b"guideway maglev 1".to_vec();
        message.extend(251_u32.to_le_bytes());
        message.extend(0_u32.to_le_bytes());
        siphash24(0, 0, &message)
    };
    let mut message = b"guideway forwarding 1".to_vec();
    message.extend(1_u32.to_le_bytes());
    message.extend(1_u64.to_le_bytes());
    message.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 53]);
    message.extend([0, 0, 17, 0, 1]);
    message.extend(digest.to_le_bytes());
    assert_eq!(hash(&text), format!("{:016x}", siphash24(1, 0, &message)));
}

#[test]
fn the_oracle_is_siphash() {
    // First vectors of the SipHash paper's reference implementation: key 00 01 .. 0f, messages "" and 00.
    let (k0, k1) = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
    assert_eq!(siphash24(k0, k1, &[]), 0x726f_db47_dd0e_0e31);
    assert_eq!(siphash24(k0, k1, &[0]), 0x74f8_39c5_93dc_67fd);
}

/// SipHash-2-4 as in "SipHash: a fast short-input PRF" (2012), the obvious way.
fn siphash24(k0: u64, k1: u64, message: &[u8]) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let round = |v: &mut [u64; 4]| {
        v[0] = v[0].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].wrapping_add(v[3]);
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].wrapping_add(v[1]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[2] = v[2].rotate_left(32);
    };
    let mut padded = message.to_vec();
    padded.resize(message.len() / 8 * 8 + 7, 0);
    padded.push(message.len() as u8);
    for word in padded.chunks_exact(8) {
        let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
        v[3] ^= word;
        (0..2).for_each(|_| round(&mut v));
        v[0] ^= word;
    }
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}
