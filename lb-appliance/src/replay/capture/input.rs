//! A window that moves over a byte stream and knows where it is.
//!
//! Holds one record and the rest of one read; how much may be asked for is the caller's to bound.

use std::io::{self, ErrorKind, Read};
use std::ops::Range;

/// Bytes asked of the reader at once.
const READ_BYTES: usize = 1 << 16;

/// A byte stream with look-ahead.
#[derive(Debug)]
pub(super) struct Input<R> {
    reader: R,
    window: Vec<u8>,
    /// Bytes of the window that have been read and not taken.
    ahead: Range<usize>,
    /// Bytes of the window that were taken last.
    taken: Range<usize>,
    /// Where `ahead` begins in the stream, bytes.
    offset: u64,
}

impl<R: Read> Input<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, window: vec![0; READ_BYTES], ahead: 0..0, taken: 0..0, offset: 0 }
    }

    /// Bytes taken so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next `len` bytes; fewer only at the end of the stream.
    pub(super) fn peek(&mut self, len: usize) -> io::Result<&[u8]> {
        self.fill(len)?;
        let end = self.ahead.end.min(self.ahead.start + len);
        Ok(&self.window[self.ahead.start..end])
    }

    /// Takes the next `len` bytes, for [`Self::taken`]; fewer, and that many, only at the end of the stream.
    pub(super) fn take(&mut self, len: usize) -> io::Result<usize> {
        let found = self.peek(len)?.len();
        if found == len {
            self.taken = self.ahead.start..self.ahead.start + len;
            self.ahead.start += len;
            self.offset += len as u64;
        }
        Ok(found)
    }

    /// What was taken last, until the next look ahead.
    pub(super) fn taken(&self) -> &[u8] {
        &self.window[self.taken.clone()]
    }

    /// Reads until `len` bytes are ahead or the stream ends.
    fn fill(&mut self, len: usize) -> io::Result<()> {
        if self.ahead.len() >= len {
            return Ok(());
        }
        self.window.copy_within(self.ahead.clone(), 0);
        self.ahead = 0..self.ahead.len();
        self.taken = 0..0;
        if self.window.len() < len {
            self.window.resize(len.next_multiple_of(READ_BYTES), 0);
        }
        while self.ahead.len() < len {
            match self.reader.read(&mut self.window[self.ahead.end..]) {
                Ok(0) => break,
                Ok(count) => self.ahead.end += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most seven bytes per read, and is interrupted before each.
    struct Drip<'a>(&'a [u8], bool);

    impl Read for Drip<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let len = into.len().min(7);
            self.0.read(&mut into[..len])
        }
    }

    #[test]
    fn any_reader_gives_the_same_bytes() {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n % 251) as u8).collect();
        let mut input = Input::new(Drip(&bytes, false));
        let mut at = 0;
        for len in (0..).map(|n| n * 37 % 90_000) {
            assert_eq!(input.offset(), at as u64);
            let expected = &bytes[at..bytes.len().min(at + len)];
            assert_eq!(input.peek(len).unwrap(), expected);
            assert_eq!(input.take(len).unwrap(), expected.len());
            if expected.len() < len {
                break;
            }
            assert_eq!(input.taken(), expected);
            at += len;
        }
        assert!(at > 100_000);
    }
}
