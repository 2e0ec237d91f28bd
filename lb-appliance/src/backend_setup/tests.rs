//! The script as text, and before the judgement of shellcheck and of sh itself.

use super::*;
use std::io::Write as _;
use std::process::{Command, Stdio};

const CONFIG: &str = "
version: 1
forwarding:
  maglev: {seed: '0x01'}
  encapsulation: {source: {ipv4: 198.51.100.11, ipv6: '2001:db8::11'}}
pools:
  - name: web
    encap: ENCAP
    backends:
      - {name: web-1, address: 10.0.1.11, mac: '02:00:00:00:01:11', INNER}
      - {name: web-2, address: '2001:db8:1::12', mac: '02:00:00:00:01:12', INNER}
  - name: idle
    encap: {ipip: {}}
    backends: []
vips:
  - {name: web, addresses: [203.0.113.10, '2001:db8:cafe::10'], ports: [80], protocol: tcp, pool: web}
  - {name: web-tls, addresses: [203.0.113.10], ports: [443], protocol: tcp, pool: web}
  - {name: other, addresses: [203.0.113.99], ports: [80], protocol: tcp, pool: idle}
";

fn setup(encap: &str) -> Setup {
    let inner = if encap.contains("vxlan") { "inner_mac: '02:00:00:00:02:11'" } else { "weight: 100" };
    let text = CONFIG.replace("ENCAP", encap).replace("INNER", inner);
    let config = crate::config::parse("t.yaml", &text).unwrap_or_else(|found| panic!("{found}"));
    Setup::new(&config, "web", None).unwrap()
}

const ENCAPS: [&str; 9] = [
    "{ipip: {}}",
    "{gue: {}}",
    "{gue: {variant: 1, port: 7777}}",
    "{vxlan: {vni: 77}}",
    "{vxlan: {vni: 77, port: 4790}}",
    "{l2dsr: {}}",
    "{gre: {}}",
    "{gre: {key: 4294967295}}",
    "{geneve: {vni: 9}}",
];

/// Every script that can be made, with a name.
fn scripts() -> Vec<(String, String)> {
    let mut scripts = Vec::new();
    for encap in ENCAPS {
        for decap in [Decap::Auto, Decap::Kernel] {
            // What is given to the kernel alone is not sent along.
            for object in
                [None, Some(vec![0xa5; 400])].into_iter().take(if decap == Decap::Auto { 2 } else { 1 })
            {
                let name = format!("{encap} {decap:?} {}", object.is_some());
                let one = setup(encap).ending_tunnels(decap, object);
                scripts.push((name, render(&one)));
            }
        }
    }
    scripts.push(("undo".into(), render_undo("web")));
    scripts
}

fn judged(program: &str, arguments: &[&str], script: &str) -> Option<String> {
    let child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program}: {error}"));
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn every_script_is_posix_shell() {
    for (name, script) in scripts() {
        assert_eq!(judged("sh", &["-n"], &script), None, "{name}:\n{script}");
    }
}

#[test]
fn shellcheck_has_nothing_to_say() {
    // A test dependency of scripts/test, see scripts/lib/packages.sh.
    for (name, script) in scripts() {
        let complaint = judged("shellcheck", &["-s", "sh", "-"], &script);
        assert_eq!(complaint, None, "{name}");
    }
}

#[test]
fn a_script_says_what_its_pool_needs_and_nothing_of_others() {
    let script = render(&setup("{gue: {port: 7777}}"));
    for expected in [
        "GUE variant 0 on UDP port 7777",
        "want_fou 7777 4 &&\n\t\t\twant_device gw-ipip type ipip local \"$address\" &&\n\t\t\twant_device gw-sit type sit",
        "want_fou 7777 6 &&\n\t\t\twant_device gw-ip6tnl type ip6tnl mode any local \"$address\"\n",
        "web-1 10.0.1.11 - - 32\nweb-2 2001:db8:1::12 - - 52\nHOSTS\n",
        "\twant_address 203.0.113.10/32\n\twant_address 2001:db8:cafe::10/128\n",
        "is_packaged_one_right=no\n",
    ] {
        assert!(script.contains(expected), "no {expected:?} in\n{script}");
    }
    assert!(!script.contains("203.0.113.99"), "the VIP of another pool");
    assert_eq!(script.matches("want_address 203.0.113.10/32").count(), 1, "two VIPs share the address");
    let vxlan = render(&setup("{vxlan: {vni: 77}}"));
    assert!(vxlan.contains("type vxlan id 77 dstport 4789 local \"$address\" nolearning udp6zerocsumrx\n"));
    assert!(vxlan.contains("web-1 10.0.1.11 02:00:00:00:02:11 - 50\n"));
    let l2dsr = render(&setup("{l2dsr: {}}"));
    assert!(!l2dsr.contains("\twant_decapsulation\n\twant_address"), "nothing to take off");
    assert!(!l2dsr.contains("want_kernel() {"));
}

#[test]
fn no_device_has_a_name_longer_than_the_kernel_takes() {
    for encap in ["{gre: {key: 4294967295}}", "{vxlan: {vni: 16777215}}", "{geneve: {vni: 9, port: 65535}}"] {
        let script = render(&setup(encap));
        let names = script.lines().filter_map(|line| line.trim().strip_prefix("want_device gw"));
        for name in names.filter_map(|rest| rest.split(' ').next()).filter(|name| !name.contains('$')) {
            assert!(name.len() + 2 <= 15, "gw{name}");
        }
    }
    let keyed = render(&setup("{gre: {key: 4294967295}}"));
    assert!(keyed.contains("want_device gw6gre-ffffffff type ip6gre local \"$address\" key 4294967295\n"));
}

#[test]
fn a_port_tells_how_long_packets_are() {
    let text = CONFIG.replace("ENCAP", "{ipip: {}}").replace("INNER", "weight: 1").replace(
        "forwarding:\n",
        "dataplane:\n  ports:\n    - {name: u0, device: net_null0, mtu: 1600, addresses: [10.0.1.1/24, '2001:db8:1::1/64']}\n\
         forwarding:\n",
    );
    let config = crate::config::parse("t.yaml", &text).unwrap_or_else(|found| panic!("{found}"));
    let script = render(&Setup::new(&config, "web", None).unwrap());
    assert!(
        script.contains("web-1 10.0.1.11 - 1600 20\nweb-2 2001:db8:1::12 - 1600 40\nHOSTS\n"),
        "{script}"
    );
}

#[test]
fn programs_get_what_the_script_is_made_from() {
    let document: serde_json::Value =
        serde_json::from_str(&setup("{vxlan: {vni: 77}}").to_json().unwrap()).unwrap();
    assert_eq!(document["version"], 1);
    assert_eq!(document["vips"], serde_json::json!(["203.0.113.10/32", "2001:db8:cafe::10/128"]));
    assert_eq!(document["backends"][1]["address"], "2001:db8:1::12");
    assert_eq!(document["backends"][0]["overhead"], 50);
    assert_eq!(document["tunnel"], "VXLAN, VNI 77, on UDP port 4789");
    assert!(document["script"].as_str().is_some_and(|script| script.starts_with("#!/bin/sh\n")));
}

#[test]
fn one_address_is_told_from_many() {
    let address = |text: &str| Address::from(text.parse::<Prefix>().unwrap());
    assert!(address("203.0.113.10").is_host() && address("203.0.113.10").to_string() == "203.0.113.10/32");
    assert!(address("2001:db8::1").is_host() && !address("2001:db8::/64").is_host());
    assert_eq!(address("203.0.113.0/24").to_string(), "203.0.113.0/24");
    let text = CONFIG
        .replace("ENCAP", "{ipip: {}}")
        .replace("INNER", "weight: 1")
        .replace("203.0.113.99", "203.0.112.0/24");
    let config = crate::config::parse("t.yaml", &text).unwrap_or_else(|found| panic!("{found}"));
    assert!(render(&Setup::new(&config, "idle", None).unwrap()).contains("\twant_prefix 203.0.112.0/24\n"));
}

#[test]
fn the_decapsulator_travels_in_the_script() {
    let object: Vec<u8> = (0..=255).collect();
    let script = render(&setup("{ipip: {}}").ending_tunnels(Decap::Auto, Some(object.clone())));
    let encoded: String =
        script.split("\nprogram='").nth(1).unwrap().split('\'').next().unwrap().split_whitespace().collect();
    use base64::Engine as _;
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap(), object);
    let kernel = render(&setup("{ipip: {}}").ending_tunnels(Decap::Kernel, Some(object)));
    assert!(!kernel.contains("\nprogram='"), "not needed");
}

#[test]
fn what_does_not_exist_is_named_with_what_does() {
    let text = CONFIG.replace("ENCAP", "{ipip: {}}").replace("INNER", "weight: 1");
    let config = crate::config::parse("t.yaml", &text).unwrap();
    let error = |pool, backend| Setup::new(&config, pool, backend).unwrap_err().to_string();
    assert_eq!(error("wbe", None), "there is no pool `wbe`; the pools are: web, idle");
    assert_eq!(error("web", Some("x")), "pool `web` has no backend `x`; its backends are: web-1, web-2");
    assert_eq!(error("idle", Some("x")), "pool `idle` has no backend `x`; its backends are: none");
    let one = Setup::new(&config, "web", Some("web-2")).unwrap();
    assert!(!render(&one).contains("10.0.1.11"));
    assert!("eth0; rm".parse::<Interface>().is_err());
    assert!("-x".parse::<Interface>().is_err());
    assert!("enp3s0f0.17".parse::<Interface>().is_ok());
}
