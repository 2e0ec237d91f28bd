//! Health checks against real peers in a namespace of their own: nginx, a black hole, a reset, a slow server, bad
//! certificates, an agent. Each has its cause, and a killed nginx is out and back within the promised time.
//!
//! The test runs itself once more inside the namespace, where `nft` may drop packets without harm to anybody.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_appliance::config::model::{HealthCheck, HttpMethod, HttpProbe, Probe, Tls, Via};
use lb_appliance::health::{
    Cause, Engine, EngineHandle, HealthEvent, Options, Part, Subscriber, Target, TargetKey, probe_once,
};
use lb_core::health::State;
use lb_tests::process::{Process, run, wait_until};
use lb_tests::skip::{Skip, require_program, unless};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{Receiver, channel};

/// Set for the run inside the namespace.
const INSIDE: &str = "GUIDEWAY_HEALTH_NAMESPACE";
const LIMIT: Duration = Duration::from_secs(90);

const NGINX: &str = "127.0.0.2";
const BLACK_HOLE: &str = "127.0.0.3";
const NOBODY: &str = "127.0.0.4";
const BEHIND_A_REFUSING_ROUTER: &str = "127.0.0.5";
const OTHERS: &str = "127.0.0.6";

struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        run(Command::new("ip").args(["netns", "del", &self.0]), Duration::from_secs(10));
    }
}

fn inside() -> Result<(), Skip> {
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables"), ("nginx", "nginx-light")] {
        require_program(program, package)?;
    }
    let name = format!("gwlab-{}-health", std::process::id());
    let made = run(Command::new("ip").args(["netns", "add", &name]), Duration::from_secs(10));
    if !made.status.success() {
        return Err(Skip(format!("cannot make network namespaces, run as root: {}", made.stderr.trim())));
    }
    let namespace = Namespace(name);
    let program = std::env::current_exe().expect("this program");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &namespace.0]).arg(program);
    command.args(["--ignored", "--exact", "in_the_namespace", "--nocapture"]).env(INSIDE, "1");
    let finished = run(&mut command, LIMIT);
    assert!(finished.stdout.contains("1 passed"), "{}\n{}", finished.stdout, finished.stderr);
    // Causes and times, for whoever reads the log.
    eprint!("{}", finished.stderr);
    Ok(())
}

#[test]
fn real_peers_have_their_causes_and_nginx_comes_and_goes_in_time() {
    unless(inside());
}

#[test]
#[ignore = "runs inside a namespace that the other test makes"]
fn in_the_namespace() {
    assert!(std::env::var_os(INSIDE).is_some(), "run the other test: this one changes the packet filter");
    run(Command::new("ip").args(["link", "set", "lo", "up"]), Duration::from_secs(5)).expect_success("lo up");
    filter();
    let folder = tempfile::tempdir().expect("temporary folder");
    let nginx = Nginx::prepare(folder.path());
    let mut running = Some(nginx.start());
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        causes(folder.path()).await;
        comes_and_goes(&nginx, &mut running).await;
    });
}

/// Drops what goes to the black hole, and lets a router refuse the rest.
fn filter() {
    // On the way in: a drop on the way out would be told to the sender.
    let rules = format!(
        "table ip t {{ chain c {{ type filter hook input priority 0; ip daddr {BLACK_HOLE} drop; \
         ip daddr {BEHIND_A_REFUSING_ROUTER} reject with icmp type host-unreachable; }}; }}"
    );
    run(Command::new("nft").arg(rules), Duration::from_secs(5)).expect_success("nft");
}

/// A web server with a good certificate on 8443 and an expired one on 8444.
struct Nginx {
    config: PathBuf,
    folder: PathBuf,
}

impl Nginx {
    fn prepare(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key).expect("signed").pem())
            .expect("ca.pem");
        let issuer = Issuer::new(params, key);
        for (name, year) in [("good", 2999), ("expired", 2020)] {
            let key = KeyPair::generate().expect("a key");
            let mut params = CertificateParams::new(vec!["web.internal".to_owned()]).expect("parameters");
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(year, 1, 1));
            let certificate = params.signed_by(&key, &issuer).expect("signed");
            std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).expect("certificate");
            std::fs::write(folder.join(format!("{name}.key")), key.serialize_pem()).expect("key");
        }
        let place = folder.display();
        let tls = |port: u16, name: &str| {
            format!(
                "server {{ listen {NGINX}:{port} ssl; ssl_certificate {place}/{name}.pem;
                 ssl_certificate_key {place}/{name}.key; location / {{ return 200 fine; }} }}"
            )
        };
        let text = format!(
            "daemon off; master_process off; pid {place}/nginx.pid; error_log stderr;
             events {{ worker_connections 64; }}
             http {{ access_log off; client_body_temp_path {place}; proxy_temp_path {place};
             fastcgi_temp_path {place}; uwsgi_temp_path {place}; scgi_temp_path {place};
             server {{ listen {NGINX}:8080;
             location /healthz {{ add_header x-guideway-load 0.5; return 200 fine; }}
             location / {{ return 503; }} }}
             {} {} }}",
            tls(8443, "good"),
            tls(8444, "expired"),
        );
        let config = folder.join("nginx.conf");
        std::fs::write(&config, text).expect("nginx.conf");
        Self { config, folder: folder.to_owned() }
    }

    fn start(&self) -> Process {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&self.folder).arg("-c").arg(&self.config);
        let process = Process::start(&mut command);
        let answers = || std::net::TcpStream::connect((NGINX, 8080)).is_ok();
        assert!(wait_until(Duration::from_secs(10), answers), "nginx: {}", process.stderr_so_far());
        process
    }
}

fn check(probe: Probe) -> HealthCheck {
    let ms = Duration::from_millis;
    HealthCheck {
        probe,
        agent_port: None,
        interval: ms(500),
        fast_interval: ms(200),
        timeout: ms(400),
        fall: 3,
        rise: 2,
        via: Via::Direct,
    }
}

fn http(port: u16, path: &str, tls: Option<Tls>) -> Probe {
    Probe::Http(HttpProbe {
        port,
        path: path.to_owned(),
        host: Some("web.internal".to_owned()),
        method: HttpMethod::Get,
        expect_status: vec![(200, 399)],
        expect_body: None,
        load_header: "x-guideway-load".to_owned(),
        tls,
    })
}

fn name() -> Subscriber {
    Subscriber { pool: "web".to_owned(), backend: "web-1".to_owned() }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Serves one connection after the other with `answer`, `after` a while.
fn responder(answer: &'static [u8], after: Duration) -> u16 {
    let listener = TcpListener::bind((OTHERS, 0)).expect("bind");
    let port = listener.local_addr().expect("address").port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::sleep(after);
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            let _ = stream.read(&mut [0u8; 1024]);
            let _ = stream.write_all(answer);
        }
    });
    port
}

async fn causes(folder: &Path) {
    let slow = responder(b"HTTP/1.1 200 OK\r\n\r\n", Duration::from_secs(2));
    let verified = |port: u16, sni: Option<&str>| {
        let tls =
            Tls { sni: sni.map(str::to_owned), ca_file: Some(folder.join("ca.pem")), skip_verify: false };
        http(port, "/", Some(tls))
    };
    let cases: Vec<(&str, &str, Probe, Option<Cause>)> = vec![
        ("nginx", NGINX, http(8080, "/healthz", None), None),
        ("nginx, another page", NGINX, http(8080, "/", None), Some(Cause::Status)),
        ("nginx, https", NGINX, verified(8443, None), None),
        ("nginx, expired", NGINX, verified(8444, None), Some(Cause::Certificate)),
        ("nginx, wrong name", NGINX, verified(8443, Some("www.example")), Some(Cause::Certificate)),
        ("nginx, https to http", NGINX, verified(8080, None), Some(Cause::Tls)),
        ("black hole", BLACK_HOLE, Probe::Tcp { port: 80 }, Some(Cause::Timeout)),
        ("reset", NOBODY, Probe::Tcp { port: 80 }, Some(Cause::Refused)),
        ("router", BEHIND_A_REFUSING_ROUTER, Probe::Tcp { port: 80 }, Some(Cause::Unreachable)),
        ("slow", OTHERS, http(slow, "/", None), Some(Cause::Timeout)),
    ];
    for (what, address, probe, cause) in cases {
        // TLS handshakes of an unoptimised build on a busy machine take their time.
        let patient = HealthCheck { timeout: Duration::from_secs(1), ..check(probe) };
        let report = probe_once(Arc::new(patient), Part::Probe, ip(address), &name()).await;
        assert_eq!(report.outcome.cause, cause, "{what}: {report:?}");
        assert_eq!(report.outcome.ok(), cause.is_none(), "{what}: {report:?}");
        eprintln!("{what}: {:?} {}", report.outcome.cause, report.outcome.detail);
        if what == "nginx" {
            assert_eq!(report.outcome.load, Some(0.5));
        }
    }
    let agent = responder(b"down #maintenance window\n", Duration::ZERO);
    let with_agent = HealthCheck { agent_port: Some(agent), ..check(Probe::Tcp { port: 80 }) };
    let outcome = probe_once(Arc::new(with_agent), Part::Agent, ip(OTHERS), &name()).await.outcome;
    assert_eq!(outcome.cause, Some(Cause::Agent), "{outcome:?}");
    assert_eq!(outcome.agent.and_then(|report| report.reason).as_deref(), Some("maintenance window"));
}

async fn next(events: &mut Receiver<HealthEvent>) -> HealthEvent {
    let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
    event.expect("an event in time").expect("the engine lives")
}

fn engine() -> (EngineHandle, Receiver<HealthEvent>) {
    let (sender, receiver) = channel(16);
    let handle = Engine::spawn(&Handle::current(), sender, Options::default());
    let key = TargetKey {
        address: ip(NGINX),
        check: Arc::new(check(http(8080, "/healthz", None))),
        part: Part::Probe,
        owner: None,
    };
    handle.set_targets(vec![Target { key, subscribers: vec![name()] }]);
    (handle, receiver)
}

/// Three rounds: killed, gone within fall x interval + timeout; started again, back within rise x interval + timeout.
async fn comes_and_goes(nginx: &Nginx, running: &mut Option<Process>) {
    let (handle, mut events) = engine();
    assert_eq!(next(&mut events).await.state, State::Up);
    for _ in 0..3 {
        let process = running.take().expect("running");
        process.signal("KILL");
        let killed = Instant::now();
        let event = next(&mut events).await;
        assert_eq!((event.state, event.cause), (State::Down, Some(Cause::Refused)), "{event:?}");
        // 3 x 500 ms + 400 ms, and a second for a busy machine.
        eprintln!("out after {:?}", killed.elapsed());
        assert!(killed.elapsed() < Duration::from_millis(2900), "{:?}", killed.elapsed());
        drop(process);
        let begun = Instant::now();
        *running = Some(nginx.start());
        let event = next(&mut events).await;
        assert_eq!((event.state, event.previous), (State::Up, State::Down), "{event:?}");
        // 2 x 500 ms + 400 ms, and nginx's own start.
        eprintln!("back after {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_millis(3400), "{:?}", begun.elapsed());
    }
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.rows[0].changes, snapshot.state("web", "web-1")), (7, Some(State::Up)));
}
