//! The life of `guideway run`: everything is opened in an order in which it can fail cleanly, runs until a
//! signal, and is closed in the reverse order.
//!
//! Listener first (cheapest to fail), then EAL, buffers, ports, tables, workers. Nothing has to be undone
//! by hand on any error: ports, memory and sockets belong to values.

mod confine;
mod ports;
mod probe;
mod punt;
mod workers;

use crate::admin;
use crate::config::model::{Config, Idle};
use crate::control::events::Kind;
use crate::control::{Action, Boot, ConfigSource, Handle, Prepared, Start};
use crate::instruments::{PoolProbe, PortProbe, WorkerInstruments};
use crate::metrics::{self, Identity, Sources};
use crate::notify::Notifier;
use crate::plan::PortFacts;
use crate::worker::LoopSettings;
use anyhow::{Context, Result, anyhow, bail};
use ports::{OpenPorts, WorkerQueues};
use probe::{DpdkPool, DpdkPort};
use std::path::PathBuf;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use workers::{WorkerPlan, Workers};

/// Threads for what takes its time: builds of tables, files, commands of health checks.
const BLOCKING_THREADS_MAX: usize = 8;

/// What `guideway run` was told besides the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration file, read again by every reload.
    pub path: PathBuf,
    /// Where state is kept.
    pub state_directory: PathBuf,
    /// Where the admin socket is to be, if not where the configuration says.
    pub admin_socket: Option<PathBuf>,
}

/// Runs the balancer until SIGTERM or SIGINT. `boot` is the configuration and how it was come by.
///
/// # Errors
/// One message that names what could not be opened and what to do about it.
pub fn run(boot: Boot, settings: Settings) -> Result<()> {
    let config = Arc::clone(&boot.loaded.config);
    confine::claim()?;
    if config.dataplane.ports.is_empty() {
        bail!("the configuration has no `dataplane.ports`: name at least one port with its `device` to run");
    }
    let listener = metrics::bind(config.metrics.listen)?;
    let mut admin_settings = config.admin.clone();
    if let Some(path) = settings.admin_socket {
        admin_settings.socket.path = path;
    }
    let admin_listeners = admin::open(&admin_settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        // For builds of tables and for files; they do not hold up the control thread.
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("the control thread cannot start")?;
    let (ports, queues) = OpenPorts::open(&config)?;
    runtime.block_on(punt::address(&config))?;
    let mut control = Prepared::new(Start {
        path: settings.path,
        loaded: boot.loaded,
        ports: ports.facts(),
        workers: queues.len(),
        state_directory: Some(settings.state_directory),
    })
    .map_err(|problem| anyhow!("the tables cannot be built: {} ({})", problem.detail, problem.code))?;
    if let Some(complaint) = boot.complaint {
        control.events().note(Kind::LastGoodUsed, "config", &complaint);
    }
    let workers = start_workers(&config, &ports, queues, &mut control)?;
    control.note_confinement(confine::confine(&config)?);
    let sources = Arc::new(sources(&config, &ports, workers.instruments()));
    let tunnels = Arc::clone(control.tunnels());
    let notifier = Notifier::from_environment();

    let signal = runtime.block_on(async {
        let told = Arc::clone(&sources);
        let handle = control.start(workers.instruments().to_vec(), workers.errands(), |generation| {
            sources.publish(Arc::new(generation));
            Some(told)
        });
        sources.set_serving(true);
        tracing::info!(
            event = "started",
            vips = config.vips.len(),
            workers = workers.instruments().len(),
            metrics = %format_args!("http://{}/metrics", config.metrics.listen),
            "forwarding"
        );
        tokio::spawn(Arc::clone(&notifier).attend(handle.clone()));
        let listeners = (listener, admin_listeners);
        serve_until_signal(handle, listeners, Arc::clone(&sources), Arc::clone(&notifier)).await
    })?;
    notifier.stopping(signal);
    sources.set_serving(false);
    runtime.block_on(tunnels.withdraw());
    tracing::info!(event = "stopping", signal, "stopping");
    let instruments = workers.stop();
    summarise(&instruments)
}

/// Serves metrics and changes until SIGTERM or SIGINT comes; SIGHUP reloads.
async fn serve_until_signal(
    handle: Handle,
    (metrics, admin): (std::net::TcpListener, admin::Listeners),
    sources: Arc<Sources>,
    notifier: Arc<Notifier>,
) -> Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let reloading = handle.clone();
    let stop = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => return "SIGTERM",
                _ = interrupt.recv() => return "SIGINT",
                _ = hangup.recv() => {
                    tokio::spawn(reload(reloading.clone(), Arc::clone(&notifier)));
                }
            }
        }
    };
    let (end, ended) = watch::channel(false);
    let serving = async {
        let metrics = metrics::serve(metrics, sources, until(ended.clone()));
        let admin = admin::serve(handle, admin, until(ended.clone()));
        // Neither is worth the traffic: if one ends by itself it is said, and forwarding goes on.
        tokio::join!(async { said("metrics", metrics.await.map_err(anyhow::Error::from)) }, async {
            said("admin API", admin.await.map_err(anyhow::Error::from))
        },);
    };
    let signal = async {
        let signal = stop.await;
        end.send_replace(true);
        signal
    };
    let (signal, ()) = tokio::join!(signal, serving);
    Ok(signal)
}

/// Completes when the end has come.
async fn until(mut ended: watch::Receiver<bool>) {
    // A sender that is gone is an end as well.
    let _ = ended.wait_for(|is_over| *is_over).await;
}

/// Logs how a server has ended.
fn said(what: &str, result: Result<()>) {
    match result {
        Ok(()) => tracing::debug!(event = "server_stopped", what, "stopped"),
        Err(error) => {
            tracing::error!(event = "server_failed", what, error = %format_args!("{error:#}"), "ended by itself")
        }
    }
}

/// What SIGHUP means. What became of it is an event and in the log already.
async fn reload(handle: Handle, notifier: Arc<Notifier>) {
    notifier.reloading();
    let action = Action::Apply { source: ConfigSource::Running, confirm_within: None, force: false };
    if let Err(problem) = handle.submit(action).await {
        for finding in problem.findings {
            let place = format!("{}:{}", finding.file.unwrap_or_default(), finding.line.unwrap_or_default());
            tracing::error!(
                event = "config_finding",
                code = finding.code,
                place,
                field = finding.field,
                "{}",
                finding.message
            );
        }
    }
    notifier.reloaded(&handle.running());
}

fn start_workers(
    config: &Config,
    ports: &OpenPorts,
    queues: Vec<WorkerQueues>,
    control: &mut Prepared,
) -> Result<Workers> {
    let settings = LoopSettings {
        burst: usize::from(config.dataplane.burst),
        is_adaptive: config.dataplane.idle == Idle::Adaptive,
        latency_sample: u64::from(config.metrics.latency_sample),
    };
    let plan = WorkerPlan {
        cpus: config.dataplane.workers.clone(),
        settings,
        connection_entries: config.forwarding.connections.per_worker as usize,
        nat_sessions: config.forwarding.nat.sessions_per_worker as usize,
        fragments: {
            let table = config.forwarding.fragments;
            (table.per_worker as usize, table.held_per_worker as usize)
        },
        pool: ports.pool().clone(),
        tables: Arc::clone(control.tables()),
        filters: ports.filters(config),
        owners: ports.owners().to_vec(),
        taps: ports.taps().clone(),
        probes: Arc::clone(control.tunnels().routes()),
    };
    Workers::start(&ports.eal(), queues, &plan, control.take_subscribers())
}

fn sources(config: &Config, ports: &OpenPorts, workers: &[Arc<WorkerInstruments>]) -> Sources {
    let port_probes =
        ports.each().map(|(name, port)| Arc::new(DpdkPort::new(name, port)) as Arc<dyn PortProbe>);
    let pool = Arc::new(DpdkPool::new(ports.pool())) as Arc<dyn PoolProbe>;
    let identity = Identity {
        node: config.node.name.clone(),
        dpdk_version: dpdk::version(),
        tsc_hertz: dpdk::tsc::hz().map(std::num::NonZeroU64::get),
        config_hash: None,
    };
    Sources::new(identity, config.metrics.clone(), workers.to_vec(), port_probes.collect(), vec![pool])
}

/// Logs the totals and checks that no packet is unaccounted for: what came from queues was served by some worker,
/// and what was served has left.
fn summarise(workers: &[Arc<WorkerInstruments>]) -> Result<()> {
    let (mut polled, mut received, mut accounted) = (0, 0, 0);
    for worker in workers {
        let packets = &worker.packets;
        polled += worker.queues.iter().map(|queue| queue.received_packets.get()).sum::<u64>();
        received += packets.received.get();
        accounted += packets.accounted();
        tracing::info!(
            event = "worker_totals",
            worker = %worker.label,
            received = packets.received.get(),
            sent = packets.sent.get(),
            answered = packets.answered.get(),
            punted = packets.punted.get(),
            dropped = packets.drops.total(),
            "worker stopped"
        );
    }
    let latency = metrics::latency_summary(workers)?;
    if !latency.is_empty() {
        let micros = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1_000.0;
        tracing::info!(
            event = "latency_totals",
            samples = latency.len(),
            p50_us = micros(0.5),
            p99_us = micros(0.99),
            p999_us = micros(0.999),
            "poll to transmit"
        );
    }
    if polled != received || received != accounted {
        bail!(
            "{polled} packets were polled and {received} served, but {accounted} accounted for: a defect, please \
             report it"
        );
    }
    tracing::info!(event = "stopped", received, "all packets accounted for");
    Ok(())
}

impl OpenPorts {
    fn facts(&self) -> Vec<PortFacts> {
        self.each().map(|(_, port)| PortFacts { mac: port.info().mac, mtu: port.info().mtu }).collect()
    }
}
