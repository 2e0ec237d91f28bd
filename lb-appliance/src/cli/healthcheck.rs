//! `guideway healthcheck`: 0 if a restart would help nobody, else 1; for Docker's HEALTHCHECK.
//!
//! A balancer whose backends are down is not unhealthy: it is not what would have to be restarted.

use super::EXIT_FAILED;
use super::live::{LiveArgs, LiveError, run};
use crate::client::Target;
use crate::control::view::{Status, WorkerStatus};
use crate::metrics::HEARTBEAT_AGE_MAX;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// Arguments of `guideway healthcheck`.
#[derive(Debug, clap::Args)]
pub struct HealthcheckArgs {
    /// Ask /readyz on the metrics listener instead of the socket, such as 127.0.0.1:9843
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub metrics: Option<SocketAddr>,
    /// Connection and output
    #[command(flatten)]
    pub live: LiveArgs,
}

/// Checks.
pub fn healthcheck(args: &HealthcheckArgs) -> ExitCode {
    let code = run(&args.live, |live| {
        let complaints = match args.metrics {
            Some(address) => readyz(address)?,
            None => complaints(&live.client.get(&Target::new(&["status"]))?),
        };
        if complaints.is_empty() {
            live.say("ok")?;
            return Ok(0);
        }
        for complaint in complaints {
            live.say(&complaint)?;
        }
        Ok(EXIT_FAILED)
    });
    // Docker knows 0 and 1 only.
    if code == ExitCode::SUCCESS { code } else { ExitCode::from(EXIT_FAILED) }
}

/// Workers whose loop does not turn.
fn complaints(status: &Status) -> Vec<String> {
    let complaint = |worker: &WorkerStatus| match worker.heartbeat_age_seconds {
        None => Some(format!("worker {} has not started", worker.worker)),
        Some(age) if age >= HEARTBEAT_AGE_MAX.as_secs_f64() => {
            Some(format!("worker {} has not turned for {age:.1} s", worker.worker))
        }
        Some(_) => None,
    };
    status.workers.iter().filter_map(complaint).collect()
}

fn readyz(address: SocketAddr) -> Result<Vec<String>, LiveError> {
    let fail = |error: std::io::Error| {
        LiveError::Failed(format!("cannot ask http://{address}/readyz: {error}; check `metrics.listen`"))
    };
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(fail)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(fail)?;
    write!(stream, "GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n").map_err(fail)?;
    let mut answer = String::new();
    stream.take(ANSWER_BYTES_MAX).read_to_string(&mut answer).map_err(fail)?;
    if answer.split(' ').nth(1) == Some("200") {
        return Ok(vec![]);
    }
    let body = answer.split_once("\r\n\r\n").map_or(answer.as_str(), |(_, body)| body);
    Ok(vec![body.trim().to_owned()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn readyz_of(answer: &'static str) -> Result<Vec<String>, LiveError> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("accept");
            let mut request = [0; 512];
            let count = stream.read(&mut request).expect("request");
            assert!(request[..count].starts_with(b"GET /readyz "));
            stream.write_all(answer.as_bytes()).expect("write");
        });
        let result = readyz(address);
        server.join().expect("server");
        result
    }

    #[test]
    fn readyz_decides() {
        assert!(readyz_of("HTTP/1.1 200 OK\r\n\r\nok\n").expect("answer").is_empty());
        let complaints = readyz_of("HTTP/1.1 503 Unavailable\r\n\r\n[-] ports: down\n").expect("answer");
        assert_eq!(complaints, ["[-] ports: down"]);
        let nobody = TcpListener::bind("127.0.0.1:0").expect("bind").local_addr().expect("address");
        assert!(readyz(nobody).expect_err("closed").to_string().contains("metrics.listen"));
    }
}
