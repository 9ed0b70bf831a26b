//! From one worker to the next.

use causeway_fastpath::ids::WorkerId;

/// Where a walk over what so many workers hold goes on after a step at this one, whose
/// tables end with `cursor` `None`. `None`: it is over.
pub(crate) fn go_on<C: Default>(workers: usize, worker: WorkerId, cursor: Option<C>) -> Option<(WorkerId, C)> {
    let next = WorkerId(worker.0 + 1);
    let other = (next.index() < workers).then(|| (next, C::default()));
    cursor.map(|cursor| (worker, cursor)).or(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_goes_over_every_worker_once() {
        assert_eq!(go_on(2, WorkerId(0), Some(7)), Some((WorkerId(0), 7)));
        assert_eq!(go_on::<u32>(2, WorkerId(0), None), Some((WorkerId(1), 0)));
        assert_eq!(go_on::<u32>(2, WorkerId(1), None), None);
    }
}
