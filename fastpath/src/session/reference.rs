//! The slow twin of the session table: a list.
#![cfg(test)]

use std::vec::Vec;

use super::{Direction, FlowKey, Session};
use crate::address::Address;

/// Sessions in a list, searched from end to end.
#[derive(Default)]
pub(super) struct ReferenceTable<A> {
    pub(super) sessions: Vec<(Session<A>, u64)>,
}

impl<A: Address> ReferenceTable<A> {
    pub(super) fn find(&self, key: &FlowKey<A>) -> Option<(FlowKey<A>, Direction)> {
        self.sessions.iter().find_map(|(session, _)| {
            if session.forth == *key {
                Some((session.forth, Direction::Forth))
            } else if session.back == *key {
                Some((session.forth, Direction::Back))
            } else {
                None
            }
        })
    }
}
