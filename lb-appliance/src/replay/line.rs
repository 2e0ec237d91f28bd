//! One input frame's line of `replay --json`.
//!
//! A contract: these keys, in this order, and nothing else.

use serde::Serialize;
use std::io::{self, Write};

/// The verdict on one frame, in names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line<'a> {
    /// Position of the frame in the capture, from 0.
    pub(super) n: u64,
    pub(super) verdict: &'static str,
    pub(super) reason: Option<&'static str>,
    pub(super) vip: Option<&'a str>,
    pub(super) backend: Option<&'a str>,
}

impl Line<'_> {
    /// Writes the line with its end.
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_contract_to_the_byte() {
        let mut out = Vec::new();
        let line = Line { n: 0, verdict: "forward", reason: None, vip: Some("web"), backend: Some("web-1") };
        line.write(&mut out).unwrap();
        let expected = r#"{"n":0,"verdict":"forward","reason":null,"vip":"web","backend":"web-1"}"#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\n"));
    }
}
