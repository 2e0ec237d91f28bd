//! UDP flows with chosen source ports: the same ports are the same flows, in every run.

use super::{AT_ONCE, Told, name_in};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(2);

/// All flows, in the order of their ports.
#[derive(Debug, Default)]
pub(super) struct Datagrams {
    all: Vec<(Arc<UdpSocket>, Told)>,
    asked: u64,
}

impl Datagrams {
    /// Prepares `count` flows from ports `first` on; nothing is sent yet.
    pub(super) async fn open(&mut self, address: SocketAddr, count: u16, first: u16) -> io::Result<()> {
        self.all.clear();
        let own: IpAddr =
            if address.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        for port in (first..).take(count.into()) {
            let socket = UdpSocket::bind((own, port)).await?;
            socket.connect(address).await?;
            let told = Told { first: String::new(), now: Err("not asked yet".to_owned()) };
            self.all.push((Arc::new(socket), told));
        }
        Ok(())
    }

    /// Asks on every flow, up to `attempts` times.
    pub(super) async fn check(&mut self, attempts: u32) -> io::Result<Vec<Told>> {
        self.asked += 1;
        let number = self.asked;
        let mut asking = JoinSet::new();
        let mut answers = Vec::with_capacity(self.all.len());
        for (at, (socket, _)) in self.all.iter().enumerate() {
            while asking.len() >= AT_ONCE {
                answers.extend(asking.join_next().await.transpose().map_err(io::Error::other)?);
            }
            let socket = Arc::clone(socket);
            asking.spawn(async move { (at, ask(&socket, number, attempts).await) });
        }
        while let Some(answer) = asking.join_next().await {
            answers.push(answer.map_err(io::Error::other)?);
        }
        for (at, now) in answers {
            let told = &mut self.all[at].1;
            if let (true, Ok(name)) = (told.first.is_empty(), &now) {
                told.first.clone_from(name);
            }
            told.now = now;
        }
        Ok(self.all.iter().map(|(_, told)| told.clone()).collect())
    }
}

async fn ask(socket: &UdpSocket, number: u64, attempts: u32) -> Result<String, String> {
    for _ in 0..attempts {
        // A refusal that came by ICMP for an earlier question shows up here.
        let _ = socket.send(number.to_string().as_bytes()).await;
        if let Ok(name) = timeout(PATIENCE, answer(socket, number)).await {
            return Ok(name);
        }
    }
    Err("no answer".to_owned())
}

/// The next answer to this question; late ones to earlier questions are passed over.
async fn answer(socket: &UdpSocket, number: u64) -> String {
    let mut bytes = [0; 128];
    loop {
        if let Ok(length) = socket.recv(&mut bytes).await
            && let Some(name) = name_in(&String::from_utf8_lossy(&bytes[..length]), number)
        {
            return name;
        }
    }
}
