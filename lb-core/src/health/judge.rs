//! From the health of a pool's backends to the set that receives new flows.
//!
//! Only backends that would serve if healthy take part: active ones. Shares are of weight, because weight is what a
//! backend carries; backends of weight 0 carry nothing and count for nothing.

/// One backend that its operator wants in service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whether its checks let it take traffic ([`super::State::takes_traffic`]).
    pub healthy: bool,
    /// Its weight.
    pub weight: u32,
}

/// What to do when no backend is healthy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AllDown {
    /// New flows are dropped (`no_backend`).
    #[default]
    Drop,
    /// New flows go to all, as if all were healthy.
    SendToAll,
}

/// A pool's policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Below this share of healthy weight, in 1/10,000, health is not believed; 0 = always believed.
    pub panic_below: u16,
    /// When none is healthy.
    pub all_down: AllDown,
    /// Healthy backends below which a VIP does not count as serving; 0 = it serves while anything receives flows.
    pub quorum: u32,
}

/// What the policy makes of the members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// For each member, in the order given, whether it receives new flows.
    pub receives: Vec<bool>,
    /// Healthy members of weight above 0.
    pub healthy: usize,
    /// Health is overridden: too little of the pool is healthy to believe it.
    pub panic: bool,
    /// There are members with weight and none of them is healthy.
    pub all_down: bool,
    /// The pool can be announced.
    pub serving: bool,
}

/// Judges a pool.
pub fn judge(members: &[Member], policy: Policy) -> Verdict {
    let weight = |member: &Member| u64::from(member.weight);
    let total: u64 = members.iter().map(weight).sum();
    let well: u64 = members.iter().filter(|member| member.healthy).map(weight).sum();
    let healthy = members.iter().filter(|member| member.healthy && member.weight > 0).count();
    let all_down = total > 0 && well == 0;
    let panic = if all_down {
        policy.all_down == AllDown::SendToAll
    } else {
        // Below 2^49 even for 2^16 members of the largest weight: no overflow.
        well * 10_000 < total * u64::from(policy.panic_below)
    };
    let receives: Vec<bool> =
        members.iter().map(|member| member.weight > 0 && (member.healthy || panic)).collect();
    let serving = receives.contains(&true) && healthy >= policy.quorum as usize;
    Verdict { receives, healthy, panic, all_down, serving }
}
