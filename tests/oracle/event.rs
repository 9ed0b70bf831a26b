//! What happens to both routers alike, told before it has bytes.

use std::net::IpAddr;

use causeway_testkit::packet::Ip;
use causeway_testkit::seed::Rng;

use crate::names::{FlowId, Names};
use crate::place::Side;

/// What a packet is about. Justified differences are told by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    TcpOpens,
    TcpContinues,
    TcpRepeats,
    TcpEnds,
    TcpResets,
    TcpReopens,
    TcpOutOfWindow,
    TcpResetOutOfWindow,
    TcpSynInOpen,
    TcpOddFlags,
    TcpAfterCrossing,
    TcpAfterEnd,
    TcpAfterRefusal,
    TcpStray,
    Udp,
    UdpWithoutChecksum,
    Echo,
    EchoStray,
    BadTransportChecksum,
    BadTransportLength,
    ErrorFromOutside,
    ErrorFromInside,
    ErrorAboutEnded,
    ErrorAboutRefused,
    ErrorWithBadChecksum,
    ErrorMangled,
    ErrorCutShort,
    ErrorUnrelated,
    OtherIcmp,
    HopsRunOut,
    BadIpHeader,
    CutShort,
    Padded,
    NotForRouter,
    IpOptions,
    BadIpOptions,
    SourceRoute,
    Fragment,
    OtherProtocol,
    BadSource,
    BadDestination,
    SourceElsewhere,
    IntoHosts,
    Unsolicited,
    UnsolicitedDamaged,
    Stranger,
    Hairpin,
    ToRouter,
    ToRouterWithoutService,
    ToPublicFromInside,
    TooBig,
    TooBigMayBeCut,
    Nowhere,
    OtherIcmpNowhere,
}

/// Makes the bytes of an event for one router; `None` if they need a name that it
/// never gave.
pub(crate) type Draft = Box<dyn Fn(&Names) -> Option<Vec<u8>>>;

/// A packet on its way to both routers.
pub(crate) struct Event {
    pub(crate) kind: Kind,
    pub(crate) from: Side,
    /// The flow it is about.
    pub(crate) flow: Option<FlowId>,
    /// It is part of that conversation: the routers' names for it are learned from it.
    pub(crate) belongs: bool,
    /// It may give the flow a name.
    pub(crate) opens: bool,
    pub(crate) draft: Draft,
}

impl Event {
    /// A packet that belongs to no flow.
    pub(crate) fn alone(kind: Kind, from: Side, frame: Vec<u8>) -> Event {
        let draft = Box::new(move |_: &Names| Some(frame.clone()));
        Event { kind, from, flow: None, belongs: false, opens: false, draft }
    }

    /// A packet that tells of a flow and is no part of it.
    pub(crate) fn about(
        flow: FlowId,
        kind: Kind,
        from: Side,
        draft: impl Fn(&Names) -> Option<Vec<u8>> + 'static,
    ) -> Event {
        Event { kind, from, flow: Some(flow), belongs: false, opens: false, draft: Box::new(draft) }
    }
}

/// Header fields that nobody translates.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dress {
    tos: u8,
    id: u16,
    hops: u8,
    may_cut: bool,
}

impl Dress {
    pub(crate) fn any(rng: &mut Rng) -> Dress {
        let hops = *rng.choose(&[2, 3, 64, 128, 255]);
        Dress { tos: rng.u8() & 0xfc, id: rng.u16(), hops, may_cut: rng.bool() }
    }

    /// With so many hops left.
    pub(crate) fn hops(self, hops: u8) -> Dress {
        Dress { hops, ..self }
    }

    /// Whether IPv4 routers may cut it up.
    pub(crate) fn may_cut(self, may_cut: bool) -> Dress {
        Dress { may_cut, ..self }
    }

    /// The IP layer of a packet from a side.
    pub(crate) fn ip(self, from: Side, src: IpAddr, dst: IpAddr) -> Ip {
        let ip = from.towards_router().ip(src, dst).tos(self.tos).ttl(self.hops);
        match ip {
            Ip::V4(v4) => Ip::V4(if self.may_cut { v4.id(self.id).may_fragment() } else { v4.id(self.id) }),
            v6 => v6,
        }
    }
}
