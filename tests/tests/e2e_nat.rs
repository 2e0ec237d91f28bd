//! Address translation in front of real servers: every mode and pair of families, and every way to name the client.
//!
//! Promises kept here: no request fails, large bodies pass both ways, no kernel on either side counts a wrong checksum,
//! tshark has nothing to complain about on either wire, and servers learn of the client what the mode promises.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::capture::Capture;
use lb_tests::client::{get, post};
use lb_tests::kernel::{ENDS, counters, wrong_checksums};
use lb_tests::lab::{BALANCER_MAC, BALANCER_SOURCES, CLIENT4, CLIENT6, Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::process::run;
use lb_tests::skip::{Skip, require_program, unless};

/// Requests in batches that a busy machine answers in time.
const BATCHES: usize = 4;
const PER_BATCH: usize = 250;
const POST_BYTES: usize = 1_000_000;
const LIMIT: Duration = Duration::from_secs(20);

/// What one test asks for.
#[derive(Clone, Copy)]
struct Case {
    /// `pools[].encap`.
    encap: &'static str,
    /// Family of the backends.
    outer: Outer,
    vip: &'static str,
    /// Lines under `dataplane`.
    dataplane: &'static str,
    /// A server that demands a PROXY header, on port 8080.
    is_proxied: bool,
}

const NAT: &str = "nat: {}";
const FULL: &str = r#"full_nat: {local_addresses: [198.51.100.11, "2001:db8:100::11"]}"#;
const TOA: &str = r#"full_nat: {local_addresses: [198.51.100.11, "2001:db8:100::11"], client_address: toa}"#;
const PROXY: &str =
    r#"full_nat: {local_addresses: [198.51.100.11, "2001:db8:100::11"], client_address: proxy_v2}"#;

impl Case {
    const fn new(encap: &'static str, outer: Outer, vip: &'static str) -> Self {
        Self { encap, outer, vip, dataplane: "idle: adaptive", is_proxied: false }
    }

    fn client(&self) -> &'static str {
        if self.vip == VIP6 { CLIENT6 } else { CLIENT4 }
    }

    /// Who the servers see.
    fn peer(&self) -> &'static str {
        match (self.encap == NAT, self.outer) {
            (true, _) => self.client(),
            (false, Outer::V4) => BALANCER_SOURCES[0],
            (false, Outer::V6) => BALANCER_SOURCES[1],
        }
    }

    fn server(&self, number: u8) -> String {
        match self.outer {
            Outer::V4 => format!("198.51.100.2{number}"),
            Outer::V6 => format!("2001:db8:100::2{number}"),
        }
    }
}

/// A lab whose backends find their way back through the balancer, and its configuration.
fn lab(case: &Case) -> Result<(Lab, PathBuf), Skip> {
    lb_tests::program::guideway_path()?;
    require_program("nstat", "iproute2")?;
    let lab = Lab::up(Encap::L2dsr, case.outer, Pmd::AfPacket)?;
    lab.reply_by_balancer(case.encap == NAT);
    if case.is_proxied {
        (1..=3).for_each(|number| proxied_server(&lab, number));
    }
    let text = fs::read_to_string(lab.config()).expect("the lab's configuration");
    let mut text = text
        .replace("l2dsr: {}", case.encap)
        .replace("idle: adaptive", case.dataplane)
        .replace(&format!("[{VIP4}, \"{VIP6}\"]"), &format!("[\"{}\"]", case.vip));
    if case.is_proxied {
        text = text.replace(", mac:", ", port: 8080, mac:");
    }
    assert!(text.contains(case.encap) && text.contains(&format!("[\"{}\"]", case.vip)), "{text}");
    let config = lab.folder().join("nat.yaml");
    fs::write(&config, text).expect("written");
    Ok((lab, config))
}

/// An nginx that takes nothing without a PROXY header, and logs whom it names.
fn proxied_server(lab: &Lab, number: u8) {
    let folder = lab.folder().join(format!("proxied{number}"));
    fs::create_dir(&folder).expect("folder");
    let site = folder.display();
    let text = format!(
        "user root; worker_processes 1; pid {site}/nginx.pid; error_log {site}/error.log warn;
events {{ worker_connections 1024; }}
http {{
  log_format proxied '$proxy_protocol_addr $proxy_protocol_server_addr $proxy_protocol_server_port $remote_addr $status';
  access_log {site}/access.log proxied;
  client_body_temp_path {site}/body; proxy_temp_path {site}/proxy; fastcgi_temp_path {site}/fastcgi;
  uwsgi_temp_path {site}/uwsgi; scgi_temp_path {site}/scgi; client_max_body_size 64m;
  server {{
    listen 8080 proxy_protocol; listen [::]:8080 ipv6only=on proxy_protocol;
    add_header X-Backend web-{number} always;
    location = /big {{ root {}; default_type application/octet-stream; }}
    location / {{ default_type text/plain; return 200 \"web-{number}\\n\"; }}
  }}
}}
",
        lab.folder().join(format!("web{number}")).display(),
    );
    let (config, errors) = (folder.join("nginx.conf"), folder.join("start.log"));
    fs::write(&config, text).expect("written");
    let arguments = ["-e", &errors.to_string_lossy(), "-c", &config.to_string_lossy()];
    lab.namespace(&format!("web{number}")).run("nginx", &arguments, LIMIT).expect_success("nginx");
}

/// What the kernels of all ends have counted of wrong checksums, discarded SACK blocks and broken headers.
fn complaints_of_kernels(lab: &Lab) -> Vec<String> {
    const WATCHED: [&str; 4] = ["TcpInErrs", "IpInHdrErrors", "Ip6InHdrErrors", "TcpExtTCPSACKDiscard"];
    let mut found = wrong_checksums(lab);
    for role in ENDS {
        let all = counters(lab, role);
        for name in WATCHED {
            let count = all.get(name).unwrap_or_else(|| panic!("{role}: no {name} in {all:?}"));
            if *count != 0 {
                found.push(format!("{role}: {name} {count}"));
            }
        }
    }
    found
}

/// A file of 200 kB, so that full-size packets come back.
fn download(lab: &Lab, vip: &str) -> String {
    let origin = if vip.contains(':') { format!("http://[{vip}]") } else { format!("http://{vip}") };
    let url = format!("{origin}/big");
    let arguments = [
        "--silent",
        "--max-time",
        "20",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} %{size_download}",
        &url,
    ];
    lab.namespace("client").run("curl", &arguments, Duration::from_secs(25)).stdout
}

fn serve(case: Case) -> Result<(), Skip> {
    let (lab, config) = lab(&case)?;
    let balancer = Balancer::start_with(&lab, &config)?;
    let captures = [Capture::start(&lab, "web1")?, Capture::start(&lab, "client")?];
    for _ in 0..BATCHES {
        let answers = get(&lab, case.vip, PER_BATCH);
        assert_eq!(answers.good(), PER_BATCH, "{:?}", answers.failures);
        assert_eq!(answers.by_backend.len(), 3, "{:?}", answers.by_backend);
    }
    let answers = post(&lab, case.vip, POST_BYTES);
    assert_eq!(answers.good(), 1, "POST: {:?}", answers.failures);
    assert_eq!(download(&lab, case.vip), "200 200000");
    assert_eq!(complaints_of_kernels(&lab), Vec::<String>::new());
    let [web, client] = captures.map(|capture| capture.frames_from(BALANCER_MAC));
    for (frames, source, destination) in [
        (&web, case.peer().to_owned(), case.server(1)),
        (&client, case.vip.to_owned(), case.client().to_owned()),
    ] {
        assert!(frames.len() > 100, "{} frames", frames.len());
        for frame in frames {
            assert_eq!(
                (&frame.sources, &frame.destinations),
                (&vec![source.clone()], &vec![destination.clone()])
            );
            assert_eq!(frame.complaints, Vec::<String>::new(), "tshark complains: {frame:?}");
        }
    }
    servers_saw(&lab, &case);
    let scrape = balancer.metrics_at_rest();
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    let flows = (BATCHES * PER_BATCH + 2) as f64;
    assert_eq!(scrape.sum("guideway_nat_sessions_opened_total"), flows, "one session each");
    assert!(scrape.sum("guideway_nat_returned_packets_total") > 3.0 * flows);
    let ports = scrape.sum("guideway_nat_local_ports_in_use");
    assert_eq!(ports, if case.encap == NAT { 0.0 } else { scrape.sum("guideway_nat_sessions") });
    let finished = balancer.stop("TERM");
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    assert!(finished.stderr.contains("all packets accounted for"), "{}", finished.stderr);
    Ok(())
}

/// The access logs name the peer that the mode promises, and with PROXY the client.
fn servers_saw(lab: &Lab, case: &Case) {
    let total = BATCHES * PER_BATCH + 2;
    if !case.is_proxied {
        let requests: Vec<_> = lab.backends().iter().flat_map(|backend| backend.requests()).collect();
        assert_eq!(requests.len(), total);
        let foreign = requests.iter().find(|one| one.client != case.peer() || one.status != 200);
        assert_eq!(foreign, None, "every request comes from {}", case.peer());
        return;
    }
    let logs = (1..=3).map(|number| lab.folder().join(format!("proxied{number}/access.log")));
    let lines: Vec<String> = logs
        .flat_map(|log| fs::read_to_string(log).expect("log").lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(lines.len(), total);
    let expected = format!("{} {} 80 {} 200", case.client(), case.vip, case.peer());
    assert_eq!(lines.iter().find(|line| **line != expected), None, "should all be {expected}");
}

macro_rules! served {
    ($($name:ident: $case:expr;)*) => {$(
        #[test]
        fn $name() {
            unless(serve($case));
        }
    )*};
}

served! {
    nat_over_ipv4: Case::new(NAT, Outer::V4, VIP4);
    nat_over_ipv6: Case::new(NAT, Outer::V6, VIP6);
    full_nat_over_ipv4: Case::new(FULL, Outer::V4, VIP4);
    full_nat_over_ipv6: Case::new(FULL, Outer::V6, VIP6);
    nat64: Case::new(FULL, Outer::V4, VIP6);
    proxy_v2_over_ipv4: Case { is_proxied: true, ..Case::new(PROXY, Outer::V4, VIP4) };
    proxy_v2_over_ipv6: Case { is_proxied: true, ..Case::new(PROXY, Outer::V6, VIP6) };
    proxy_v2_through_nat64: Case { is_proxied: true, ..Case::new(PROXY, Outer::V4, VIP6) };
    nat_with_two_workers: Case { dataplane: "idle: adaptive\n  workers: [0, 1]", ..Case::new(NAT, Outer::V4, VIP4) };
    full_nat_with_two_workers:
        Case { dataplane: "idle: adaptive\n  workers: [0, 1]", ..Case::new(FULL, Outer::V4, VIP6) };
}

/// The options of TCP segments that a backend got, as hexadecimal digits: of SYNs, and of what
/// follows them.
fn options(lab: &Lab, filter: &str) -> Vec<String> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-n").arg("-r").arg(lab.folder().join("web1.pcap")).args(["-Y", filter]);
    tshark.args(["-T", "fields", "-e", "tcp.srcport", "-e", "tcp.options"]);
    let text = run(&mut tshark, Duration::from_secs(60)).expect_success("tshark");
    text.lines().map(|line| line.replace(':', "")).collect()
}

fn toa(vip: &'static str, outer: Outer, address: &str) -> Result<(), Skip> {
    let case = Case::new(TOA, outer, vip);
    let (lab, config) = lab(&case)?;
    let balancer = Balancer::start_with(&lab, &config)?;
    let capture = Capture::start(&lab, "web1")?;
    let answers = get(&lab, vip, 100);
    assert_eq!(answers.good(), 100, "{:?}", answers.failures);
    assert_eq!(post(&lab, vip, POST_BYTES).good(), 1);
    assert_eq!(complaints_of_kernels(&lab), Vec::<String>::new());
    let frames = capture.frames_from(BALANCER_MAC);
    let complaint = frames.iter().find(|frame| !frame.complaints.is_empty());
    assert_eq!(complaint, None, "tshark complains");
    let kind_and_len = if vip == VIP6 { "fe14" } else { "fe08" };
    for filter in [
        format!("eth.src == {BALANCER_MAC} && tcp.flags.syn == 1"),
        format!("eth.src == {BALANCER_MAC} && tcp.flags.syn == 0 && tcp.ack == 1 && tcp.seq == 1"),
    ] {
        let found = options(&lab, &filter);
        assert!(found.len() > 10, "{filter}: {} segments", found.len());
        for line in found {
            let (_, options) = line.split_once('\t').expect("two columns");
            let (head, client) = options.split_at(8);
            assert!(head.starts_with(kind_and_len) && client.starts_with(address), "{filter}: {line}");
        }
    }
    let later = options(&lab, &format!("eth.src == {BALANCER_MAC} && tcp.flags.syn == 0 && tcp.seq > 1"));
    assert!(!later.is_empty() && later.iter().all(|line| !line.contains("\tfe")), "only the first segments");
    assert!(balancer.stop("TERM").status.success());
    Ok(())
}

#[test]
fn a_backend_gets_the_ipv4_clients_address_as_an_option() {
    unless(toa(VIP4, Outer::V4, "c6336407"));
}

#[test]
fn a_backend_gets_the_ipv6_clients_address_as_an_option_through_nat64() {
    unless(toa(VIP6, Outer::V4, "20010db8010000000000000000000007"));
}
