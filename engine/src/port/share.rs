//! A device that several workers receive from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use causeway_fastpath::ids::WorkerId;

use super::af_xdp::Steering;
use super::memif::Line;

/// One worker's share of a port: which of them it is, and what they have in common. They
/// open the port one after the other, the first one first.
#[derive(Clone, Debug)]
pub struct Share {
    worker: WorkerId,
    workers: u32,
    common: Arc<Mutex<Common>>,
}

/// What the first worker made, and the others join.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// The packet sockets' fanout group: the index of its device, and its number.
    pub(super) fanout: Option<(u32, u16)>,
    /// The XDP program on the device, which sends each queue to its worker, while a worker's
    /// port stands on it.
    pub(super) steering: Weak<Steering>,
    /// The line to a memif server, which has a pair of rings for each worker.
    pub(super) memif: Weak<Line>,
}

impl Share {
    /// The shares of the first of so many workers, by port; `None` where there is but one.
    pub fn of_ports(ports: usize, workers: usize) -> Vec<Option<Share>> {
        let share = |_| Share { worker: WorkerId(0), workers: workers as u32, common: Arc::default() };
        (0..ports).map(|port| (workers > 1).then(|| share(port))).collect()
    }

    /// The same of another worker.
    #[must_use]
    pub fn for_worker(&self, worker: WorkerId) -> Share {
        Share { worker, ..self.clone() }
    }

    /// Which worker's it is.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Those of a device's receive queues that are this worker's: every so manieth.
    pub(super) fn queues(&self, queues: u32) -> impl Iterator<Item = u32> + use<> {
        (u32::from(self.worker.0)..queues).step_by(self.workers as usize)
    }

    /// How many workers share the port.
    pub(super) fn workers(&self) -> u32 {
        self.workers
    }

    pub(super) fn common(&self) -> MutexGuard<'_, Common> {
        // Who panics while a port is opened leaves nothing half done in it.
        self.common.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_queue_is_one_workers() {
        let shares = Share::of_ports(1, 3);
        let first = shares[0].as_ref().expect("there are three");
        let queues = |me, all| first.for_worker(WorkerId(me)).queues(all).collect::<Vec<_>>();
        assert_eq!([queues(0, 7), queues(1, 7), queues(2, 7)], [vec![0, 3, 6], vec![1, 4], vec![2, 5]]);
        assert_eq!(queues(2, 2), Vec::<u32>::new(), "there are too few");
        assert!(Share::of_ports(2, 1).iter().all(Option::is_none));
    }
}
