//! A configuration as plain facts, so that any two can be compared without a comparison for every type.

use super::view::Change;
use crate::config::hexadecimal;
use crate::config::model::{self, Config};
use lb_core::composition::Vlan;
use lb_core::spec::HashFields;
use std::collections::BTreeMap;

/// Objects by name, each with the values of its keys.
type Facts = BTreeMap<String, Object>;

/// One object of the configuration.
#[derive(Debug, Default, PartialEq, Eq)]
struct Object {
    /// Where it stands, so that changes come in the order of the file.
    order: usize,
    fields: Vec<(&'static str, String)>,
}

/// Keys that are read at start only.
const RESTART: [&str; 8] = [
    "dataplane",
    "port ",
    "maglev.seed",
    "connections.per_worker",
    "nat.sessions_per_worker",
    "metrics",
    "admin",
    "security",
];

/// What is different in `after`, in its order; what is gone comes last.
pub(super) fn changes(before: &Config, after: &Config) -> Vec<Change> {
    let (before, after) = (facts(before), facts(after));
    let mut found: Vec<(usize, Change)> = Vec::new();
    for (name, object) in &after {
        match before.get(name) {
            None => found.push((object.order, whole("added", name))),
            Some(old) => {
                found.extend(fields(name, old, object).map(|change| (object.order, change)));
            }
        }
    }
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    found.extend(gone.map(|name| (usize::MAX, whole("removed", name))));
    found.sort_by_key(|(order, _)| *order);
    found.into_iter().map(|(_, change)| change).collect()
}

fn whole(kind: &str, name: &str) -> Change {
    Change {
        kind: kind.into(),
        object: name.into(),
        field: None,
        from: None,
        to: None,
        restart: needs_restart(name, ""),
    }
}

fn fields<'a>(name: &'a str, old: &'a Object, new: &'a Object) -> impl Iterator<Item = Change> + 'a {
    let value = |object: &Object, field: &str| {
        object.fields.iter().find(|(key, _)| *key == field).map(|(_, value)| value.clone())
    };
    let mut keys: Vec<&str> = new.fields.iter().map(|(key, _)| *key).collect();
    let only_old = old.fields.iter().map(|(key, _)| *key).filter(|key| value(new, key).is_none());
    keys.extend(only_old.collect::<Vec<_>>());
    keys.into_iter().filter_map(move |field| {
        let (from, to) = (value(old, field), value(new, field));
        (from != to).then(|| Change {
            kind: "changed".into(),
            object: name.into(),
            field: Some(field.into()),
            from,
            to,
            restart: needs_restart(name, field),
        })
    })
}

fn needs_restart(object: &str, field: &str) -> bool {
    RESTART.iter().any(|one| object.starts_with(one) || *one == field)
}

fn facts(config: &Config) -> Facts {
    let mut facts = Facts::new();
    let mut add = |name: String, fields: Vec<(&'static str, String)>| {
        let order = facts.len();
        facts.insert(name, Object { order, fields });
    };
    add("node".into(), vec![("name", config.node.name.clone())]);
    add("dataplane".into(), dataplane(&config.dataplane));
    for port in &config.dataplane.ports {
        add(format!("port {}", port.name), port_fields(port));
    }
    add("forwarding".into(), forwarding(&config.forwarding));
    for pool in &config.pools {
        add(format!("pool {}", pool.name), pool_fields(pool));
        for backend in &pool.backends {
            add(format!("backend {}/{}", pool.name, backend.name), backend_fields(backend));
        }
    }
    for vip in &config.vips {
        add(format!("vip {}", vip.name), vip_fields(config, vip));
    }
    add("admin".into(), vec![("admin", debug(&config.admin))]);
    add("metrics".into(), vec![("metrics", debug(&config.metrics))]);
    add("security".into(), security(&config.security));
    add(
        "logging".into(),
        vec![("level", config.logging.level.clone()), ("format", debug(config.logging.format))],
    );
    facts
}

/// A value without a text form of its own, as it would be written in a file, nearly.
fn debug(value: impl std::fmt::Debug) -> String {
    let (mut text, mut is_quoted, mut before) = (String::new(), false, ' ');
    for character in format!("{value:?}").chars() {
        if character == '"' && before != '\\' {
            is_quoted = !is_quoted;
        }
        if !is_quoted && character.is_ascii_uppercase() {
            if before.is_ascii_alphanumeric() {
                text.push('_');
            }
            text.push(character.to_ascii_lowercase());
        } else {
            text.push(character);
        }
        before = character;
    }
    text
}

fn list<T: ToString>(values: &[T]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn dataplane(dataplane: &model::Dataplane) -> Vec<(&'static str, String)> {
    vec![
        ("workers", list(&dataplane.workers)),
        ("control_cpus", list(&dataplane.control_cpus)),
        ("burst", dataplane.burst.to_string()),
        ("idle", debug(dataplane.idle)),
        ("memory", debug(dataplane.memory)),
        ("eal_extra_args", dataplane.eal_extra_args.join(" ")),
    ]
}

fn port_fields(port: &model::Port) -> Vec<(&'static str, String)> {
    vec![
        ("device", port.device.clone()),
        ("mtu", port.mtu.to_string()),
        ("rx_descriptors", port.rx_descriptors.to_string()),
        ("tx_descriptors", port.tx_descriptors.to_string()),
        ("addresses", list(&port.addresses)),
        ("gateways", debug(&port.gateways)),
        ("promiscuous", port.promiscuous.to_string()),
        ("punt", optional(port.punt.as_ref())),
    ]
}

fn forwarding(forwarding: &model::Forwarding) -> Vec<(&'static str, String)> {
    let connections = &forwarding.connections;
    vec![
        ("maglev.table_size", forwarding.maglev.table_size.to_string()),
        ("maglev.seed", format!("{:#x}", forwarding.maglev.seed)),
        ("connections.per_worker", connections.per_worker.to_string()),
        ("connections.idle_timeout.tcp", debug(connections.idle_tcp)),
        ("connections.idle_timeout.tcp_closing", debug(connections.idle_tcp_closing)),
        ("connections.idle_timeout.udp", debug(connections.idle_udp)),
        ("encapsulation.source.ipv4", optional(forwarding.encapsulation.source_ipv4)),
        ("encapsulation.source.ipv6", optional(forwarding.encapsulation.source_ipv6)),
        ("nat.sessions_per_worker", forwarding.nat.sessions_per_worker.to_string()),
        ("nat.idle_timeout.tcp_established", debug(forwarding.nat.idle_tcp_established)),
        ("nat.idle_timeout.tcp_transitory", debug(forwarding.nat.idle_tcp_transitory)),
        ("nat.idle_timeout.udp", debug(forwarding.nat.idle_udp)),
        ("encapsulation.inner_mtu", optional(forwarding.encapsulation.inner_mtu)),
        ("icmp", debug(forwarding.icmp)),
        ("fragments", debug(forwarding.fragments)),
    ]
}

fn security(security: &model::Security) -> Vec<(&'static str, String)> {
    vec![
        ("seccomp", debug(security.seccomp)),
        ("capabilities", debug(security.capabilities)),
        ("commands", security.commands.to_string()),
    ]
}

fn optional<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "none".into(), |value| value.to_string())
}

fn number_or(number: Option<u8>, word: &str) -> String {
    number.map_or_else(|| word.into(), |number| number.to_string())
}

fn vlan(vlan: Vlan) -> String {
    match vlan {
        Vlan::Keep => "keep".into(),
        Vlan::Strip => "strip".into(),
        Vlan::Set(identifier) => identifier.to_string(),
    }
}

fn pool_fields(pool: &model::Pool) -> Vec<(&'static str, String)> {
    let check = pool.health.check.as_ref();
    vec![
        ("encap", debug(pool.encap)),
        ("encap.dscp", number_or(pool.policy.dscp, "copy")),
        ("encap.ttl", number_or(pool.policy.ttl, "copy")),
        ("encap.checksum", pool.policy.checksum.map_or_else(|| "default".into(), |on| on.to_string())),
        ("encap.vlan", vlan(pool.policy.vlan)),
        ("encap.decrement_ttl", pool.policy.decrement_ttl.to_string()),
        ("encap.oversize", debug(pool.oversize)),
        ("local_addresses", list(&pool.local_addresses)),
        ("health_check", check.map_or_else(|| "none".into(), debug)),
        ("panic_threshold", format!("{}", f64::from(pool.health.panic_below) / 10_000.0)),
        ("all_down", debug(pool.health.all_down)),
        ("quorum", pool.health.quorum.to_string()),
        ("slow_start", pool.slow_start.as_ref().map_or_else(|| "none".into(), debug)),
        ("adaptive_weights", pool.adaptive_weights.as_ref().map_or_else(|| "none".into(), debug)),
    ]
}

fn backend_fields(backend: &model::Backend) -> Vec<(&'static str, String)> {
    vec![
        ("address", backend.address.to_string()),
        ("weight", backend.weight.to_string()),
        ("state", super::AdminState::from(backend.state).name().into()),
        ("mac", optional(backend.mac)),
        ("inner_mac", optional(backend.inner_mac)),
        ("port", optional(backend.port)),
        ("server_id", optional(backend.server_id.as_ref().map(|id| hexadecimal(id)))),
        (
            "next hop",
            backend.next_hop.map_or_else(|| "none".into(), |hop| format!("{} by port {}", hop.mac, hop.port)),
        ),
    ]
}

fn vip_fields(config: &Config, vip: &model::Vip) -> Vec<(&'static str, String)> {
    let ports = match &vip.ports {
        model::VipPorts::Any => "any".into(),
        model::VipPorts::List(ports) => list(ports),
    };
    let slices: Vec<String> =
        vip.slices.iter().map(|slice| format!("{} {}", slice.ports, slice.backend)).collect();
    let hash = match vip.hash {
        HashFields::FiveTuple => "5-tuple".into(),
        HashFields::Source { ipv4, ipv6 } => format!("source /{ipv4} of IPv4, /{ipv6} of IPv6"),
    };
    vec![
        ("addresses", list(&vip.addresses)),
        ("ports", ports),
        ("protocol", vip.protocol.name().into()),
        ("pool", config.pools.get(vip.pool).map_or_else(String::new, |pool| pool.name.clone())),
        ("sessions", debug(vip.sessions).to_lowercase()),
        ("fragments", debug(vip.fragments)),
        ("icmp_echo", debug(vip.icmp_echo)),
        ("hash", hash),
        ("slices", if slices.is_empty() { "none".into() } else { slices.join(", ") }),
        // Keys show as fingerprints.
        ("server_id", vip.server_id.as_ref().map_or_else(|| "none".into(), debug)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "version: 1\npools:\n  - name: web\n    encap: {l2dsr: {}}\n    backends:\n      - {name: a, address: 10.0.0.1, mac: \"02:00:00:00:00:01\"}\n      - {name: b, address: 10.0.0.2, mac: \"02:00:00:00:00:02\"}\nvips:\n  - {name: web, addresses: [192.0.2.1], ports: [80], protocol: tcp, pool: web}\n";

    fn config(text: &str) -> Config {
        crate::config::parse("test", text).unwrap()
    }

    #[test]
    fn equal_files_have_no_changes_and_order_is_no_change() {
        assert_eq!(changes(&config(BASE), &config(BASE)), []);
        let lines: Vec<&str> = BASE.lines().collect();
        let mut swapped = lines.clone();
        swapped.swap(5, 6);
        assert_eq!(changes(&config(BASE), &config(&swapped.join("\n"))), []);
    }

    #[test]
    fn every_change_names_object_field_and_values() {
        let after = BASE
            .replace("name: b, address: 10.0.0.2", "name: c, address: 10.0.0.3, weight: 7")
            .replace("ports: [80]", "ports: [80, 443]")
            .replace("name: a, address: 10.0.0.1", "name: a, address: 10.0.0.1, state: drain");
        let found: Vec<String> = changes(&config(BASE), &config(&after))
            .into_iter()
            .map(|one| format!("{} {} {:?} {:?} {:?}", one.kind, one.object, one.field, one.from, one.to))
            .collect();
        assert_eq!(
            found,
            [
                r#"changed backend web/a Some("state") Some("active") Some("drain")"#,
                "added backend web/c None None None",
                r#"changed vip web Some("ports") Some("80") Some("80, 443")"#,
                "removed backend web/b None None None",
            ]
        );
    }

    #[test]
    fn values_look_like_those_of_a_file_and_what_is_quoted_stays() {
        assert_eq!(debug(model::Encap::Vxlan { vni: 7, port: 4789 }), "vxlan { vni: 7, port: 4789 }");
        assert_eq!(debug(model::VipPorts::Any), "any");
        assert_eq!(debug(Some("A \"Path\" B")), r#"some("A \"Path\" B")"#);
    }

    #[test]
    fn keys_show_as_fingerprints_and_a_change_of_one_is_told() {
        let with = |key: &str| {
            let ids = format!("{{quic: [{{config_id: 0, nonce_length: 4, key: \"{key}\"}}]}}");
            let text = BASE
                .replace("name: a,", "name: a, server_id: \"0a\",")
                .replace("name: b,", "name: b, server_id: \"0b\",")
                .replace("protocol: tcp", &format!("protocol: udp, server_id: {ids}"));
            config(&text)
        };
        let (one, other) = ("8f95f09245765f80256934e50c66207f", "8f95f09245765f80256934e50c66207e");
        let found = changes(&with(one), &with(other));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].field.as_deref(), Some("server_id"));
        assert_ne!(found[0].from, found[0].to);
        let text = format!("{found:?} {:?}", with(one));
        assert!(text.contains("secret "), "{text}");
        for secret in [one, "8f95f092", "8f, 95", "143, 149"] {
            assert!(!text.to_lowercase().contains(secret), "{text}");
        }
        assert!(!crate::support::masked(&format!("  - {{key: \"{one}\", nonce_length: 4}}")).contains(one));
    }

    #[test]
    fn what_needs_a_restart_is_said() {
        let after = BASE
            .replace("version: 1", "version: 1\nforwarding: {maglev: {table_size: 131071, seed: \"0x2\"}}");
        let restart: Vec<_> =
            changes(&config(BASE), &config(&after)).into_iter().map(|one| (one.field, one.restart)).collect();
        assert_eq!(restart, [(Some("maglev.table_size".into()), false), (Some("maglev.seed".into()), true)]);
    }
}
