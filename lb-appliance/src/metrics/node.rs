//! Series of the node itself: versions, the forwarding hash, what became of packets.
//!
//! Every reason is there from the start, at 0: an alert on a rate must not miss the first drop.

use super::catalogue::Metric;
use super::families::Families;
use super::sources::{Reloads, Sources};
use lb_core::counters::WorkerCounters;
use lb_core::reason::{AnswerReason, DropReason};

/// What the build left.
const REVISION: &str = match option_env!("GUIDEWAY_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

pub(super) fn collect(sources: &Sources, families: &mut Families) {
    let identity = &sources.identity;
    let build = [env!("CARGO_PKG_VERSION"), REVISION, env!("GUIDEWAY_RUSTC_VERSION"), &identity.dpdk_version];
    families.info(Metric::BuildInfo, &build);
    families.info(Metric::NodeInfo, &[&identity.node]);
    let generation = sources.generation();
    let hash = generation.as_ref().and_then(|generation| generation.config_hash.as_ref());
    if let Some(hash) = hash.or(identity.config_hash.as_ref()) {
        families.info(Metric::ConfigInfo, &[hash]);
    }
    let is_on_trial = generation.as_ref().is_some_and(|generation| generation.is_on_trial);
    collect_reloads(sources.reloads(), is_on_trial, families);
    if let Some(generation) = generation {
        families.info(Metric::ForwardingInfo, &[&generation.forwarding_hash]);
    }
    if let Some(hertz) = identity.tsc_hertz {
        families.put(Metric::TscHertz, &[], hertz as f64);
    }
    for reason in DropReason::ALL {
        let (mut packets, mut bytes) = (0, 0);
        for worker in &sources.workers {
            packets += worker.packets.drops.packets[*reason as usize].get();
            bytes += worker.packets.drops.bytes[*reason as usize].get();
        }
        families.count(Metric::DroppedPackets, &[reason.name()], packets);
        families.count(Metric::DroppedBytes, &[reason.name()], bytes);
    }
    let forwarded = sources.workers.iter().map(|worker| worker.packets.sent.get()).sum();
    families.count(Metric::ForwardedPackets, &[], forwarded);
    let answered = sources.workers.iter().map(|worker| worker.packets.answered.get()).sum();
    families.count(Metric::AnsweredPackets, &[], answered);
    collect_portless(sources, families);
}

/// ICMP and fragments.
fn collect_portless(sources: &Sources, families: &mut Families) {
    let sum = |counter: &dyn Fn(&WorkerCounters) -> u64| {
        sources.workers.iter().map(|worker| counter(&worker.packets)).sum::<u64>()
    };
    for reason in AnswerReason::ALL {
        let sent = sum(&|packets| packets.answers[*reason as usize].get());
        families.count(Metric::IcmpSent, &[reason.name()], sent);
    }
    families.count(Metric::IcmpErrorsForwarded, &[], sum(&|packets| packets.icmp_errors.get()));
    families.count(Metric::FragmentsForwarded, &[], sum(&|packets| packets.fragments.get()));
    families.count(Metric::PacketsFragmented, &[], sum(&|packets| packets.fragmented.get()));
    families.count(Metric::FragmentsMade, &[], sum(&|packets| packets.fragments_made.get()));
    families.put(Metric::FragmentsHeld, &[], sum(&|packets| packets.held.get()) as f64);
}

fn collect_reloads(reloads: Reloads, is_on_trial: bool, families: &mut Families) {
    let flag = |is_set: bool| f64::from(u8::from(is_set));
    families.put(Metric::ConfigLastReloadSuccessful, &[], flag(reloads.is_last_successful));
    families.put(Metric::ConfigLastReloadTimestamp, &[], reloads.last_success_seconds);
    families.count(Metric::ConfigReloads, &[], reloads.attempts);
    families.count(Metric::ConfigReloadFailures, &[], reloads.failures);
    families.put(Metric::ConfigPendingConfirmation, &[], flag(is_on_trial));
}
