//! Metrics and health endpoints from outside the crate: what a scrape says, over function calls and over HTTP.
//!
//! Needs no DPDK, no privileges and no network but 127.0.0.1. What `promtool` judges is skipped, with a
//! message, where it is not installed.

mod catalogue;
mod client;
mod docs;
mod fingerprint;
mod fixture;
mod health;
mod http;
mod limits;
mod scrape;
mod values;
