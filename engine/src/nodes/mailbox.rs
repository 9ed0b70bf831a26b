//! What sources have said and control has not taken yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_control::config::ClusterIdx;
use causeway_control::feed::{Named, Pending, Update};
use causeway_control::nodes::{self, NodeFact};
use causeway_control::pods::{NamespaceChosen, NamespaceUpdate, PodChosen, PodUpdate};
use causeway_kubernetes::Said;

use crate::wake::Doorbell;

/// Updates by cluster, folded together: its size is that of the clusters.
pub(super) struct Mailbox {
    letters: Mutex<Letters>,
    bell: Arc<Doorbell>,
}

#[derive(Default)]
struct Letters {
    nodes: Folded<NodeFact>,
    pods: Folded<PodChosen>,
    namespaces: Folded<NamespaceChosen>,
}

type Folded<T> = BTreeMap<ClusterIdx, Pending<T>>;

/// All that was in a mailbox, each kind in an order that comes to the same.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Mail {
    pub(super) nodes: Vec<(ClusterIdx, nodes::Update)>,
    pub(super) pods: Vec<(ClusterIdx, PodUpdate)>,
    pub(super) namespaces: Vec<(ClusterIdx, NamespaceUpdate)>,
}

impl Mailbox {
    pub(super) fn new(bell: Arc<Doorbell>) -> Mailbox {
        Mailbox { letters: Mutex::default(), bell }
    }

    /// Something was said of a cluster.
    pub(super) fn put(&self, cluster: ClusterIdx, said: Said) {
        let mut letters = self.lock();
        let first = letters.is_empty();
        match said {
            Said::Nodes(update) => letters.nodes.entry(cluster).or_default().put(update),
            Said::Pods(update) => letters.pods.entry(cluster).or_default().put(update),
            Said::Namespaces(update) => letters.namespaces.entry(cluster).or_default().put(update),
        }
        drop(letters);
        // Whoever was told that there is something finds all of it.
        if first {
            self.bell.ring();
        }
    }

    /// Everything, and nothing is left.
    pub(super) fn take(&self) -> Mail {
        let Letters { nodes, pods, namespaces } = std::mem::take(&mut *self.lock());
        Mail { nodes: unfolded(nodes), pods: unfolded(pods), namespaces: unfolded(namespaces) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Letters {
    fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.pods.is_empty() && self.namespaces.is_empty()
    }
}

fn unfolded<T: Named>(folded: Folded<T>) -> Vec<(ClusterIdx, Update<T>)> {
    let of = |(cluster, mut pending): (ClusterIdx, Pending<T>)| {
        pending.take().into_iter().map(move |update| (cluster, update))
    };
    folded.into_iter().flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wake::{readable, sleep};
    use std::time::Duration;

    #[test]
    fn the_bell_rings_once_for_all_that_was_not_taken() {
        let bell = Arc::new(Doorbell::new().expect("a doorbell"));
        let mailbox = Mailbox::new(Arc::clone(&bell));
        let rings = || {
            let mut fds = [readable(bell.fd())];
            sleep(&mut fds, Duration::ZERO);
            bell.silence();
            fds[0].revents != 0
        };
        mailbox.put(ClusterIdx(1), Said::Nodes(Update::Gone("a".into())));
        assert!(rings());
        mailbox.put(ClusterIdx(0), Said::Nodes(Update::Gone("b".into())));
        mailbox.put(ClusterIdx(1), Said::Nodes(Update::InStep));
        mailbox.put(ClusterIdx(1), Said::Pods(Update::InStep));
        assert!(!rings());
        let nodes = vec![
            (ClusterIdx(0), Update::Gone("b".into())),
            (ClusterIdx(1), Update::Gone("a".into())),
            (ClusterIdx(1), Update::InStep),
        ];
        let pods = vec![(ClusterIdx(1), Update::InStep)];
        assert_eq!(mailbox.take(), Mail { nodes, pods, namespaces: Vec::new() });
        assert!(mailbox.is_empty() && mailbox.take() == Mail::default());
        mailbox.put(ClusterIdx(0), Said::Namespaces(Update::InStep));
        assert!(rings());
    }
}
