//! The library behind the `guideway` binary: everything but the command line's entry.
//!
//! The only crate that knows both worlds: the pure core (`lb-core`) and DPDK (`dpdk`).

// Samples are shared with the integration tests, which know the library by its name.
#[cfg(test)]
extern crate self as lb_appliance;

pub mod admin;
pub mod arena;
pub mod backend_setup;
pub mod bench;
pub mod cli;
pub mod client;
pub mod config;
pub mod confine;
pub mod control;
pub mod doctor;
pub mod health;
mod http_limits;
pub mod instruments;
pub mod io;
pub mod logging;
pub mod metrics;
mod netlink;
pub mod notify;
pub mod plan;
pub mod replay;
#[cfg(feature = "dpdk")]
pub mod runtime;
pub mod support;
pub mod weights;
pub mod worker;
