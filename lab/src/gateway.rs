//! The gateway program as a child process on a host of a world.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::driver::Driver;
use crate::world::Host;

/// A running gateway. Killed when dropped, and when the thread that started it ends.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    executable: PathBuf,
    api: PathBuf,
    stderr: Option<JoinHandle<String>>,
}

/// How to start a [`Gateway`].
#[derive(Clone, Copy, Debug)]
pub struct GatewayStart<'a> {
    /// The program `causeway`.
    pub executable: &'a Path,
    /// Its configuration.
    pub config: &'a Path,
    /// Where its API socket shall be.
    pub api: &'a Path,
    /// Its port driver, whatever the configuration says.
    pub driver: Driver,
    /// How long it may take until it is ready.
    pub patience: Duration,
}

/// Why a gateway is not running.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The program could not be started at all.
    #[error("starting {executable}: {source}")]
    Start {
        /// The program.
        executable: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("the gateway ended before it was ready ({status}){}", quoted(.stderr))]
    Ended {
        /// How.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// It did not say `ready` in time.
    #[error("the gateway was not ready after {patience:?}{}", quoted(.stderr))]
    NotReady {
        /// How long it had.
        patience: Duration,
        /// What it said.
        stderr: String,
    },
}

/// How a gateway ended that was asked to.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// From being asked until it had ended.
    pub took: Duration,
    /// What it wrote to its standard error, at most the last 64 KiB.
    pub stderr: String,
}

impl Gateway {
    /// Runs `EXECUTABLE run CONFIG --api API --driver DRIVER` on `host` and waits for a
    /// line `ready` on its standard output.
    ///
    /// # Errors
    /// It cannot be started, ends, or is not ready in time; with what it wrote.
    pub fn start(host: &Host, start: GatewayStart<'_>) -> Result<Self, GatewayError> {
        let mut command = host.command(start.executable);
        command.arg("run").arg(start.config).arg("--api").arg(start.api);
        command.args(["--driver", start.driver.name()]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().map_err(|source| GatewayError::Start { executable: start.executable.into(), source })?;

        let (say_ready, ready) = mpsc::channel();
        let stdout = child.stdout.take().expect("it was piped");
        thread::spawn(move || {
            // To the end, for a full pipe would stop the gateway.
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if line.trim() == "ready" {
                    let _ = say_ready.send(());
                }
            }
        });
        let stderr = child.stderr.take().expect("it was piped");
        let mut gateway = Self {
            child,
            executable: start.executable.into(),
            api: start.api.into(),
            stderr: Some(thread::spawn(move || last_words(stderr))),
        };
        match ready.recv_timeout(start.patience) {
            Ok(()) => Ok(gateway),
            Err(reason) => {
                // Its output ends just before it does.
                let ended = match reason {
                    RecvTimeoutError::Disconnected => gateway.wait(Duration::from_secs(1)),
                    RecvTimeoutError::Timeout => gateway.exited(),
                };
                let stderr = gateway.kill();
                Err(match ended {
                    Some(status) => GatewayError::Ended { status, stderr },
                    None => GatewayError::NotReady { patience: start.patience, stderr },
                })
            }
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, if it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Runs `EXECUTABLE show WHAT... --api API` and returns what it printed.
    ///
    /// # Errors
    /// As [`Gateway::ask`].
    pub fn show(&self, what: &[&str]) -> io::Result<String> {
        self.ask(&[&["show"], what].concat())
    }

    /// Runs `EXECUTABLE WORDS... --api API` and returns what it printed.
    ///
    /// # Errors
    /// It cannot be started, takes over 5 s, or fails: with what it wrote.
    pub fn ask(&self, words: &[&str]) -> io::Result<String> {
        let mut command = Command::new(&self.executable);
        command.args(words).arg("--api").arg(&self.api);
        let output = output_within(&mut command, Duration::from_secs(5))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{}: {}", output.status, stderr.trim())))
    }

    /// Sends SIGTERM and waits, at most `patience`; then kills it.
    pub fn stop(mut self, patience: Duration) -> Ended {
        let start = Instant::now();
        if self.exited().is_none() {
            // SAFETY: no pointer; the child is not reaped, so its id is still its own.
            unsafe { libc::kill(self.child.id() as libc::pid_t, libc::SIGTERM) };
        }
        let ended = self.wait(patience);
        let stderr = self.kill();
        let status = ended.unwrap_or_else(|| self.child.wait().expect("a child that was reaped or killed"));
        Ended { status, took: start.elapsed(), stderr }
    }

    /// Waits for its end, at most `patience`.
    fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            let status = self.exited();
            if status.is_some() || start.elapsed() > patience {
                return status;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Makes sure that it has ended; what it wrote to its standard error.
    fn kill(&mut self) -> String {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr.take().and_then(|reader| reader.join().ok()).unwrap_or_default()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
    }
}

/// [`Command::output`] with an end.
fn output_within(command: &mut Command, patience: Duration) -> io::Result<Output> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let mut streams = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
    let stdout = thread::spawn(move || {
        let mut bytes = Vec::new();
        streams.0.read_to_end(&mut bytes).map(|_| bytes)
    });
    let stderr = thread::spawn(move || last_words(&mut streams.1));
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > patience {
            child.kill()?;
            child.wait()?;
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("no end after {patience:?}")));
        }
        thread::sleep(Duration::from_millis(5));
    };
    let stdout = stdout.join().expect("a reader does not panic")?;
    let stderr = stderr.join().expect("a reader does not panic").into_bytes();
    Ok(Output { status, stdout, stderr })
}

/// Reads to the end and keeps the last 64 KiB.
fn last_words(mut stream: impl Read) -> String {
    const KEPT: usize = 64 * 1024;
    let mut kept = Vec::new();
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut bytes) {
        kept.extend_from_slice(&bytes[..length]);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

/// What a program said, as the end of an error message.
fn quoted(stderr: &str) -> String {
    match stderr.trim() {
        "" => ", without a word".into(),
        words => format!(":\n{words}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_words_are_kept_and_the_first_are_not() {
        let long = "x".repeat(100_000) + "the end";
        let kept = last_words(long.as_bytes());
        assert_eq!(kept.len(), 64 * 1024);
        assert!(kept.ends_with("the end"));
    }

    #[test]
    fn a_command_without_end_is_ended() {
        let start = Instant::now();
        let error = output_within(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(5));
    }
}
