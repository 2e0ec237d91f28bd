//! DPDK's log, line by line, into our own.
//!
//! Every line goes to the sink set with [`set_sink`], and the last ones are kept so that an error can quote what
//! the driver said. What C libraries print to `stderr` (libxdp, libbpf) arrives here too, as warnings; Rust's
//! own standard error is untouched. Without a sink DPDK is silent.

use std::collections::VecDeque;
use std::ffi::c_char;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dpdk_sys as ffi;

/// Lines kept for error messages. A failing start logs about ten.
const RECENT_LINES_MAX: usize = 256;
/// A longer line is cut into several: a driver that never ends its line must not eat memory.
const LINE_BYTES_MAX: usize = 4096;

/// How grave DPDK thinks a line is; the graver, the smaller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Level {
    /// Something does not work (DPDK: emergency to error).
    Error,
    /// Something may not work.
    Warning,
    /// Normal but worth knowing.
    Notice,
    /// For the curious.
    Info,
    /// For the author of the driver.
    Debug,
}

impl Level {
    fn from_dpdk(level: u32) -> Self {
        match level {
            0..=ffi::GW_LOG_ERR => Self::Error,
            ffi::GW_LOG_WARNING => Self::Warning,
            ffi::GW_LOG_NOTICE => Self::Notice,
            ffi::GW_LOG_INFO => Self::Info,
            _ => Self::Debug,
        }
    }
}

/// Receives one whole line, without its newline, on whatever thread logged it.
///
/// It must not panic: it is called from C, where a panic aborts the process.
pub type Sink = fn(Level, &str);

/// The two streams that reach us; each assembles its own lines.
#[derive(Clone, Copy)]
enum Stream {
    Dpdk = 0,
    Stderr = 1,
}

struct State {
    sink: Option<Sink>,
    partial: [Vec<u8>; 2],
    recent: VecDeque<(Level, String)>,
    /// Lines ever seen, so that a capture can tell which of the kept ones are its own.
    seen: u64,
    installed: bool,
}

static STATE: Mutex<State> = Mutex::new(State {
    sink: None,
    partial: [Vec::new(), Vec::new()],
    recent: VecDeque::new(),
    seen: 0,
    installed: false,
});

/// Sends every later line to `sink`. Call before [`Eal::init`](crate::Eal::init) to see the start.
pub fn set_sink(sink: Sink) {
    state().sink = Some(sink);
}

/// Redirects DPDK's log and the C libraries' `stderr` to this module, once per process.
pub(crate) fn install() -> io::Result<()> {
    if std::mem::replace(&mut state().installed, true) {
        return Ok(());
    }
    // SAFETY: the callback is a plain function that lives as long as the process.
    if unsafe { ffi::gw_log_to(Some(on_dpdk)) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: as above; glibc allows `stderr` to be assigned, and this happens before DPDK starts a thread.
    if unsafe { ffi::gw_stderr_to(Some(on_stderr)) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Marks a moment, to ask later which problems were logged since.
#[derive(Clone, Copy)]
pub(crate) struct Capture {
    since: u64,
}

impl Capture {
    /// Starts now.
    pub(crate) fn start() -> Self {
        Self { since: state().seen }
    }

    /// The warnings and errors logged since, oldest first.
    pub(crate) fn problems(&self) -> Vec<String> {
        let state = state();
        let own = usize::try_from(state.seen - self.since).unwrap_or(usize::MAX).min(state.recent.len());
        state
            .recent
            .iter()
            .skip(state.recent.len() - own)
            .filter(|(level, _)| *level <= Level::Warning)
            .map(|(_, line)| line.clone())
            .collect()
    }
}

unsafe extern "C" fn on_dpdk(level: u32, text: *const c_char, len: usize) {
    // SAFETY: the shim passes on the buffer and length that stdio gave to the write function.
    unsafe { receive(Stream::Dpdk, level, text, len) }
}

unsafe extern "C" fn on_stderr(level: u32, text: *const c_char, len: usize) {
    // SAFETY: the shim passes on the buffer and length that stdio gave to the write function.
    unsafe { receive(Stream::Stderr, level, text, len) }
}

/// # Safety
/// `text` must be readable for `len` bytes.
unsafe fn receive(stream: Stream, level: u32, text: *const c_char, len: usize) {
    if text.is_null() {
        return;
    }
    // SAFETY: the caller vouches for the range, and the bytes outlive this call.
    let chunk = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
    accept(stream, Level::from_dpdk(level), chunk);
}

/// Cuts a chunk into lines, keeps them and hands them to the sink outside the lock, since a sink may log.
fn accept(stream: Stream, level: Level, chunk: &[u8]) {
    let mut state = state();
    let lines = complete_lines(&mut state.partial[stream as usize], chunk);
    let lines: Vec<String> = lines.into_iter().filter(|line| !is_echo(stream, line)).collect();
    for line in &lines {
        if state.recent.len() == RECENT_LINES_MAX {
            state.recent.pop_front();
        }
        state.recent.push_back((level, line.clone()));
        state.seen += 1;
    }
    let sink = state.sink;
    drop(state);
    if let Some(sink) = sink {
        for line in &lines {
            sink(level, line);
        }
    }
}

/// Appends `chunk` to what is pending and takes out every line that is now complete.
fn complete_lines(partial: &mut Vec<u8>, chunk: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    for piece in chunk.split_inclusive(|&byte| byte == b'\n') {
        let ended = piece.ends_with(b"\n");
        partial.extend_from_slice(piece.strip_suffix(b"\n").unwrap_or(piece));
        if ended || partial.len() >= LINE_BYTES_MAX {
            let line = String::from_utf8_lossy(partial).trim_end().to_owned();
            partial.clear();
            if !line.is_empty() {
                lines.push(line);
            }
        }
    }
    lines
}

/// EAL prints its fatal line to stderr and logs the same text.
fn is_echo(stream: Stream, line: &str) -> bool {
    matches!(stream, Stream::Stderr) && line.starts_with("EAL: FATAL:")
}

fn state() -> MutexGuard<'static, State> {
    // A panic while holding the lock cannot leave the state half-changed in a way that matters to a log.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_whole_however_they_arrive() {
        let mut partial = Vec::new();
        assert!(complete_lines(&mut partial, b"EAL: half").is_empty());
        assert_eq!(complete_lines(&mut partial, b" a line\nnext\n\nre"), ["EAL: half a line", "next"]);
        assert_eq!(complete_lines(&mut partial, b"st\r\n"), ["rest"]);
        assert!(partial.is_empty());
    }

    #[test]
    fn a_line_without_end_is_cut_and_bad_utf8_is_shown() {
        let mut partial = Vec::new();
        let endless = vec![b'x'; LINE_BYTES_MAX + 10];
        assert_eq!(complete_lines(&mut partial, &endless).len(), 1);
        partial.clear();
        assert_eq!(complete_lines(&mut partial, b"a\xffb\n"), ["a\u{fffd}b"]);
    }

    #[test]
    fn dpdk_levels_keep_their_order() {
        assert_eq!(Level::from_dpdk(1), Level::Error);
        assert_eq!(Level::from_dpdk(4), Level::Error);
        assert_eq!(Level::from_dpdk(5), Level::Warning);
        assert_eq!(Level::from_dpdk(8), Level::Debug);
        assert!(Level::Error < Level::Warning && Level::Info < Level::Debug);
    }
}
