//! The thread that asks the balancer, and carries out what the keys order.

use crate::admin::BackendPatch;
use crate::cli::backend::BackendName;
use crate::client::{Client, ClientError, Target};
use crate::control::view::{Applied, Event, PoolStatus, Status};
use hyper::Method;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Everything that is drawn, at one instant.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) at: Instant,
    pub(super) status: Status,
    pub(super) pools: Vec<PoolStatus>,
    pub(super) events: Vec<Event>,
}

/// What the thread tells.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// A look at the balancer.
    Sample(Box<Sample>),
    /// There is none, and why.
    Lost(String),
    /// What became of an order.
    Done(String),
}

/// A word on a backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) name: BackendName,
    pub(super) patch: BackendPatch,
}

/// The way to the thread; it ends when this is dropped.
pub(super) struct Sampler {
    orders: Sender<Order>,
    news: Receiver<News>,
}

impl Sampler {
    /// Starts to ask.
    pub(super) fn start(socket: &Path, interval: Duration) -> Self {
        let (orders, received) = channel();
        let (told, news) = channel();
        let socket = socket.to_owned();
        std::thread::spawn(move || run(socket, interval, &received, &told));
        Self { orders, news }
    }

    /// What is new, without waiting.
    pub(super) fn next(&self) -> Option<News> {
        self.news.try_recv().ok()
    }

    /// Has a word with a backend.
    pub(super) fn send(&self, order: Order) {
        // The thread lives as long as this.
        let _ = self.orders.send(order);
    }
}

fn run(socket: PathBuf, interval: Duration, orders: &Receiver<Order>, told: &Sender<News>) {
    let client = match Client::new(&socket) {
        Ok(client) => client,
        Err(error) => {
            let _ = told.send(News::Lost(error.to_string()));
            return;
        }
    };
    loop {
        let news = match sample(&client) {
            Ok(sample) => News::Sample(Box::new(sample)),
            Err(error) => News::Lost(error.to_string()),
        };
        if told.send(news).is_err() {
            return;
        }
        match orders.recv_timeout(interval) {
            Ok(order) => {
                let _ = told.send(News::Done(carry_out(&client, &order)));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn sample(client: &Client) -> Result<Sample, ClientError> {
    let status = client.get(&Target::new(&["status"]))?;
    let at = Instant::now();
    let pools = client.get(&Target::new(&["pools"]))?;
    let events = client.get(&Target::new(&["events"]))?;
    Ok(Sample { at, status, pools, events })
}

fn carry_out(client: &Client, order: &Order) -> String {
    match client.send_json::<Applied>(Method::PATCH, &order.name.target(), &order.patch) {
        Ok(applied) => {
            let undo = applied.undo.map_or(String::new(), |undo| format!("; undo: {undo}"));
            format!("{} (seen by {} of {}){undo}", applied.message, applied.seen, applied.workers)
        }
        Err(error) => error.to_string(),
    }
}
