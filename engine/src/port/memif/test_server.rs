//! A memif server in the test's own hands: it says what it is told to say.

use std::fs::File;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use causeway_tests::folder::Folder;

use super::message::{Hello, LEN, Message, VERSION};
use super::region::Region;
use super::socket::{ControlSocket, address};
use super::test_side::Side;
use crate::wake::{readable, sleep};

/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A listening socket; gone when dropped.
pub(super) struct TestServer {
    listener: OwnedFd,
    folder: Folder,
}

impl TestServer {
    pub(super) fn new() -> TestServer {
        let folder = Folder::new();
        TestServer { listener: listen(&path_in(&folder)), folder }
    }

    pub(super) fn path(&self) -> PathBuf {
        path_in(&self.folder)
    }

    /// Waits for a client, and greets it as other servers do.
    pub(super) fn greet(&self) -> Conversation {
        self.greet_with(254, 14)
    }

    /// As [`TestServer::greet`], taking so many queues and slots.
    pub(super) fn greet_with(&self, last_queue: u16, log2_ring: u8) -> Conversation {
        let conversation = self.accept();
        conversation.say(&Message::Hello(Hello {
            name: "test server".into(),
            least_version: VERSION,
            most_version: VERSION,
            last_region: 255,
            last_to_client: last_queue,
            last_to_server: last_queue,
            log2_ring,
        }));
        conversation
    }

    /// Waits for a client, and says nothing.
    pub(super) fn accept(&self) -> Conversation {
        await_readable(&self.listener);
        // SAFETY: no address is asked for.
        let fd = unsafe { libc::accept(self.listener.as_raw_fd(), ptr::null_mut(), ptr::null_mut()) };
        assert!(fd >= 0, "a client is there");
        // SAFETY: the descriptor was just made and nobody else knows it.
        Conversation(ControlSocket::of(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Greets a client and agrees to all that it says. One that has had enough by then is
    /// followed by another.
    pub(super) fn serve(&self) -> Served {
        std::iter::repeat_with(|| self.greet().agree()).find_map(|served| served).expect("a client comes")
    }
}

fn path_in(folder: &Folder) -> PathBuf {
    folder.path().join("memif.sock")
}

fn listen(path: &Path) -> OwnedFd {
    // SAFETY: a system call without pointers.
    let fd = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC, 0) };
    assert!(fd >= 0, "a socket");
    let address = address(path).expect("a short path");
    // SAFETY: the descriptor was just made; the address is whole and its length given.
    let (listener, result) = unsafe {
        let len = mem::size_of_val(&address) as u32;
        (OwnedFd::from_raw_fd(fd), libc::bind(fd, (&raw const address).cast(), len) | libc::listen(fd, 4))
    };
    assert_eq!(result, 0, "the path is free");
    listener
}

fn await_readable(fd: &impl AsFd) {
    let mut fds = [readable(fd.as_fd().as_raw_fd())];
    sleep(&mut fds, PATIENCE);
    assert!(fds[0].revents != 0, "the client says something");
}

/// A client that talks.
pub(super) struct Conversation(ControlSocket);

impl Conversation {
    pub(super) fn say(&self, message: &Message) {
        self.say_bytes(&message.bytes());
    }

    pub(super) fn say_bytes(&self, message: &[u8; LEN]) {
        // Should it have gone, it is not heard any more either.
        let _ = self.0.send(message, None);
    }

    /// The next message, and the descriptor that came along; `None` if it has gone.
    pub(super) fn hear(&self) -> Option<(Message, Option<OwnedFd>)> {
        await_readable(&self.0);
        let mut bytes = [0u8; LEN];
        let mut control = [0u64; 8];
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: LEN };
        // SAFETY: zeros are a valid header; its pointers are to what lives until the end. The
        // kernel fills in whole entries, whose one descriptor is then this process's.
        unsafe {
            let mut header: libc::msghdr = mem::zeroed();
            (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = mem::size_of_val(&control) as _;
            if libc::recvmsg(self.0.as_fd().as_raw_fd(), &raw mut header, libc::MSG_CMSG_CLOEXEC) <= 0 {
                return None;
            }
            let entry = libc::CMSG_FIRSTHDR(&raw const header);
            let fd = (!entry.is_null())
                .then(|| OwnedFd::from_raw_fd(ptr::read_unaligned(libc::CMSG_DATA(entry).cast::<libc::c_int>())));
            Some((Message::parse(&bytes).expect("a client's message"), fd))
        }
    }

    /// Agrees to all that it says until packets may flow; `None` if it goes before.
    fn agree(self) -> Option<Served> {
        let (mut region, mut rings) = (None, Vec::new());
        loop {
            let (message, fd) = self.hear()?;
            match message {
                Message::Init { .. } => {}
                Message::AddRegion { index: 0, size } => {
                    region = Some(Arc::new(Region::of_client(fd.expect("the memory"), size as usize)));
                }
                Message::AddRing(ring) => rings.push((ring, fd.expect("a bell"))),
                Message::Connect { .. } => {
                    self.say(&Message::Connected { name: "test0".into() });
                    break;
                }
                other => panic!("{other:?}"),
            }
            self.say(&Message::Ack);
        }
        let region = region.expect("a region was added");
        let (to_server, to_client): (Vec<_>, Vec<_>) = rings.into_iter().partition(|(ring, _)| ring.to_server);
        let pair = |((one, hears), (other, rings)): ((super::message::AddRing, _), (super::message::AddRing, _))| {
            assert_eq!((one.index, one.log2_ring), (other.index, other.log2_ring));
            let (hears, rings) = (UnixDatagram::from(hears), File::from(rings));
            let side = Side::new(Arc::clone(&region), one.offset as usize, other.offset as usize, 1 << one.log2_ring);
            ServedPair { side, hears, rings }
        };
        let pairs = to_server.into_iter().zip(to_client).map(pair).collect();
        Some(Served { conversation: self, pairs })
    }
}

/// A client that is connected.
pub(super) struct Served {
    pub(super) conversation: Conversation,
    pub(super) pairs: Vec<ServedPair>,
}

/// A pair of rings of it.
pub(super) struct ServedPair {
    pub(super) side: Side,
    /// Readable when the client woke this side.
    pub(super) hears: UnixDatagram,
    /// Wakes the client.
    pub(super) rings: File,
}
