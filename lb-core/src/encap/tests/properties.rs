//! What holds of any packet on its way to a backend of any kind.

use super::*;
use crate::sample::any_sample;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    /// The backend takes out of the tunnel what the client sent, one hop on.
    #[test]
    fn what_is_taken_out_is_what_was_put_in(sample in any_sample(), choice in any::<prop::sample::Index>()) {
        let backends = backends();
        let (kind, opened) = delivered(&sample, choice.get(&backends));
        let datagram = one_hop_later(&sample);
        prop_assert_eq!(&opened.inner[..datagram.len()], &datagram[..]);
        prop_assert!(kind == Kind::L2Dsr || opened.inner.len() == datagram.len(), "padding went along");
        prop_assert_eq!(opened.tags, sample.tags);
        if let Some(outer) = opened.outer {
            prop_assert_eq!(outer.tos, sample.tos);
        }
    }

    #[test]
    fn a_kind_takes_the_room_that_it_says(sample in any_sample(), choice in any::<prop::sample::Index>()) {
        let backends = backends();
        let backend = choice.get(&backends);
        let sent = edited(&sample, backend);
        let kind = Record::new(backend).kind;
        let padding = if kind == Kind::L2Dsr { sample.padding } else { 0 };
        let expected = kind.header_len() + 4 * sample.tags.len() + sample.datagram().len() + padding;
        prop_assert_eq!(sent.len(), expected);
    }
}
