//! The way to the controller for everybody else: questions are answered from what runs, changes are queued.

use super::action::{Action, ConfigSource, ConnectionQuery, Reply, Request};
use super::connections::Errands;
use super::events::{EventLog, Kind};
use super::explain::Entry;
use super::problem::ProblemCode;
use super::running::Running;
use super::view::{
    Applied, ConnectionCount, ConnectionStatus, DiffReport, Event, Explanation, Flow, MaglevForecast,
    MaglevStatus, PoolStatus, ProbeReport, Problem, Status, VipStatus,
};
use super::{explain, problem, report, vital_signs};
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Changes that may wait; more are refused, so that nobody can fill memory with them.
pub const QUEUE_MAX: usize = 64;

/// A handle on the control plane; clones are the same.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    running: watch::Receiver<Arc<Running>>,
    events: Arc<EventLog>,
    errands: Errands,
}

impl Handle {
    pub(crate) fn new(
        requests: mpsc::Sender<Request>,
        running: watch::Receiver<Arc<Running>>,
        events: Arc<EventLog>,
        errands: Errands,
    ) -> Self {
        Self { requests, running, events, errands }
    }

    /// What is in force now.
    pub fn running(&self) -> Arc<Running> {
        self.running.borrow().clone()
    }

    /// Makes a change and waits until every worker goes by it (two seconds at most; the answer says how many do).
    ///
    /// # Errors
    /// Why it was refused; then nothing has changed.
    pub async fn submit(&self, action: Action) -> Result<Applied, Problem> {
        self.ask(|reply| Request::Do(action, reply)).await
    }

    /// What a configuration would change.
    ///
    /// # Errors
    /// The configuration is not valid.
    pub async fn diff(&self, source: ConfigSource) -> Result<DiffReport, Problem> {
        self.ask(|reply| Request::Diff(source, reply)).await
    }

    /// Probes a backend now, outside of its schedule and without consequences.
    ///
    /// # Errors
    /// There is no such backend, or it has no health check.
    pub async fn probe(&self, pool: String, backend: String) -> Result<ProbeReport, Problem> {
        let running = self.running();
        running.backend(&pool, &backend).ok_or_else(|| report::no_backend(&running, &pool, &backend))?;
        let reports = running.vitals.health.probe_now(&pool, &backend).await;
        vital_signs::report(pool.clone(), backend.clone(), &reports).ok_or_else(|| {
            let detail = format!(
                "{pool}/{backend} is not probed: its pool has no `health_check`, or it is in maintenance"
            );
            problem::problem(ProblemCode::NoHealthCheck, detail)
        })
    }

    /// The entries of one flow, in every worker's table.
    ///
    /// # Errors
    /// A worker did not answer in time.
    pub async fn find_connection(&self, flow: Flow) -> Result<Vec<ConnectionStatus>, Problem> {
        Ok(self.entries(flow, false).await?.into_iter().map(|(status, _)| status).collect())
    }

    /// Removes the entries of one flow; answers with what was removed. Its next packet is a new flow.
    ///
    /// # Errors
    /// A worker did not answer in time.
    pub async fn delete_connection(&self, flow: Flow) -> Result<Vec<ConnectionStatus>, Problem> {
        let gone: Vec<_> = self.entries(flow, true).await?.into_iter().map(|(status, _)| status).collect();
        if !gone.is_empty() {
            let message = format!("{} removed: {} to {}", gone.len(), flow.source, flow.destination);
            self.events.note(Kind::ConnectionsDeleted, "connections", &message);
        }
        Ok(gone)
    }

    /// Some entries of every worker's table, of one VIP or backend if asked for.
    ///
    /// # Errors
    /// There is no such VIP or backend; a worker did not answer in time.
    pub async fn list_connections(&self, query: &ConnectionQuery) -> Result<Vec<ConnectionStatus>, Problem> {
        self.errands.list(&self.running(), query).await
    }

    async fn entries(
        &self,
        flow: Flow,
        is_deletion: bool,
    ) -> Result<Vec<(ConnectionStatus, Entry)>, Problem> {
        self.errands.flow(&self.running(), flow, is_deletion).await
    }

    /// Everything at a glance.
    pub fn status(&self) -> Status {
        report::status(&self.running())
    }

    /// The VIPs.
    pub fn vips(&self) -> Vec<VipStatus> {
        report::vips(&self.running())
    }

    /// The pools with their backends.
    pub fn pools(&self) -> Vec<PoolStatus> {
        report::pools(&self.running())
    }

    /// Connections by VIP and backend.
    pub fn connection_counts(&self) -> Vec<ConnectionCount> {
        report::connection_counts(&self.running())
    }

    /// The Maglev table of a VIP.
    ///
    /// # Errors
    /// There is no such VIP.
    pub fn maglev(&self, vip: &str) -> Result<MaglevStatus, Problem> {
        report::maglev(&self.running(), vip)
    }

    /// What would happen to a VIP if backends went.
    ///
    /// # Errors
    /// There is no such VIP or backend.
    pub fn maglev_without(&self, vip: &str, backends: &[String]) -> Result<MaglevForecast, Problem> {
        report::maglev_without(&self.running(), vip, backends)
    }

    /// What would become of a packet, by the code that decides, and by the entry that its flow has now.
    ///
    /// # Errors
    /// A worker did not answer in time.
    pub async fn explain(&self, flow: Flow) -> Result<Explanation, Problem> {
        let entries = self.entries(flow, false).await?;
        Ok(explain::live(&self.running(), flow, &entries))
    }

    /// The configuration in force, as text, secrets masked; one document per file.
    pub fn config_texts(&self) -> Vec<(String, String)> {
        self.running().texts()
    }

    /// Events that are still remembered, from `since` (a sequence number) on, oldest first.
    pub fn events(&self, since: u64) -> Vec<Event> {
        self.events.since(since)
    }

    /// Events from now on.
    pub fn follow_events(&self) -> broadcast::Receiver<Event> {
        self.events.follow()
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(request(reply)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => problem::busy(QUEUE_MAX),
            mpsc::error::TrySendError::Closed(_) => problem::stopping(),
        })?;
        answer.await.unwrap_or_else(|_| Err(problem::stopping()))
    }
}
