//! Addresses of requests.

use std::fmt;
use std::fmt::Write as _;

/// Path and query of a request, everything in it escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    path: String,
    query: String,
}

impl Target {
    /// `/api/v1/` and these segments.
    pub fn new(segments: &[&str]) -> Self {
        let path = segments.iter().fold("/api/v1".to_owned(), |path, segment| path + "/" + &escape(segment));
        Self { path, query: String::new() }
    }

    /// With a parameter.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.query.push(if self.query.is_empty() { '?' } else { '&' });
        self.query += &format!("{}={}", escape(name), escape(value));
        self
    }

    /// With a parameter if there is a value for it.
    #[must_use]
    pub fn with_some(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.path, self.query)
    }
}

/// RFC 3986: all but the unreserved characters as `%` and two digits.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_segment_or_parameter() {
        let target = Target::new(&["pools", "a/b?c", "backends", "ü"])
            .with("src", "[2001:db8::1]:80")
            .with_some("dst", None)
            .with_some("q", Some("a&b=c"));
        assert_eq!(
            target.to_string(),
            "/api/v1/pools/a%2Fb%3Fc/backends/%C3%BC?src=%5B2001%3Adb8%3A%3A1%5D%3A80&q=a%26b%3Dc"
        );
    }
}
