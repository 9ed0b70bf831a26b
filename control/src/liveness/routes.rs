//! Routes that lead through nodes, and those of them that are withdrawn.

use std::collections::{BTreeMap, BTreeSet};

use causeway_fastpath::ids::VrfId;
use ipnet::IpNet;

use super::Place;
use crate::config::ClusterIdx;
use crate::rib::{Change, Member, Origin, Route, Via};

/// Routes of nodes, and static ones through several routers, as they were asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Routes {
    known: BTreeMap<(VrfId, IpNet, Origin), Via>,
    withdrawn: BTreeSet<Place>,
}

/// Which node routes lead where no longer, and which do from now on.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) left: Vec<(ClusterIdx, Place)>,
    pub(super) joined: Vec<(ClusterIdx, String, Place)>,
}

impl Routes {
    /// Takes note of a change; what is left of it.
    pub(super) fn pass(&mut self, change: Change, is_watched: impl Fn(ClusterIdx) -> bool) -> (Change, Moved) {
        let mut moved = Moved::default();
        let (domain, to, origin) = match &change {
            Change::Add(Route { domain, to, origin, .. }) => (*domain, *to, origin.clone()),
            Change::Withdraw { domain, to, origin } => (*domain, *to, origin.clone()),
        };
        let of_node = match &origin {
            Origin::Node(cluster, node) if is_watched(*cluster) => Some((*cluster, node.clone())),
            Origin::Static => None,
            _ => return (change, moved),
        };
        let key = (domain, to, origin);
        let before = match &change {
            Change::Add(route) => self.known.insert(key.clone(), route.via.clone()),
            Change::Withdraw { .. } => self.known.remove(&key),
        };
        if let Some((cluster, node)) = of_node {
            moved.left.extend(before.as_ref().and_then(place).map(|place| (cluster, place)));
            if let Change::Add(route) = &change {
                moved.joined.extend(place(&route.via).map(|place| (cluster, node, place)));
            }
        }
        match change {
            Change::Add(route) => (self.wanted(&key, &route.via), moved),
            gone @ Change::Withdraw { .. } => (gone, moved),
        }
    }

    /// These are withdrawn, and no others: what is to change for it.
    pub(super) fn turn(&mut self, withdrawn: BTreeSet<Place>) -> Vec<Change> {
        if withdrawn == self.withdrawn {
            return Vec::new();
        }
        let turned: BTreeSet<Place> = withdrawn.symmetric_difference(&self.withdrawn).copied().collect();
        self.withdrawn = withdrawn;
        let concerned = |via: &Via| match via {
            Via::Neighbors(members) => members.iter().any(|member| turned.contains(&(member.port, member.address))),
            via => place(via).is_some_and(|place| turned.contains(&place)),
        };
        let changed = self.known.iter().filter(|(_, via)| concerned(via));
        changed.map(|(key, via)| self.wanted(key, via)).collect()
    }

    /// How a route that was asked for is to be.
    fn wanted(&self, (domain, to, origin): &(VrfId, IpNet, Origin), via: &Via) -> Change {
        let is_there = |member: &&Member| !self.withdrawn.contains(&(member.port, member.address));
        let left = match via {
            Via::Neighbors(members) => {
                let left: Vec<Member> = members.iter().filter(is_there).copied().collect();
                // With none left it stays as it is: its senders are told.
                if left.is_empty() { via.clone() } else { Via::through(left) }
            }
            Via::Neighbor(port, address)
                if matches!(origin, Origin::Node(..)) && self.withdrawn.contains(&(*port, *address)) =>
            {
                return Change::Withdraw { domain: *domain, to: *to, origin: origin.clone() };
            }
            via => via.clone(),
        };
        Change::Add(Route { domain: *domain, to: *to, via: left, origin: origin.clone() })
    }
}

/// The one neighbour that a route leads to.
fn place(via: &Via) -> Option<Place> {
    match via {
        Via::Neighbor(port, address) => Some((*port, *address)),
        _ => None,
    }
}
