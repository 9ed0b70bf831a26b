//! Real programs, with an end to each of them.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How a program ended, and what it said.
#[derive(Debug)]
pub struct Finished {
    /// Its exit status.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    command: String,
}

impl Finished {
    /// This, if the program was successful.
    ///
    /// # Panics
    /// It was not; with everything it said.
    #[track_caller]
    pub fn success(self) -> Finished {
        assert!(self.status.success(), "{self}");
        self
    }

    /// What it wrote to its standard error, if it failed as a program should: with
    /// exit code 1 and with words, not with a panic or by a signal.
    ///
    /// # Panics
    /// It did not.
    #[track_caller]
    pub fn failure(self) -> String {
        assert_eq!(self.status.code(), Some(1), "{self}");
        assert!(!self.stderr.trim().is_empty(), "no word about what is wrong: {self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self.stderr
    }
}

impl std::fmt::Display for Finished {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Finished { status, stdout, stderr, command } = self;
        write!(f, "{command}: {status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}")
    }
}

/// Runs a program to its end.
///
/// # Panics
/// It cannot be started, or has not ended after `patience`.
#[track_caller]
pub fn run(command: &mut Command, patience: Duration) -> Finished {
    let words = format!("{command:?}");
    let (mut stdout, mut stderr) = (unnamed_file(), unnamed_file());
    let share = |file: &File| Stdio::from(file.try_clone().expect("a descriptor"));
    command.stdin(Stdio::null()).stdout(share(&stdout)).stderr(share(&stderr));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{words}: {error}"));
    let ended = wait(&mut child, patience);
    if ended.is_none() {
        let _ = child.kill();
    }
    let status = child.wait().expect("a child of ours");
    let finished = Finished { status, stdout: whole(&mut stdout), stderr: whole(&mut stderr), command: words };
    assert!(ended.is_some(), "not ended after {patience:?}: {finished}");
    finished
}

/// A program that runs until this is dropped.
#[derive(Debug)]
pub struct Service {
    child: Child,
    said: File,
    command: String,
}

impl Service {
    /// Starts it, and waits until `ready` says that it is.
    ///
    /// # Panics
    /// It cannot be started, ends, or is not ready after a minute.
    #[track_caller]
    pub fn start(command: &mut Command, mut ready: impl FnMut(&str) -> bool) -> Service {
        let words = format!("{command:?}");
        let said = unnamed_file();
        let share = || said.try_clone().expect("a descriptor");
        command.stdin(Stdio::null()).stdout(share()).stderr(share());
        let child = command.spawn().unwrap_or_else(|error| panic!("{words}: {error}"));
        let mut service = Service { child, said, command: words };
        let start = Instant::now();
        while !ready(&service.said()) {
            let ended = service.child.try_wait().expect("a child of ours");
            let late = start.elapsed() > Duration::from_secs(60);
            let (command, said) = (&service.command, service.said());
            assert!(ended.is_none() && !late, "{command}: not ready, {ended:?}\n{said}");
            thread::sleep(Duration::from_millis(10));
        }
        service
    }

    /// Sends a signal and waits for the end; what the program said.
    ///
    /// # Panics
    /// It has not ended after ten seconds.
    pub fn end(mut self, signal: libc::c_int) -> String {
        send_signal(self.child.id(), signal);
        let ended = wait(&mut self.child, Duration::from_secs(10));
        assert!(ended.is_some(), "{} did not end after signal {signal}", self.command);
        self.said()
    }

    /// What it has written until now.
    pub fn said(&self) -> String {
        // By its path, for the descriptor's offset is where the program writes.
        let path = format!("/proc/self/fd/{}", self.said.as_raw_fd());
        fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends `signal` to a process that was not waited for yet.
///
/// # Panics
/// There is no such process.
pub fn send_signal(process: u32, signal: libc::c_int) {
    // SAFETY: numbers only.
    let answer = unsafe { libc::kill(process as libc::pid_t, signal) };
    assert_eq!(answer, 0, "process {process} is not there for signal {signal}");
}

/// Asks again and again until `done`, or until `patience` has passed; whether it came.
pub fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if done() {
            return true;
        }
        if start.elapsed() > patience {
            return false;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn wait(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    let mut status = None;
    wait_until(patience, || {
        status = child.try_wait().expect("a child of ours");
        status.is_some()
    });
    status
}

/// A file without a name: a pipe would have to be emptied all the time.
fn unnamed_file() -> File {
    // SAFETY: the name ends in NUL, and the kernel copies it.
    let fd = unsafe { libc::memfd_create(c"output".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0, "no file in memory: {}", std::io::Error::last_os_error());
    // SAFETY: the kernel just made this descriptor for us.
    File::from(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn whole(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("a file in memory");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The memory that a process holds, in KiB.
///
/// # Panics
/// There is no such process.
pub fn resident_kib(process: u32) -> u64 {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a living process has memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_heard_on_both_its_outputs() {
        let finished = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 1"]), Duration::from_secs(5));
        assert_eq!(finished.stdout, "out\n");
        assert_eq!(finished.failure(), "err\n");
    }

    #[test]
    #[should_panic(expected = "not ended after")]
    fn a_program_without_end_is_ended() {
        run(Command::new("sleep").arg("60"), Duration::from_millis(50));
    }

    #[test]
    fn a_service_is_ready_when_it_says_so_and_ends_when_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "trap 'echo ended; exit' TERM; echo ready; while :; do sleep 0.01; done"]);
        let service = Service::start(&mut command, |said| said.contains("ready"));
        assert_eq!(service.end(libc::SIGTERM), "ready\nended\n");
    }
}
