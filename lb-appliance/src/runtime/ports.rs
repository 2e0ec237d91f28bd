//! Opening DPDK: the EAL, one pool of packet buffers, and every configured port with a queue per worker, or as
//! many as the device has.
//!
//! Fields are dropped in the order in which they are declared: ports before buffers before the EAL.

use super::punt;
use crate::config::model::{Config, Memory, Port as PortSettings};
use crate::io::dpdk::PortQueues;
use crate::io::handover::{self, QueueOwners};
use crate::io::taps::Taps;
use crate::logging;
use anyhow::{Context, Result, bail};
use dpdk::{
    DeviceSpec, Eal, EalConfig, EalHandle, Mempool, MempoolConfig, Port, PortConfig, QueueLimits, Started,
};
use lb_core::headers::PortFilter;
use lb_core::pipeline::BURST_MAX;

/// Room in front of a received frame that the outer headers go into, bytes (RTE_PKTMBUF_HEADROOM).
const HEADROOM_LEN: u32 = 128;
/// Data room that suits every PMD, bytes.
const DATA_ROOM_LEN_MIN: u32 = 2_048;
/// Ethernet header, two VLAN tags and FCS around an IP datagram of MTU size, bytes.
const FRAME_OVERHEAD_LEN: u32 = 26;
/// Buffers of the pool's per-thread cache.
const POOL_CACHE: u32 = 256;

/// The queues of one worker, by port.
pub(super) type WorkerQueues = Vec<PortQueues>;

/// Everything that DPDK gave us.
pub(super) struct OpenPorts {
    ports: Vec<(String, Port<Started>)>,
    /// Kept open: the interfaces are there as long as these.
    _tap_ports: Vec<Port<Started>>,
    taps: Taps,
    owners: Vec<QueueOwners>,
    pool: Mempool,
    eal: Eal,
}

impl OpenPorts {
    /// Opens everything that the configuration names, with a queue pair per worker on each port that has so
    /// many: the ports, and the queues of each worker. Queues are to be dropped before the ports.
    pub(super) fn open(config: &Config) -> Result<(Self, Vec<WorkerQueues>)> {
        let workers = config.dataplane.workers.len().max(1);
        let devices = devices(config)?;
        dpdk::log::set_sink(logging::dpdk_line);
        let eal = Eal::init(&eal_config(config, &devices))?;
        let taps = Taps::new(config.dataplane.ports.iter().map(|port| port.punt.is_some()));
        let mut owners = queue_owners(&eal, config, &devices, workers)?;
        owners.extend(taps.owners(&owners));
        let pool = Mempool::new(&eal, &pool_config(config, workers, &owners)?)?;
        let mut queues: Vec<WorkerQueues> = (0..workers).map(|_| Vec::new()).collect();
        let mut ports = Vec::new();
        for ((settings, device), owners) in config.dataplane.ports.iter().zip(&devices).zip(&owners) {
            let port = open_port(&eal, &pool, settings, device, owners, &mut queues)
                .with_context(|| cannot_open(settings))?;
            ports.push((settings.name.clone(), port));
        }
        let tap_ports = open_taps(&eal, &pool, config, (&ports, &taps), &owners, &mut queues)?;
        Ok((Self { ports, _tap_ports: tap_ports, taps, owners, pool, eal }, queues))
    }

    /// The punt interfaces.
    pub(super) fn taps(&self) -> &Taps {
        &self.taps
    }

    /// Which worker owns which queue, by port; punt interfaces come last.
    pub(super) fn owners(&self) -> &[QueueOwners] {
        &self.owners
    }

    /// The ports with their names, in the order of the configuration.
    pub(super) fn each(&self) -> impl Iterator<Item = (&str, &Port<Started>)> {
        self.ports.iter().map(|(name, port)| (name.as_str(), port))
    }

    /// The pool of packet buffers.
    pub(super) fn pool(&self) -> &Mempool {
        &self.pool
    }

    /// The EAL, for worker threads to register with.
    pub(super) fn eal(&self) -> EalHandle {
        self.eal.handle()
    }

    /// Which destination MACs each port accepts: its own, or all if it is configured promiscuous.
    pub(super) fn filters(&self, config: &Config) -> Vec<PortFilter> {
        let settings = config.dataplane.ports.iter();
        settings
            .zip(self.each())
            .map(|(settings, (_, port))| match settings.promiscuous {
                true => PortFilter::ANY,
                false => PortFilter::new(port.info().mac),
            })
            .collect()
    }
}

fn devices(config: &Config) -> Result<Vec<DeviceSpec>> {
    let parse = |port: &PortSettings| {
        let device = port.device.parse::<DeviceSpec>();
        device.with_context(|| format!("port `{}`: `device` is neither a PCI address nor a vdev", port.name))
    };
    config.dataplane.ports.iter().map(parse).collect()
}

fn eal_config(config: &Config, devices: &[DeviceSpec]) -> EalConfig {
    let Memory { hugepages, per_numa_node_bytes, .. } = config.dataplane.memory;
    let mib = u32::try_from(per_numa_node_bytes >> 20).unwrap_or(u32::MAX);
    let control = &config.dataplane.control_cpus;
    EalConfig {
        main_cpus: (!control.is_empty()).then(|| control.clone()),
        memory: if hugepages { dpdk::Memory::Hugepages { mib } } else { dpdk::Memory::NoHuge { mib } },
        // Several balancers on one machine (namespaces, tests) must not meet in /var/run/dpdk.
        file_prefix: format!("guideway-{}", std::process::id()),
        devices: devices.to_vec(),
        telemetry: false,
        extra_args: config.dataplane.eal_extra_args.clone(),
    }
}

fn cannot_open(settings: &PortSettings) -> String {
    format!("port `{}` cannot be opened", settings.name)
}

/// A queue per worker each way, or what the device has.
fn queue_owners(
    eal: &Eal,
    config: &Config,
    devices: &[DeviceSpec],
    workers: usize,
) -> Result<Vec<QueueOwners>> {
    let owners = |(index, (settings, device)): (usize, (&PortSettings, &DeviceSpec))| {
        let QueueLimits { rx, tx } =
            Port::queue_limits(eal, device).with_context(|| cannot_open(settings))?;
        // A device without queues of a kind is refused when it is configured, by a message of its own.
        let count = |limit: u16| workers.min(usize::from(limit)).max(1);
        Ok(QueueOwners::new(index, count(rx), count(tx), workers).following_sessions(config.has_nat()))
    };
    config.dataplane.ports.iter().zip(devices).enumerate().map(owners).collect()
}

fn pool_config(config: &Config, workers: usize, owners: &[QueueOwners]) -> Result<MempoolConfig> {
    let mbufs = config.dataplane.memory.mbufs_per_numa_node;
    let rings: usize = config
        .dataplane
        .ports
        .iter()
        .zip(owners)
        .map(|(port, owners)| {
            owners.receive.len() * usize::from(port.rx_descriptors)
                + owners.transmit.len() * usize::from(port.tx_descriptors)
        })
        .sum();
    let taps = config.dataplane.ports.iter().filter(|port| port.punt.is_some()).count();
    // Rings full in both directions, a burst in hand per port, what each worker's cache may hold back, and fragments
    // that wait.
    let in_hand = BURST_MAX * (config.dataplane.ports.len() + taps) + POOL_CACHE as usize * 3 / 2;
    let needed = rings
        + taps * usize::from(punt::DESCRIPTORS)
        + workers * (in_hand + config.forwarding.fragments.held_per_worker as usize)
        + handover::packets_max(workers, owners);
    if (mbufs as usize) < needed {
        bail!(
            "dataplane.memory.mbufs_per_numa_node is {mbufs}, but {workers} worker(s) with these descriptor \
             counts can hold {needed} packet buffers: raise it, or lower rx_descriptors and tx_descriptors"
        );
    }
    let mtu_max = config.dataplane.ports.iter().map(|port| u32::from(port.mtu)).max().unwrap_or(0);
    let data_room = HEADROOM_LEN + (mtu_max + FRAME_OVERHEAD_LEN).max(DATA_ROOM_LEN_MIN);
    Ok(MempoolConfig {
        name: "mbufs".into(),
        mbufs,
        cache: POOL_CACHE,
        data_room_bytes: u16::try_from(data_room).context("the MTU is too large for a packet buffer")?,
        socket: None,
    })
}

fn open_port(
    eal: &Eal,
    pool: &Mempool,
    settings: &PortSettings,
    device: &DeviceSpec,
    owners: &QueueOwners,
    queues: &mut [WorkerQueues],
) -> Result<Port<Started>> {
    let count = |owners: &[usize]| u16::try_from(owners.len()).context("more workers than a port has queues");
    let port = Port::configure(
        eal,
        device,
        &PortConfig {
            rx_queues: count(&owners.receive)?,
            tx_queues: count(&owners.transmit)?,
            rx_descriptors: settings.rx_descriptors,
            tx_descriptors: settings.tx_descriptors,
            mtu: Some(settings.mtu),
            promiscuous: settings.promiscuous,
            // Only the kernel knows which groups it is in.
            all_multicast: settings.punt.is_some(),
            rss_key: None,
        },
        pool,
    )?;
    let (port, rx, tx) = port.start()?;
    let mut per_worker: Vec<PortQueues> = queues.iter().map(|_| PortQueues::default()).collect();
    for (owner, rx) in owners.receive.iter().zip(rx) {
        per_worker[*owner].rx = Some(rx);
    }
    for (owner, tx) in owners.transmit.iter().zip(tx) {
        per_worker[*owner].tx = Some(tx);
    }
    for (worker, own) in queues.iter_mut().zip(per_worker) {
        worker.push(own);
    }
    log_port(settings, &port, queues.len(), owners);
    Ok(port)
}

/// The punt interfaces of all ports that have one, in the order of the ports.
fn open_taps(
    eal: &Eal,
    pool: &Mempool,
    config: &Config,
    (ports, taps): (&[(String, Port<Started>)], &Taps),
    owners: &[QueueOwners],
    queues: &mut [WorkerQueues],
) -> Result<Vec<Port<Started>>> {
    let vdev = |port: &PortSettings| port.device.split(',').next().unwrap_or_default().to_owned();
    let mut taken: Vec<String> = config.dataplane.ports.iter().map(vdev).collect();
    let mut opened = Vec::new();
    for (index, (settings, (_, port))) in config.dataplane.ports.iter().zip(ports).enumerate() {
        let Some(owners) = taps.of_port(index).and_then(|tap| owners.get(tap)) else { continue };
        opened.extend(punt::open(eal, pool, settings, (port.info().mac, owners), &mut taken, queues)?);
    }
    Ok(opened)
}

fn log_port(settings: &PortSettings, port: &Port<Started>, workers: usize, owners: &QueueOwners) {
    let info = port.info();
    let [a, b, c, d, e, f] = info.mac;
    tracing::info!(
        event = "port_opened",
        port = %settings.name,
        device = %info.device,
        driver = %info.driver,
        mac = %format_args!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"),
        mtu = info.mtu,
        rx_queues = info.rx_queues,
        tx_queues = info.tx_queues,
        distribution = distribution(workers, owners),
        rss = info.rss,
        rx_ipv4_checksum = info.rx_ipv4_checksum,
        fast_free = info.fast_free,
        "port open"
    );
    if owners.is_steered(workers) {
        tracing::info!(
            event = "software_distribution",
            port = %settings.name,
            rx_queues = info.rx_queues,
            workers,
            "the device has fewer receive queues than there are workers: their owners spread flows over all \
             workers; more queues (net_af_packet: `qpairs=N`, net_af_xdp: `queue_count=N`) would cost less"
        );
    }
}

/// Who spreads the frames of a port over the workers.
fn distribution(workers: usize, owners: &QueueOwners) -> &'static str {
    match (workers, owners.is_steered(workers)) {
        (1, _) => "one worker",
        (_, true) => "software",
        (_, false) => "device",
    }
}
