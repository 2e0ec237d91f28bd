//! Readers of the sections, one file each, from the tree to drafts.
//!
//! A draft is a section whose values have the right types and ranges. What has no default is an `Option`: it is
//! `None` after an error that has already been reported. What takes part in a rule keeps its place.

pub(super) mod admin;
pub(super) mod dataplane;
pub(super) mod encap;
pub(super) mod forwarding;
pub(super) mod health;
pub(super) mod observability;
pub(super) mod pools;
pub(super) mod security;
pub(super) mod server_id;
pub(super) mod vips;
pub(super) mod weights;
