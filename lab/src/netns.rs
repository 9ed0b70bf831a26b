//! Network namespaces held by a file descriptor and by nothing else.
//!
//! No mount under `/run/netns`, no keeper process: when the last descriptor
//! closes, and it closes however the process ends, the namespace goes and takes
//! its interfaces along.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::{panic, thread};

/// A network namespace. Clones hold the same one.
#[derive(Clone, Debug)]
pub struct Namespace {
    fd: Arc<OwnedFd>,
}

impl Namespace {
    /// An empty namespace: a loopback interface, down, and nothing else.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN` in the current user namespace, `ENOSPC`
    /// at the limit `user.max_net_namespaces`.
    pub fn new() -> io::Result<Self> {
        // A thread of its own, so that the caller stays where it is.
        on_new_thread(|| {
            // SAFETY: unshare takes no pointer; CLONE_NEWNET changes only the
            // calling thread, which ends after the next line.
            // Kept by `namespaces_do_not_see_each_other`.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            Self::current()
        })
    }

    /// The namespace of the calling thread.
    ///
    /// # Errors
    /// `/proc` is not mounted.
    pub fn current() -> io::Result<Self> {
        // `thread-self`, since threads of one process may differ.
        let file = File::open("/proc/thread-self/ns/net")?;
        Ok(Self { fd: Arc::new(file.into()) })
    }

    /// Runs `inside` on a new thread in this namespace and waits for it.
    ///
    /// Sockets made inside belong to this namespace for good: they may be
    /// returned and used from any thread. Costs about 0.1 ms.
    ///
    /// # Panics
    /// When `inside` panics, with its panic; when the privilege that made the
    /// namespace is gone.
    pub fn run<R: Send>(&self, inside: impl FnOnce() -> R + Send) -> R {
        on_new_thread(|| {
            enter(self.fd.as_raw_fd()).expect("who made a namespace may enter it");
            inside()
        })
    }

    /// A command that will run in this namespace.
    ///
    /// It is killed when the thread that spawned it ends, by whatever means.
    /// Spawn it from a thread that outlives it: not from within [`run`](Self::run).
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        let namespace = Arc::clone(&self.fd);
        let parent = std::process::id();
        // SAFETY: between fork and exec only async-signal-safe calls are made:
        // setns, prctl and getppid, without allocation on the path of success.
        // Kept by `a_command_runs_inside_and_dies_with_its_parent`.
        unsafe {
            command.pre_exec(move || {
                enter(namespace.as_raw_fd())?;
                die_with(parent)
            });
        }
        command
    }

    /// The descriptor's number, for `/proc/PID/fd/N`.
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Namespace {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn on_new_thread<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| panic::resume_unwind(panic))
}

fn enter(namespace: RawFd) -> io::Result<()> {
    // SAFETY: setns takes no pointer and changes only the calling thread; the
    // descriptor is kept open by the `Arc` its callers hold.
    check(unsafe { libc::setns(namespace, libc::CLONE_NEWNET) })
}

/// Asks the kernel to kill this process when its parent ends.
fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes a signal number, no pointer.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })?;
    // The parent may have ended before the line above: nobody will tell us then.
    // SAFETY: getppid takes nothing and cannot fail.
    if unsafe { libc::getppid() } as u32 == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

/// The answer of a system call that returns 0 or -1 and `errno`.
pub(crate) fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privilege::require_for_test;
    use std::net::{TcpListener, TcpStream};
    use std::process::Stdio;
    use std::time::Duration;

    #[test]
    fn namespaces_do_not_see_each_other() {
        if !require_for_test("namespaces_do_not_see_each_other") {
            return;
        }
        let (a, b) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        for namespace in [&a, &b] {
            crate::netlink::Netlink::open(namespace).unwrap().set_up("lo").unwrap();
        }
        let listener = a.run(|| TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        assert!(a.run(|| TcpStream::connect(address)).is_ok());
        assert!(b.run(|| TcpStream::connect(address)).is_err());
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_command_runs_inside_and_dies_with_its_parent() {
        if !require_for_test("a_command_runs_inside_and_dies_with_its_parent") {
            return;
        }
        let namespace = Namespace::new().unwrap();
        let output = namespace.command("cat").arg("/proc/self/net/dev").output().unwrap();
        let interfaces = String::from_utf8(output.stdout).unwrap();
        assert_eq!(interfaces.lines().skip(2).count(), 1, "only lo in:\n{interfaces}");

        // The thread that spawned it ends here, and the command with it.
        let mut child = on_new_thread(|| namespace.command("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap());
        let mut waited = 0;
        while child.try_wait().unwrap().is_none() {
            assert!(waited < 200, "the command outlived its parent");
            waited += 1;
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_panic_inside_is_a_panic_outside() {
        if !require_for_test("a_panic_inside_is_a_panic_outside") {
            return;
        }
        let namespace = Namespace::new().unwrap();
        let caught = panic::catch_unwind(|| namespace.run(|| panic!("seen")));
        assert_eq!(*caught.unwrap_err().downcast_ref::<&str>().unwrap(), "seen");
    }
}
