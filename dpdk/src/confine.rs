//! What the process may still do: capabilities of every one of its threads, and the filter of system calls.
//!
//! Capabilities belong to threads, and `capset(2)` changes those of the caller only. A process has given something up
//! when all its threads have, those of the EAL included, which nobody can ask; so each gets a signal whose handler does
//! it. The filter and `no_new_privs` reach all threads by themselves (`SECCOMP_FILTER_FLAG_TSYNC`). All of it is for
//! ever: threads that start later inherit it.

use std::fs;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Version 3 of `capset(2)`: two words of 32 bits each (linux/capability.h).
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;
/// `SECCOMP_SET_MODE_FILTER` (linux/seccomp.h).
const SET_MODE_FILTER: libc::c_ulong = 1;
/// `SECBIT_NOROOT` and its lock (linux/securebits.h): root executes programs like anyone else.
const NO_ROOT: libc::c_ulong = 0b11;
/// Every capability there can be: one bit each.
const CAPABILITIES_MAX: u32 = 64;
/// How long all threads together may take to give up their capabilities.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at the threads.
const LOOK: Duration = Duration::from_millis(2);

/// What the handler leaves to its thread; written before the first signal.
static KEPT: AtomicU64 = AtomicU64::new(0);

/// `struct __user_cap_header_struct`.
#[repr(C)]
struct Header {
    version: u32,
    pid: libc::c_int,
}

/// `struct __user_cap_data_struct`, twice: the low words, then the high ones.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Words {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Capabilities of one thread, a bit each by their numbers in linux/capability.h.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// What it can use at once.
    pub effective: u64,
    /// What it can make effective.
    pub permitted: u64,
    /// What a program that it executes may get.
    pub inheritable: u64,
}

/// The capabilities of the calling thread.
///
/// # Errors
/// What `capget(2)` answers.
pub fn capabilities() -> io::Result<Capabilities> {
    let mut header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut words = [Words::default(); 2];
    // SAFETY: capget(2) writes two structures for version 3; 0 is the calling thread.
    let code = unsafe { libc::syscall(libc::SYS_capget, &raw mut header, words.as_mut_ptr()) };
    if code != 0 {
        return Err(io::Error::last_os_error());
    }
    let whole = |word: fn(&Words) -> u32| u64::from(word(&words[1])) << 32 | u64::from(word(&words[0]));
    Ok(Capabilities {
        effective: whole(|words| words.effective),
        permitted: whole(|words| words.permitted),
        inheritable: whole(|words| words.inheritable),
    })
}

/// Makes effective what of `wanted` is permitted to the calling thread, and returns what is effective then. A program
/// with file capabilities that are only permitted starts with none that is effective.
///
/// # Errors
/// What `capget(2)` or `capset(2)` answers.
pub fn raise(wanted: u64) -> io::Result<u64> {
    let held = capabilities()?;
    let effective = held.effective | (held.permitted & wanted);
    if effective != held.effective {
        set(Capabilities { effective, ..held })?;
    }
    Ok(effective)
}

/// Has every thread of the process give up all capabilities but `keep`; none stays inheritable or ambient, so that
/// programs that are executed get none. What `keep` names and a thread does not have it does not get.
///
/// # Errors
/// When a thread does not: its name is in the message.
pub fn keep_only(keep: u64) -> io::Result<()> {
    if holders(keep)?.is_empty() {
        return Ok(());
    }
    KEPT.store(keep, Ordering::SeqCst);
    give_up(keep);
    // What this thread is refused, by a filter around the process, all are.
    if capabilities()?.permitted & !keep != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "capset(2) is refused"));
    }
    let signal = install_handler()?;
    let deadline = Instant::now() + PATIENCE;
    let mut told = Vec::new();
    loop {
        let Some(holder) = holders(keep)?.into_iter().next() else { return Ok(()) };
        // A thread that was told may not have run since; one that is new inherited what its maker had.
        for thread in holders(keep)?.into_iter().map(|(thread, _)| thread) {
            if !told.contains(&thread) {
                told.push(thread);
                tell(thread, signal);
            }
        }
        if Instant::now() > deadline {
            let (thread, name) = holder;
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("thread {thread} ({name}) has not given up its capabilities within {PATIENCE:?}"),
            ));
        }
        std::thread::sleep(LOOK);
    }
}

/// Threads that have more than `keep`, with their names.
fn holders(keep: u64) -> io::Result<Vec<(libc::pid_t, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let folder = entry?.path();
        // A thread that has ended meanwhile has nothing.
        let Ok(status) = fs::read_to_string(folder.join("status")) else { continue };
        let Some(thread) = folder.file_name().and_then(|name| name.to_str()?.parse().ok()) else { continue };
        let field = |key: &str| status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let has_more = ["CapEff:", "CapPrm:", "CapInh:", "CapAmb:"].into_iter().any(|key| {
            let allowed = if matches!(key, "CapEff:" | "CapPrm:") { keep } else { 0 };
            field(key)
                .and_then(|hex| u64::from_str_radix(hex, 16).ok())
                .is_some_and(|held| held & !allowed != 0)
        });
        // A thread that is about to be gone cannot take signals any more.
        let is_ending = field("State:").is_some_and(|state| state.starts_with(['Z', 'X']));
        if has_more && !is_ending {
            found.push((thread, field("Name:").unwrap_or_default().to_owned()));
        }
    }
    Ok(found)
}

fn tell(thread: libc::pid_t, signal: libc::c_int) {
    // SAFETY: getpid(2) takes nothing and cannot fail.
    let process = unsafe { libc::getpid() };
    // SAFETY: tgkill(2) takes numbers. A thread of this process that is gone is no harm: ESRCH.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}

/// Takes a real-time signal that nobody uses, from the top: the tap driver takes its own from the bottom. It stays
/// taken: one that is still on its way must not meet the default, which is the end of the process.
fn install_handler() -> io::Result<libc::c_int> {
    for signal in (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev() {
        // SAFETY: all-zero is a valid sigaction: SIG_DFL, no flags, an empty mask.
        let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: sigaction(2) only writes the old disposition.
        if unsafe { libc::sigaction(signal, ptr::null(), &raw mut before) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let handler = on_signal as extern "C" fn(libc::c_int) as libc::sighandler_t;
        if before.sa_sigaction == handler {
            return Ok(signal);
        }
        if before.sa_sigaction != libc::SIG_DFL {
            continue;
        }
        before.sa_sigaction = handler;
        before.sa_flags = libc::SA_RESTART;
        // SAFETY: the handler only makes system calls, which is allowed in any thread at any time.
        if unsafe { libc::sigaction(signal, &raw const before, ptr::null_mut()) } != 0 {
            return Err(io::Error::last_os_error());
        }
        return Ok(signal);
    }
    Err(io::Error::other("all real-time signals are in use"))
}

extern "C" fn on_signal(_signal: libc::c_int) {
    // SAFETY: the location of errno of this thread, which what it interrupts may be about to read.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: it is valid as long as the thread is.
    let before = unsafe { errno.read() };
    give_up(KEPT.load(Ordering::SeqCst));
    // SAFETY: as above.
    unsafe { errno.write(before) };
}

/// Reduces the calling thread to `keep`. Only system calls: it runs in a signal handler. Whether it did is seen in
/// /proc, for all threads alike.
fn give_up(keep: u64) {
    // SAFETY: prctl(2) with numbers. An old kernel without ambient capabilities answers EINVAL.
    unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) };
    // This and the bounding set need CAP_SETPCAP, which root has and a service has not; for it no_new_privs does the same.
    // SAFETY: prctl(2) with numbers.
    unsafe { libc::prctl(libc::PR_SET_SECUREBITS, NO_ROOT, 0, 0, 0) };
    for capability in (0..CAPABILITIES_MAX).filter(|number| keep >> number & 1 == 0) {
        // SAFETY: prctl(2) with numbers; one that the kernel does not know, or without the right, is an error.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, libc::c_ulong::from(capability), 0, 0, 0) } != 0 {
            break;
        }
    }
    let Ok(held) = capabilities() else { return };
    let left =
        Capabilities { effective: held.effective & keep, permitted: held.permitted & keep, inheritable: 0 };
    let _ = set(left);
}

/// Sets the capabilities of the calling thread.
fn set(to: Capabilities) -> io::Result<()> {
    let mut header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let words = |shift: u32| Words {
        effective: (to.effective >> shift) as u32,
        permitted: (to.permitted >> shift) as u32,
        inheritable: (to.inheritable >> shift) as u32,
    };
    let words = [words(0), words(32)];
    // SAFETY: capset(2) reads two structures for version 3; 0 is the calling thread.
    match unsafe { libc::syscall(libc::SYS_capset, &raw mut header, words.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// No program that is executed from now on gets more than this process has, whatever its file says
/// (`PR_SET_NO_NEW_PRIVS`). For the calling thread; [`filter_system_calls`] carries it to the others.
///
/// # Errors
/// What `prctl(2)` answers.
pub fn no_new_privileges() -> io::Result<()> {
    // SAFETY: prctl(2) with numbers.
    match unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Puts a filter of system calls on every thread. If `is_logged`, what it refuses is noted by the kernel (audit, or its
/// log where no audit daemon runs).
///
/// # Errors
/// `EACCES` without [`no_new_privileges`] before, `EINVAL` for a program that the kernel does not take, otherwise what
/// `seccomp(2)` answers.
pub fn filter_system_calls(program: &[libc::sock_filter], is_logged: bool) -> io::Result<()> {
    let len = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::E2BIG))?;
    let program = libc::sock_fprog { len, filter: program.as_ptr().cast_mut() };
    let log = if is_logged { libc::SECCOMP_FILTER_FLAG_LOG } else { 0 };
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | log;
    // SAFETY: the kernel copies `len` instructions from the program, which outlives the call.
    match unsafe { libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, flags, &raw const program) } {
        0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        thread => {
            Err(io::Error::other(format!("thread {thread} has another filter, so it cannot get this one")))
        }
    }
}
