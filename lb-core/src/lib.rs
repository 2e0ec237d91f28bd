//! The forwarding core of Guideway: what happens to a packet, with no idea where packets come from.
//!
//! Pure logic: no I/O, no clock, no log, no lock and no allocation per packet. Time is an argument
//! ([`clock::Tick`]), packets are anything that implements [`packet::Packet`], and everything that a
//! packet can end as is a [`verdict::Verdict`]. The whole crate therefore runs inside a unit test, a
//! fuzzer or a simulator exactly as it runs on a poll-mode core.
//!
//! The path of a burst is [`pipeline::Pipeline::process`]: parse and hash, look up and decide, edit.

#![deny(unsafe_code)]

pub mod adapt;
pub mod address;
pub mod checksum;
pub mod clock;
pub mod composition;
pub mod conn;
pub mod counters;
pub mod encap;
pub mod flow;
pub mod fragments;
pub mod hash;
pub mod headers;
pub mod health;
pub mod hw;
pub mod icmp;
pub mod indexed;
pub mod maglev;
pub mod nat;
pub mod packet;
pub mod pipeline;
pub mod prefix;
pub mod probe_route;
pub mod publish;
pub mod reason;
pub mod record;
#[cfg(test)]
mod sample;
pub mod server_id;
pub mod service;
pub mod slow_start;
pub mod spec;
pub mod tables;
pub mod verdict;
pub mod weight;
pub mod wire;
