//! Capabilities of all threads, by what the kernel says of them. A test of its own: the process gives them up for good.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use dpdk::confine;

const NET_RAW: u64 = 1 << 13;
const NET_ADMIN: u64 = 1 << 12;

/// One line of the status of every thread, by its number.
fn of_all_threads(key: &str) -> BTreeMap<String, String> {
    let folders = fs::read_dir("/proc/self/task").expect("the threads of this process").flatten();
    let line = |folder: fs::DirEntry| {
        let status = fs::read_to_string(folder.path().join("status")).ok()?;
        let value = status.lines().find_map(|line| line.strip_prefix(key))?.trim().to_owned();
        Some((folder.file_name().to_string_lossy().into_owned(), value))
    };
    folders.filter_map(line).collect()
}

#[test]
fn every_thread_gives_up_what_is_not_kept_wherever_it_waits() {
    let held = confine::capabilities().unwrap();
    if held.permitted & NET_RAW == 0 {
        println!("skipped: this process has no capabilities to give up (run it as root)");
        return;
    }
    // One that waits for a lock, one in a system call, one that computes.
    let (_sender, receiver) = channel::<()>();
    std::thread::spawn(move || receiver.recv());
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let reader = std::thread::spawn(move || socket.recv(&mut [0; 4]));
    std::thread::spawn(|| {
        loop {
            std::hint::spin_loop();
        }
    });
    std::thread::sleep(Duration::from_millis(50));

    confine::keep_only(NET_RAW).unwrap();
    let expected = format!("{NET_RAW:016x}");
    for key in ["CapEff:", "CapPrm:"] {
        let found = of_all_threads(key);
        assert!(found.len() >= 4 && found.values().all(|value| *value == expected), "{key} {found:?}");
    }
    for key in ["CapInh:", "CapAmb:"] {
        let found = of_all_threads(key);
        assert!(found.values().all(|value| value.trim_start_matches('0').is_empty()), "{key} {found:?}");
    }
    // What was interrupted goes on, and a new thread has no more than its maker.
    UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"ping", address).unwrap();
    assert_eq!(reader.join().unwrap().unwrap(), 4);
    let later = std::thread::spawn(|| confine::capabilities().unwrap()).join().unwrap();
    assert_eq!(later.effective, NET_RAW);

    // Nor has a program that root executes, although the bounding set still has what is kept.
    let program = Command::new("/bin/grep").args(["CapPrm", "/proc/self/status"]).output().unwrap();
    let said = String::from_utf8_lossy(&program.stdout).into_owned();
    assert_eq!(said.trim(), "CapPrm:\t0000000000000000");

    // Never back: neither by asking for it nor by asking to keep it.
    assert_eq!(confine::raise(NET_ADMIN).unwrap(), NET_RAW);
    confine::keep_only(NET_RAW | NET_ADMIN).unwrap();
    assert_eq!(confine::capabilities().unwrap().effective, NET_RAW);
    confine::keep_only(0).unwrap();
    assert!(of_all_threads("CapEff:").values().all(|value| value.trim_start_matches('0').is_empty()));
    if held.effective & 1 << 8 != 0 {
        let found = of_all_threads("CapBnd:");
        assert!(found.values().all(|value| *value == expected), "{found:?}");
    }
}

#[test]
fn a_filter_needs_no_new_privileges_first_and_reaches_all_threads() {
    // One instruction: allow everything.
    let allow = [libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: libc::SECCOMP_RET_ALLOW }];
    std::thread::spawn(|| std::thread::sleep(Duration::from_secs(30)));
    confine::no_new_privileges().unwrap();
    confine::filter_system_calls(&allow, true).unwrap();
    for (key, expected) in [("Seccomp:", "2"), ("NoNewPrivs:", "1")] {
        let found = of_all_threads(key);
        assert!(found.len() >= 2 && found.values().all(|value| value == expected), "{key} {found:?}");
    }
    let nonsense = [libc::sock_filter { code: 0xffff, jt: 0, jf: 0, k: 0 }];
    assert_eq!(
        confine::filter_system_calls(&nonsense, false).unwrap_err().raw_os_error(),
        Some(libc::EINVAL)
    );
}
