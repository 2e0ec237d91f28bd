//! The filter of system calls: what the program does once it forwards, and nothing else.
//!
//! Found by reading what the program and its libraries do and by tracing all end-to-end tests. It is made after the
//! start, so what only a start needs (opening devices, mapping hugepages of vfio, loading drivers) is not in it.
//!
//! Health checks by `command` are other people's programs, which inherit the filter for ever; where there are any, or
//! may be, the list is that of ordinary programs, and what no such program needs stays refused.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Len, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use super::Action;

/// What decides how wide the filter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Programs may be executed: a health check by `command` is there, or may come by a reload.
    pub commands: bool,
    /// `net_af_xdp` takes its program off the interface at the end, by bpf(2).
    pub xdp: bool,
}

/// Numbers of system calls by their names in the C library.
macro_rules! calls {
    ($($name:ident)*) => { &[$((stringify!($name), libc::$name),)*] };
}

type Calls = &'static [(&'static str, libc::c_long)];

/// Memory, threads, time, signals: what any Rust program with threads does.
const PROCESS: Calls = calls! {
    SYS_brk SYS_munmap SYS_mremap SYS_madvise SYS_mincore SYS_msync SYS_membarrier
    SYS_mlock SYS_mlock2 SYS_munlock SYS_mlockall SYS_munlockall
    SYS_mbind SYS_set_mempolicy SYS_get_mempolicy SYS_memfd_create
    SYS_futex SYS_set_robust_list SYS_get_robust_list SYS_rseq SYS_restart_syscall
    SYS_sched_yield SYS_sched_getaffinity SYS_sched_setaffinity SYS_sched_getparam SYS_sched_getscheduler
    SYS_sched_get_priority_max SYS_sched_get_priority_min SYS_getcpu SYS_getpriority
    SYS_set_tid_address SYS_exit SYS_exit_group
    SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_rt_sigpending SYS_rt_sigtimedwait SYS_rt_sigqueueinfo
    SYS_rt_sigsuspend SYS_rt_tgsigqueueinfo SYS_sigaltstack SYS_kill SYS_tkill SYS_tgkill
    SYS_clock_gettime SYS_clock_getres SYS_clock_nanosleep SYS_nanosleep SYS_gettimeofday SYS_times
    SYS_getpid SYS_getppid SYS_gettid SYS_getuid SYS_geteuid SYS_getgid SYS_getegid SYS_getgroups SYS_getpgid SYS_getsid
    SYS_getresuid SYS_getresgid SYS_capget
    SYS_getrandom SYS_getrusage SYS_getrlimit SYS_setrlimit SYS_prlimit64 SYS_sysinfo SYS_uname SYS_prctl
};

/// Files, pipes, events.
const FILES: Calls = calls! {
    SYS_read SYS_readv SYS_pread64 SYS_preadv SYS_preadv2 SYS_write SYS_writev SYS_pwrite64 SYS_pwritev SYS_pwritev2
    SYS_openat SYS_openat2 SYS_close SYS_close_range SYS_lseek SYS_fstat SYS_newfstatat SYS_statx SYS_statfs SYS_fstatfs
    SYS_faccessat SYS_faccessat2 SYS_readlinkat SYS_getdents64 SYS_getcwd SYS_umask
    SYS_fsync SYS_fdatasync SYS_ftruncate SYS_fallocate SYS_flock SYS_fcntl SYS_ioctl
    SYS_renameat SYS_renameat2 SYS_unlinkat SYS_mkdirat SYS_linkat SYS_symlinkat SYS_fchmod SYS_fchmodat SYS_fchown
    SYS_fchownat SYS_utimensat
    SYS_dup SYS_dup3 SYS_pipe2 SYS_eventfd2 SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_epoll_pwait2
    SYS_ppoll SYS_pselect6 SYS_timerfd_create SYS_timerfd_settime SYS_timerfd_gettime SYS_signalfd4
    SYS_copy_file_range SYS_sendfile SYS_splice
};

/// Sockets, once there are any; which kinds there can be is said by a rule on `socket(2)`.
const SOCKETS: Calls = calls! {
    SYS_socketpair SYS_bind SYS_connect SYS_listen SYS_accept SYS_accept4 SYS_shutdown
    SYS_getsockname SYS_getpeername SYS_getsockopt SYS_setsockopt
    SYS_sendto SYS_sendmsg SYS_sendmmsg SYS_recvfrom SYS_recvmsg SYS_recvmmsg
};

/// What an architecture has besides: the older forms of x86-64.
#[cfg(target_arch = "x86_64")]
const OF_ARCHITECTURE: Calls = calls! {
    SYS_open SYS_stat SYS_lstat SYS_access SYS_readlink SYS_poll SYS_select SYS_epoll_wait SYS_epoll_create SYS_eventfd
    SYS_pipe SYS_dup2 SYS_rename SYS_unlink SYS_mkdir SYS_rmdir SYS_chmod SYS_chown SYS_lchown SYS_link SYS_symlink
    SYS_getpgrp SYS_time SYS_arch_prctl SYS_getdents SYS_pause SYS_creat SYS_utimes
};
#[cfg(not(target_arch = "x86_64"))]
const OF_ARCHITECTURE: Calls = &[];

/// What ordinary programs do besides: shells, curl, Python, ping.
const COMMANDS: Calls = calls! {
    SYS_execve SYS_execveat SYS_wait4 SYS_waitid SYS_setpgid SYS_setsid SYS_pidfd_open SYS_pidfd_send_signal
    SYS_mmap SYS_mprotect SYS_pkey_mprotect SYS_pkey_alloc SYS_pkey_free SYS_chdir SYS_fchdir SYS_truncate SYS_sync
    SYS_sync_file_range SYS_fadvise64 SYS_readahead SYS_getitimer SYS_setitimer SYS_timer_create SYS_timer_settime
    SYS_timer_gettime SYS_timer_getoverrun SYS_timer_delete SYS_setpriority SYS_sched_getattr SYS_sched_rr_get_interval
    SYS_inotify_init1 SYS_inotify_add_watch SYS_inotify_rm_watch SYS_getxattr SYS_lgetxattr SYS_fgetxattr SYS_listxattr
    SYS_llistxattr SYS_flistxattr SYS_vmsplice SYS_tee SYS_shmget SYS_shmat SYS_shmdt SYS_shmctl SYS_semget SYS_semop
    SYS_semctl SYS_semtimedop SYS_msgget SYS_msgsnd SYS_msgrcv SYS_msgctl SYS_ioprio_get SYS_mknodat
    SYS_capset SYS_seccomp SYS_setuid SYS_setgid SYS_setreuid SYS_setregid SYS_setresuid SYS_setresgid SYS_setgroups
};
#[cfg(target_arch = "x86_64")]
const COMMANDS_OF_ARCHITECTURE: Calls =
    calls! { SYS_fork SYS_vfork SYS_alarm SYS_utime SYS_mknod SYS_inotify_init SYS_futimesat };
#[cfg(not(target_arch = "x86_64"))]
const COMMANDS_OF_ARCHITECTURE: Calls = &[];

const XDP: Calls = calls! { SYS_bpf };

/// Kinds of sockets that are opened after the start. AF_PACKET is not among them: ports are open by then.
const FAMILIES: [libc::c_int; 4] = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];

/// Flags of `clone(2)` that make namespaces, in which a process would be privileged again.
const NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// System calls that are allowed whatever their arguments, by number with their names.
pub fn allowed(needs: Needs) -> BTreeMap<i64, &'static str> {
    let mut lists = vec![PROCESS, FILES, SOCKETS, OF_ARCHITECTURE];
    if needs.commands {
        lists.extend([COMMANDS, COMMANDS_OF_ARCHITECTURE]);
    }
    if needs.xdp {
        lists.push(XDP);
    }
    let name = |name: &'static str| name.trim_start_matches("SYS_");
    let conditional: Vec<i64> = conditional(needs).into_iter().map(|(number, _)| number).collect();
    let all = lists.into_iter().flatten().map(|(text, number)| (*number, name(text)));
    all.filter(|(number, _)| !conditional.contains(number)).collect()
}

/// One way in which a system call is allowed: (argument, bits that count, their value), all of which must hold.
type Way = Vec<(u8, u64, u64)>;

/// System calls that are allowed with some arguments only.
fn conditional(needs: Needs) -> Vec<(i64, Vec<Way>)> {
    let (write, execute) = (libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
    let whole = u64::from(u32::MAX);
    let sockets = FAMILIES.into_iter().map(|family| vec![(0, whole, family as u64)]).collect();
    let mut ways = vec![
        (libc::SYS_socket, sockets),
        // Its flags are where namespaces are made; clone3 hides them behind a pointer and is answered separately.
        (libc::SYS_clone, vec![vec![(0, NAMESPACES as u64, 0)]]),
    ];
    if !needs.commands {
        // No memory is both written and executed: what is written into this process is never code. Programs of
        // others may compile at run time.
        ways.push((libc::SYS_mmap, vec![vec![(2, write, 0)], vec![(2, execute, 0)]]));
        ways.push((libc::SYS_mprotect, vec![vec![(2, execute, 0)]]));
    }
    ways
}

/// The programs for the kernel, in the order in which they are to be installed. What all but the last refuse is expected,
/// and not to be logged.
///
/// # Errors
/// When the compiler of filters refuses, which a test excludes for this architecture.
pub fn programs(needs: Needs, action: Action) -> Result<Vec<BpfProgram>, seccompiler::Error> {
    let arch: TargetArch = std::env::consts::ARCH.try_into()?;
    let refusal = match action {
        Action::Enforce => SeccompAction::Errno(libc::EPERM as u32),
        Action::Log => SeccompAction::Log,
    };
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        allowed(needs).into_keys().map(|number| (number, Vec::new())).collect();
    for (number, ways) in conditional(needs) {
        let rule = |way: Way| {
            let condition =
                |(index, mask, value)| SeccompCondition::new(index, Len::Qword, Op::MaskedEq(mask), value);
            SeccompRule::new(way.into_iter().map(condition).collect::<Result<_, _>>()?)
        };
        rules.insert(number, ways.into_iter().map(rule).collect::<Result<_, _>>()?);
    }
    // The C library asks for clone3 first and takes clone when there is none, which can be looked at.
    let no_clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    rules.insert(libc::SYS_clone3, Vec::new());
    let main = SeccompFilter::new(rules, refusal, SeccompAction::Allow, arch)?;
    let second =
        SeccompFilter::new(no_clone3, SeccompAction::Allow, SeccompAction::Errno(libc::ENOSYS as u32), arch)?;
    // The main one comes last: it refuses seccomp(2).
    Ok(vec![second.try_into()?, main.try_into()?])
}

#[cfg(test)]
mod tests;
