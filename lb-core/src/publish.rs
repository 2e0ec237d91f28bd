//! How new tables reach the workers: published once, taken between two bursts, acknowledged, and only then freed.
//!
//! A worker looks at one number; only when that has changed it takes a lock, and it never waits for one. The
//! publisher keeps every generation until all workers have acknowledged a later one, so no worker is ever the last
//! to hold a generation, and none ever frees one. Checked with loom (`scripts/test-loom`).

#[cfg(loom)]
use loom::sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering};
use std::collections::VecDeque;
#[cfg(not(loom))]
use std::sync::{Arc, Mutex, atomic::AtomicU64, atomic::Ordering};

/// What both sides share.
#[derive(Debug)]
struct Board<T> {
    /// Number of the latest generation. Written under the lock.
    number: AtomicU64,
    latest: Mutex<(u64, Arc<T>)>,
    /// By worker: the generation that it goes by.
    seen: Box<[AtomicU64]>,
}

/// The side of the controller.
#[derive(Debug)]
pub struct Publisher<T> {
    board: Arc<Board<T>>,
    /// Generations that some worker may still go by, oldest first; the last is the latest.
    kept: VecDeque<(u64, Arc<T>)>,
}

/// The side of one worker.
#[derive(Debug)]
pub struct Subscriber<T> {
    board: Arc<Board<T>>,
    worker: usize,
    mine: u64,
}

/// Who has seen what, readable from any thread.
#[derive(Clone, Debug)]
pub struct Acknowledgements<T>(Arc<Board<T>>);

/// The two sides for a first generation, number 1, which all workers go by from the start.
pub fn publish<T>(first: Arc<T>, workers: usize) -> (Publisher<T>, Vec<Subscriber<T>>) {
    let board = Arc::new(Board {
        number: AtomicU64::new(1),
        latest: Mutex::new((1, Arc::clone(&first))),
        seen: (0..workers).map(|_| AtomicU64::new(1)).collect(),
    });
    let subscriber = |worker| Subscriber { board: Arc::clone(&board), worker, mine: 1 };
    let subscribers = (0..workers).map(subscriber).collect();
    (Publisher { board, kept: VecDeque::from([(1, first)]) }, subscribers)
}

impl<T> Publisher<T> {
    /// Makes `value` the generation that workers take next; returns its number.
    pub fn publish(&mut self, value: Arc<T>) -> u64 {
        let number = self.latest() + 1;
        self.kept.push_back((number, Arc::clone(&value)));
        // The replaced one is in `kept`: what is dropped here is never the last.
        let mut latest = self.board.latest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *latest = (number, value);
        self.board.number.store(number, Ordering::Release);
        drop(latest);
        number
    }

    /// Number of the latest generation.
    pub fn latest(&self) -> u64 {
        self.kept.back().map_or(0, |(number, _)| *number)
    }

    /// Frees, on this thread, what no worker can go by any more. Returns how many generations are still kept.
    pub fn reclaim(&mut self) -> usize {
        let oldest = self.acknowledgements().oldest().unwrap_or(self.latest());
        while self.kept.len() > 1 && self.kept.front().is_some_and(|(number, _)| *number < oldest) {
            self.kept.pop_front();
        }
        self.kept.len()
    }

    /// Who has seen what.
    pub fn acknowledgements(&self) -> Acknowledgements<T> {
        Acknowledgements(Arc::clone(&self.board))
    }
}

impl<T> Subscriber<T> {
    /// The latest generation, if it is another than the one that this worker goes by. Never waits: if the
    /// publisher is just at it, the next look finds it.
    #[inline]
    pub fn newer(&mut self) -> Option<Arc<T>> {
        if self.board.number.load(Ordering::Acquire) == self.mine {
            return None;
        }
        let latest = self.board.latest.try_lock().ok()?;
        self.mine = latest.0;
        Some(Arc::clone(&latest.1))
    }

    /// Says that this worker goes by what [`Self::newer`] gave last and has let go of everything before.
    pub fn acknowledge(&self) {
        // Release: what the worker did by the old generation (its counters) is visible to whoever sees this.
        self.board.seen[self.worker].store(self.mine, Ordering::Release);
    }
}

impl<T> Acknowledgements<T> {
    /// How many workers go by generation `number` or a later one.
    pub fn seen(&self, number: u64) -> usize {
        self.0.seen.iter().filter(|seen| seen.load(Ordering::Acquire) >= number).count()
    }

    /// The generation that each worker goes by.
    pub fn each(&self) -> Vec<u64> {
        self.0.seen.iter().map(|seen| seen.load(Ordering::Acquire)).collect()
    }

    /// The oldest generation that some worker goes by; `None` without workers.
    pub fn oldest(&self) -> Option<u64> {
        self.0.seen.iter().map(|seen| seen.load(Ordering::Acquire)).min()
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.0.seen.len()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_worker_takes_the_latest_and_the_publisher_frees_what_nobody_goes_by() {
        let (mut publisher, mut workers) = publish(Arc::new("first"), 2);
        assert!(workers.iter_mut().all(|worker| worker.newer().is_none()));
        let second = Arc::new("second");
        let watched = Arc::downgrade(&second);
        assert_eq!(publisher.publish(second), 2);
        assert_eq!(publisher.publish(Arc::new("third")), 3);
        assert_eq!((publisher.acknowledgements().seen(1), publisher.acknowledgements().seen(3)), (2, 0));
        assert_eq!(workers[0].newer().as_deref(), Some(&"third"), "generations may be passed over");
        assert!(workers[0].newer().is_none());
        workers[0].acknowledge();
        assert_eq!((publisher.reclaim(), publisher.acknowledgements().seen(3)), (3, 1));
        assert!(watched.upgrade().is_some(), "the other worker could still go by it");
        workers[1].newer();
        workers[1].acknowledge();
        assert_eq!((publisher.reclaim(), publisher.acknowledgements().each()), (1, vec![3, 3]));
        assert!(watched.upgrade().is_none());
    }

    #[test]
    fn without_workers_only_the_latest_is_kept() {
        let (mut publisher, _) = publish(Arc::new(1), 0);
        publisher.publish(Arc::new(2));
        assert_eq!((publisher.reclaim(), publisher.acknowledgements().oldest()), (1, None));
    }
}

/// Every interleaving of one publisher and workers: nobody sees half a generation, goes back, or frees one.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::thread;
    use std::sync::atomic::{AtomicUsize as StdAtomicUsize, Ordering::SeqCst};

    /// Two halves that belong together, and where it may be freed.
    struct Generation {
        halves: (u64, u64),
        freed_by: std::sync::Arc<StdAtomicUsize>,
    }

    impl Drop for Generation {
        fn drop(&mut self) {
            self.freed_by.fetch_add(1, SeqCst);
        }
    }

    fn generation(number: u64, freed_by: &std::sync::Arc<StdAtomicUsize>) -> Arc<Generation> {
        Arc::new(Generation { halves: (number, number), freed_by: std::sync::Arc::clone(freed_by) })
    }

    fn work(mut worker: Subscriber<Generation>, looks: usize, freed: std::sync::Arc<StdAtomicUsize>) -> u64 {
        let mut tables: Option<Arc<Generation>> = None;
        let mut last = 1;
        for _ in 0..looks {
            let Some(new) = worker.newer() else { continue };
            assert_eq!(new.halves.0, new.halves.1);
            assert!(new.halves.0 > last, "went back from {last}");
            last = new.halves.0;
            let before = freed.load(SeqCst);
            let old = tables.replace(new);
            let was_last = old.is_some_and(|old| Arc::strong_count(&old) == 1);
            assert!(!was_last, "a worker would have freed generation tables ({before} freed)");
            worker.acknowledge();
        }
        last
    }

    #[test]
    fn every_interleaving_with_one_worker() {
        loom::model(|| {
            let freed = std::sync::Arc::new(StdAtomicUsize::new(0));
            let (mut publisher, mut workers) = publish(generation(1, &freed), 1);
            let worker = workers.pop().unwrap();
            let seen = std::sync::Arc::clone(&freed);
            let thread = thread::spawn(move || work(worker, 2, seen));
            publisher.publish(generation(2, &freed));
            publisher.reclaim();
            publisher.publish(generation(3, &freed));
            publisher.reclaim();
            let last = thread.join().unwrap();
            assert_eq!(publisher.acknowledgements().each(), [last]);
            publisher.reclaim();
            assert_eq!(freed.load(SeqCst) as u64, last - 1, "all before {last} are freed, none after");
        });
    }

    #[test]
    fn every_interleaving_with_two_workers() {
        loom::model(|| {
            let freed = std::sync::Arc::new(StdAtomicUsize::new(0));
            let (mut publisher, workers) = publish(generation(1, &freed), 2);
            let threads: Vec<_> = workers
                .into_iter()
                .map(|worker| {
                    let seen = std::sync::Arc::clone(&freed);
                    thread::spawn(move || work(worker, 1, seen))
                })
                .collect();
            publisher.publish(generation(2, &freed));
            publisher.reclaim();
            let slowest = threads.into_iter().map(|thread| thread.join().unwrap()).min().unwrap();
            publisher.reclaim();
            assert_eq!(freed.load(SeqCst) as u64, slowest - 1);
        });
    }
}
