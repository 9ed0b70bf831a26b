//! What is said over the control socket: messages of 128 bytes, memif 2.0.
//!
//! Numbers are in the machine's own order and follow each other unaligned, as
//! `drivers/net/memif/memif.h` of DPDK and `src/plugins/memif/memif.h` of VPP have them.
//! Nothing that is read here was checked by anybody before.

/// Bytes of every message.
pub(crate) const LEN: usize = 128;
/// The version that is spoken: 2.0.
pub(crate) const VERSION: u16 = 0x0200;

/// A message, of either side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// What was said is done.
    Ack,
    /// The server's first: what it takes.
    Hello(Hello),
    /// The client's first: which interface of the server it wants, for Ethernet frames.
    Init { version: u16, id: u32, name: String },
    /// Memory that both share; its descriptor comes along.
    AddRegion { index: u16, size: u64 },
    /// A ring in it; the descriptor by which its receiver is woken comes along.
    AddRing(AddRing),
    /// The client has said all.
    Connect { name: String },
    /// The server has understood: packets may flow.
    Connected { name: String },
    /// It is over.
    Disconnect { reason: String },
}

/// What a server takes. Each number is the greatest index, or size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    pub(crate) name: String,
    pub(crate) least_version: u16,
    pub(crate) most_version: u16,
    pub(crate) last_region: u16,
    pub(crate) last_to_client: u16,
    pub(crate) last_to_server: u16,
    pub(crate) log2_ring: u8,
}

/// Where a ring is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AddRing {
    /// Does it carry frames from the client to the server?
    pub(crate) to_server: bool,
    pub(crate) index: u16,
    pub(crate) region: u16,
    pub(crate) offset: u32,
    pub(crate) log2_ring: u8,
}

/// It is of a kind that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message of kind {0}, which is none")]
pub(crate) struct Unknown(u16);

impl Message {
    /// Reads a message. Names are cut to what can be shown.
    ///
    /// # Errors
    /// There is no such message.
    pub(crate) fn parse(bytes: &[u8; LEN]) -> Result<Message, Unknown> {
        let read = Reader(bytes);
        Ok(match read.u16(0) {
            ACK => Message::Ack,
            HELLO => Message::Hello(Hello {
                name: read.text(2, NAME),
                least_version: read.u16(34),
                most_version: read.u16(36),
                last_region: read.u16(38),
                last_to_client: read.u16(40),
                last_to_server: read.u16(42),
                log2_ring: bytes[44],
            }),
            INIT => Message::Init { version: read.u16(2), id: read.u32(4), name: read.text(33, NAME) },
            ADD_REGION => Message::AddRegion { index: read.u16(2), size: read.u64(4) },
            ADD_RING => Message::AddRing(AddRing {
                to_server: read.u16(2) & TO_SERVER != 0,
                index: read.u16(4),
                region: read.u16(6),
                offset: read.u32(8),
                log2_ring: bytes[12],
            }),
            CONNECT => Message::Connect { name: read.text(2, NAME) },
            CONNECTED => Message::Connected { name: read.text(2, NAME) },
            DISCONNECT => Message::Disconnect { reason: read.text(6, REASON) },
            other => return Err(Unknown(other)),
        })
    }

    /// As it goes over the socket.
    pub(crate) fn bytes(&self) -> [u8; LEN] {
        let mut write = Writer([0; LEN]);
        match self {
            Message::Ack => write.u16(0, ACK),
            Message::Hello(hello) => {
                write.u16(0, HELLO);
                write.text(2, NAME, &hello.name);
                write.u16(34, hello.least_version);
                write.u16(36, hello.most_version);
                write.u16(38, hello.last_region);
                write.u16(40, hello.last_to_client);
                write.u16(42, hello.last_to_server);
                write.0[44] = hello.log2_ring;
            }
            // Mode 0, at 8, is Ethernet; the secret, at 9, is empty.
            Message::Init { version, id, name } => {
                write.u16(0, INIT);
                write.u16(2, *version);
                write.put(4, &id.to_ne_bytes());
                write.text(33, NAME, name);
            }
            Message::AddRegion { index, size } => {
                write.u16(0, ADD_REGION);
                write.u16(2, *index);
                write.put(4, &size.to_ne_bytes());
            }
            // No private header, at 13.
            Message::AddRing(ring) => {
                write.u16(0, ADD_RING);
                write.u16(2, if ring.to_server { TO_SERVER } else { 0 });
                write.u16(4, ring.index);
                write.u16(6, ring.region);
                write.put(8, &ring.offset.to_ne_bytes());
                write.0[12] = ring.log2_ring;
            }
            Message::Connect { name } => {
                write.u16(0, CONNECT);
                write.text(2, NAME, name);
            }
            Message::Connected { name } => {
                write.u16(0, CONNECTED);
                write.text(2, NAME, name);
            }
            Message::Disconnect { reason } => {
                write.u16(0, DISCONNECT);
                write.text(6, REASON, reason);
            }
        }
        write.0
    }
}

struct Reader<'a>(&'a [u8; LEN]);

impl Reader<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().expect("so many bytes were taken")
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_ne_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.array(at))
    }

    /// Up to a zero, as far as it can be shown: it ends in a log and on a terminal.
    fn text(&self, at: usize, most: usize) -> String {
        let bytes = self.0[at..at + most].iter().take_while(|byte| **byte != 0);
        bytes.map(|byte| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '?' }).collect()
    }
}

struct Writer([u8; LEN]);

impl Writer {
    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn u16(&mut self, at: usize, value: u16) {
        self.put(at, &value.to_ne_bytes());
    }

    /// Cut so that a zero ends it.
    fn text(&mut self, at: usize, most: usize, text: &str) {
        let len = text.len().min(most - 1);
        self.put(at, &text.as_bytes()[..len]);
    }
}

const ACK: u16 = 1;
const HELLO: u16 = 2;
const INIT: u16 = 3;
const ADD_REGION: u16 = 4;
const ADD_RING: u16 = 5;
const CONNECT: u16 = 6;
const CONNECTED: u16 = 7;
const DISCONNECT: u16 = 8;
/// Of `ADD_RING`: from the client to the server.
const TO_SERVER: u16 = 1;
/// Bytes of a name, its zero included.
const NAME: usize = 32;
/// Bytes of a reason, its zero included.
const REASON: usize = 96;

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
