//! Starting and stopping the worker threads.
//!
//! A worker builds its connection table on its own thread, so that the memory is local to its CPU. The
//! controller learns whether each worker came up before it says that the balancer forwards.

mod memory;

use super::ports::WorkerQueues;
use crate::control::Errands;
use crate::instruments::WorkerInstruments;
use crate::io::dpdk::{DpdkIo, MbufPacket};
use crate::io::handover::{Crew, QueueOwners};
use crate::io::taps::Taps;
use crate::worker::control_line::{ControlLine, Errand};
use crate::worker::{LoopSettings, Worker};
use anyhow::{Context, Result, anyhow};
use dpdk::{EalHandle, Mempool};
use lb_core::conn::ConnTable;
use lb_core::counters::WorkerCounters;
use lb_core::headers::PortFilter;
use lb_core::hw::Level;
use lb_core::nat::Nat;
use lb_core::pipeline::Pipeline;
use lb_core::probe_route::ProbeRoutes;
use lb_core::publish::Subscriber;
use lb_core::tables::Tables;
use memory::TableMemory;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a worker may take to come up.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// What all workers have in common.
#[derive(Clone)]
pub(super) struct WorkerPlan {
    /// CPU of each worker; empty is one worker that is not pinned.
    pub(super) cpus: Vec<u32>,
    pub(super) settings: LoopSettings,
    pub(super) connection_entries: usize,
    /// Sessions of address translation, of each worker.
    pub(super) nat_sessions: usize,
    /// Datagrams in pieces under way, and fragments that wait.
    pub(super) fragments: (usize, usize),
    /// Where packets are from.
    pub(super) pool: Mempool,
    pub(super) tables: Arc<Tables>,
    pub(super) filters: Vec<PortFilter>,
    /// Which worker owns which queue, by port; punt interfaces come last.
    pub(super) owners: Vec<QueueOwners>,
    pub(super) taps: Taps,
    /// Which of the kernel's frames are health probes.
    pub(super) probes: Arc<ProbeRoutes>,
}

/// The running workers.
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
    instruments: Vec<Arc<WorkerInstruments>>,
    errands: Vec<SyncSender<Errand>>,
    stop: Arc<AtomicBool>,
}

/// One worker's share of everything, on its way into its thread.
struct Start {
    index: usize,
    queues: WorkerQueues,
    crew: Option<Crew<MbufPacket>>,
    line: Option<ControlLine>,
    plan: WorkerPlan,
    cpu: Option<u32>,
    eal: EalHandle,
    instruments: Arc<WorkerInstruments>,
    stop: Arc<AtomicBool>,
    ready: SyncSender<Result<TableMemory>>,
}

impl Workers {
    /// Starts one thread per set of queues and waits until all of them run. `tables` is where each of them takes
    /// later tables.
    pub(super) fn start(
        eal: &EalHandle,
        all_queues: Vec<WorkerQueues>,
        plan: &WorkerPlan,
        tables: Vec<Subscriber<Tables>>,
    ) -> Result<Self> {
        let (ready, started) = sync_channel(all_queues.len());
        let mut workers =
            Self { threads: Vec::new(), instruments: Vec::new(), errands: Vec::new(), stop: Arc::default() };
        let crew = Crew::assemble(all_queues.len(), &plan.owners)
            .context("workers cannot be connected: raise the limit of open files")?;
        let (mut crews, mut subscribers) = (crew.into_iter(), tables.into_iter());
        for (index, queues) in all_queues.into_iter().enumerate() {
            let cpu = plan.cpus.get(index).copied();
            let label = cpu.map_or_else(|| format!("w{index}"), |cpu| cpu.to_string());
            let packets = Arc::new(WorkerCounters::for_any_tables());
            let instruments = Arc::new(WorkerInstruments::new(label, packets, plan.taps.port_count()));
            workers.instruments.push(Arc::clone(&instruments));
            let stop = Arc::clone(&workers.stop);
            let (ready, eal, plan) = (ready.clone(), eal.clone(), plan.clone());
            let (line, errands) = subscribers.next().map(ControlLine::new).unzip();
            workers.errands.extend(errands);
            let crew = crews.next();
            let start = Start { index, queues, crew, line, plan, cpu, eal, instruments, stop, ready };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || start.run())
                .context("a worker thread cannot be started")?;
            workers.threads.push(thread);
        }
        drop(ready);
        let mut tables = Vec::new();
        for _ in &workers.instruments {
            let result = started.recv_timeout(START_TIMEOUT);
            tables.push(result.map_err(|_| anyhow!("a worker did not come up within {START_TIMEOUT:?}"))??);
        }
        memory::log(&tables);
        Ok(workers)
    }

    /// The workers, seen from outside.
    pub(super) fn instruments(&self) -> &[Arc<WorkerInstruments>] {
        &self.instruments
    }

    /// Where they take questions.
    pub(super) fn errands(&self) -> Errands {
        Errands(self.errands.clone())
    }

    /// Stops all workers after their current burst and waits for them.
    pub(super) fn stop(self) -> Vec<Arc<WorkerInstruments>> {
        self.instruments.clone()
        // Dropping stops and joins.
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(event = "worker_failed", "a worker thread panicked");
            }
        }
    }
}

impl Start {
    /// The worker thread.
    fn run(self) {
        let ready = self.ready.clone();
        if let Err(error) = self.work() {
            let _ = ready.send(Err(error));
        }
    }

    /// Sets everything up on this thread, says so, and forwards until told to stop.
    fn work(self) -> Result<()> {
        let Self { index, queues, crew, line, plan, cpu, eal, instruments, stop, ready } = self;
        if let Some(cpu) = cpu {
            dpdk::affinity::pin_current(&[cpu]).map_err(|error| {
                anyhow!(
                    "a worker cannot run on CPU {cpu} ({error}): name a CPU in dataplane.workers that exists \
                     and that this process may use"
                )
            })?;
        }
        // Registered threads have the pool's cache to themselves.
        let registered = eal.register_thread()?;
        let io = DpdkIo::new(queues, plan.pool, crew.as_ref().map(Crew::bell));
        let mut arena = memory::allocate(plan.connection_entries)?;
        let table = TableMemory::of(&arena);
        let connections = ConnTable::new(&mut *arena);
        // Whoever does not know the key of this process cannot make sessions meet in the table.
        let secret = [0u8, 1].map(|number| foldhash::quality::RandomState::default().hash_one(number));
        let nat = Nat::new(plan.nat_sessions, secret, index, plan.cpus.len());
        let pipeline = Pipeline::new(connections, Arc::clone(&instruments.packets), Level::detect())
            .with_fragments(plan.fragments.0, plan.fragments.1)
            .with_nat(nat);
        let worker = Worker::new(io, pipeline, plan.tables, plan.filters, instruments, plan.settings);
        let _ = ready.send(Ok(table));
        worker.with_probes(plan.probes).in_crew(crew).with_taps(plan.taps).on_line(line).run(&stop);
        drop(registered);
        Ok(())
    }
}
