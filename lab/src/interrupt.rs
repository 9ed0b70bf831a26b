//! Ctrl-C and its relatives, at any moment.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Ends the process in good order on SIGINT, SIGTERM and SIGHUP.
pub(crate) struct Interrupts {
    waited_for: Arc<AtomicBool>,
    received: Receiver<()>,
}

impl Interrupts {
    /// From now on each of these signals removes the directory `scratch` and ends the
    /// process with the status 128 + signal; namespaces and the gateway go with it.
    ///
    /// For the rest of the process: a signal that ends a program has no way back.
    pub(crate) fn end_the_process(scratch: PathBuf) -> io::Result<Self> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
        let waited_for = Arc::new(AtomicBool::new(false));
        let expected = Arc::clone(&waited_for);
        let (send, received) = mpsc::channel();
        thread::spawn(move || {
            for signal in &mut signals {
                if !expected.load(Ordering::Relaxed) || send.send(()).is_err() {
                    let _ = fs::remove_dir_all(&scratch);
                    std::process::exit(128 + signal);
                }
            }
        });
        Ok(Self { waited_for, received })
    }

    /// Waits for a signal, which then does not end the process, or until `over` says
    /// that there is nothing left to wait for; it is asked five times a second.
    pub(crate) fn wait(&self, mut over: impl FnMut() -> bool) {
        self.waited_for.store(true, Ordering::Relaxed);
        while self.received.recv_timeout(Duration::from_millis(200)) == Err(RecvTimeoutError::Timeout) {
            if over() {
                break;
            }
        }
        self.waited_for.store(false, Ordering::Relaxed);
    }
}
