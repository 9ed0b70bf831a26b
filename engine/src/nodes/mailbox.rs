//! What sources have said and control has not taken yet.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use causeway_control::config::ClusterIdx;
use causeway_control::nodes::{Pending, Update};

use crate::wake::Doorbell;

/// Updates by cluster, folded together: its size is that of the clusters.
pub(super) struct Mailbox {
    pending: Mutex<BTreeMap<ClusterIdx, Pending>>,
    bell: Arc<Doorbell>,
}

impl Mailbox {
    pub(super) fn new(bell: Arc<Doorbell>) -> Mailbox {
        Mailbox { pending: Mutex::default(), bell }
    }

    /// Something was said of the nodes of a cluster.
    pub(super) fn put(&self, cluster: ClusterIdx, update: Update) {
        let mut pending = self.lock();
        let first = pending.is_empty();
        pending.entry(cluster).or_default().put(update);
        drop(pending);
        // Whoever was told that there is something finds all of it.
        if first {
            self.bell.ring();
        }
    }

    /// Everything, and nothing is left.
    pub(super) fn take(&self) -> Vec<(ClusterIdx, Update)> {
        let pending = std::mem::take(&mut *self.lock());
        let of = |(cluster, mut pending): (ClusterIdx, Pending)| {
            pending.take().into_iter().map(move |update| (cluster, update))
        };
        pending.into_iter().flat_map(of).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ClusterIdx, Pending>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        mailbox.put(ClusterIdx(1), Update::Gone("a".into()));
        assert!(rings());
        mailbox.put(ClusterIdx(0), Update::Gone("b".into()));
        mailbox.put(ClusterIdx(1), Update::InStep);
        assert!(!rings());
        let expected = [
            (ClusterIdx(0), Update::Gone("b".into())),
            (ClusterIdx(1), Update::Gone("a".into())),
            (ClusterIdx(1), Update::InStep),
        ];
        assert_eq!(mailbox.take(), expected);
        assert!(mailbox.is_empty() && mailbox.take().is_empty());
        mailbox.put(ClusterIdx(0), Update::InStep);
        assert!(rings());
    }
}
