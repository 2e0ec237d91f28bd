//! The kinds of probe, each with its own keys.
//!
//! Everything that goes onto the wire is checked here: no control character, no blank in a path, no name that a
//! server could not have.

use std::path::PathBuf;

use super::super::super::code::Code;
use super::super::super::keys::{self, Keys};
use super::super::super::model::{DnsProbe, GrpcProbe, HttpMethod, HttpProbe, Probe, Tls, UdpProbe};
use super::super::super::read::{Complaint, Item, Located, Section};

/// Kinds in the order of the documentation.
const KINDS: [&str; 7] = ["tcp", "http", "https", "udp", "dns", "grpc", "command"];
const TEXT_MAX: usize = 1024;
/// A datagram that fits every path.
const PAYLOAD_MAX: usize = 1200;
const ARGUMENTS_MAX: usize = 64;
const RANGES_MAX: usize = 32;
const LOAD_HEADER: &str = "x-guideway-load";
const DNS_PORT: u16 = 53;
const RECORD_TYPES: [&str; 10] = ["A", "AAAA", "CNAME", "HTTPS", "MX", "NS", "PTR", "SOA", "SRV", "TXT"];

pub(super) fn read(item: &Item<'_>, section: &Section<'_>) -> Option<Probe> {
    let written: Vec<Located<&str>> = section.written().filter(|key| KINDS.contains(&key.value)).collect();
    let hint = "write exactly one of tcp, http, https, udp, dns, grpc, command, for example tcp: {port: 80}";
    match written.as_slice() {
        [] => {
            item.findings.add_hint(Code::NotExactlyOne, &item.place, "no kind of probe is chosen", hint);
            None
        }
        [one] => kind(one.value, &section.get(one.value)?),
        // The same key twice is reported as such.
        [first, second, ..] if first.value == second.value => None,
        [first, second, ..] => {
            let message = format!("`{}` and `{}` exclude each other", first.value, second.value);
            item.findings.add_hint(Code::NotExactlyOne, &second.place, message, hint);
            None
        }
    }
}

fn kind(name: &str, item: &Item<'_>) -> Option<Probe> {
    let section = |keys: &'static Keys| item.section(keys);
    match name {
        "tcp" => Some(Probe::Tcp { port: port(&section(&keys::TCP_PROBE)?, "80")? }),
        "http" => http(&section(&keys::HTTP_PROBE)?, None),
        "https" => {
            let section = section(&keys::HTTPS_PROBE)?;
            let tls = tls(&section);
            http(&section, Some(tls?))
        }
        "udp" => udp(&section(&keys::UDP_PROBE)?),
        "dns" => dns(&section(&keys::DNS_PROBE)?),
        "grpc" => grpc(&section(&keys::GRPC_PROBE)?),
        _ => command(item),
    }
}

pub(super) fn port(section: &Section<'_>, example: &str) -> Option<u16> {
    section.require("port", example).and_then(|item| item.number(1..=u16::MAX))
}

/// An absent key is its default; `None` only after an error.
fn or<T>(item: Option<Item<'_>>, default: T, read: impl FnOnce(Item<'_>) -> Option<T>) -> Option<T> {
    match item {
        Some(item) => read(item),
        None => Some(default),
    }
}

/// Printable ASCII of 1 to [`TEXT_MAX`] characters.
fn printable(item: &Item<'_>, blanks: bool) -> Option<String> {
    let wanted = item.parse(Code::BadProbeText, "a text", |text| {
        let hint = "write 1 to 1024 printable ASCII characters";
        let legal = |c: char| c.is_ascii_graphic() || (blanks && c == ' ');
        if text.is_empty() || text.len() > TEXT_MAX {
            return Err(Complaint::new("the text is empty or has more than 1024 characters", hint));
        }
        match text.chars().find(|c| !legal(*c)) {
            Some(c) => Err(Complaint::new(format!("the text holds {c:?}"), hint)),
            None => Ok(text.to_owned()),
        }
    });
    wanted.map(|text| text.value)
}

/// A name as certificates and resolvers know it: labels of letters, digits, hyphens and underscores.
fn host_name(item: &Item<'_>) -> Option<String> {
    let name = item.parse(Code::BadHostName, "a name such as web.internal", |text| {
        let name = text.strip_suffix('.').unwrap_or(text);
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let label = |label: &str| (1..=63).contains(&label.len()) && label.chars().all(legal);
        if name.len() <= 253 && name.split('.').all(label) {
            return Ok(text.to_owned());
        }
        let hint = "write labels of letters, digits, hyphens and underscores with dots between: web.internal";
        Err(Complaint::new(format!("`{text}` is not a name"), hint))
    });
    name.map(|name| name.value)
}

fn http(section: &Section<'_>, tls: Option<Tls>) -> Option<Probe> {
    let methods = [("GET", HttpMethod::Get), ("HEAD", HttpMethod::Head), ("OPTIONS", HttpMethod::Options)];
    let port = port(section, if tls.is_some() { "443" } else { "80" });
    let path = or(section.get("path"), "/".to_owned(), |item| path(&item));
    let host = or(section.get("host"), None, |item| printable(&item, false).map(Some));
    let method = or(section.get("method"), HttpMethod::Get, |item| item.choice(&methods, &[]));
    let expect_status = or(section.get("expect_status"), vec![(200, 399)], |item| statuses(&item));
    let body = section.get("expect_body");
    let expect_body = or(body.clone(), None, |item| printable(&item, true).map(Some));
    let load_header = or(section.get("load_header"), LOAD_HEADER.to_owned(), |item| header(&item));
    if let Some(item) = body.filter(|_| method == Some(HttpMethod::Head)) {
        let message = "the answer to HEAD has no body to look into";
        section.findings.add_hint(Code::Contradiction, &item.place, message, "use `method: GET`");
    }
    Some(Probe::Http(HttpProbe {
        port: port?,
        path: path?,
        host: host?,
        method: method?,
        expect_status: expect_status?,
        expect_body: expect_body?,
        load_header: load_header?,
        tls,
    }))
}

fn path(item: &Item<'_>) -> Option<String> {
    let path = printable(item, false)?;
    if path.starts_with('/') && !path.contains('#') {
        return Some(path);
    }
    let message = format!("`{path}` is not a path");
    let hint = "begin with a slash and leave out # and what follows: /healthz";
    item.findings.add_hint(Code::BadProbeText, &item.place, message, hint);
    None
}

fn header(item: &Item<'_>) -> Option<String> {
    let name = printable(item, false)?;
    // RFC 9110, 5.6.2: tokens.
    if name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)) {
        return Some(name.to_ascii_lowercase());
    }
    let hint = "write letters, digits and hyphens: x-guideway-load";
    item.findings.add_hint(Code::BadProbeText, &item.place, format!("`{name}` is not a header name"), hint);
    None
}

fn statuses(item: &Item<'_>) -> Option<Vec<(u16, u16)>> {
    if item.as_text().is_none() {
        let status = item.number(100..=599)?;
        return Some(vec![(status, status)]);
    }
    let ranges = item.parse(Code::BadStatusRange, "status codes such as \"200-399\"", |text| {
        let hint = "write codes from 100 to 599 and ranges of them: \"200-299,301\"";
        let refuse = || Complaint::new(format!("`{text}` is not a list of status codes"), hint);
        let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code));
        let range = |text: &str| {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            let range = (code(low)?, code(high)?);
            (range.0 <= range.1).then_some(range)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.filter(|ranges| ranges.len() <= RANGES_MAX).ok_or_else(refuse)
    });
    ranges.map(|ranges| ranges.value)
}

fn tls(section: &Section<'_>) -> Option<Tls> {
    let sni = or(section.get("sni"), None, |item| host_name(&item).map(Some));
    let ca = section.get("ca_file");
    let ca_file = or(ca.clone(), None, |item| printable(&item, true).map(|path| Some(PathBuf::from(path))));
    let skip_verify = or(section.get("skip_verify"), false, |item| item.boolean());
    if let Some(item) = ca.filter(|_| skip_verify == Some(true)) {
        let message = "`skip_verify: true` makes `ca_file` useless";
        section.findings.add_hint(Code::Contradiction, &item.place, message, "keep one of the two");
    }
    Some(Tls { sni: sni?, ca_file: ca_file?, skip_verify: skip_verify? })
}

/// The octets of one of two keys, `text` and `hex`; empty if neither is given.
fn octets(section: &Section<'_>, text: &str, hex: &str) -> Option<Vec<u8>> {
    let (plain, coded) = (section.get(text), section.get(hex));
    if let (Some(_), Some(coded)) = (&plain, &coded) {
        let message = format!("`{text}` and `{hex}` exclude each other");
        section.findings.add_hint(Code::Contradiction, &coded.place, message, "keep one of the two");
        return None;
    }
    if let Some(plain) = plain {
        let text = plain.text("a text")?.value;
        if text.len() > PAYLOAD_MAX {
            let message = format!("{} bytes are too many for one datagram", text.len());
            section.findings.add_hint(Code::BadProbeText, &plain.place, message, "at most 1200 are allowed");
            return None;
        }
        return Some(text.as_bytes().to_vec());
    }
    or(coded, Vec::new(), |item| {
        item.parse(Code::BadHex, "hexadecimal octets in quotes", |text| {
            let hint = "write two hexadecimal digits per octet, 1 to 1200 octets, in quotes: \"00ff\"";
            hex_octets(text).ok_or_else(|| Complaint::new("these are not hexadecimal octets", hint))
        })
        .map(|octets| octets.value)
    })
}

fn hex_octets(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let pair = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    let fits = !text.is_empty() && text.len() <= PAYLOAD_MAX * 2;
    if fits { text.as_bytes().chunks(2).map(pair).collect() } else { None }
}

fn udp(section: &Section<'_>) -> Option<Probe> {
    let port = port(section, "53");
    let send = octets(section, "send", "send_hex");
    let prefix = octets(section, "expect_text", "expect_hex");
    let any = or(section.get("expect"), (), |item| item.choice(&[("any_reply", ())], &[]));
    if let (Some(item), Some(prefix)) = (section.get("expect"), &prefix)
        && !prefix.is_empty()
    {
        let message = "`expect: any_reply` contradicts an expected beginning";
        section.findings.add_hint(Code::Contradiction, &item.place, message, "remove `expect`");
    }
    any?;
    Some(Probe::Udp(UdpProbe { port: port?, send: send?, expect_prefix: prefix? }))
}

fn dns(section: &Section<'_>) -> Option<Probe> {
    let codes = [("noerror", 0u8), ("servfail", 2), ("nxdomain", 3), ("refused", 5)];
    let types = RECORD_TYPES.map(|word| (word, word));
    let port = or(section.get("port"), DNS_PORT, |item| item.number(1..=u16::MAX));
    let name = section.require("name", "health.example.").and_then(|item| {
        // The root is a name too.
        if item.as_text() == Some(".") { Some(".".to_owned()) } else { host_name(&item) }
    });
    let record_type = or(section.get("type"), "A", |item| item.choice(&types, &[]));
    let rcode = or(section.get("expect"), 0, |item| item.choice(&codes, &[]));
    Some(Probe::Dns(DnsProbe { port: port?, name: name?, record_type: record_type?, rcode: rcode? }))
}

fn grpc(section: &Section<'_>) -> Option<Probe> {
    let port = port(section, "50051");
    let service = or(section.get("service"), String::new(), |item| printable(&item, false));
    let tls = match section.get("tls") {
        Some(item) => item.section(&keys::GRPC_TLS).and_then(|section| tls(&section)).map(Some),
        None => Some(None),
    };
    Some(Probe::Grpc(GrpcProbe { port: port?, service: service?, tls: tls? }))
}

fn command(item: &Item<'_>) -> Option<Probe> {
    let items = item.list()?;
    let argv: Option<Vec<String>> = items.iter().map(argument).collect();
    let argv = argv?;
    let Some(program) = items.first().zip(argv.first()) else {
        item.findings.add_hint(
            Code::EmptyList,
            &item.place,
            "no program is named",
            "write [\"/path/to/check\"]",
        );
        return None;
    };
    if argv.len() > ARGUMENTS_MAX {
        let message = format!("{} words are too many", argv.len());
        item.findings.add_hint(Code::OutOfRange, &item.place, message, "at most 64 are allowed");
        return None;
    }
    if !program.1.starts_with('/') {
        let message = format!("`{}` is not an absolute path", program.1);
        let hint = "name the program with its whole path: no shell and no PATH is asked";
        item.findings.add_hint(Code::BadProbeText, &program.0.place, message, hint);
        return None;
    }
    Some(Probe::Command { argv })
}

/// Any text that a program can be given.
fn argument(item: &Item<'_>) -> Option<String> {
    let text = item.parse(Code::BadProbeText, "an argument", |text| {
        if text.len() <= TEXT_MAX && !text.contains('\0') {
            return Ok(text.to_owned());
        }
        Err(Complaint::new("the argument is too long or holds a NUL", "write at most 1024 bytes"))
    });
    text.map(|text| text.value)
}
