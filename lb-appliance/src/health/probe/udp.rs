//! udp: one datagram out, one back. The socket is connected, so that an ICMP error is heard and strangers are not.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::UdpSocket;

use super::super::outcome::{Cause, Good, Trouble};
use super::super::steps::Steps;
use super::super::wire::{self, Peer};
use crate::config::model::UdpProbe;

pub(super) async fn run(peer: Peer<'_>, udp: &UdpProbe, steps: &mut Steps) -> Result<Good, Trouble> {
    let socket = ask(peer, udp.port, &udp.send, steps).await?;
    let mut answer = [0u8; 2048];
    let count = socket.recv(&mut answer).await.map_err(|error| wire::named(&error))?;
    let answer = answer.get(..count).unwrap_or_default();
    if !answer.starts_with(&udp.expect_prefix) {
        let begin = answer.get(..answer.len().min(32)).unwrap_or_default();
        return Err(Trouble::new(Cause::Body, format!("the reply begins with {}", hex(begin))));
    }
    steps.end(|| format!("{count} bytes"));
    Ok(Good::new(format!("reply of {count} bytes")))
}

/// Sends a datagram from a socket of its own; the step of waiting for the answer has begun.
pub(super) async fn ask(
    peer: Peer<'_>,
    port: u16,
    payload: &[u8],
    steps: &mut Steps,
) -> Result<UdpSocket, Trouble> {
    let socket = match peer.passage {
        Some(passage) => Some(passage.udp(steps).await?),
        None => None,
    };
    steps.begin("send");
    let peer = SocketAddr::new(peer.address, port);
    let socket = async {
        let any: IpAddr =
            if peer.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = match socket {
            Some(socket) => socket,
            None => UdpSocket::bind((any, 0)).await?,
        };
        socket.connect(peer).await?;
        socket.send(payload).await?;
        io::Result::Ok(socket)
    };
    let socket = socket.await.map_err(|error| wire::named(&error))?;
    steps.end(|| format!("{} bytes to {peer}", payload.len()));
    steps.begin("reply");
    Ok(socket)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::from("0x");
    for byte in bytes {
        text += &format!("{byte:02x}");
    }
    text
}
