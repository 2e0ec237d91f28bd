//! The echo server: `NAME QUESTION` to every line over TCP and to every datagram.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};

const BACKLOG: u32 = 4096;
/// Longer questions are none of ours.
const DATAGRAM_BYTES_MAX: usize = 64;

/// Serves until the process is ended; makes the file `ready` once it listens.
pub(super) async fn serve(name: &str, address: SocketAddr, ready: &Path) -> io::Result<()> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    // Bound to the VIP, so that answers come from it.
    let datagrams = UdpSocket::bind(address).await?;
    std::fs::write(ready, name)?;
    tokio::try_join!(accept(&listener, name), answer(&datagrams, name)).map(|_| ())
}

async fn accept(listener: &TcpListener, name: &str) -> io::Result<()> {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // A connection that fails is the client's to notice.
                tokio::spawn(talk(stream, name.to_owned()));
            }
            // Out of descriptors, or a client that went away while it waited.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn talk(stream: TcpStream, name: String) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        stream.write_all(format!("{name} {line}").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

async fn answer(socket: &UdpSocket, name: &str) -> io::Result<()> {
    let mut question = [0; DATAGRAM_BYTES_MAX];
    loop {
        // An ICMP error for an earlier answer is no reason to stop.
        let Ok((length, from)) = socket.recv_from(&mut question).await else { continue };
        let answer = [name.as_bytes(), b" ", &question[..length]].concat();
        let _ = socket.send_to(&answer, from).await;
    }
}
