//! TCP connections that are held open, and asked again and again whether they live.

use super::{AT_ONCE, Told, name_in};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Generous: a retransmission or three on a busy machine are no broken connection.
const PATIENCE: Duration = Duration::from_secs(15);

/// One connection and what it has said.
#[derive(Debug)]
struct Connection {
    stream: BufReader<TcpStream>,
    told: Told,
}

/// All connections, in the order in which they were opened.
#[derive(Debug, Default)]
pub(super) struct Connections {
    all: Vec<Connection>,
    asked: u64,
}

impl Connections {
    /// Opens `count` more, and has each say who serves it.
    pub(super) async fn open(&mut self, address: SocketAddr, count: usize) -> io::Result<()> {
        let wanted = self.all.len() + count;
        while self.all.len() < wanted {
            let mut opening = JoinSet::new();
            for _ in 0..AT_ONCE.min(wanted - self.all.len()) {
                opening.spawn(timeout(PATIENCE, open(address)));
            }
            while let Some(opened) = opening.join_next().await {
                self.all.push(opened.map_err(io::Error::other)?.map_err(io::Error::other)??);
            }
        }
        Ok(())
    }

    /// Exchanges a line over every connection that still lives.
    pub(super) async fn check(&mut self) -> io::Result<Vec<Told>> {
        self.asked += 1;
        let number = self.asked;
        let mut asking = JoinSet::new();
        let mut back: Vec<(usize, Connection)> = Vec::with_capacity(self.all.len());
        for (at, mut connection) in std::mem::take(&mut self.all).into_iter().enumerate() {
            while asking.len() >= AT_ONCE {
                back.extend(asking.join_next().await.transpose().map_err(io::Error::other)?);
            }
            asking.spawn(async move {
                connection.ask(number).await;
                (at, connection)
            });
        }
        while let Some(asked) = asking.join_next().await {
            back.push(asked.map_err(io::Error::other)?);
        }
        back.sort_unstable_by_key(|(at, _)| *at);
        self.all = back.into_iter().map(|(_, connection)| connection).collect();
        Ok(self.all.iter().map(|connection| connection.told.clone()).collect())
    }

    /// Closes all of them.
    pub(super) fn close(&mut self) {
        self.all.clear();
    }
}

async fn open(address: SocketAddr) -> io::Result<Connection> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let told = Told { first: String::new(), now: Ok(String::new()) };
    let mut connection = Connection { stream: BufReader::new(stream), told };
    connection.ask(0).await;
    let name = connection.told.now.clone().map_err(io::Error::other)?;
    connection.told.first = name;
    Ok(connection)
}

impl Connection {
    /// What was broken once stays broken.
    async fn ask(&mut self, number: u64) {
        if self.told.now.is_ok() {
            let exchanged = timeout(PATIENCE, exchange(&mut self.stream, number)).await;
            self.told.now = match exchanged {
                Ok(Ok(name)) => Ok(name),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err(format!("no answer within {PATIENCE:?}")),
            };
        }
    }
}

async fn exchange(stream: &mut BufReader<TcpStream>, number: u64) -> io::Result<String> {
    stream.write_all(format!("{number}\n").as_bytes()).await?;
    let mut answer = String::new();
    if stream.read_line(&mut answer).await? == 0 {
        return Err(io::Error::other("closed by the other side"));
    }
    name_in(&answer, number).ok_or_else(|| io::Error::other(format!("not the answer to {number}: {answer}")))
}
