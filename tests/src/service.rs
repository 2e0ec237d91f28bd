//! Configurations of one changing service: the lab's own frame around pools and VIPs that a test chooses.

use std::fmt::Write;
use std::path::Path;

use crate::flows::PORT;
use crate::lab::VIP4;

/// One backend of the lab, by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// 1 to 9: `web-N`, in namespace `webN`.
    pub number: u8,
    /// Its weight.
    pub weight: u16,
    /// `active`, `drain`...
    pub state: &'static str,
}

/// The echo service on the VIP, and what a test wants besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Backends of pool `echo`.
    pub backends: Vec<Backend>,
    /// VIPs that nobody asks, with a pool of ten backends each.
    pub idle_vips: u32,
    /// The weight of the first backend of each idle pool from the first up to so many is another one.
    pub changed_idle_vips: u32,
    /// More lines of pool `echo`, each indented by four spaces.
    pub more: String,
    /// More lines of `forwarding`, each indented by two spaces.
    pub forwarding: String,
}

impl Service {
    /// Backends with these numbers and weight 100.
    #[must_use]
    pub fn of(numbers: &[u8]) -> Self {
        let backend = |number: &u8| Backend { number: *number, weight: 100, state: "active" };
        Self { backends: numbers.iter().map(backend).collect(), ..Self::default() }
    }

    /// The same with another weight of one backend.
    #[must_use]
    pub fn weight(mut self, number: u8, weight: u16) -> Self {
        self.backend(number).weight = weight;
        self
    }

    /// The same with one backend in another state.
    #[must_use]
    pub fn state(mut self, number: u8, state: &'static str) -> Self {
        self.backend(number).state = state;
        self
    }

    /// The same with one backend more.
    #[must_use]
    pub fn with(mut self, number: u8) -> Self {
        self.backends.push(Backend { number, weight: 100, state: "active" });
        self
    }

    /// The same without a backend.
    #[must_use]
    pub fn without(mut self, number: u8) -> Self {
        self.backends.retain(|backend| backend.number != number);
        self
    }

    fn backend(&mut self, number: u8) -> &mut Backend {
        let found = self.backends.iter_mut().find(|backend| backend.number == number);
        found.unwrap_or_else(|| panic!("there is no backend {number}"))
    }

    /// The configuration: `lab` is the lab's own, whose pools and VIPs are replaced.
    ///
    /// # Panics
    /// When `lab` has not the order of sections that the lab writes.
    #[must_use]
    pub fn text(&self, lab: &str, socket: &Path) -> String {
        let (head, rest) = lab.split_once("pools:\n").expect("pools in the lab's configuration");
        let (_, tail) = rest.split_once("metrics:\n").expect("metrics in the lab's configuration");
        let head = head.replace("forwarding:\n", &format!("forwarding:\n{}", self.forwarding));
        let mut text = format!("{head}pools:\n");
        self.pools(&mut text).and_then(|()| self.vips(&mut text)).expect("write to a string");
        text + &format!("admin:\n  socket: {{path: \"{}\"}}\nmetrics:\n{tail}", socket.display())
    }

    fn pools(&self, out: &mut String) -> std::fmt::Result {
        write!(out, "  - name: echo\n    encap: {{ipip: {{}}}}\n{}    backends:\n", self.more)?;
        for Backend { number, weight, state } in &self.backends {
            let (address, mac) = (format!("198.51.100.2{number}"), format!("02:67:77:00:00:2{number}"));
            writeln!(
                out,
                "      - {{name: web-{number}, address: {address}, mac: \"{mac}\", weight: {weight}, state: {state}}}"
            )?;
        }
        for vip in 0..self.idle_vips {
            write!(out, "  - name: idle-{vip}\n    encap: {{ipip: {{}}}}\n    backends:\n")?;
            for one in 0..10 {
                let weight = if one == 0 && vip < self.changed_idle_vips { 50 } else { 100 };
                let address = format!("10.{}.{}.{}", 128 + vip / 250, vip % 250, one + 1);
                writeln!(
                    out,
                    "      - {{name: idle-{vip}-{one}, address: {address}, mac: \"02:67:77:00:00:21\", weight: {weight}}}"
                )?;
            }
        }
        Ok(())
    }

    fn vips(&self, out: &mut String) -> std::fmt::Result {
        out.push_str("vips:\n");
        // Port 80 is nginx, in the namespaces that have one.
        for (protocol, ports) in [("tcp", format!("{PORT}, 80")), ("udp", PORT.to_string())] {
            writeln!(
                out,
                "  - {{name: echo-{protocol}, addresses: [{VIP4}], ports: [{ports}], protocol: {protocol}, pool: echo}}"
            )?;
        }
        for vip in 0..self.idle_vips {
            let address = format!("10.{}.{}.1", 64 + vip / 250, vip % 250);
            writeln!(
                out,
                "  - {{name: idle-{vip}, addresses: [{address}], ports: [80], protocol: tcp, pool: idle-{vip}}}"
            )?;
        }
        Ok(())
    }
}
