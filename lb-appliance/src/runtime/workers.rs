//! Starting and stopping the worker threads.
//!
//! A worker builds its connection table on its own thread, so that the memory is local to its CPU. The
//! controller learns whether each worker came up before it says that the balancer forwards.

use super::ports::WorkerQueues;
use crate::instruments::WorkerInstruments;
use crate::io::dpdk::DpdkIo;
use crate::worker::{LoopSettings, Worker};
use anyhow::{Context, Result, anyhow};
use dpdk::EalHandle;
use lb_core::conn::ConnTable;
use lb_core::counters::WorkerCounters;
use lb_core::headers::PortFilter;
use lb_core::hw::Level;
use lb_core::pipeline::Pipeline;
use lb_core::tables::Tables;
use std::os::fd::RawFd;
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
    pub(super) tables: Arc<Tables>,
    pub(super) filters: Vec<PortFilter>,
}

/// The running workers.
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
    instruments: Vec<Arc<WorkerInstruments>>,
    stop: Arc<AtomicBool>,
}

/// One worker's share of everything, on its way into its thread.
struct Start {
    queues: WorkerQueues,
    plan: WorkerPlan,
    cpu: Option<u32>,
    eal: EalHandle,
    instruments: Arc<WorkerInstruments>,
    stop: Arc<AtomicBool>,
    ready: SyncSender<Result<()>>,
}

impl Workers {
    /// Starts one thread per set of queues and waits until all of them run.
    pub(super) fn start(eal: &EalHandle, all_queues: Vec<WorkerQueues>, plan: &WorkerPlan) -> Result<Self> {
        let (ready, started) = sync_channel(all_queues.len());
        let mut workers =
            Self { threads: Vec::new(), instruments: Vec::new(), stop: Arc::new(AtomicBool::new(false)) };
        log_table(plan.connection_entries, all_queues.len());
        for (index, queues) in all_queues.into_iter().enumerate() {
            let cpu = plan.cpus.get(index).copied();
            let label = cpu.map_or_else(|| format!("w{index}"), |cpu| cpu.to_string());
            let tables = &plan.tables;
            let packets = Arc::new(WorkerCounters::new(tables.records().len(), tables.service_count()));
            let instruments = Arc::new(WorkerInstruments::new(label, packets, queues.len()));
            workers.instruments.push(Arc::clone(&instruments));
            let stop = Arc::clone(&workers.stop);
            let (ready, eal, plan) = (ready.clone(), eal.clone(), plan.clone());
            let start = Start { queues, plan, cpu, eal, instruments, stop, ready };
            let thread = std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || start.run())
                .context("a worker thread cannot be started")?;
            workers.threads.push(thread);
        }
        drop(ready);
        for _ in &workers.instruments {
            let result = started.recv_timeout(START_TIMEOUT);
            result.map_err(|_| anyhow!("a worker did not come up within {START_TIMEOUT:?}"))??;
        }
        Ok(workers)
    }

    /// The workers, seen from outside.
    pub(super) fn instruments(&self) -> &[Arc<WorkerInstruments>] {
        &self.instruments
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
        let Self { queues, plan, cpu, eal, instruments, stop, ready } = self;
        if let Some(cpu) = cpu {
            let pinned = dpdk::affinity::pin_current(&[cpu]);
            if let Err(error) = pinned {
                let _ = ready.send(Err(anyhow!(
                    "a worker cannot run on CPU {cpu} ({error}): name a CPU in dataplane.workers that exists \
                     and that this process may use"
                )));
                return;
            }
        }
        // Registered threads have the pool's cache to themselves.
        let registered = match eal.register_thread() {
            Ok(guard) => guard,
            Err(error) => {
                let _ = ready.send(Err(error.into()));
                return;
            }
        };
        let descriptors: Vec<RawFd> = queues.iter().flat_map(|(rx, _)| rx.wait_fds().to_vec()).collect();
        let io = DpdkIo::new(queues, &descriptors);
        let connections = ConnTable::with_capacity(plan.connection_entries);
        let pipeline = Pipeline::new(connections, Arc::clone(&instruments.packets), Level::detect());
        let worker = Worker::new(io, pipeline, plan.tables, plan.filters, instruments, plan.settings);
        let _ = ready.send(Ok(()));
        worker.run(&stop);
        drop(registered);
    }
}

fn log_table(entries: usize, workers: usize) {
    let lines = ConnTable::<Box<[lb_core::conn::Line]>>::lines_for(entries);
    tracing::info!(
        event = "connection_table",
        entries_per_worker = lines * lb_core::hw::LINE_ENTRIES,
        mib_per_worker = (lines * size_of::<lb_core::conn::Line>()) >> 20,
        workers,
        instructions = Level::detect().name(),
        "connection tables"
    );
}
