//! What workers tell each other: a note with a packet, or a message without one.

use core::net::IpAddr;

use super::Workers;
use crate::address::Address;
use crate::fragment::Piece;
use crate::ids::{Epoch, VrfId, WorkerId};
use crate::session::FlowKey;

/// Why a packet is handed to another worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Errand {
    /// It belongs to the receiver.
    #[default]
    Own,
    /// It needs a name, and the sender has no port for it.
    Seek(Seek),
    /// Its home sought a name for it: here is one.
    Granted(Granted),
    /// It left an island for a public address of what is inside, and comes in again under
    /// the name that it was given (hairpinning).
    Inward,
    /// It is a later fragment of a packet that answers this name.
    Fragment(Name),
}

/// The way round of a packet that needs a name. It ends where it began, twice: first each
/// worker is asked for a port of the address that the host is under, then of any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seek {
    /// The home of its sender, which gets the name.
    pub from: WorkerId,
    /// By which tables.
    pub since: Epoch,
    start: u16,
    step: u16,
}

/// A name that was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// What answers look like.
    pub name: Name,
    /// Which address of its pool it has.
    pub address: u32,
    /// By which tables.
    pub since: Epoch,
}

/// A key of either family: how the answers to a flow look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    src: IpAddr,
    dst: IpAddr,
    src_port: u16,
    dst_port: u16,
    vrf: VrfId,
    protocol: u8,
    hairpin: u8,
}

/// What one worker tells another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A name that was lent is not used any more.
    Release {
        /// The name.
        name: Name,
        /// Who had it.
        from: WorkerId,
    },
    /// The first fragment of a datagram from outside went through: the others may follow.
    FirstFragment {
        /// The datagram, as its own key.
        datagram: Name,
        /// What the first fragment carried.
        piece: Piece,
        /// Its flow.
        flow: Name,
    },
}

impl Seek {
    /// The way round for a packet at its home, from the worker that has the port it
    /// would like best, or from home.
    pub fn new(workers: &Workers, wish: Option<u16>, since: Epoch) -> Seek {
        let start = wish.map_or(workers.me(), |port| workers.of_port(port));
        Seek { from: workers.me(), since, start: start.0, step: 0 }
    }

    /// Whom to ask now; `None`: all were asked.
    pub fn whom(&self, workers: &Workers) -> Option<WorkerId> {
        (self.step < 2 * workers.count()).then(|| WorkerId((self.start + self.step) % workers.count()))
    }

    /// Is any address of the pool welcome by now?
    pub fn takes_any(&self, workers: &Workers) -> bool {
        self.step >= workers.count()
    }

    /// The one asked had none.
    #[must_use]
    pub fn on(self) -> Seek {
        Seek { step: self.step + 1, ..self }
    }
}

impl Name {
    /// Of a key.
    pub fn of<A: Address>(key: &FlowKey<A>) -> Name {
        let FlowKey { src_port, dst_port, vrf, protocol, hairpin, .. } = *key;
        Name { src: key.src.to_ip(), dst: key.dst.to_ip(), src_port, dst_port, vrf, protocol, hairpin }
    }

    /// The key; `None` for the other family.
    pub fn key<A: Address>(&self) -> Option<FlowKey<A>> {
        let Name { src_port, dst_port, vrf, protocol, hairpin, .. } = *self;
        Some(FlowKey {
            src: A::from_ip(self.src)?,
            dst: A::from_ip(self.dst)?,
            src_port,
            dst_port,
            vrf,
            protocol,
            hairpin,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_packet_that_seeks_a_name_asks_everyone_twice_and_home_first() {
        let workers = Workers::new(WorkerId(2), 4, 1);
        let mut seek = Seek::new(&workers, None, Epoch(1));
        let mut asked = Vec::new();
        while let Some(whom) = seek.whom(&workers) {
            asked.push((whom.0, seek.takes_any(&workers)));
            seek = seek.on();
        }
        let once = |any| [2, 3, 0, 1].map(|worker| (worker, any));
        assert_eq!(asked, [once(false), once(true)].concat());
        assert_eq!(Seek::new(&workers, Some(1_025), Epoch(1)).whom(&workers), Some(WorkerId(1)));
    }

    #[test]
    fn a_name_keeps_the_key_and_its_family() {
        let key = FlowKey { src: 1u128, dst: 2, src_port: 3, dst_port: 4, vrf: VrfId(5), protocol: 6, hairpin: 1 };
        assert_eq!(Name::of(&key).key(), Some(key));
        assert_eq!(Name::of(&key).key::<u32>(), None);
    }
}
