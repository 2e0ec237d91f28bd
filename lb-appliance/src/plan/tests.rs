//! From `encap` in a file to the edit that the packet path makes of it.

use super::*;
use lb_core::composition::Vlan;

/// The mode of a pool's only backend, 10.0.0.1.
fn mode_of(encap: &str, backend: &str) -> Mode {
    let text = format!(
        "version: 1\nforwarding: {{encapsulation: {{source: {{ipv4: 198.51.100.11}}}}}}\npools:\n  - {{name: web, encap: \
         {encap}, backends: [{{name: a, address: 10.0.0.1, mac: 02-00-00-00-00-01{backend}}}]}}\nvips:\n  - {{name: web, \
         addresses: [192.0.2.1], protocol: tcp, pool: web}}\n"
    );
    let config = crate::config::parse("test", &text).unwrap_or_else(|wrong| panic!("{wrong}"));
    Plan::new(&config, &[]).spec.pools[0].backends[0].mode
}

fn composed(encap: &str, backend: &str) -> Composition {
    match mode_of(encap, backend) {
        Mode::Composed(composition) => composition,
        mode => panic!("{encap}: {mode:?}"),
    }
}

const INNER: &str = ", inner_mac: 02-00-00-00-00-77";

/// Whoever asks for nothing special, or for what is usual, pays nothing for what is special.
#[test]
fn the_usual_policy_leaves_the_edits_of_the_loops() {
    for policy in ["", "dscp: copy, ttl: 64, vlan: keep, decrement_ttl: true", "oversize: fragment"] {
        assert!(matches!(mode_of(&format!("{{ipip: {{{policy}}}}}"), ""), Mode::Ipip { .. }), "{policy}");
        assert!(matches!(mode_of(&format!("{{gue: {{{policy}}}}}"), ""), Mode::Gue { .. }), "{policy}");
        let vxlan = format!("{{vxlan: {{vni: 1, {policy}}}}}").replace(", }", "}");
        assert!(matches!(mode_of(&vxlan, INNER), Mode::Vxlan { .. }), "{policy}");
    }
    assert!(matches!(mode_of("{l2dsr: {vlan: keep}}", ""), Mode::L2Dsr));
}

#[test]
fn every_key_of_a_policy_arrives() {
    let source = "198.51.100.11".parse().unwrap();
    let gue = composed(
        "{gue: {port: 7, dscp: 46, ttl: copy, checksum: true, vlan: 300, decrement_ttl: false}}",
        "",
    );
    let policy = Policy {
        dscp: Some(46),
        ttl: None,
        checksum: Some(true),
        vlan: Vlan::Set(300),
        decrement_ttl: false,
    };
    assert_eq!(gue, Composition { form: Form::Gue { port: 7, variant: GueVariant::Header }, source, policy });
    assert_eq!(composed("{ipip: {ttl: 1}}", "").policy, Policy { ttl: Some(1), ..Policy::default() });
    assert_eq!(composed("{ipip: {dscp: 0}}", "").policy, Policy { dscp: Some(0), ..Policy::default() });
    let off = composed("{vxlan: {vni: 1, checksum: false}}", INNER);
    assert_eq!(off.policy, Policy { checksum: Some(false), ..Policy::default() });
    assert_eq!(composed("{l2dsr: {vlan: strip}}", "").policy.vlan, Vlan::Strip);
}

#[test]
fn gre_and_geneve_have_their_forms() {
    assert_eq!(composed("{gre: }", "").form, Form::Gre { key: None });
    assert_eq!(composed("{gre: {key: 0}}", "").form, Form::Gre { key: Some(0) });
    let geneve = |inner_mac| Form::Geneve { port: 6081, vni: 9, inner_mac };
    assert_eq!(composed("{geneve: {vni: 9}}", "").form, geneve(None));
    assert_eq!(composed("{geneve: {vni: 9}}", INNER).form, geneve(Some([2, 0, 0, 0, 0, 0x77])));
    let of_pool = "{geneve: {vni: 9, inner_mac: 02-00-00-00-00-78}}";
    assert_eq!(composed(of_pool, "").form, geneve(Some([2, 0, 0, 0, 0, 0x78])));
    assert_eq!(composed(of_pool, INNER).form, geneve(Some([2, 0, 0, 0, 0, 0x77])), "its own comes first");
}
