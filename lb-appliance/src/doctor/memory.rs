//! Hugepages per NUMA node, and transparent ones for the connection tables.

use super::{Findings, Host};
use crate::config::model::Config;

const HUGEPAGES: &str = "memory.hugepages";
const TRANSPARENT: &str = "memory.transparent_hugepages";
const MIB: u64 = 1 << 20;

/// Free hugepages of one size.
struct Pages {
    node: String,
    kib: u64,
    free: u64,
}

pub(super) fn check(config: Option<&Config>, host: &Host, findings: &mut Findings) {
    hugepages(config, host, findings);
    transparent(host, findings);
}

fn hugepages(config: Option<&Config>, host: &Host, findings: &mut Findings) {
    let pages = pages(host);
    let free_mib: u64 = pages.iter().map(|pages| pages.free * pages.kib / 1024).sum();
    let seen = described(&pages);
    let Some(memory) = config.map(|config| config.dataplane.memory) else {
        return findings.ok(HUGEPAGES, seen);
    };
    if !memory.hugepages {
        return findings.ok(HUGEPAGES, "the configuration uses ordinary pages (`hugepages: false`)");
    }
    let needed_mib = memory.per_numa_node_bytes.div_ceil(MIB);
    if free_mib < needed_mib {
        let total = reserved(host) + (needed_mib - free_mib).div_ceil(2);
        let fix = format!(
            "sysctl -w vm.nr_hugepages={total} && echo vm.nr_hugepages={total} > /etc/sysctl.d/80-guideway.conf  (a VM \
             or a laptop: `dataplane: {{memory: {{hugepages: false}}}}`)"
        );
        let seen = format!("{seen}; the configuration needs {needed_mib} MiB");
        return findings.error(HUGEPAGES, seen, "DPDK allocates its packet buffers there at start", fix);
    }
    findings.ok(HUGEPAGES, format!("{seen}; the configuration needs {needed_mib} MiB"));
    // The EAL runs with `--in-memory`: pages are taken from the kernel, no hugetlbfs need be mounted.
    let starved: Vec<&str> = nodes_without(&pages);
    if !starved.is_empty() && starved.len() < nodes(&pages).len() {
        let node = starved[0];
        let fix = format!(
            "echo {} > /sys/devices/system/node/{node}/hugepages/hugepages-2048kB/nr_hugepages",
            needed_mib.div_ceil(2)
        );
        let why = "packet buffers of a NIC on that node would cross the interconnect";
        findings.warning(
            "memory.hugepages_node",
            format!("{} has no free hugepage", starved.join(", ")),
            why,
            fix,
        );
    }
}

fn pages(host: &Host) -> Vec<Pages> {
    let root = "sys/devices/system/node";
    let mut nodes: Vec<(String, String)> = host
        .names(root)
        .into_iter()
        .filter(|name| name.strip_prefix("node").is_some_and(|rest| rest.parse::<u32>().is_ok()))
        .map(|name| (name.clone(), format!("{root}/{name}/hugepages")))
        .collect();
    if nodes.is_empty() {
        nodes.push(("node0".to_owned(), "sys/kernel/mm/hugepages".to_owned()));
    }
    let of_node = |(node, folder): (String, String)| {
        let sizes = host.names(&folder).into_iter().filter_map(move |name| {
            let kib = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            let free = host.number(&format!("{folder}/{name}/free_hugepages")).unwrap_or(0);
            Some(Pages { node: node.clone(), kib, free })
        });
        sizes.collect::<Vec<_>>()
    };
    nodes.into_iter().flat_map(of_node).collect()
}

fn nodes(pages: &[Pages]) -> Vec<&str> {
    let mut nodes: Vec<&str> = pages.iter().map(|pages| pages.node.as_str()).collect();
    nodes.dedup();
    nodes
}

fn nodes_without(pages: &[Pages]) -> Vec<&str> {
    let has = |node: &str| pages.iter().any(|pages| pages.node == node && pages.free > 0);
    nodes(pages).into_iter().filter(|node| !has(node)).collect()
}

fn described(pages: &[Pages]) -> String {
    let free: Vec<String> = pages
        .iter()
        .filter(|pages| pages.free > 0)
        .map(|pages| format!("{} x {} MiB on {}", pages.free, pages.kib / 1024, pages.node))
        .collect();
    if free.is_empty() {
        "no hugepage is free".to_owned()
    } else {
        format!("free hugepages: {}", free.join(", "))
    }
}

/// 2 MiB pages reserved now.
fn reserved(host: &Host) -> u64 {
    host.number("proc/sys/vm/nr_hugepages").unwrap_or(0)
}

fn transparent(host: &Host, findings: &mut Findings) {
    let Some(setting) = host.text("sys/kernel/mm/transparent_hugepage/enabled") else { return };
    if setting.contains("[never]") {
        findings.warning(
            TRANSPARENT,
            "transparent hugepages are off",
            "connection tables then miss the TLB at almost every lookup: tens of ns per packet",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        );
    } else {
        findings.ok(TRANSPARENT, format!("transparent hugepages: {setting}"));
    }
}
