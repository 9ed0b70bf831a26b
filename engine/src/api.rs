//! The API's unix socket: a server thread that asks control, and a client.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use causeway_control::api::{Answer, Ask, LONGEST_REQUEST, Request};

use crate::wake::{Doorbell, readable, sleep};

/// Connections served at once; more are turned away.
const CONNECTIONS: usize = 16;
/// How long a client may take to ask, or control to answer.
const PATIENCE: Duration = Duration::from_secs(10);

const LATE: &str = "the gateway did not answer in time; a change of its configuration that has begun is carried out: \
                    causeway history says what is in force";

/// A question from a client, waiting for control.
pub struct Asked {
    /// What is asked.
    pub ask: Ask,
    reply: SyncSender<Answer>,
    given_up: Arc<AtomicBool>,
}

/// The answer to a question, for whoever waits for it. He has given up when this is dropped.
pub(crate) struct Awaited {
    answered: Receiver<Answer>,
    given_up: Arc<AtomicBool>,
}

impl Awaited {
    /// The answer, unless it takes longer than that.
    pub(crate) fn wait(&self, patience: Duration) -> Option<Answer> {
        self.answered.recv_timeout(patience).ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Release);
    }
}

impl Asked {
    /// A question, and where its answer comes.
    pub(crate) fn new(ask: Ask) -> (Asked, Awaited) {
        let (reply, answered) = mpsc::sync_channel(1);
        let given_up = Arc::new(AtomicBool::new(false));
        (Asked { ask, reply, given_up: Arc::clone(&given_up) }, Awaited { answered, given_up })
    }

    /// Does somebody still wait for the answer?
    pub(crate) fn is_awaited(&self) -> bool {
        !self.given_up.load(Ordering::Acquire)
    }

    /// Sends the answer. A client that has gone does not hear it.
    pub fn answer(self, answer: Answer) {
        let _ = self.reply.send(answer);
    }
}

/// The listening socket; gone from the file system when this is dropped.
pub struct Server {
    path: PathBuf,
    /// The folder, if it was made for the socket.
    folder: Option<PathBuf>,
    questions: Receiver<Asked>,
    /// Is the socket at `path` ours to remove?
    listening: bool,
    /// Rings when the thread is to end.
    stop: Arc<Doorbell>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Listens on a socket that only its owner may use; rings `bell` when there is
    /// a question.
    ///
    /// # Errors
    /// The path is taken by another gateway or by a file of another kind, or its
    /// folder cannot be written to.
    pub fn start(path: &Path, bell: Arc<Doorbell>) -> io::Result<Server> {
        let stop = Arc::new(Doorbell::new()?);
        let folder = make_folder(path)?;
        let (ask, questions) = mpsc::sync_channel(CONNECTIONS);
        let mut server = Server { path: path.to_owned(), folder, questions, stop, listening: false, thread: None };
        // What was made so far goes with `server` if anything fails from here on.
        let listener = listen(path)?;
        server.listening = true;
        let stop = Arc::clone(&server.stop);
        let serve = move || serve(&listener, &ask, &bell, &stop);
        server.thread = Some(std::thread::Builder::new().name("api".into()).spawn(serve)?);
        Ok(server)
    }

    /// The next question.
    pub fn next(&self) -> Option<Asked> {
        self.questions.try_recv().ok()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if self.listening {
            let _ = std::fs::remove_file(&self.path);
        }
        if let Some(folder) = &self.folder {
            // Somebody else's files keep it.
            let _ = std::fs::remove_dir(folder);
        }
    }
}

/// Makes the folder of the socket; says which one it was, if it was missing.
fn make_folder(path: &Path) -> io::Result<Option<PathBuf>> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.exists() => {
            std::fs::create_dir_all(folder)?;
            Ok(Some(folder.to_owned()))
        }
        _ => Ok(None),
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::other("there is a file of another kind; name another path as gateway.api or --api"));
        }
        Ok(_) => match UnixStream::connect(path) {
            Ok(_) => {
                return Err(io::Error::other(
                    "another gateway listens there; name another path as gateway.api or --api",
                ));
            }
            // Left behind by one that was killed.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) => return Err(error),
        },
        Err(_) => {}
    }
    // Bound under a name of its own, so that nobody meets it before only its owner may use it.
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&draft)?;
    let settle = || {
        // `serve` sleeps until there is a connection or it is to stop.
        listener.set_nonblocking(true)?;
        std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&draft, path)
    };
    match settle() {
        Ok(()) => Ok(listener),
        Err(error) => {
            let _ = std::fs::remove_file(&draft);
            Err(error)
        }
    }
}

fn serve(listener: &UnixListener, ask: &SyncSender<Asked>, bell: &Arc<Doorbell>, stop: &Doorbell) {
    let open = Arc::new(AtomicUsize::new(0));
    let mut fds = [readable(stop.fd()), readable(listener.as_raw_fd())];
    loop {
        sleep(&mut fds, PATIENCE);
        if fds[0].revents != 0 {
            return;
        }
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => {
                // Out of descriptors: others will be closed.
                std::thread::sleep(Duration::from_millis(10));
                continue;
            }
        };
        if open.load(Ordering::Acquire) >= CONNECTIONS {
            let _ = write_answer(&stream, &Answer::Error("too many connections; try again".into()));
            continue;
        }
        open.fetch_add(1, Ordering::AcqRel);
        let (ask, bell, leaving) = (ask.clone(), Arc::clone(bell), Arc::clone(&open));
        let started = std::thread::Builder::new().name("api-client".into()).spawn(move || {
            // Whatever goes wrong here concerns this client alone.
            let _ = converse(&stream, &ask, &bell);
            leaving.fetch_sub(1, Ordering::AcqRel);
        });
        if started.is_err() {
            open.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// Answers one line after the other, until the client closes.
fn converse(stream: &UnixStream, ask: &SyncSender<Asked>, bell: &Doorbell) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        let read = (&mut reader).take(LONGEST_REQUEST as u64).read_line(&mut line)?;
        if read == 0 {
            return Ok(());
        }
        if !line.ends_with('\n') {
            let what = format!("a request is one line of at most {LONGEST_REQUEST} bytes");
            return write_answer(stream, &Answer::Error(what));
        }
        let answer = match Request::parse(&line) {
            Ok(question) => {
                let (asked, awaited) = Asked::new(question);
                if ask.send(asked).is_err() {
                    return Ok(());
                }
                bell.ring();
                awaited.wait(PATIENCE).unwrap_or_else(|| Answer::Error(LATE.into()))
            }
            Err(error) => error,
        };
        write_answer(stream, &answer)?;
    }
}

fn write_answer(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_string(answer)?;
    line.push('\n');
    stream.write_all(line.as_bytes())
}

/// Why a gateway could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing listens.
    #[error("no gateway answers at {path} ({source}); is one running? Name its socket with --api")]
    Connect {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It went away in the middle, or is stuck.
    #[error("the gateway did not answer: {0}")]
    Talk(#[from] io::Error),
    /// It answered something else.
    #[error("the gateway speaks another language: {0}; are both of the same version?")]
    Answer(#[from] serde_json::Error),
}

/// Asks a running gateway.
///
/// # Errors
/// It is not there, or does not answer sensibly.
pub fn ask(path: &Path, ask: Ask) -> Result<Answer, AskError> {
    let stream = UnixStream::connect(path).map_err(|source| AskError::Connect { path: path.to_owned(), source })?;
    stream.set_read_timeout(Some(2 * PATIENCE))?;
    let mut line = serde_json::to_string(&Request::new(ask))?;
    line.push('\n');
    (&stream).write_all(line.as_bytes())?;
    let mut answer = String::new();
    if BufReader::new(&stream).read_line(&mut answer)? == 0 {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection").into());
    }
    Ok(serde_json::from_str(&answer)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of one test's own, gone at its end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("causeway-api-{}-{name}", std::process::id()));
            std::fs::create_dir(&path).expect("a fresh folder");
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn bell() -> Arc<Doorbell> {
        Arc::new(Doorbell::new().expect("a doorbell"))
    }

    #[test]
    fn a_server_ends_when_somebody_has_removed_its_socket() {
        let folder = Folder::new("removed");
        let path = folder.0.join("api.sock");
        let server = Server::start(&path, bell()).expect("it listens");
        std::fs::remove_file(&path).expect("it was there");
        // Hung for ever when only a connection could wake it.
        drop(server);
    }

    #[test]
    fn a_server_that_cannot_start_leaves_nothing_behind() {
        let folder = Folder::new("too-long");
        // Longer than the 107 bytes that a socket's address holds.
        let path = folder.0.join("made-for-it").join("x".repeat(120));
        assert!(Server::start(&path, bell()).is_err());
        assert_eq!(std::fs::read_dir(&folder.0).expect("it is there").count(), 0);
    }

    #[test]
    fn the_socket_of_a_gateway_that_was_killed_is_replaced_and_a_live_ones_is_not() {
        let folder = Folder::new("left-behind");
        let path = folder.0.join("api.sock");
        drop(UnixListener::bind(&path).expect("a socket"));
        let server = Server::start(&path, bell()).expect("nobody listens there");
        let error = Server::start(&path, bell()).err().expect("somebody listens there").to_string();
        assert!(error.contains("another gateway"), "{error}");
        assert!(UnixStream::connect(&path).is_ok(), "the first one's socket stays");
        drop(server);
        assert!(!path.exists());
    }
}
