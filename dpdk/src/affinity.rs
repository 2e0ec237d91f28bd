//! CPU affinity of the calling thread.
//!
//! `rte_eal_init` pins the thread that calls it and every thread spawned later inherits that, so `Eal::init`
//! saves and restores it with these; workers pin themselves before they register.

use std::io;
use std::mem::MaybeUninit;

/// CPUs a `cpu_set_t` of the C library can name.
const CPUS_MAX: u32 = libc::CPU_SETSIZE as u32;

/// The CPUs the calling thread may run on, ascending.
///
/// # Errors
/// What `sched_getaffinity` returns; on machines with more than 1024 CPUs that is `EINVAL`.
pub fn current() -> io::Result<Vec<u32>> {
    let mut set = empty_set();
    // SAFETY: sched_getaffinity(2) writes at most the given size into the set; 0 is the calling thread.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: CPU_ISSET reads a bit inside the set, since cpu < CPU_SETSIZE.
    Ok((0..CPUS_MAX).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu as usize, &set) }).collect())
}

/// Lets the calling thread run on `cpus` only.
///
/// # Errors
/// `InvalidInput` when `cpus` is empty or names a CPU beyond 1023; otherwise what `sched_setaffinity` returns
/// (`EINVAL` when none of them is online or allowed to the process).
pub fn pin_current(cpus: &[u32]) -> io::Result<()> {
    if cpus.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no CPU given"));
    }
    let mut set = empty_set();
    for &cpu in cpus {
        if cpu >= CPUS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("CPU {cpu} is beyond {CPUS_MAX}"),
            ));
        }
        // SAFETY: CPU_SET writes a bit inside the set, since cpu < CPU_SETSIZE.
        unsafe { libc::CPU_SET(cpu as usize, &mut set) };
    }
    // SAFETY: sched_setaffinity(2) reads the given size from the set; 0 is the calling thread.
    if unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn empty_set() -> libc::cpu_set_t {
    // SAFETY: cpu_set_t is an array of integers; all zeroes is the empty set.
    unsafe { MaybeUninit::<libc::cpu_set_t>::zeroed().assume_init() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pinning_narrows_the_calling_thread_and_can_be_undone() {
        std::thread::spawn(|| {
            let before = current().unwrap();
            pin_current(&before[..1]).unwrap();
            assert_eq!(current().unwrap(), before[..1]);
            pin_current(&before).unwrap();
            assert_eq!(current().unwrap(), before);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn nonsense_is_refused_before_the_kernel_sees_it() {
        assert_eq!(pin_current(&[]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        assert_eq!(pin_current(&[1024]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
