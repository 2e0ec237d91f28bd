//! The endpoints, spoken to in plain HTTP/1.1.

use super::client::Server;
use super::fixture::sources;
use super::scrape::Scrape;
use std::time::{Duration, Instant};

#[test]
fn metrics_come_as_text_format_0_0_4() {
    let server = Server::start(sources());
    let answer = server.get("/metrics");
    assert_eq!(answer.status, 200);
    assert!(
        answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        answer.head
    );
    let scrape = Scrape::parse(&answer.body);
    assert_eq!(scrape.value("guideway_node_info{node=\"lb1\"}"), 1.0);
    server.stop();
}

#[test]
fn collect_picks_groups_plain_or_escaped() {
    let server = Server::start(sources());
    for query in ["collect[]=ports&collect[]=vips", "collect%5B%5D=ports&collect%5B%5D=vips"] {
        let scrape = Scrape::parse(&server.get(&format!("/metrics?{query}")).body);
        assert!(scrape.count("guideway_port_up") > 0 && scrape.count("guideway_vip_backends") > 0, "{query}");
        assert!(scrape.count("guideway_dropped_packets_total") > 0, "{query}");
        assert_eq!(scrape.count("guideway_backend_up") + scrape.count("guideway_worker_polls_total"), 0);
    }
    let answer = server.get("/metrics?collect[]=healht");
    assert_eq!(answer.status, 400);
    assert!(
        answer.body.contains("`healht`") && answer.body.contains("ports, workers, vips"),
        "{}",
        answer.body
    );
    server.stop();
}

#[test]
fn health_follows_the_sources() {
    let sources = sources();
    let server = Server::start(sources.clone());
    assert_eq!((server.get("/livez").status, server.get("/livez").body.as_str()), (200, "ok\n"));
    assert_eq!((server.get("/readyz").status, server.get("/readyz").body.as_str()), (200, "ok\n"));
    let verbose = "[+] ports: ok\n[+] workers: ok\n[+] tables: ok\n[+] serving: ok\nok\n";
    assert_eq!(server.get("/readyz?verbose").body, verbose);

    let long_ago = Instant::now() - Duration::from_secs(60);
    sources.workers[1].turns.heartbeat.beat_at(long_ago);
    let live = server.get("/livez");
    assert_eq!(live.status, 503);
    assert!(live.body.starts_with("[-] workers: worker 3 has not turned for "), "{}", live.body);
    sources.set_serving(false);
    let ready = server.get("/readyz?verbose");
    assert_eq!(ready.status, 503);
    assert!(ready.body.contains("[+] ports: ok\n[-] workers: worker 3"), "{}", ready.body);
    assert!(ready.body.contains("[-] serving: starting or stopping"), "{}", ready.body);
    assert!(!server.get("/readyz").body.contains("[+]"));
    server.stop();
}

#[test]
fn there_is_a_page_that_names_the_others_and_nothing_else() {
    let server = Server::start(sources());
    let index = server.get("/");
    assert_eq!(index.status, 200);
    for page in ["/metrics", "/livez", "/readyz"] {
        assert!(index.body.contains(page), "{}", index.body);
        assert_eq!(server.get(page).status, 200);
    }
    let missing = server.get("/metric");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("/metrics"), "{}", missing.body);
    server.stop();
}

#[test]
fn only_get_and_head() {
    let server = Server::start(sources());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE"] {
        for page in ["/", "/metrics", "/livez", "/readyz"] {
            let answer = server.ask(method, page);
            assert_eq!(answer.status, 405, "{method} {page}");
            assert!(answer.head.contains("allow: get,head"), "{}", answer.head);
        }
    }
    let head = server.ask("HEAD", "/metrics");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    server.stop();
}

#[test]
fn nonsense_is_no_reason_to_stop() {
    use std::io::{Read, Write};
    let server = Server::start(sources());
    for nonsense in
        [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
    {
        let mut stream = server.connect();
        stream.write_all(nonsense).expect("write");
        stream.shutdown(std::net::Shutdown::Write).expect("shutdown");
        let mut answer = Vec::new();
        // A reset is as good an end as a 400.
        let _ = stream.read_to_end(&mut answer);
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(server.get("/livez").status, 200);
    server.stop();
}
