//! The harness of the end-to-end tests: a lab of namespaces, real nginx, real observers, and the real `guideway`.
//!
//! What must hold: everything started here ends here (by `Drop`, by process id), everything waits for a bounded time,
//! and a test that cannot run on this machine says `skipped: why` and never passes in silence. Nothing here knows how
//! Guideway works inside: it meets the program as an operator does, and judges it by programs that others wrote.

pub mod balancer;
pub mod capture;
pub mod client;
pub mod flows;
pub mod kernel;
pub mod lab;
pub mod netns;
pub mod nginx;
pub mod operator;
pub mod page;
pub mod peer;
pub mod process;
pub mod program;
pub mod prom;
pub mod service;
pub mod session;
pub mod skip;
pub mod source;
