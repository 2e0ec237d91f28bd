//! How a test directs the client: lines over a Unix socket, which no network namespace hides.

use super::Told;
use super::tcp::Connections;
use super::udp::Datagrams;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixListener;

/// Holds flows to `address` and obeys one director until it hangs up.
pub(super) async fn hold(socket: &Path, address: SocketAddr) -> io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    let (stream, _) = listener.accept().await?;
    let mut stream = BufReader::new(stream);
    let (mut connections, mut datagrams) = (Connections::default(), Datagrams::default());
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer = match obey(&line, address, &mut connections, &mut datagrams).await {
            Ok(told) => told.iter().map(row).collect::<Vec<_>>().join(";"),
            Err(error) => format!("!{}", error.to_string().replace(['\n', ';'], " ")),
        };
        stream.write_all(format!("{answer}\n").as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

async fn obey(
    line: &str,
    address: SocketAddr,
    connections: &mut Connections,
    datagrams: &mut Datagrams,
) -> io::Result<Vec<Told>> {
    let number = |word: &str| word.parse::<u16>().map_err(io::Error::other);
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["tcp-open", count] => connections.open(address, number(count)?.into()).await.map(|()| Vec::new()),
        ["tcp-check"] => connections.check().await,
        ["tcp-close"] => {
            connections.close();
            Ok(Vec::new())
        }
        ["udp-open", count, first] => {
            datagrams.open(address, number(count)?, number(first)?).await.map(|()| Vec::new())
        }
        ["udp-check", attempts] => datagrams.check(number(attempts)?.into()).await,
        _ => Err(io::Error::other("unknown order")),
    }
}

/// `FIRST,NOW` or `FIRST,!TROUBLE`.
fn row(told: &Told) -> String {
    match &told.now {
        Ok(now) => format!("{},{now}", told.first),
        Err(trouble) => format!("{},!{}", told.first, trouble.replace(['\n', ';', ','], " ")),
    }
}
