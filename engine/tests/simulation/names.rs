//! Under which names those inside are known outside: one name, one endpoint.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use causeway_control::control::Control;
use causeway_fastpath::session::SessionFilter;
use causeway_fastpath::time::Instant;

use crate::frame::{TCP, UDP};
use crate::place::Place;
use crate::talk::Talk;

/// For so long a UDP session lives after a packet, less what a packet may take through the
/// gateway; and an echo's.
const UDP_LIVES: Duration = Duration::from_secs(295);
const ECHO_LIVES: Duration = Duration::from_secs(55);
/// For so long at least a TCP session does, however it stands.
const TCP_LIVES: Duration = Duration::from_secs(20);
/// For so long a name rests after its last session where strangers are let in.
const RESTS: Duration = Duration::from_secs(120);

type Endpoint = (IpAddr, u16);

pub(crate) struct Names {
    /// By protocol and name, and for TCP by peer: who has it, and when it was last seen.
    seen: BTreeMap<(u8, Endpoint, Option<Endpoint>), (Endpoint, Instant)>,
    plenty: bool,
    is_open: bool,
    /// Sessions are being ended, and their names get free.
    killing: bool,
    /// Names have got free before their time.
    pub(crate) freed: bool,
}

impl Names {
    pub(crate) fn new(place: &Place) -> Names {
        Names {
            seen: BTreeMap::new(),
            plenty: place.has_plenty_of_ports(),
            is_open: place.is_open,
            killing: false,
            freed: false,
        }
    }

    /// Are there names for everybody, whatever is lost on the way?
    pub(crate) fn are_plenty(&self) -> bool {
        self.plenty
    }

    /// Some sessions end, and for a while there may be fewer names.
    pub(crate) fn lose(&mut self) {
        (self.freed, self.plenty) = (true, false);
        self.seen.clear();
    }

    /// A packet that begins a talk or goes on with it was seen under this name.
    pub(crate) fn seen(&mut self, talk: &Talk, protocol: u8, name: Endpoint, now: Instant) {
        let peer = (protocol == TCP).then_some(talk.to);
        let (owner, since) = self.seen.entry((protocol, name, peer)).or_insert((talk.from, now));
        // Where sessions were ended, a packet under the name of one may still be on its way from
        // one worker to another.
        let lives = match protocol {
            UDP if self.is_open => UDP_LIVES + RESTS,
            UDP => UDP_LIVES,
            TCP => TCP_LIVES,
            _ => ECHO_LIVES,
        };
        let is_free = self.freed || now.nanos_since(*since) > lives.as_nanos() as u64;
        assert!(*owner == talk.from || is_free, "{name:?} is {owner:?}'s and was given to {talk} too");
        (*owner, *since) = (talk.from, now);
    }

    /// All sessions are to end.
    pub(crate) fn kill(&mut self, control: &mut Control) {
        self.freed = true;
        self.killing |= control.kill_sessions(1, SessionFilter::default(), false);
    }

    /// Have they ended?
    pub(crate) fn heed_kills(&mut self, control: &mut Control) {
        if self.killing && control.take_killed().is_some() {
            self.killing = false;
            self.seen.clear();
        }
    }
}
