//! Questions to the workers about entries of their connection tables.

use super::action::ConnectionQuery;
use super::explain::Entry;
use super::problem::{ProblemCode, problem};
use super::running::Running;
use super::view::{ConnectionStatus, Flow, Problem};
use crate::worker::control_line::Errand;
use lb_core::conn::{Class, EntryView};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;
use tokio::sync::oneshot;

/// A sleeping worker looks after 0.1 s at the latest; one that does not is stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Entries in one answer at most.
pub const LIST_MAX: usize = 10_000;

/// Where the workers take questions.
#[derive(Clone, Debug, Default)]
pub struct Errands(pub Vec<SyncSender<Errand>>);

impl Errands {
    /// Asks every worker about one flow.
    pub(super) async fn flow(
        &self,
        running: &Running,
        flow: Flow,
        is_deletion: bool,
    ) -> Result<Vec<(ConnectionStatus, Entry)>, Problem> {
        let key = flow.key();
        let errand =
            |answer| if is_deletion { Errand::Delete(key, answer) } else { Errand::Find(key, answer) };
        self.ask(running, errand).await
    }

    /// Some entries of every worker.
    pub(super) async fn list(
        &self,
        running: &Running,
        query: &ConnectionQuery,
    ) -> Result<Vec<ConnectionStatus>, Problem> {
        let wanted = wanted(running, query)?;
        let max = query.max.min(LIST_MAX);
        let errand = |answer| Errand::List { wanted: wanted.clone(), max, answer };
        let mut found: Vec<_> =
            self.ask(running, errand).await?.into_iter().map(|(status, _)| status).collect();
        found.truncate(max);
        Ok(found)
    }

    async fn ask(
        &self,
        running: &Running,
        errand: impl Fn(oneshot::Sender<Vec<EntryView>>) -> Errand,
    ) -> Result<Vec<(ConnectionStatus, Entry)>, Problem> {
        let mut answers = Vec::new();
        for (worker, sender) in running.vitals.workers.iter().zip(&self.0) {
            let (answer, answered) = oneshot::channel();
            sender.try_send(errand(answer)).map_err(|error| match error {
                TrySendError::Full(_) => silent(&worker.label, "too many questions wait for it"),
                TrySendError::Disconnected(_) => silent(&worker.label, "it has stopped"),
            })?;
            answers.push((worker, answered));
        }
        let mut found = Vec::new();
        for (worker, answered) in answers {
            let views = tokio::time::timeout(ANSWER_TIMEOUT, answered)
                .await
                .map_err(|_| silent(&worker.label, "it did not answer within 3 s"))?
                .map_err(|_| silent(&worker.label, "it has stopped"))?;
            found.extend(views.into_iter().map(|view| (status(running, &worker.label, view), entry(view))));
        }
        Ok(found)
    }
}

fn silent(worker: &str, why: &str) -> Problem {
    problem(ProblemCode::WorkerSilent, format!("worker {worker}: {why}; see /livez and the log"))
}

fn entry(view: EntryView) -> Entry {
    Entry { record: view.record, class: view.class }
}

fn status(running: &Running, worker: &str, view: EntryView) -> ConnectionStatus {
    let owner = running.tables.owner(view.record);
    let names = &running.plan.names;
    ConnectionStatus {
        worker: worker.into(),
        fingerprint: format!("{:012x}", view.fingerprint),
        vip: owner.and_then(|owner| names.vip(owner)).map(Into::into),
        pool: owner.and_then(|owner| names.pools.get(owner.pool)).map(|pool| pool.name.clone()),
        backend: owner.and_then(|owner| names.backend(owner)).map(Into::into),
        state: match view.class {
            Class::Embryonic => "embryonic",
            Class::Established => "established",
            Class::Closing => "closing",
            Class::Datagram => "datagram",
        }
        .into(),
        idle_seconds: view.idle_ticks.into(),
    }
}

/// The records that a query is about, by number; `None` is all of them.
fn wanted(running: &Running, query: &ConnectionQuery) -> Result<Option<Box<[bool]>>, Problem> {
    if query.vip.is_none() && query.backend.is_none() {
        return Ok(None);
    }
    let vip = match &query.vip {
        Some(name) => Some(running.vip(name).ok_or_else(|| super::report::no_vip(running, name))?),
        None => None,
    };
    let backend = match &query.backend {
        Some((pool, backend)) => {
            let found = running.backend(pool, backend);
            Some(found.ok_or_else(|| super::report::no_backend(running, pool, backend))?)
        }
        None => None,
    };
    let mut wanted = vec![false; running.tables.records().len()];
    for (record, owner) in running.tables.owners() {
        let is_vip = vip.is_none_or(|vip| vip == owner.service);
        let is_backend = backend.is_none_or(|backend| backend == (owner.pool, owner.backend));
        wanted[usize::from(record)] = is_vip && is_backend;
    }
    Ok(Some(wanted.into()))
}
