//! What may leave an island, and under which name.

use crate::address::Address;
use crate::fib::Prefix;
use crate::ids::PoolId;
use crate::nat::{Selected, Selection, Selections};
use crate::verdict::DropReason;

/// What becomes of a flow that leaves its routing domain. First match wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressRule<A> {
    /// Senders it is about.
    pub source: Prefix<A>,
    /// Of them, only who is in this selection; `None`: all.
    pub selection: Option<Selection>,
    /// Destinations it is about.
    pub destination: Prefix<A>,
    /// What becomes of them.
    pub action: EgressAction,
    /// What each of them may have.
    pub limits: SenderLimits,
    /// May a TCP segment begin a session in the middle of a conversation?
    pub picks_up: bool,
}

/// How many sessions a sender may have; `None`: as many as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderLimits {
    /// At once (RFC 6888 REQ-4).
    pub sessions: Option<u32>,
    /// Begun in a second, and as many saved up at most (RFC 6888 REQ-5).
    pub new_per_second: Option<u32>,
}

/// What an [`EgressRule`] does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EgressAction {
    /// Translate the source to an address of the pool, and track the flow.
    Translate(PoolId),
    /// Translate the source to the address of the port it leaves by.
    Masquerade,
    /// Let it pass under its own name.
    Forward,
    /// Let it pass under its own name, and track the flow: what answers it comes back in
    /// where nobody may begin anything.
    Track,
    /// Keep it inside.
    Drop(DropReason),
}

impl<A: Address> EgressRule<A> {
    /// A rule that limits nobody, and by which conversations begin with their beginning.
    pub fn new(source: Prefix<A>, destination: Prefix<A>, action: EgressAction) -> EgressRule<A> {
        let limits = SenderLimits::default();
        EgressRule { source, selection: None, destination, action, limits, picks_up: false }
    }

    /// Does it give the sender another name?
    pub fn renames(&self) -> bool {
        matches!(self.action, EgressAction::Translate(_) | EgressAction::Masquerade)
    }

    /// Is the rule about this sender and this destination, if the sender is in its selection?
    pub fn matches(&self, src: A, dst: A) -> bool {
        self.source.contains(src) && self.destination.contains(dst)
    }
}

/// The rules about a sender and a destination, in their order. Who is selected is looked up
/// once, and only where a rule asks.
pub(crate) fn about<'a, A: Address>(
    rules: &'a [EgressRule<A>],
    selected: &'a Selected<A>,
    src: A,
    dst: A,
) -> impl Iterator<Item = &'a EgressRule<A>> {
    let mut known: Option<Selections> = None;
    rules.iter().filter(move |rule| {
        rule.matches(src, dst)
            && rule.selection.is_none_or(|of| known.get_or_insert_with(|| selected.of(src)).contains(of))
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;
    use proptest::prelude::*;

    /// The obvious twin: a rule about a selection is a rule for each host in it.
    fn written_out(rules: &[EgressRule<u32>], hosts: &[(u32, Selections)]) -> Vec<EgressRule<u32>> {
        let mut all = Vec::new();
        for rule in rules {
            let Some(selection) = rule.selection else {
                all.push(rule.clone());
                continue;
            };
            let chosen = hosts.iter().filter(|(host, of)| of.contains(selection) && rule.source.contains(*host));
            let own = |host| EgressRule { source: Prefix::host(host), selection: None, ..rule.clone() };
            all.extend(chosen.map(|(host, _)| own(*host)));
        }
        all
    }

    /// Few bits, so that much meets.
    fn prefix() -> impl Strategy<Value = Prefix<u32>> {
        (0..32u32, 27..=32u8).prop_map(|(address, len)| Prefix::containing(address, len))
    }

    fn rule() -> impl Strategy<Value = EgressRule<u32>> {
        let selection = proptest::option::of(0..4usize);
        (prefix(), prefix(), selection, 0..9u16).prop_map(|(source, destination, selection, pool)| EgressRule {
            selection: selection.and_then(Selection::new),
            ..EgressRule::new(source, destination, EgressAction::Translate(PoolId(pool)))
        })
    }

    proptest! {
        #[test]
        fn who_is_selected_meets_the_rules_that_name_each_host(
            rules in proptest::collection::vec(rule(), 0..8),
            hosts in proptest::collection::vec((0..32u32, (0..16u64).prop_map(Selections)), 0..16),
        ) {
            let mut selected = Selected::default();
            hosts.iter().for_each(|(host, of)| selected.add(*host, *of));
            let twin = written_out(&rules, &hosts);
            for (src, dst) in (0..32).flat_map(|src| (0..32).map(move |dst| (src, dst))) {
                let fast = about(&rules, &selected, src, dst).next().map(|rule| rule.action);
                let slow = twin.iter().find(|rule| rule.matches(src, dst)).map(|rule| rule.action);
                prop_assert_eq!(fast, slow, "{} > {}", src, dst);
            }
        }
    }

    #[test]
    fn there_are_as_many_selections_as_bits() {
        let last = Selection::new(Selection::MOST - 1).expect("below the most");
        assert_eq!(Selection::new(Selection::MOST), None);
        let mut of = Selections::default();
        of.insert(last);
        assert!(of.contains(last) && of == Selections(1 << 63));
    }
}
