//! Time of each stage of the packet path by itself, and of building the tables.
//!
//! `cargo bench -p lb-core --bench stages [-- FILTER]`. Stages overlap in the pipeline, so their sum is more than
//! its time; what a change of one stage brings to the whole is told by `guideway bench` (docs/performance.md).

#[path = "../traffic/mod.rs"]
mod traffic;

mod connections;
mod packets;
mod services;

use criterion::Criterion;
use std::time::Duration;

fn main() {
    // Short: the machine is shared, and the minimum over many short samples is what can be compared.
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .sample_size(30)
        .without_plots()
        .configure_from_args();
    packets::stages(&mut criterion);
    connections::stages(&mut criterion);
    services::stages(&mut criterion);
    criterion.final_summary();
}
