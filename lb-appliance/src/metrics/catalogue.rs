//! Every metric that is exported: name, type, labels and help, declared once.
//!
//! The order here is the order of a scrape and of `docs/metrics.md`. Names follow the rules of Prometheus: base
//! units, `_total` on counters, receive and transmit apart.

use super::selection::Group;

/// What kind of series a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic buckets, sum and count.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! metrics {
    ($($variant:ident, $kind:ident, $group:ident, $name:literal, [$($label:literal),*], $help:literal;)+) => {
        /// A metric of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Metric { $(#[doc = $help] $variant,)+ }

        impl Metric {
            /// Every metric, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// Full name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What kind of series it is.
            pub const fn kind(self) -> Kind {
                match self { $(Self::$variant => Kind::$kind,)+ }
            }

            /// Which `collect[]` group it belongs to.
            pub const fn group(self) -> Group {
                match self { $(Self::$variant => Group::$group,)+ }
            }

            /// Names of its labels.
            pub const fn labels(self) -> &'static [&'static str] {
                match self { $(Self::$variant => &[$($label),*],)+ }
            }

            /// What it means.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

metrics! {
    BuildInfo, Gauge, Node, "guideway_build_info", ["version", "revision", "rustc_version", "dpdk_version"], "A metric with a constant '1' value.";
    NodeInfo, Gauge, Node, "guideway_node_info", ["node"], "Configured node name.";
    ConfigInfo, Gauge, Node, "guideway_config_info", ["config_hash"], "Hash of the configuration that runs.";
    ConfigLastReloadSuccessful, Gauge, Node, "guideway_config_last_reload_successful", [], "1 if the last attempt to apply a configuration succeeded.";
    ConfigLastReloadTimestamp, Gauge, Node, "guideway_config_last_reload_success_timestamp_seconds", [], "When a configuration was last applied, in seconds since the Unix epoch.";
    ConfigReloads, Counter, Node, "guideway_config_reloads_total", [], "Attempts to apply a configuration after the start.";
    ConfigReloadFailures, Counter, Node, "guideway_config_reload_failures_total", [], "Attempts to apply a configuration that were refused.";
    ConfigPendingConfirmation, Gauge, Node, "guideway_config_pending_confirmation", [], "1 while a configuration rolls back by itself unless it is confirmed.";
    ForwardingInfo, Gauge, Node, "guideway_forwarding_info", ["forwarding_hash"], "Hash of all that decides a backend; must be equal in an ECMP group.";
    TscHertz, Gauge, Node, "guideway_tsc_hertz", [], "Cycles of the time stamp counter in a second, to turn seconds into cycles.";
    DroppedPackets, Counter, Node, "guideway_dropped_packets_total", ["reason"], "Packets dropped, by reason.";
    DroppedBytes, Counter, Node, "guideway_dropped_bytes_total", ["reason"], "Bytes of the dropped frames as received, by reason.";
    ForwardedPackets, Counter, Node, "guideway_forwarded_packets_total", [], "Packets handed to a transmit ring toward a backend, and translated answers toward clients.";
    AnsweredPackets, Counter, Node, "guideway_answered_packets_total", [], "Replies of our own handed to a transmit ring.";
    IcmpSent, Counter, Node, "guideway_icmp_sent_total", ["kind"], "ICMP and ICMPv6 messages of our own, by kind; a full transmit ring may still refuse one.";
    IcmpErrorsForwarded, Counter, Node, "guideway_icmp_errors_forwarded_total", [], "ICMP errors forwarded to the backend that has the flow.";
    FragmentsForwarded, Counter, Node, "guideway_fragments_forwarded_total", [], "IP fragments forwarded to a backend.";
    FragmentsHeld, Gauge, Node, "guideway_fragments_held", [], "IP fragments that wait for the first of their datagram.";
    PacketsFragmented, Counter, Node, "guideway_packets_fragmented_total", [], "IPv4 packets that left in pieces because they were too long.";
    FragmentsMade, Counter, Node, "guideway_fragments_made_total", [], "The pieces that they left in.";
    PortInfo, Gauge, Ports, "guideway_port_info", ["port", "driver", "device", "numa_node"], "Port identity.";
    PortUp, Gauge, Ports, "guideway_port_up", ["port"], "Link state (1 = up).";
    PortSpeed, Gauge, Ports, "guideway_port_speed_bytes", ["port"], "Link speed in bytes per second, if known.";
    PortReceivePackets, Counter, Ports, "guideway_port_receive_packets_total", ["port"], "Packets received by the NIC.";
    PortReceiveBytes, Counter, Ports, "guideway_port_receive_bytes_total", ["port"], "Bytes received by the NIC.";
    PortTransmitPackets, Counter, Ports, "guideway_port_transmit_packets_total", ["port"], "Packets sent by the NIC.";
    PortTransmitBytes, Counter, Ports, "guideway_port_transmit_bytes_total", ["port"], "Bytes sent by the NIC.";
    PortReceiveMissed, Counter, Ports, "guideway_port_receive_missed_packets_total", ["port"], "Dropped by the NIC because the RX ring was full (imissed).";
    PortReceiveErrors, Counter, Ports, "guideway_port_receive_errors_total", ["port"], "Packets received with errors (ierrors).";
    PortTransmitErrors, Counter, Ports, "guideway_port_transmit_errors_total", ["port"], "Packets that the NIC could not send (oerrors).";
    PortReceiveNombuf, Counter, Ports, "guideway_port_receive_nombuf_total", ["port"], "RX failures for want of an mbuf.";
    PortPunted, Counter, Ports, "guideway_port_punted_packets_total", ["port"], "Packets handed to the kernel.";
    PortInjected, Counter, Ports, "guideway_port_injected_packets_total", ["port"], "Packets sent for the kernel; not part of the packets that the workers account for.";
    PortInjectedRefused, Counter, Ports, "guideway_port_injected_refused_packets_total", ["port"], "Packets of the kernel that cannot be sent: the transmit ring did not take them, or they probe a backend that is gone.";
    QueueReceivePackets, Counter, Ports, "guideway_queue_receive_packets_total", ["port", "queue"], "Packets taken from a receive queue.";
    QueueReceiveBytes, Counter, Ports, "guideway_queue_receive_bytes_total", ["port", "queue"], "Bytes taken from a receive queue, without FCS.";
    QueueTransmitPackets, Counter, Ports, "guideway_queue_transmit_packets_total", ["port", "queue"], "Packets put into a transmit queue.";
    QueueTransmitBytes, Counter, Ports, "guideway_queue_transmit_bytes_total", ["port", "queue"], "Bytes put into a transmit queue, without FCS.";
    QueueTransmitFull, Counter, Ports, "guideway_queue_transmit_full_total", ["port", "queue"], "Bursts not fully taken by the TX ring.";
    MbufPoolSize, Gauge, Ports, "guideway_mbuf_pool_size", ["numa_node"], "Packet buffers.";
    MbufPoolInUse, Gauge, Ports, "guideway_mbuf_pool_in_use", ["numa_node"], "Packet buffers taken.";
    VipInfo, Gauge, Vips, "guideway_vip_info", ["vip", "address", "protocol", "ports", "pool"], "VIP identity, one series per address.";
    VipReceivePackets, Counter, Vips, "guideway_vip_receive_packets_total", ["vip"], "Packets of clients accepted for the VIP.";
    VipReceiveBytes, Counter, Vips, "guideway_vip_receive_bytes_total", ["vip"], "Bytes of clients accepted for the VIP: IP datagrams and untagged Ethernet headers.";
    VipTransmitPackets, Counter, Vips, "guideway_vip_transmit_packets_total", ["vip"], "Packets forwarded for the VIP.";
    VipTransmitBytes, Counter, Vips, "guideway_vip_transmit_bytes_total", ["vip"], "Bytes forwarded for the VIP, encapsulation included.";
    VipConnections, Counter, Vips, "guideway_vip_connections_total", ["vip"], "New connections (tracked VIPs only).";
    VipActiveConnections, Gauge, Vips, "guideway_vip_active_connections", ["vip"], "Connections tracked now.";
    VipDroppedPackets, Counter, Vips, "guideway_vip_dropped_packets_total", ["vip", "reason"], "Drops after the VIP was known.";
    VipBackends, Gauge, Vips, "guideway_vip_backends", ["vip"], "Configured backends.";
    VipHealthyBackends, Gauge, Vips, "guideway_vip_healthy_backends", ["vip"], "Backends that receive new connections.";
    VipPanic, Gauge, Vips, "guideway_vip_panic", ["vip"], "1 while the panic threshold overrides health.";
    BackendTransmitPackets, Counter, Backends, "guideway_backend_transmit_packets_total", ["pool", "backend"], "Packets forwarded to the backend.";
    BackendTransmitBytes, Counter, Backends, "guideway_backend_transmit_bytes_total", ["pool", "backend"], "Bytes forwarded to the backend, encapsulation included.";
    BackendConnections, Counter, Backends, "guideway_backend_connections_total", ["pool", "backend"], "New connections (tracked VIPs only).";
    BackendActiveConnections, Gauge, Backends, "guideway_backend_active_connections", ["pool", "backend"], "Connections tracked now.";
    BackendUp, Gauge, Backends, "guideway_backend_up", ["pool", "backend"], "1 = receives new connections.";
    BackendState, Gauge, Backends, "guideway_backend_state", ["pool", "backend", "state"], "State set: up, down, drain, disabled, maintenance, unknown.";
    BackendWeight, Gauge, Backends, "guideway_backend_weight", ["pool", "backend"], "Effective weight; 0 while it receives no new connections.";
    BackendStateChanges, Counter, Backends, "guideway_backend_state_changes_total", ["pool", "backend"], "Changes of the state of the backend's health checks.";
    BackendLastStateChange, Gauge, Backends, "guideway_backend_last_state_change_timestamp_seconds", ["pool", "backend"], "When a health check of the backend last changed its state, in seconds since the Unix epoch.";
    HealthChecks, Counter, Health, "guideway_health_checks_total", ["pool", "backend", "probe"], "Health checks that have ended.";
    HealthCheckFailures, Counter, Health, "guideway_health_check_failures_total", ["pool", "backend", "probe", "cause"], "Health checks that have failed, by cause.";
    HealthCheckDuration, Histogram, Health, "guideway_health_check_duration_seconds", ["pool", "probe"], "Time that health checks took.";
    HealthCheckLate, Counter, Health, "guideway_health_check_late_total", [], "Health checks that started more than 0.1 s late: the control CPU is starved.";
    ConnectionEntries, Gauge, Workers, "guideway_connection_table_entries", ["worker"], "Connection table entries in use.";
    ConnectionCapacity, Gauge, Workers, "guideway_connection_table_capacity", ["worker"], "Connection table entries that fit.";
    ConnectionInsertions, Counter, Workers, "guideway_connection_table_insertions_total", ["worker"], "Entries made.";
    ConnectionEvictions, Counter, Workers, "guideway_connection_table_evictions_total", ["worker"], "Entries removed alive to make room.";
    ConnectionExpirations, Counter, Workers, "guideway_connection_table_expirations_total", ["worker"], "Entries removed by age.";
    ConnectionRefusals, Counter, Workers, "guideway_connection_table_refusals_total", ["worker"], "Flows without an entry because their line is full of established ones.";
    ConnectionLookups, Counter, Workers, "guideway_connection_lookups_total", ["worker"], "Look-ups in the connection table.";
    ConnectionHits, Counter, Workers, "guideway_connection_hits_total", ["worker"], "Look-ups that found a usable entry.";
    ServerIdPackets, Counter, Workers, "guideway_server_id_packets_total", ["worker", "outcome"], "Packets of VIPs with server IDs that name a server: routed, unroutable or unknown.";
    NatSessions, Gauge, Workers, "guideway_nat_sessions", ["worker"], "Sessions of address translation.";
    NatSessionCapacity, Gauge, Workers, "guideway_nat_session_capacity", ["worker"], "Sessions of address translation that fit.";
    NatSessionsOpened, Counter, Workers, "guideway_nat_sessions_opened_total", ["worker"], "Sessions of address translation made.";
    NatSessionsExpired, Counter, Workers, "guideway_nat_sessions_expired_total", ["worker"], "Sessions removed by age, or because their backend is gone.";
    NatLocalPorts, Gauge, Workers, "guideway_nat_local_ports_in_use", ["worker"], "Local ports of full NAT in use, each counted once per backend and protocol.";
    NatReturned, Counter, Workers, "guideway_nat_returned_packets_total", ["worker"], "Answers of backends translated and sent to clients.";
    WorkerBusy, Counter, Workers, "guideway_worker_busy_seconds_total", ["worker"], "Time in turns that brought packets.";
    WorkerIdle, Counter, Workers, "guideway_worker_idle_seconds_total", ["worker"], "Time in turns that brought none, sleep included.";
    WorkerPackets, Counter, Workers, "guideway_worker_packets_total", ["worker"], "Packets taken in.";
    WorkerPolls, Counter, Workers, "guideway_worker_polls_total", ["worker"], "Polls of a receive queue.";
    WorkerEmptyPolls, Counter, Workers, "guideway_worker_empty_polls_total", ["worker"], "Polls that brought nothing.";
    WorkerBurst, Histogram, Workers, "guideway_worker_burst_packets", [], "Packets per burst, over all workers.";
    WorkerHeartbeat, Gauge, Workers, "guideway_worker_heartbeat_timestamp_seconds", ["worker"], "When the loop last looked at its clock, in seconds since the Unix epoch.";
    ForwardLatency, Histogram, Workers, "guideway_forward_latency_seconds", [], "Time from poll to transmit, sampled.";
    ScrapeDuration, Gauge, Node, "guideway_scrape_duration_seconds", [], "Time that it took to collect this scrape.";
}
