//! Every key that a configuration may hold, and every key that it may hold one day.
//!
//! The readers take their keys from here, so that a key without a row cannot be read, and the documentation test
//! walks the same tables. A `Later` key is refused as "not supported yet" rather than as unknown: the operator wrote
//! what the design shows, and must not believe that it works.

/// One key of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// As written in the file.
    pub name: &'static str,
    /// Whether it works.
    pub status: Status,
}

/// Whether a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Now,
    /// It is designed, not built.
    Later,
}

/// One kind of mapping.
#[derive(Debug, PartialEq, Eq)]
pub struct Keys {
    /// Path in the documentation, e.g. `pools[].backends[]`; empty for the root.
    pub path: &'static str,
    /// Its keys, in the order of the documentation.
    pub keys: &'static [Key],
}

impl Keys {
    /// Whether this is an included file, and the key one of the main file.
    pub(super) fn is_main_only(&self, key: &str) -> bool {
        self.path == INCLUDED.path && ROOT.keys.iter().any(|known| known.name == key)
    }
}

macro_rules! keys {
    ($($table:ident $path:literal: $($now:ident)* $(; later $($later:ident)*)?,)+) => {
        $(
            pub(super) static $table: Keys = Keys {
                path: $path,
                keys: &[
                    $(Key { name: stringify!($now), status: Status::Now },)*
                    $($(Key { name: stringify!($later), status: Status::Later },)*)?
                ],
            };
        )+
        /// All tables.
        pub static ALL: &[&Keys] = &[$(&$table,)+];
    };
}

keys! {
    ROOT "": version include node dataplane forwarding pools vips admin metrics logging security; later bgp capture,
    INCLUDED "include[]": version pools vips,
    NODE "node": name,
    DATAPLANE "dataplane": workers control_cpus burst idle memory ports eal_extra_args,
    MEMORY "dataplane.memory": hugepages per_numa_node mbufs_per_numa_node,
    PORT "dataplane.ports[]": name device mtu rx_descriptors tx_descriptors addresses gateways promiscuous punt,
    GATEWAY "dataplane.ports[].gateways[]": address mac,
    FORWARDING "forwarding": maglev connections encapsulation icmp fragments nat; later limits,
    MAGLEV "forwarding.maglev": table_size seed,
    CONNECTIONS "forwarding.connections": per_worker idle_timeout,
    IDLE_TIMEOUT "forwarding.connections.idle_timeout": tcp tcp_closing udp,
    ENCAPSULATION "forwarding.encapsulation": source inner_mtu,
    SOURCE "forwarding.encapsulation.source": ipv4 ipv6,
    FORWARDING_NAT "forwarding.nat": sessions_per_worker idle_timeout,
    NAT_IDLE_TIMEOUT "forwarding.nat.idle_timeout": tcp_established tcp_transitory udp,
    ICMP "forwarding.icmp": errors_per_second errors_per_source echoes_per_second echoes_per_source,
    FRAGMENTS "forwarding.fragments": per_worker held_per_worker timeout,
    POOL "pools[]":
        name encap backends health_check panic_threshold all_down quorum slow_start adaptive_weights,
    ENCAP "pools[].encap": ipip gue gre vxlan geneve l2dsr nat full_nat,
    IPIP "pools[].encap.ipip": dscp ttl vlan decrement_ttl oversize,
    GUE "pools[].encap.gue": port variant checksum dscp ttl vlan decrement_ttl oversize,
    GRE "pools[].encap.gre": key dscp ttl vlan decrement_ttl oversize,
    VXLAN "pools[].encap.vxlan": vni port inner_mac checksum dscp ttl vlan decrement_ttl oversize,
    GENEVE "pools[].encap.geneve": vni port inner_mac checksum dscp ttl vlan decrement_ttl oversize,
    L2DSR "pools[].encap.l2dsr": vlan decrement_ttl oversize,
    NAT "pools[].encap.nat": ,
    FULL_NAT "pools[].encap.full_nat": local_addresses ports client_address,
    BACKEND "pools[].backends[]": name address weight state mac inner_mac port server_id,
    SLOW_START "pools[].slow_start": duration start,
    ADAPTIVE_WEIGHTS "pools[].adaptive_weights": source interval stale_after min_factor max_factor max_step deadband
        max_changes_per_minute max_moved_per_minute,
    HEALTH_CHECK "pools[].health_check":
        tcp http https udp dns grpc command agent interval fast_interval timeout fall rise via,
    TCP_PROBE "pools[].health_check.tcp": port,
    HTTP_PROBE "pools[].health_check.http": port path host method expect_status expect_body load_header,
    HTTPS_PROBE "pools[].health_check.https":
        port path host method expect_status expect_body load_header sni ca_file skip_verify,
    UDP_PROBE "pools[].health_check.udp": port send send_hex expect expect_text expect_hex,
    DNS_PROBE "pools[].health_check.dns": port name type expect,
    GRPC_PROBE "pools[].health_check.grpc": port service tls,
    GRPC_TLS "pools[].health_check.grpc.tls": sni ca_file skip_verify,
    AGENT "pools[].health_check.agent": port,
    VIP "vips[]": name addresses ports protocol pool sessions fragments icmp_echo hash slices server_id;
        later source_allow source_deny,
    VIP_HASH "vips[].hash": source_prefix,
    SOURCE_PREFIX "vips[].hash.source_prefix": ipv4 ipv6,
    SLICE "vips[].slices[]": ports backend,
    SERVER_ID "vips[].server_id": quic tcp_option,
    QUIC_IDS "vips[].server_id.quic[]": config_id nonce_length key key_file length_encoded,
    ADMIN "admin": socket http,
    ADMIN_SOCKET "admin.socket": path mode group,
    ADMIN_HTTP "admin.http": listen write token_file; later dashboard,
    METRICS "metrics": listen per_backend per_queue latency_sample latency_buckets,
    LOGGING "logging": level format,
    SECURITY "security": seccomp capabilities commands,
}
