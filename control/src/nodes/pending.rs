//! Updates that control has not taken yet.

use std::collections::BTreeMap;

use super::{NodeFact, Update};

/// What a source has said since it was last asked. However often a node changes, it is
/// here once: no more memory than for as many nodes as there are.
#[derive(Clone, Debug, Default)]
pub struct Pending {
    /// Are those in `nodes` all there are, or only those that changed?
    all: bool,
    /// By name; `None` is gone.
    nodes: BTreeMap<String, Option<NodeFact>>,
    /// Up to date, or why not, if that was said.
    health: Option<Result<(), String>>,
}

impl Pending {
    /// One update more.
    pub fn put(&mut self, update: Update) {
        match update {
            Update::All(nodes) => {
                self.all = true;
                self.nodes = nodes.into_iter().map(|node| (node.name.clone(), Some(node))).collect();
            }
            Update::One(node) => {
                self.nodes.insert(node.name.clone(), Some(node));
            }
            Update::Gone(name) if self.all => {
                self.nodes.remove(&name);
            }
            Update::Gone(name) => {
                self.nodes.insert(name, None);
            }
            Update::InStep => self.health = Some(Ok(())),
            Update::Away(why) => self.health = Some(Err(why)),
        }
    }

    /// What comes to the same as everything that was put in, in an order that does.
    pub fn take(&mut self) -> Vec<Update> {
        let Pending { all, nodes, health } = std::mem::take(self);
        let mut updates: Vec<_> = if all {
            vec![Update::All(nodes.into_values().flatten().collect())]
        } else {
            nodes.into_iter().map(|(name, node)| node.map_or(Update::Gone(name), Update::One)).collect()
        };
        updates.extend(health.map(|health| health.map_or_else(Update::Away, |()| Update::InStep)));
        updates
    }

    /// Is there nothing?
    pub fn is_empty(&self) -> bool {
        !self.all && self.nodes.is_empty() && self.health.is_none()
    }

    /// How many nodes it speaks of.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }
}
