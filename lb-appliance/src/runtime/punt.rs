//! Punt interfaces: one `net_tap` per port that has `punt`, opened after the port, whose MAC address it gets.
//!
//! The interface lives as long as the process. It gets the port's MTU and addresses; routes besides the connected
//! ones are the operator's (`ip route`), and nobody undoes them but the end of the interface.

use super::ports::WorkerQueues;
use crate::config::model::{Config, Port as PortSettings};
use crate::io::dpdk::PortQueues;
use crate::io::handover::QueueOwners;
use crate::netlink::{self, errno};
use anyhow::{Context, Error, Result, anyhow};
use dpdk::{DeviceSpec, Eal, Mempool, Port, PortConfig, Started};
use ipnet::IpNet;
use rtnetlink::{Handle, LinkUnspec};
use std::path::Path;

/// Descriptors of a tap: the driver takes a buffer for each, and reads frames one by one.
pub(super) const DESCRIPTORS: u16 = 64;

/// A name for one more tap: the EAL makes one device of each, and the configuration has made some.
fn device(settings: &PortSettings, name: &str, mac: [u8; 6], taken: &[String]) -> Result<DeviceSpec> {
    let vdev = (0..).map(|number| format!("net_tap{number}")).find(|vdev| !taken.contains(vdev));
    let vdev = vdev.context("no number is left for a net_tap")?;
    let [a, b, c, d, e, f] = mac;
    let text = format!("{vdev},iface={name},mac={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}");
    text.parse().with_context(|| format!("port `{}`: `punt` makes no device", settings.name))
}

/// Opens the tap of a port for the one worker that owns it, as the next port of every worker.
pub(super) fn open(
    eal: &Eal,
    pool: &Mempool,
    settings: &PortSettings,
    (mac, owners): ([u8; 6], &QueueOwners),
    taken: &mut Vec<String>,
    queues: &mut [WorkerQueues],
) -> Result<Option<Port<Started>>> {
    let Some(name) = &settings.punt else { return Ok(None) };
    let device = device(settings, name, mac, taken)?;
    taken.push(device.name().to_owned());
    let port = start(eal, pool, settings, &device)
        .with_context(|| format!("port `{}`: its punt interface `{name}` cannot be opened", settings.name))?;
    let (port, rx, tx) = port;
    let mut own = Some(PortQueues { rx: rx.into_iter().next(), tx: tx.into_iter().next() });
    for (worker, queues) in queues.iter_mut().enumerate() {
        let is_owner = owners.receive.contains(&worker);
        queues.push(own.take_if(|_| is_owner).unwrap_or_default());
    }
    tracing::info!(event = "punt_opened", port = %settings.name, interface = %name, device = %device, "punt interface open");
    Ok(Some(port))
}

fn start(
    eal: &Eal,
    pool: &Mempool,
    settings: &PortSettings,
    device: &DeviceSpec,
) -> Result<dpdk::StartedPort> {
    eal.plug(device)?;
    let config = PortConfig {
        rx_queues: 1,
        tx_queues: 1,
        rx_descriptors: DESCRIPTORS,
        tx_descriptors: DESCRIPTORS,
        mtu: Some(settings.mtu),
        promiscuous: false,
        all_multicast: false,
        rss_key: None,
    };
    Ok(Port::configure(eal, device, &config, pool)?.start()?)
}

/// Brings the punt interfaces up and gives them the addresses of their ports.
pub(super) async fn address(config: &Config) -> Result<()> {
    let ports = || config.dataplane.ports.iter().filter_map(|port| Some((port, port.punt.as_deref()?)));
    if ports().next().is_none() {
        return Ok(());
    }
    let (connection, handle, _) = rtnetlink::new_connection()
        .context("punt interfaces cannot be given addresses: no netlink socket")?;
    let connection = tokio::spawn(connection);
    for (port, name) in ports() {
        set_up(&handle, port, name)
            .await
            .with_context(|| format!("port `{}`: its punt interface `{name}` cannot be set up", port.name))?;
    }
    connection.abort();
    Ok(())
}

async fn set_up(handle: &Handle, port: &PortSettings, name: &str) -> Result<()> {
    let index = netlink::index_of(handle, name).await.map_err(|error| match errno(&error) {
        None | Some(libc::ENODEV) => anyhow!("it is gone: nobody else may delete or move it ({error})"),
        Some(_) => explained(error),
    })?;
    if port.addresses.iter().any(|address| address.addr().is_ipv6()) {
        allow_ipv6(Path::new("/proc/sys/net/ipv6/conf"), name)?;
    }
    let up = LinkUnspec::new_with_index(index).up().build();
    handle.link().set(up).execute().await.map_err(explained).context("it does not come up")?;
    for address in &port.addresses {
        let (ip, prefix_len) = (address.addr(), address.prefix_len());
        let added = handle.address().add(index, ip, prefix_len).execute().await.map_err(explained);
        added.with_context(|| format!("it does not get the address {address}"))?;
    }
    let addresses: Vec<String> = port.addresses.iter().map(IpNet::to_string).collect();
    tracing::info!(event = "punt_addressed", port = %port.name, interface = %name, addresses = addresses.join(","), "addresses set");
    Ok(())
}

/// The kernel refuses IPv6 addresses where IPv6 is off, as hosts have it for the interfaces that belong to DPDK.
fn allow_ipv6(folder: &Path, name: &str) -> Result<()> {
    let file = folder.join(name).join("disable_ipv6");
    let Ok(text) = std::fs::read_to_string(&file) else {
        return Err(anyhow!(
            "the kernel has no IPv6 (no {}), and the port has IPv6 addresses: remove them, or boot without \
             ipv6.disable=1",
            file.display()
        ));
    };
    if text.trim() == "0" {
        return Ok(());
    }
    std::fs::write(&file, "0").with_context(|| {
        format!(
            "IPv6 is off on it and {} cannot be written: `sysctl -w net.ipv6.conf.default.disable_ipv6=0` before \
             the start",
            file.display()
        )
    })
}

/// What the kernel answered, and what to do about it.
fn explained(error: rtnetlink::Error) -> Error {
    match errno(&error) {
        Some(libc::EPERM) => anyhow!(
            "the process lacks CAP_NET_ADMIN: run as root, `setcap cap_net_admin+ep` on the program, or in Docker \
             `--cap-add NET_ADMIN`"
        ),
        None => anyhow!("{error}"),
        Some(code) => Error::new(std::io::Error::from_raw_os_error(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tap_takes_the_first_free_number_and_the_ports_mac() {
        let text = "version: 1\ndataplane: {ports: [{name: p, device: net_null0, punt: gw-p}]}\n\
                    forwarding: {encapsulation: {source: {ipv4: 10.0.0.2}}}\n\
                    pools: [{name: web, encap: {ipip: {}}, backends: [{name: a, address: 10.0.1.1, mac: \"02:00:00:00:00:02\"}]}]\n\
                    vips: [{name: web, addresses: [203.0.113.10], protocol: tcp, ports: [80], pool: web}]\n";
        let config = crate::config::parse("t.yaml", text).unwrap();
        let taken = ["net_tap0".to_owned(), "net_tap2".to_owned()];
        let device = device(&config.dataplane.ports[0], "gw-p", [2, 0, 0, 0xab, 0, 1], &taken).unwrap();
        assert_eq!(device.to_string(), "net_tap1,iface=gw-p,mac=02:00:00:ab:00:01");
    }

    #[test]
    fn ipv6_is_switched_on_where_it_is_off_and_refusals_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gw0/disable_ipv6");
        let text = allow_ipv6(folder.path(), "gw0").unwrap_err().to_string();
        assert!(text.contains("the kernel has no IPv6"), "{text}");
        std::fs::create_dir(folder.path().join("gw0")).unwrap();
        for before in ["1\n", "0\n"] {
            std::fs::write(&file, before).unwrap();
            allow_ipv6(folder.path(), "gw0").unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), "0");
        }
    }
}
