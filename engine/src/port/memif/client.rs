//! The client's part of the handshake: it hears a message, and says what comes next.
//!
//! One question at a time, each of which the server acknowledges. It knows neither socket
//! nor memory, so whatever a server says can be tried on it.

use super::message::{AddRing, Hello, Message, VERSION};
use super::ring;

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Which interface of the server.
    pub(crate) id: u32,
    /// What it calls itself, at most 31 bytes.
    pub(crate) name: String,
    /// Pairs of rings.
    pub(crate) pairs: u16,
    /// Slots of a ring, as a power of two.
    pub(crate) log2_ring: u8,
}

/// The client's side of one conversation.
#[derive(Debug)]
pub(crate) struct Client {
    wish: Wish,
    stage: Stage,
    /// What the server calls itself.
    server: String,
}

/// What the client has said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Nothing,
    Init,
    Region,
    /// So many rings, the last of them this one's number: those to the server come first.
    Ring(u16),
    Connect,
    Done,
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Say this, with a descriptor where one comes along.
    Say(Message, Attached),
    /// Packets may flow: with whom.
    Begin {
        /// What the server's interface is called, and what the server calls itself.
        interface: String,
        server: String,
    },
}

/// The descriptor that comes along with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attached {
    Nothing,
    /// Of the memory.
    Region,
    /// By which the receiver of a ring is woken.
    Bell {
        to_server: bool,
        pair: u16,
    },
}

/// Why there will be no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The server has said so.
    #[error("the server ended it: \"{0}\"")]
    ByServer(String),
    /// It speaks another version.
    #[error("the server speaks memif {}.{} to {}.{}, and Causeway 2.0", .0 >> 8, .0 & 0xff, .1 >> 8, .1 & 0xff)]
    Version(u16, u16),
    /// It takes fewer rings than there are workers.
    #[error("the server takes {takes} queues each way, and a worker needs one each: {wanted}")]
    TooFewRings {
        /// So many.
        takes: u32,
        /// So many would do.
        wanted: u16,
    },
    /// Its rings are too small to be used.
    #[error("the server takes rings of 2^{0} frames only")]
    SmallRings(u8),
    /// That was not its turn to say.
    #[error("the server said something that does not belong there: {0}")]
    Unexpected(&'static str),
}

impl Client {
    pub(crate) fn new(wish: Wish) -> Client {
        Client { wish, stage: Stage::Nothing, server: String::new() }
    }

    /// What was agreed on, from the first answer on: pairs of rings, and their slots as a
    /// power of two.
    pub(crate) fn terms(&self) -> (u16, u8) {
        (self.wish.pairs, self.wish.log2_ring)
    }

    /// Hears a message.
    ///
    /// # Errors
    /// It is over.
    pub(crate) fn hear(&mut self, message: Message) -> Result<Next, Refused> {
        match (self.stage, message) {
            (_, Message::Disconnect { reason }) => Err(Refused::ByServer(reason)),
            (Stage::Nothing, Message::Hello(hello)) => self.greet(hello),
            (Stage::Init, Message::Ack) => {
                self.stage = Stage::Region;
                let (pairs, log2_ring) = self.terms();
                let size = ring::region_len(pairs, log2_ring) as u64;
                Ok(Next::Say(Message::AddRegion { index: 0, size }, Attached::Region))
            }
            (Stage::Region, Message::Ack) => Ok(self.add_ring(0)),
            (Stage::Ring(last), Message::Ack) if last + 1 < 2 * self.wish.pairs => Ok(self.add_ring(last + 1)),
            (Stage::Ring(_), Message::Ack) => {
                self.stage = Stage::Connect;
                Ok(Next::Say(Message::Connect { name: self.wish.name.clone() }, Attached::Nothing))
            }
            (Stage::Connect, Message::Connected { name }) => {
                self.stage = Stage::Done;
                Ok(Next::Begin { interface: name, server: std::mem::take(&mut self.server) })
            }
            (_, other) => Err(Refused::unexpected(&other)),
        }
    }

    fn greet(&mut self, hello: Hello) -> Result<Next, Refused> {
        if !(hello.least_version..=hello.most_version).contains(&VERSION) {
            return Err(Refused::Version(hello.least_version, hello.most_version));
        }
        let takes = u32::from(hello.last_to_client.min(hello.last_to_server)) + 1;
        if takes < u32::from(self.wish.pairs) {
            return Err(Refused::TooFewRings { takes, wanted: self.wish.pairs });
        }
        if hello.log2_ring < ring::LEAST_LOG2 {
            return Err(Refused::SmallRings(hello.log2_ring));
        }
        self.wish.log2_ring = self.wish.log2_ring.min(hello.log2_ring);
        self.server = hello.name;
        self.stage = Stage::Init;
        let (id, name) = (self.wish.id, self.wish.name.clone());
        Ok(Next::Say(Message::Init { version: VERSION, id, name }, Attached::Nothing))
    }

    fn add_ring(&mut self, number: u16) -> Next {
        self.stage = Stage::Ring(number);
        let (pairs, log2_ring) = self.terms();
        let (to_server, pair) = (number < pairs, number % pairs);
        let offset = ring::offset(pairs, log2_ring, to_server, pair) as u32;
        let ring = AddRing { to_server, index: pair, region: 0, offset, log2_ring };
        Next::Say(Message::AddRing(ring), Attached::Bell { to_server, pair })
    }
}

impl Refused {
    /// It was not the time for this message.
    pub(crate) fn unexpected(message: &Message) -> Refused {
        Refused::Unexpected(match message {
            Message::Ack => "an acknowledgement",
            Message::Hello(_) => "a greeting",
            Message::Connected { .. } => "that it is connected",
            Message::Disconnect { .. } => "that it is over",
            Message::Init { .. } | Message::AddRegion { .. } | Message::AddRing(_) | Message::Connect { .. } => {
                "what a client says"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(pairs: u16) -> Client {
        Client::new(Wish { id: 3, name: "gw".into(), pairs, log2_ring: 10 })
    }

    fn hello() -> Hello {
        Hello {
            name: "server 1.0".into(),
            least_version: VERSION,
            most_version: VERSION,
            last_region: 255,
            last_to_client: 254,
            last_to_server: 254,
            log2_ring: 14,
        }
    }

    fn said(next: Result<Next, Refused>) -> (Message, Attached) {
        match next {
            Ok(Next::Say(message, attached)) => (message, attached),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_handshake_goes_through_region_and_rings() {
        let mut client = client(2);
        let (init, _) = said(client.hear(Message::Hello(hello())));
        assert_eq!(init, Message::Init { version: VERSION, id: 3, name: "gw".into() });
        let (region, attached) = said(client.hear(Message::Ack));
        let size = ring::region_len(2, 10) as u64;
        assert_eq!((region, attached), (Message::AddRegion { index: 0, size }, Attached::Region));
        for (to_server, pair) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
            let (ring, attached) = said(client.hear(Message::Ack));
            let offset = ring::offset(2, 10, to_server, pair) as u32;
            let expected = AddRing { to_server, index: pair, region: 0, offset, log2_ring: 10 };
            assert_eq!((ring, attached), (Message::AddRing(expected), Attached::Bell { to_server, pair }));
        }
        let (connect, _) = said(client.hear(Message::Ack));
        assert_eq!(connect, Message::Connect { name: "gw".into() });
        let begin = Next::Begin { interface: "memif0".into(), server: "server 1.0".into() };
        assert_eq!(client.hear(Message::Connected { name: "memif0".into() }), Ok(begin));
    }

    #[test]
    fn a_server_of_small_rings_gets_small_rings() {
        let mut client = client(1);
        said(client.hear(Message::Hello(Hello { log2_ring: 8, ..hello() })));
        assert_eq!(client.terms(), (1, 8));
    }

    #[test]
    fn what_cannot_be_agreed_on_is_refused_with_a_reason() {
        let cases = [
            (Hello { least_version: 0x0300, most_version: 0x0301, ..hello() }, "memif 3.0 to 3.1"),
            (Hello { most_version: 0x0100, least_version: 0x0100, ..hello() }, "memif 1.0 to 1.0"),
            (Hello { last_to_server: 0, ..hello() }, "takes 1 queues each way, and a worker needs one each: 2"),
            (Hello { last_to_client: 0, ..hello() }, "takes 1 queues each way"),
            (Hello { log2_ring: 1, ..hello() }, "rings of 2^1 frames only"),
        ];
        for (hello, words) in cases {
            let refused = client(2).hear(Message::Hello(hello)).expect_err("it cannot do");
            assert!(refused.to_string().contains(words), "{refused}");
        }
        let over = Message::Disconnect { reason: "ID not found".into() };
        assert_eq!(client(1).hear(over), Err(Refused::ByServer("ID not found".into())));
        assert_eq!(client(1).hear(Message::Ack), Err(Refused::Unexpected("an acknowledgement")));
    }
}
