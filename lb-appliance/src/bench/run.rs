//! The run: memory is there, DPDK is up, tables are filled, and all workers take their samples in step.

use super::clock::BenchClock;
use super::meter::{InstructionMeter, Stopwatch};
use super::report::{Report, WorkerResult};
use super::rig::{Rig, Side, batch_len};
use super::settings::{Settings, SourceKind};
use super::source::{MemorySource, Source};
use super::statistics::Samples;
use super::{BenchError, line_count, table, traffic};
use lb_core::conn::Line;
use lb_core::tables::Tables;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Samples that are always taken, however short the time, so that there is a median.
const ROUNDS_MIN: usize = 5;
/// Samples of each side that are taken before any counts: caches, branch predictors, the ring.
const ROUNDS_WARM: usize = 4;
/// Samples over which instructions are counted.
const ROUNDS_COUNTED: u64 = 8;

/// What all workers share.
struct Shared<'a> {
    settings: &'a Settings,
    tables: Arc<Tables>,
    /// Set from outside (Ctrl-C), or by a worker that cannot go on.
    stop: &'a AtomicBool,
    /// Set by the first worker when the time is over.
    is_over: AtomicBool,
    step: Barrier,
    failure: Mutex<Option<String>>,
}

/// Measures. `stop` ends it early; what has been measured until then is reported.
///
/// # Errors
/// [`BenchError::Usage`] for what the machine or the core cannot do, [`BenchError::Failed`] if packets were
/// not forwarded or nothing was measured.
pub fn run(settings: &Settings, stop: &AtomicBool) -> Result<Report, BenchError> {
    settings.check().map_err(BenchError::Usage)?;
    let cpus = cpus();
    check_machine(settings, cpu_count(&cpus), available_memory()).map_err(BenchError::Usage)?;
    let timeouts = BenchClock::new(settings, batch_len(settings)).timeouts();
    let tables = Tables::build(&traffic::spec(settings, timeouts))
        .map_err(|error| BenchError::Failed(format!("the tables cannot be built: {error}")))?;
    let shared = Shared {
        settings,
        tables: Arc::new(tables),
        stop,
        is_over: AtomicBool::new(false),
        step: Barrier::new(settings.workers.into()),
        failure: Mutex::default(),
    };
    let results = match settings.source {
        SourceKind::Memory => {
            shared.start(&cpus, &|| Ok(MemorySource::new(settings.burst.into()))).map_err(BenchError::Failed)
        }
        SourceKind::Dpdk => run_dpdk(&shared, &cpus),
    }?;
    Report::new(settings, &results, stop.load(Ordering::Relaxed)).map_err(BenchError::Failed)
}

#[cfg(feature = "dpdk")]
fn run_dpdk(shared: &Shared<'_>, cpus: &[u32]) -> Result<Vec<WorkerResult>, BenchError> {
    let dpdk = super::ring::DpdkPool::new().map_err(BenchError::Failed)?;
    let (handle, pool) = dpdk.parts();
    let burst = shared.settings.burst.into();
    let source = || super::ring::DpdkSource::new(&handle, pool.clone(), burst);
    shared.start(cpus, &source).map_err(BenchError::Failed)
}

#[cfg(not(feature = "dpdk"))]
fn run_dpdk(_shared: &Shared<'_>, _cpus: &[u32]) -> Result<Vec<WorkerResult>, BenchError> {
    Err(BenchError::Usage(
        "--source dpdk: this build has no DPDK, build it with the cargo feature `dpdk`".into(),
    ))
}

/// The CPUs that this process may use; empty if threads cannot be pinned.
fn cpus() -> Vec<u32> {
    #[cfg(feature = "dpdk")]
    return dpdk::affinity::current().unwrap_or_default();
    #[cfg(not(feature = "dpdk"))]
    Vec::new()
}

/// Keeps the calling thread on one CPU; `None` if that is not allowed.
fn pin(cpu: Option<u32>) -> Option<u32> {
    #[cfg(feature = "dpdk")]
    return cpu.filter(|cpu| dpdk::affinity::pin_current(&[*cpu]).is_ok());
    #[cfg(not(feature = "dpdk"))]
    cpu
}

fn cpu_count(cpus: &[u32]) -> usize {
    match cpus.len() {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// Are there CPUs and memory enough? Asked first, because the kernel would end the process instead.
fn check_machine(settings: &Settings, cpus: usize, available: Option<usize>) -> Result<(), String> {
    let workers = usize::from(settings.workers);
    if workers > cpus {
        return Err(format!(
            "--workers {workers}: this process may use {cpus} CPUs, the range is 1 to {cpus}"
        ));
    }
    let needed = (line_count(settings.table_entries()) * size_of::<Line>()).saturating_mul(workers);
    match available {
        Some(available) if needed > available / 10 * 9 => Err(format!(
            "--flows {}: the connection tables would take {} MiB and {} MiB are available; lower --flows",
            settings.flows,
            needed >> 20,
            available >> 20
        )),
        _ => Ok(()),
    }
}

/// Bytes that can be had without swapping (proc(5)); `None` if the kernel does not tell.
fn available_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix(" kB")?.parse::<usize>().ok()?.checked_mul(1024)
}

impl Shared<'_> {
    /// One thread per worker, from the last CPU on: the first ones have the interrupts.
    fn start<S: Source>(
        &self,
        cpus: &[u32],
        source: &(impl Fn() -> Result<S, String> + Sync),
    ) -> Result<Vec<WorkerResult>, String> {
        let results = std::thread::scope(|scope| {
            let worker = |index: usize| {
                let cpu = cpus.iter().rev().nth(index).copied();
                scope.spawn(move || self.work(index, cpu, source))
            };
            let threads: Vec<_> = (0..self.settings.workers.into()).map(worker).collect();
            threads.into_iter().map(|thread| thread.join().ok().flatten()).collect::<Option<Vec<_>>>()
        });
        match self.failure.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(message) => Err(message),
            None => results.ok_or_else(|| "a worker ended early: a defect".to_owned()),
        }
    }

    /// One worker; `None` if it failed, or another did.
    fn work<S: Source>(
        &self,
        index: usize,
        cpu: Option<u32>,
        source: &impl Fn() -> Result<S, String>,
    ) -> Option<WorkerResult> {
        let cpu = pin(cpu);
        let mut arena = self.keep(table(self.settings.table_entries()));
        let rig = arena.as_mut().and_then(|arena| {
            let rig = source()
                .and_then(|source| Rig::new(self.settings, index, source, Arc::clone(&self.tables), arena));
            let mut rig = self.keep(rig)?;
            self.keep(rig.fill(self.settings, self.stop)).map(|()| rig)
        });
        // All of them, also those that failed: nobody may wait for one that does not come.
        self.step.wait();
        let has_failed = self.failure.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let mut rig = rig.filter(|_| !has_failed)?;
        let mut result = self.measure(index, &mut rig);
        self.keep(rig.fault().map_or(Ok(()), Err))?;
        drop(rig);
        result.cpu = cpu;
        if let Some(arena) = arena {
            result.table_bytes = arena.bytes();
            result.huge_bytes = arena.huge_bytes().ok();
        }
        Some(result)
    }

    /// Notes why a worker cannot go on.
    fn keep<T>(&self, result: Result<T, String>) -> Option<T> {
        result
            .map_err(|message| {
                self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
            })
            .ok()
    }

    /// Rounds of interleaved samples until the time is over.
    fn measure<S: Source>(&self, index: usize, rig: &mut Rig<'_, S>) -> WorkerResult {
        let sides = [Side::Source, Side::MacSwap, Side::Pipeline];
        for _ in 0..ROUNDS_WARM {
            rig.draw();
            for side in sides {
                rig.sample(side, &mut Stopwatch::new());
            }
        }
        let (mut samples, before) = ([const { Samples::new() }; 3], rig.tally());
        let end = Instant::now() + Duration::from_secs_f64(self.settings.seconds);
        for round in 0.. {
            // One decides for all, before a step; the others look after it. It is asked again only after
            // further steps, so nobody can miss the answer.
            if index == 0 {
                let is_enough = round >= ROUNDS_MIN && Instant::now() >= end;
                self.is_over.store(is_enough || self.stop.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            rig.draw();
            self.step.wait();
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            for (side, samples) in sides.into_iter().zip(&mut samples) {
                self.step.wait();
                let mut watch = Stopwatch::new();
                rig.sample(side, &mut watch);
                samples.push(watch.nanos() / rig.sample_len() as f64);
                if side == Side::Pipeline {
                    rig.was_busy(watch.nanos());
                }
            }
        }
        let tally = rig.tally().since(before);
        let (entries, capacity) = rig.entries();
        let packets = samples[2].len() as u64 * rig.sample_len() as u64;
        let instructions = count_instructions(rig);
        let sample_packets = rig.sample_len();
        let [source, macswap, pipeline] = samples;
        WorkerResult {
            source,
            macswap,
            pipeline,
            instructions,
            tally,
            packets,
            sample_packets,
            entries,
            capacity,
            table_bytes: 0,
            huge_bytes: None,
            cpu: None,
        }
    }
}

/// Instructions per packet of the pipeline, those of the source taken off.
fn count_instructions<S: Source>(rig: &mut Rig<'_, S>) -> Result<f64, String> {
    let mut meter = InstructionMeter::new()?;
    let mut counts = [0; 2];
    for _ in 0..ROUNDS_COUNTED {
        rig.draw();
        for (side, count) in [Side::Source, Side::Pipeline].into_iter().zip(&mut counts) {
            rig.sample(side, &mut meter);
            *count += meter.take()?;
        }
    }
    let packets = (ROUNDS_COUNTED * rig.sample_len() as u64) as f64;
    match counts[1].saturating_sub(counts[0]) {
        0 => {
            Err("the counter stands still: the CPU's counters are not passed through to this machine"
                .to_owned())
        }
        instructions => Ok(instructions as f64 / packets),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::tests::settings;
    use super::*;

    #[test]
    fn a_run_that_is_stopped_before_it_starts_has_no_figures() {
        let stopped = run(&settings("--flows 100").expect("valid"), &AtomicBool::new(true));
        let message = stopped.expect_err("nothing was measured").to_string();
        assert!(message.contains("interrupted before anything"), "{message}");
    }

    #[test]
    fn what_the_machine_does_not_have_is_refused_with_figures() {
        let check =
            |line: &str, cpus, available| check_machine(&settings(line).expect("valid"), cpus, available);
        assert_eq!(check("--workers 2", 2, None), Ok(()));
        let workers = check("--workers 3", 2, None).expect_err("two CPUs");
        assert!(workers.contains("--workers 3: this process may use 2 CPUs"), "{workers}");
        // 262,144 lines of 64 bytes, twice.
        let line = "--flows 1M --workers 2";
        assert_eq!(check(line, 2, Some(40 << 20)), Ok(()));
        let memory = check(line, 2, Some(33 << 20)).expect_err("too little memory");
        assert!(memory.contains("--flows 1000000") && memory.contains("32 MiB and 33 MiB"), "{memory}");
    }

    #[test]
    fn the_kernel_tells_how_much_memory_there_is() {
        assert!(available_memory().is_some_and(|bytes| bytes > 1 << 20));
    }
}
