//! Probes through the tunnel: the sockets of `via: tunnel`, which talk to the VIP and end up at one certain backend.
//!
//! Such a socket is bound to the punt interface, has an address of the port and a local port of its own, and that port
//! is entered in [`ProbeRoutes`] before anything is sent. The worker knows the probe by it and sends it to the backend
//! as it sends client traffic. The backend answers to the port's address, which is the kernel's.

mod kernel;
mod ways;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use lb_core::probe_route::{ProbeRoutes, Ticket};
use lb_core::verdict::RecordIndex;
use lb_core::wire::{PROTOCOL_TCP, PROTOCOL_UDP};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::outcome::{Cause, Trouble};
use super::plan::Subscriber;
use super::steps::Steps;

pub use kernel::keep;
pub use ways::ways;

/// How long a finished probe is still known: its last packet, a reset, must find its way too.
const LINGER: Duration = Duration::from_secs(1);
/// How long a stop waits for the kernel to give up what it was told.
const WITHDRAW_TIMEOUT: Duration = Duration::from_secs(1);

/// The way of a backend's probes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Whose record it is.
    pub vip_name: String,
    /// Whom the probe talks to.
    pub vip: IpAddr,
    /// The port's own address, which the backend answers to.
    pub source: IpAddr,
    /// The punt interface.
    pub device: String,
    /// Number of the pair of VIP and backend.
    pub record: RecordIndex,
    /// `ipip`, `gue`...
    pub encap: &'static str,
    /// The backend's own address.
    pub backend: IpAddr,
}

/// What the kernel must know to send to a VIP by a punt interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Need {
    /// The punt interface.
    pub device: String,
    /// The VIP.
    pub vip: IpAddr,
    /// Largest datagram that fits the way out once it is encapsulated, bytes.
    pub mtu: u16,
}

/// By backend: its way, or why it has none.
pub type Ways = HashMap<Subscriber, Result<Way, String>>;

/// By punt interface and VIP: whether the kernel sends there, or why it does not.
type Known = BTreeMap<(String, IpAddr), Result<(), String>>;

/// What probes through the tunnel share, with the workers and with each other.
#[derive(Debug)]
pub struct Tunnels {
    routes: Arc<ProbeRoutes>,
    ways: RwLock<Arc<Ways>>,
    needs: watch::Sender<BTreeSet<Need>>,
    known: watch::Sender<Known>,
}

impl Default for Tunnels {
    fn default() -> Self {
        Self {
            routes: Arc::default(),
            ways: RwLock::default(),
            needs: watch::Sender::new(BTreeSet::new()),
            known: watch::Sender::new(Known::new()),
        }
    }
}

impl Tunnels {
    /// What the workers look at.
    pub fn routes(&self) -> &Arc<ProbeRoutes> {
        &self.routes
    }

    /// Goes by other ways from now on.
    pub fn replace(&self, ways: Ways, needs: BTreeSet<Need>) {
        *self.ways.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ways);
        self.needs.send_if_modified(|before| {
            let is_new = *before != needs;
            *before = needs;
            is_new
        });
    }

    /// Takes back what the kernel was told. Needs the runtime on which [`keep`] runs.
    pub async fn withdraw(&self) {
        self.replace(Ways::new(), BTreeSet::new());
        let mut known = self.known.subscribe();
        let done = known.wait_for(Known::is_empty);
        // What is left then does no harm: rules for an interface that is gone.
        let _ = tokio::time::timeout(WITHDRAW_TIMEOUT, done).await;
    }

    /// The way for one probe, as soon as the kernel can send by it.
    pub(super) async fn passage(
        &self,
        subscriber: &Subscriber,
        steps: &mut Steps,
    ) -> Result<Passage, Trouble> {
        steps.begin("tunnel");
        let ways = Arc::clone(&self.ways.read().unwrap_or_else(PoisonError::into_inner));
        let way = match ways.get(subscriber) {
            Some(Ok(way)) => way.clone(),
            Some(Err(why)) => return Err(Trouble::new(Cause::Local, why.as_str())),
            None => {
                return Err(Trouble::new(Cause::Local, "no VIP leads to this backend by a punt interface"));
            }
        };
        let place = (way.device.clone(), way.vip);
        let mut known = self.known.subscribe();
        let state = known.wait_for(|known| known.contains_key(&place)).await;
        let state = state.ok().and_then(|known| known.get(&place).cloned());
        if let Some(Err(why)) = state {
            return Err(Trouble::new(Cause::Local, why));
        }
        Ok(Passage { way, routes: Arc::clone(&self.routes), entry: OnceLock::new() })
    }
}

/// The way of one probe under way. To outlive the probe's socket.
pub(super) struct Passage {
    way: Way,
    routes: Arc<ProbeRoutes>,
    entry: OnceLock<Entry>,
}

impl Passage {
    /// Whom to connect to.
    pub(super) fn vip(&self) -> IpAddr {
        self.way.vip
    }

    /// Makes a socket that is not connected yet one of the tunnel.
    pub(super) fn tcp(&self, socket: &TcpSocket, steps: &mut Steps) -> Result<(), Trouble> {
        let local = || {
            socket.bind_device(Some(self.way.device.as_bytes()))?;
            socket.bind(SocketAddr::new(self.way.source, 0))?;
            socket.local_addr()
        };
        self.enter(PROTOCOL_TCP, local(), steps)
    }

    /// A UDP socket of the tunnel, not connected yet.
    pub(super) async fn udp(&self, steps: &mut Steps) -> Result<UdpSocket, Trouble> {
        let bound = async {
            let socket = UdpSocket::bind(SocketAddr::new(self.way.source, 0)).await?;
            socket.bind_device(Some(self.way.device.as_bytes()))?;
            let local = socket.local_addr()?;
            io::Result::Ok((socket, local))
        };
        let (socket, local) = bound.await.map_err(|error| self.unbound(&error))?;
        self.enter(PROTOCOL_UDP, Ok(local), steps)?;
        Ok(socket)
    }

    fn enter(&self, protocol: u8, local: io::Result<SocketAddr>, steps: &mut Steps) -> Result<(), Trouble> {
        let local = local.map_err(|error| self.unbound(&error))?;
        let Way { vip_name, vip, device, record, encap, backend, .. } = &self.way;
        let ticket = self.routes.enter(protocol, local.port(), *vip, *record);
        if let Some(ticket) = ticket {
            // A probe has one socket; were it a second one, the first entry would go with its passage.
            let _ = self.entry.set(Entry { routes: Arc::clone(&self.routes), ticket: Some(ticket) });
        }
        steps.end(|| format!("{encap} to {backend}, record {record} of {vip_name}, {local} by {device}"));
        Ok(())
    }

    fn unbound(&self, error: &io::Error) -> Trouble {
        let Way { source, device, .. } = &self.way;
        let why = match error.raw_os_error() {
            Some(libc::EADDRNOTAVAIL) => format!("; `ip address show {device}` does not list it"),
            Some(libc::ENODEV) => "; there is no such interface".to_owned(),
            Some(libc::EPERM) => "; CAP_NET_RAW is needed".to_owned(),
            _ => String::new(),
        };
        Trouble::new(Cause::Local, format!("no socket with address {source} on {device}: {error}{why}"))
    }
}

/// An entry of the table; it stays a moment longer than its socket.
struct Entry {
    routes: Arc<ProbeRoutes>,
    ticket: Option<Ticket>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else { return };
        let routes = Arc::clone(&self.routes);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                routes.remove(&ticket);
            })),
            Err(_) => routes.remove(&ticket),
        }
    }
}

#[cfg(test)]
mod tests;
