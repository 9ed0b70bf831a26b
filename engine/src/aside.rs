//! Threads that keep off the packet cores.

use std::io;
use std::mem::{size_of, zeroed};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// How long threads have to end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Starts a thread that runs on any core of this process but `cores`; on any at all, if it
/// has no other. Those of the process are its first thread's: whoever starts this one may be
/// pinned to a core.
pub(crate) fn spawn_aside(
    name: &str,
    cores: &[usize],
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let cores = cores.to_vec();
    Builder::new().name(name.to_owned()).spawn(move || {
        step_aside(&cores);
        work();
    })
}

/// Until they have ended, or it takes too long. One that hangs, in a kubeconfig's plug-in or on
/// a dead file system, ends with the process.
pub(crate) fn wait_for(threads: impl IntoIterator<Item = JoinHandle<()>>) {
    let patience = Instant::now() + FAREWELL;
    for thread in threads {
        while !thread.is_finished() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn step_aside(cores: &[usize]) {
    // SAFETY: a set of cores is an array of numbers, for which zeros are an empty one.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    let size = size_of::<libc::cpu_set_t>();
    let first_thread = std::process::id() as libc::pid_t;
    // SAFETY: the set is valid for writing, and its size is given.
    if unsafe { libc::sched_getaffinity(first_thread, size, &mut set) } != 0 {
        return;
    }
    for core in cores.iter().filter(|core| **core < 8 * size) {
        // SAFETY: the core lies within the set.
        unsafe { libc::CPU_CLR(*core, &mut set) };
    }
    // SAFETY: it only counts the set's members.
    if unsafe { libc::CPU_COUNT(&set) } > 0 {
        // SAFETY: 0 is this thread; as above, for reading. Where it is refused the thread runs where it may.
        unsafe { libc::sched_setaffinity(0, size, &set) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// The cores that a thread started so may run on.
    fn allowed(cores: &[usize]) -> Vec<usize> {
        let (send, receive) = mpsc::channel();
        let look = move || {
            let ids = core_affinity::get_core_ids().expect("there are cores");
            send.send(ids.into_iter().map(|id| id.id).collect()).expect("the test listens");
        };
        spawn_aside("aside", cores, look).expect("a thread").join().expect("no panic");
        receive.recv().expect("it looked")
    }

    #[test]
    fn a_thread_keeps_off_the_packet_cores_while_there_are_others() {
        let all = allowed(&[]);
        assert_eq!(allowed(&all), all, "it must run somewhere");
        if let [first, others @ ..] = all.as_slice()
            && !others.is_empty()
        {
            assert_eq!(allowed(&[*first]), others);
        }
        assert_eq!(allowed(&[100_000]), all);
        std::thread::spawn(move || {
            let core = core_affinity::CoreId { id: all[0] };
            assert!(core_affinity::set_for_current(core));
            assert_eq!(allowed(&[]), all, "whoever is pinned does not take it along");
        })
        .join()
        .expect("no panic");
    }
}
