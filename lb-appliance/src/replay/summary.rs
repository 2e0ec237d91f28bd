//! What a replay counted, and the proof that nothing went missing.

use lb_core::counters::WorkerCounters;
use lb_core::reason::{DropReason, PuntReason};
use lb_core::verdict::Verdict;
use std::fmt;

/// Counts of a replay, made from the verdicts and independent of the packet path's own counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Frames read from the capture.
    pub frames: u64,
    /// Frames sent to a backend.
    pub forwarded: u64,
    /// Frames sent to a backend in pieces.
    pub fragmented: u64,
    /// The pieces.
    pub pieces: u64,
    /// Frames turned into a reply of our own.
    pub answered: u64,
    /// Frames for the kernel, by `PuntReason as usize`.
    pub punts: [u64; PuntReason::COUNT],
    /// Frames dropped, by `DropReason as usize`.
    pub drops: [u64; DropReason::COUNT],
    /// Frames of which the capture holds only the beginning.
    pub snapped: u64,
    /// Frames with a stamp before that of an earlier frame; for them the clock stood still.
    pub backwards: u64,
    /// Frames with a stamp outside 1970-2106, which the output cannot say.
    pub unrepresentable: u64,
}

/// Counts that should be equal and are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "frames went missing inside guideway ({what}: {expected} expected, {counted} counted); please report this"
)]
pub struct NotConserved {
    /// Which count.
    pub what: String,
    /// By the verdicts, or by the capture.
    pub expected: u64,
    /// By the packet path.
    pub counted: u64,
}

impl Summary {
    /// Counts one verdict.
    pub(super) fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Forward(_) | Verdict::Return(_) => self.forwarded += 1,
            Verdict::Split(..) => self.fragmented += 1,
            Verdict::Answer(_) => self.answered += 1,
            // Not what becomes of a frame: counted again when that is known.
            Verdict::Hold(_) => {}
            Verdict::Punt(reason) => self.punts[reason as usize] += 1,
            Verdict::Drop(reason) => self.drops[reason as usize] += 1,
        }
    }

    /// Frames for the kernel.
    pub fn punted(&self) -> u64 {
        self.punts.iter().sum()
    }

    /// Frames dropped.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().sum()
    }

    /// Holds `received = sent whole + fragmented + answered + punted + drops` against the packet path's counters.
    ///
    /// # Errors
    /// The first count that differs.
    pub(super) fn conserved(&self, counters: &WorkerCounters) -> Result<(), NotConserved> {
        let pairs = [
            ("received", self.frames, counters.received.get()),
            ("sent", self.forwarded + self.pieces, counters.sent.get()),
            ("fragmented", self.fragmented, counters.fragmented.get()),
            ("fragments made", self.pieces, counters.fragments_made.get()),
            ("answered", self.answered, counters.answered.get()),
            ("punted", self.punted(), counters.punted.get()),
            ("accounted for", self.frames, counters.accounted()),
        ];
        let drops = DropReason::ALL.iter().map(|reason| {
            let at = *reason as usize;
            (reason.name(), self.drops[at], counters.drops.packets[at].get())
        });
        match pairs.into_iter().chain(drops).find(|(_, expected, counted)| expected != counted) {
            None => Ok(()),
            Some((what, expected, counted)) => Err(NotConserved { what: what.to_owned(), expected, counted }),
        }
    }

    /// One sentence per thing about the capture that the reader of the results should know.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let mut warn = |count: u64, text: &str| {
            if count != 0 {
                warnings.push(format!("{count} {} {text}", if count == 1 { "frame" } else { "frames" }));
            }
        };
        warn(
            self.snapped,
            "captured in part only (capture with a larger snap length): judged by what is there",
        );
        warn(self.backwards, "stamped earlier than a frame before: the clock stood still for them");
        warn(self.unrepresentable, "stamped outside 1970-2106: written with the nearest moment");
        warnings
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} frames = {} forwarded + {} answered + {} punted + {} dropped",
            self.frames,
            self.forwarded + self.fragmented,
            self.answered,
            self.punted(),
            self.dropped()
        )?;
        if self.fragmented != 0 {
            write!(f, "\n  forwarded in {} pieces: {}", self.pieces, self.fragmented)?;
        }
        let punts =
            PuntReason::ALL.iter().map(|reason| ("punted", reason.name(), self.punts[*reason as usize]));
        let drops =
            DropReason::ALL.iter().map(|reason| ("dropped", reason.name(), self.drops[*reason as usize]));
        for (what, reason, count) in punts.chain(drops).filter(|(_, _, count)| *count != 0) {
            write!(f, "\n  {what} {reason}: {count}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::reason::AnswerReason;

    #[test]
    fn the_summary_reads_as_an_equation() {
        let mut summary = Summary { frames: 4, ..Summary::default() };
        for verdict in [
            Verdict::Forward(3),
            Verdict::Answer(AnswerReason::EchoReply),
            Verdict::Punt(PuntReason::NotIp),
            Verdict::Drop(DropReason::Checksum),
        ] {
            summary.count(verdict);
        }
        let expected = "4 frames = 1 forwarded + 1 answered + 1 punted + 1 dropped\n  \
                        punted not_ip: 1\n  dropped checksum: 1";
        assert_eq!(summary.to_string(), expected);
    }

    #[test]
    fn a_missing_frame_is_named() {
        let counters = WorkerCounters::new(1, 1);
        counters.received.add(2);
        counters.sent.add(1);
        counters.drops.count(DropReason::Checksum, 60);
        let mut summary = Summary { frames: 2, forwarded: 1, ..Summary::default() };
        summary.count(Verdict::Drop(DropReason::Checksum));
        assert_eq!(summary.conserved(&counters), Ok(()));
        summary.frames = 3;
        assert_eq!(summary.conserved(&counters).unwrap_err().what, "received");
        summary.frames = 2;
        summary.drops = Default::default();
        assert_eq!(summary.conserved(&counters).unwrap_err().what, "checksum");
    }

    #[test]
    fn warnings_are_given_once_each_and_only_with_cause() {
        assert!(Summary::default().warnings().is_empty());
        let summary = Summary { snapped: 7, backwards: 1, ..Summary::default() };
        let warnings = summary.warnings();
        assert_eq!(warnings.len(), 2);
        assert!(warnings[0].starts_with("7 frames captured in part"));
        assert!(warnings[1].starts_with("1 frame stamped earlier"));
    }
}
