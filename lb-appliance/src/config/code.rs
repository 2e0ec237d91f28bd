//! The catalogue of everything that `guideway check` can complain about.
//!
//! A code is a promise: once released it keeps its number and its meaning, because scripts match on it. Each has a
//! row in `docs/configuration.md`, and a test says so.

/// Whether a finding makes the configuration unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Refused.
    Error,
    /// Accepted, except by `--strict`.
    Warning,
}

impl Severity {
    /// `error` or `warning`, as the JSON report writes it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($($name:ident $id:literal $severity:ident $title:literal;)+) => {
        /// One kind of finding.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = concat!("`", $id, "`: ", $title, ".")] $name,)+
        }

        impl Code {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// `GW` and four digits.
            pub fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// What it is about, without a full stop.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// Fixed per code.
            pub fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)+ }
            }
        }
    };
}

codes! {
    // GW00xx: the file as text and as YAML.
    Unreadable "GW0001" Error "the file cannot be read";
    TooLarge "GW0002" Error "the file is too large";
    NotUtf8 "GW0003" Error "the file is not UTF-8 text";
    YamlSyntax "GW0004" Error "YAML syntax error";
    UnquotedIpv6 "GW0005" Error "an IPv6 address must be quoted here";
    Empty "GW0006" Error "the file holds no configuration";
    SeveralDocuments "GW0007" Error "more than one YAML document";
    MergeKey "GW0008" Error "merge key";
    TooComplex "GW0009" Error "nested too deeply, or too many values";
    YamlTag "GW0010" Error "YAML tag";
    TooManyFindings "GW0011" Error "too many findings to list";
    NothingIncluded "GW0012" Warning "include pattern that matches no file";
    BadInclude "GW0013" Error "not a usable include pattern";
    MainFileOnly "GW0014" Error "key that only the main file may hold";
    TooManyFiles "GW0015" Error "too many included files, or too much in them";
    NoFolder "GW0016" Error "include in a text that has no folder";
    // GW01xx: one key or value on its own.
    UnknownKey "GW0101" Error "unknown key";
    NotSupportedYet "GW0102" Error "designed but not supported yet";
    DuplicateKey "GW0103" Error "key given twice";
    MissingKey "GW0104" Error "required key missing";
    WrongType "GW0105" Error "wrong type";
    OutOfRange "GW0106" Error "number out of range";
    UnknownChoice "GW0107" Error "not one of the allowed words";
    NotExactlyOne "GW0108" Error "exactly one of several keys is needed";
    BadAddress "GW0109" Error "not an IP address or prefix";
    BadMac "GW0110" Error "not a usable MAC address";
    BadDuration "GW0111" Error "not a usable duration";
    BadSize "GW0112" Error "not a usable size";
    BadName "GW0113" Error "not a usable name";
    BadSocketAddress "GW0114" Error "not an address:port";
    EmptyList "GW0115" Error "the list must not be empty";
    BadVersion "GW0116" Error "unknown version of the format";
    BadSeed "GW0117" Error "not a usable hash seed";
    BadFilter "GW0118" Error "not a log filter";
    BadDevice "GW0119" Error "not a usable device string";
    BadInterface "GW0120" Error "not a usable name of an interface";
    BadPortRange "GW0121" Error "not a range of ports";
    BadVipPrefix "GW0122" Error "not a usable VIP prefix";
    BadKeyFile "GW0123" Error "not a usable key file";
    // GW02xx: pools, backends and VIPs among each other.
    DuplicateName "GW0201" Error "name used twice";
    UnknownPool "GW0202" Error "no such pool";
    DuplicateVip "GW0203" Error "VIP declared twice";
    DuplicateBackend "GW0204" Error "backend address used twice in one pool";
    UnusableAddress "GW0205" Error "address of a kind that cannot be used here";
    VipIsBackend "GW0206" Error "VIP and backend share an address";
    DuplicatePort "GW0207" Error "port listed twice";
    TooManyRecords "GW0208" Error "too many pairs of VIP and backend";
    NoEncapSource "GW0209" Error "outer source address missing";
    NoInnerMac "GW0210" Error "inner MAC address missing";
    InnerMacUnused "GW0211" Error "inner MAC address without VXLAN";
    NoBackendMac "GW0212" Error "L2 DSR backend without MAC address";
    NoNextHop "GW0213" Error "no way to a backend";
    AmbiguousPort "GW0214" Error "several ports could lead to a backend";
    NoServingBackend "GW0215" Warning "pool without a backend that takes new flows";
    UnusedPool "GW0216" Warning "pool that no VIP uses";
    UnknownSliceBackend "GW0217" Error "slice of a backend that the pool does not have";
    ServerId "GW0218" Error "server IDs that do not fit together";
    // GW03xx: the dataplane.
    NoPorts "GW0301" Error "no port to run on";
    DuplicateCpu "GW0302" Error "CPU listed twice";
    SharedCpu "GW0303" Warning "CPU both for a worker and for control";
    DuplicateDevice "GW0304" Error "device used by two ports";
    DuplicateAddress "GW0305" Error "address given to a port twice";
    OddDescriptors "GW0306" Warning "descriptor count that is not a power of two";
    TooFewMbufs "GW0307" Error "fewer packet buffers than the queues hold";
    LittleMemory "GW0308" Warning "packet buffers that may not fit into the memory";
    GatewayOffLink "GW0309" Warning "gateway outside every prefix of its port";
    TakenInterface "GW0310" Error "interface name used twice";
    // GW04xx: Maglev.
    NotPrime "GW0401" Error "table size that is not prime";
    TableTooSmall "GW0402" Error "fewer table slots than backends";
    SmallShare "GW0403" Warning "backend with fewer than 100 slots";
    // GW05xx: metrics.
    UnorderedBuckets "GW0501" Error "histogram buckets that do not ascend";
    // GW06xx: health checks.
    ProbeTooLong "GW0601" Error "time of a probe longer than its interval";
    BadStatusRange "GW0602" Error "not a list of HTTP status codes";
    BadHex "GW0603" Error "not hexadecimal octets";
    BadProbeText "GW0604" Error "text that cannot be sent in a probe";
    BadHostName "GW0605" Error "not a host or domain name";
    Contradiction "GW0606" Error "keys that contradict each other";
    PolicyWithoutCheck "GW0607" Error "health policy without a health check";
    QuorumTooLarge "GW0608" Warning "quorum larger than the pool";
    NoTunnelProbe "GW0609" Error "probe that cannot go through the tunnel";
    TunnelWithoutVip "GW0610" Error "probes through the tunnel of a pool that no VIP uses";
    TunnelWithoutPunt "GW0611" Error "probes through the tunnel without a punt interface";
    TunnelWithoutAddress "GW0612" Error "probes through the tunnel without an address to answer to";
    // GW07xx: the admin interface.
    BadMode "GW0701" Error "not a usable file mode";
    BadPath "GW0702" Error "not a usable path";
    AdminWithoutToken "GW0703" Error "admin interface without a token";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_unique_ascending_and_well_formed() {
        let ids: Vec<_> = Code::ALL.iter().map(|code| code.id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");
        assert!(ids.iter().all(|id| id.len() == 6 && id.starts_with("GW")));
    }
}
