//! The filter as the kernel reads it: an interpreter of its instructions asks about every number, and one thread
//! really runs under it.

use super::*;
use std::collections::BTreeSet;
use std::process::Command;

/// Verdicts of the kernel (linux/seccomp.h); the smaller one wins, as a signed number.
const KILL_PROCESS: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const LOG: u32 = 0x7ffc_0000;
const ALLOW: u32 = 0x7fff_0000;
/// `AUDIT_ARCH_*` of this machine and of another one.
#[cfg(target_arch = "x86_64")]
const ARCH: (u32, u32) = (0xc000_003e, 0x4000_0003);
#[cfg(target_arch = "aarch64")]
const ARCH: (u32, u32) = (0xc000_00b7, 0x4000_0028);
/// Beyond the last system call of any architecture.
const NUMBER_MAX: i64 = 600;

/// `struct seccomp_data` as 32-bit words: number, architecture, instruction pointer, six arguments.
fn data(number: i64, arch: u32, arguments: [u64; 6]) -> [u32; 16] {
    let mut words = [0; 16];
    (words[0], words[1]) = (number as u32, arch);
    for (index, argument) in arguments.into_iter().enumerate() {
        (words[4 + 2 * index], words[5 + 2 * index]) = (argument as u32, (argument >> 32) as u32);
    }
    words
}

/// Runs one program: the instructions of classic BPF that filters are made of (linux/bpf_common.h).
fn interpret(program: &BpfProgram, data: &[u32; 16]) -> u32 {
    let (mut at, mut accumulator) = (0_usize, 0_u32);
    loop {
        let one = &program[at];
        at += 1;
        match one.code {
            0x20 => accumulator = data[one.k as usize / 4],
            0x54 => accumulator &= one.k,
            0x05 => at += one.k as usize,
            0x06 => return one.k,
            0x15 | 0x25 | 0x35 => {
                let is_so = match one.code {
                    0x15 => accumulator == one.k,
                    0x25 => accumulator > one.k,
                    _ => accumulator >= one.k,
                };
                at += usize::from(if is_so { one.jt } else { one.jf });
            }
            other => panic!("instruction {other:#x} is not known here"),
        }
    }
}

/// What the kernel does: it asks all filters, and the sternest verdict counts, of equals the newest.
fn verdict(programs: &[BpfProgram], number: i64, arguments: [u64; 6]) -> u32 {
    let data = data(number, ARCH.0, arguments);
    let verdicts = programs.iter().rev().map(|program| interpret(program, &data));
    verdicts
        .fold(None::<u32>, |found, one| match found {
            Some(found) if (found & 0xffff_0000) as i32 <= (one & 0xffff_0000) as i32 => Some(found),
            _ => Some(one),
        })
        .expect("a filter")
}

fn enforced(commands: bool) -> Vec<BpfProgram> {
    programs(Needs { commands, xdp: false }, Action::Enforce).unwrap()
}

const REFUSED: u32 = ERRNO | libc::EPERM as u32;

#[test]
fn exactly_the_named_calls_are_allowed_and_all_others_are_refused() {
    for commands in [false, true] {
        let needs = Needs { commands, xdp: false };
        let (programs, named) = (enforced(commands), allowed(needs));
        let special: BTreeSet<i64> =
            conditional(needs).into_iter().map(|(number, _)| number).chain([libc::SYS_clone3]).collect();
        for number in (0..NUMBER_MAX).filter(|number| !special.contains(number)) {
            let expected = if named.contains_key(&number) { ALLOW } else { REFUSED };
            assert_eq!(verdict(&programs, number, [u64::MAX; 6]), expected, "system call {number}");
        }
        // The x32 numbers of x86-64 are none of ours.
        assert_eq!(verdict(&programs, 0x4000_0000, [0; 6]), REFUSED);
    }
}

#[test]
fn what_takes_over_a_host_is_refused_to_commands_as_well() {
    for commands in [false, true] {
        for (name, number) in calls! {
            SYS_mount SYS_umount2 SYS_pivot_root SYS_chroot SYS_unshare SYS_setns SYS_ptrace SYS_process_vm_readv
            SYS_process_vm_writev SYS_init_module SYS_finit_module SYS_delete_module SYS_kexec_load SYS_reboot SYS_bpf
            SYS_perf_event_open SYS_userfaultfd SYS_io_uring_setup SYS_keyctl SYS_add_key SYS_request_key
            SYS_open_by_handle_at SYS_swapon SYS_settimeofday SYS_clock_settime SYS_adjtimex SYS_sethostname SYS_acct
            SYS_quotactl SYS_syslog SYS_personality SYS_move_pages SYS_migrate_pages SYS_fsopen SYS_move_mount
        } {
            assert_eq!(
                verdict(&enforced(commands), *number, [0; 6]),
                REFUSED,
                "{name}, commands: {commands}"
            );
        }
    }
    for (name, number) in calls! { SYS_execve SYS_execveat SYS_wait4 SYS_setuid SYS_capset SYS_seccomp } {
        assert_eq!(verdict(&enforced(false), *number, [0; 6]), REFUSED, "{name}");
        assert_eq!(verdict(&enforced(true), *number, [0; 6]), ALLOW, "{name}");
    }
    let xdp = programs(Needs { commands: false, xdp: true }, Action::Enforce).unwrap();
    assert_eq!(verdict(&xdp, libc::SYS_bpf, [0; 6]), ALLOW);
}

#[test]
fn arguments_decide_where_they_make_the_difference() {
    let programs = enforced(false);
    for family in 0..46_i32 {
        let expected = if FAMILIES.contains(&family) { ALLOW } else { REFUSED };
        let found = verdict(&programs, libc::SYS_socket, [family as u64, 2, 0, 0, 0, 0]);
        assert_eq!(found, expected, "family {family}");
    }
    let (read, write, execute) = (libc::PROT_READ as u64, libc::PROT_WRITE as u64, libc::PROT_EXEC as u64);
    for (protection, mmap, mprotect) in [
        (0, ALLOW, ALLOW),
        (read | write, ALLOW, ALLOW),
        (read | execute, ALLOW, REFUSED),
        (write | execute, REFUSED, REFUSED),
        (read | write | execute, REFUSED, REFUSED),
    ] {
        let arguments = [0, 4096, protection, 0, 0, 0];
        assert_eq!(verdict(&programs, libc::SYS_mmap, arguments), mmap, "mmap {protection}");
        assert_eq!(verdict(&programs, libc::SYS_mprotect, arguments), mprotect, "mprotect {protection}");
        assert_eq!(verdict(&enforced(true), libc::SYS_mprotect, arguments), ALLOW);
    }
    // A thread as the C library makes it, and the same with one flag for each kind of namespace.
    let thread = 0x3d_0f00_u64;
    assert_eq!(verdict(&programs, libc::SYS_clone, [thread, 0, 0, 0, 0, 0]), ALLOW);
    for bit in (0..32).filter(|bit| NAMESPACES as u32 >> bit & 1 == 1) {
        for commands in [false, true] {
            let found = verdict(&enforced(commands), libc::SYS_clone, [thread | 1 << bit, 0, 0, 0, 0, 0]);
            assert_eq!(found, REFUSED, "bit {bit}");
        }
    }
    assert_eq!(verdict(&programs, libc::SYS_clone3, [0; 6]), ERRNO | libc::ENOSYS as u32);
}

#[test]
fn log_refuses_nothing_but_clone3_and_other_architectures_end_the_process() {
    let logged = programs(Needs::default(), Action::Log).unwrap();
    assert_eq!(verdict(&logged, libc::SYS_mount, [0; 6]), LOG);
    assert_eq!(verdict(&logged, libc::SYS_read, [0; 6]), ALLOW);
    assert_eq!(verdict(&logged, libc::SYS_clone3, [0; 6]), ERRNO | libc::ENOSYS as u32);
    for program in enforced(true) {
        assert_eq!(interpret(&program, &data(libc::SYS_read, ARCH.1, [0; 6])), KILL_PROCESS);
    }
}

/// Under the real kernel, on a thread of its own: a filter is for ever.
fn under(needs: Needs, work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(move || {
        for program in programs(needs, Action::Enforce).unwrap() {
            seccompiler::apply_filter(&program).unwrap();
        }
        work();
    });
    thread.join().expect("what is allowed works");
}

#[test]
fn a_thread_under_the_filter_lives_and_cannot_execute() {
    under(Needs::default(), || {
        let refused = Command::new("/bin/true").status().expect_err("execve is refused");
        assert_eq!(refused.raw_os_error(), Some(libc::EPERM), "{refused}");
        // Threads, memory, files, sockets, time.
        let doubled = std::thread::spawn(|| vec![1_u8; 8 << 20].len() * 2).join().unwrap();
        assert_eq!(doubled, 16 << 20);
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        std::fs::write(&old, "text").unwrap();
        std::fs::rename(&old, &new).unwrap();
        assert_eq!(std::fs::read_to_string(&new).unwrap(), "text");
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        std::net::TcpStream::connect(server.local_addr().unwrap()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1));
    });
}

#[test]
fn a_command_under_the_wide_filter_runs_as_ever_but_takes_nothing_over() {
    under(Needs { commands: true, xdp: false }, || {
        let script = "set -e; cd /; x=$(ls | wc -l); test $x -gt 3; cat /proc/self/status | grep -q 'NoNewPrivs:\\s*1'; \
                      ! unshare -r true 2>/dev/null; ! mount -t tmpfs none /mnt 2>/dev/null; echo well";
        let output = Command::new("/bin/sh").args(["-c", script]).output().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "well\n",
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
}
