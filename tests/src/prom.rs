//! A scrape, read: Prometheus' text format 0.0.4 into samples, and the balance of packets.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};

/// One sample: name, labels, value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The metric's name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

/// All samples of one scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scrape {
    samples: Vec<Sample>,
}

impl Scrape {
    /// Reads the text of a scrape.
    ///
    /// # Panics
    /// On a line that is not in the text format.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let wanted = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { samples: wanted.map(parse_sample).collect() }
    }

    /// The samples of one name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// The sum over all label values; 0 when there is no such metric.
    #[must_use]
    pub fn sum(&self, name: &str) -> f64 {
        self.named(name).map(|sample| sample.value).sum()
    }

    /// Is there a metric of this name?
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// Packets taken in by the workers, and what became of them: both sides of the invariant.
    #[must_use]
    pub fn balance(&self) -> Balance {
        Balance {
            received: self.sum("guideway_port_receive_packets_total"),
            // What the kernel sends leaves by the port too, and was never received; so do our own answers.
            sent: self.sum("guideway_port_transmit_packets_total")
                - self.sum("guideway_port_injected_packets_total")
                - self.sum("guideway_answered_packets_total"),
            answered: self.sum("guideway_answered_packets_total"),
            punted: self.sum("guideway_port_punted_packets_total"),
            dropped: self.sum("guideway_dropped_packets_total"),
            held: self.sum("guideway_fragments_held"),
            fragmented: self.sum("guideway_packets_fragmented_total"),
            made: self.sum("guideway_fragments_made_total"),
        }
    }
}

/// received + made = sent + answered + punted + dropped + held + fragmented, in packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Balance {
    /// Taken from the ports.
    pub received: f64,
    /// Forwarded to a backend.
    pub sent: f64,
    /// Answered by the balancer itself.
    pub answered: f64,
    /// Given to the kernel.
    pub punted: f64,
    /// Dropped, over all reasons.
    pub dropped: f64,
    /// Fragments that wait for their first ones.
    pub held: f64,
    /// Sent in pieces.
    pub fragmented: f64,
    /// The pieces; they are among those sent.
    pub made: f64,
}

impl Balance {
    /// Does the invariant hold?
    #[must_use]
    pub fn holds(&self) -> bool {
        let left = self.sent + self.answered + self.punted + self.dropped + self.held + self.fragmented;
        (self.received + self.made - left).abs() < 0.5
    }
}

fn parse_sample(line: &str) -> Sample {
    let (head, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (name, labels) = match head.split_once('{') {
        Some((name, rest)) => {
            (name, rest.strip_suffix('}').unwrap_or_else(|| panic!("no closing brace: {line}")))
        }
        None => (head, ""),
    };
    let value = value.parse().unwrap_or_else(|_| panic!("not a number: {line}"));
    Sample { name: name.to_owned(), labels: parse_labels(labels), value }
}

/// `a="x",b="y"`; a comma or brace inside a quoted value belongs to the value, as does `\"`.
fn parse_labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while let Some((name, quoted)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut characters = quoted.chars();
        while let Some(character) = characters.next() {
            match character {
                '"' => break,
                '\\' => match characters.next() {
                    Some('n') => value.push('\n'),
                    Some(other) => value.push(other),
                    None => break,
                },
                other => value.push(other),
            }
        }
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        rest = characters.as_str();
    }
    labels
}

/// Has the real `promtool check metrics` judge a scrape; its complaints, empty when it has none.
///
/// # Panics
/// When promtool cannot be started.
#[must_use]
pub fn promtool_complaints(scrape: &str) -> String {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool");
    // Dropping the handle closes the pipe, which ends promtool's reading; a scrape is smaller than what it buffers.
    promtool.stdin.take().expect("stdin").write_all(scrape.as_bytes()).expect("write to promtool");
    let output = promtool.wait_with_output().expect("promtool");
    let words =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if output.status.success() && words.trim().is_empty() {
        String::new()
    } else {
        format!("{}\n{words}", output.status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_labels_and_values() {
        let scrape = Scrape::parse("# HELP x y\nx 3\ny{a=\"1,}\",b=\"q\\\"\"} 2.5\ny{a=\"2\",b=\"\"} 1e3\n");
        assert_eq!(scrape.sum("x"), 3.0);
        assert_eq!(scrape.sum("y"), 1002.5);
        let first = scrape.named("y").next().expect("a sample");
        assert_eq!(first.labels["a"], "1,}");
        assert_eq!(first.labels["b"], "q\"");
        assert!(!scrape.has("z"));
    }

    #[test]
    fn a_lost_packet_breaks_the_balance() {
        let text = |dropped| {
            format!(
                "guideway_port_receive_packets_total{{port=\"p\"}} 10\nguideway_port_transmit_packets_total{{port=\"p\"}} 7\n\
                 guideway_dropped_packets_total{{reason=\"no_vip\"}} {dropped}\n"
            )
        };
        assert!(Scrape::parse(&text(3)).balance().holds());
        assert!(!Scrape::parse(&text(2)).balance().holds());
        let pieces = "guideway_packets_fragmented_total 2\nguideway_fragments_made_total 4\n";
        assert!(Scrape::parse(&(text(5) + pieces)).balance().holds(), "two of the ten left as four");
        assert!(!Scrape::parse(&(text(3) + pieces)).balance().holds());
    }
}
