//! First look at a packet: is it for us, is it sound, may it travel at all?
//!
//! Nearly every packet answers all of that in one go; the others are looked at
//! closely, question by question.

use super::set::Set;
use super::walk::{Scratch, Walk};
use crate::address::Address;
use crate::frame::Frame;
use crate::ids::VrfId;
use crate::limiter::TokenBucket;
use crate::offload::ChecksumState;
use crate::parse::{self, IpHeader, L4Kind, Layers};
use crate::snapshot::PortEntry;
use crate::time::Instant;
use crate::verdict::{DropReason, PuntReason, Verdict};
use crate::wire::{ethernet, get16, icmp, sctp, tcp, udp};

/// How many frames ahead the first cache line of a packet is asked for.
const AHEAD: usize = 8;

/// What was found in the frames of a burst; what is in no set has its verdict.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) v4: Kinds,
    pub(super) v6: Kinds,
    pub(super) arp: Set,
}

/// The packets of one family.
#[derive(Default)]
pub(super) struct Kinds {
    pub(super) routable: Set,
    pub(super) on_link: Set,
    pub(super) discovery: Set,
    pub(super) bad_options: Set,
}

#[derive(Clone, Copy)]
enum Kind {
    /// May be routed.
    Routable,
    /// From or to a link-local address: stays on its link.
    OnLink,
    /// Neighbour discovery.
    Discovery,
    /// May be routed, but for its IPv4 options, which overrun its header.
    BadOptions,
}

impl Kinds {
    pub(super) fn is_empty(&self) -> bool {
        (self.routable | self.on_link | self.discovery | self.bad_options).is_empty()
    }

    fn insert(&mut self, i: usize, kind: Kind) {
        match kind {
            Kind::Routable => self.routable.insert(i),
            Kind::OnLink => self.on_link.insert(i),
            Kind::Discovery => self.discovery.insert(i),
            Kind::BadOptions => self.bad_options.insert(i),
        }
    }
}

/// Parses every frame; those that turned `inward` at another worker may be from the gateway
/// itself.
pub(super) fn parse(
    frames: &[Frame],
    verdicts: &mut [Verdict],
    ports: &[PortEntry],
    inward: Set,
    scratch4: &mut Scratch<u32>,
    scratch6: &mut Scratch<u128>,
) -> Parsed {
    let mut parsed = Parsed::default();
    for frame in frames.iter().take(AHEAD) {
        frame.prefetch();
    }
    for (i, frame) in frames.iter().enumerate() {
        if let Some(later) = frames.get(i + AHEAD) {
            later.prefetch();
        }
        let bytes = frame.bytes();
        let port = ports.get(frame.ingress.index());
        let ethertype = plain_ethertype(bytes, frame, port);
        if let Some((ethernet::IPV4, port)) = ethertype
            && let Some(header) = parse::plain_ipv4(bytes)
            && !is_suspect(header.src, header.dst)
            && Some(header.src) != port.v4
        {
            scratch4.note(i, &header, port.vrf);
            parsed.v4.routable.insert(i);
        } else if let Some((ethernet::IPV6, port)) = ethertype
            && let Some(header) = parse::plain_ipv6(bytes)
            && !is_suspect(header.src, header.dst)
            && Some(header.src) != port.v6
        {
            scratch6.note(i, &header, port.vrf);
            parsed.v6.routable.insert(i);
        } else if let Err(reason) = closely(i, frame, port, inward.contains(i), scratch4, scratch6, &mut parsed) {
            verdicts[i] = Verdict::Drop(reason);
        }
    }
    parsed
}

/// The EtherType of a frame to this port with nothing left to be done to it;
/// `None` says nothing but that it must be looked at closely.
#[inline(always)]
fn plain_ethertype<'a>(bytes: &[u8], frame: &Frame, port: Option<&'a PortEntry>) -> Option<(u16, &'a PortEntry)> {
    let port = port?;
    let header = bytes.first_chunk::<{ ethernet::HEADER_LEN }>()?;
    let plain = header[..6] == port.mac && frame.offload.checksum == ChecksumState::Complete;
    plain.then(|| (get16(header, ethernet::ETHERTYPE), port))
}

/// Every question about a frame, one after the other.
#[cold]
fn closely(
    i: usize,
    frame: &Frame,
    port: Option<&PortEntry>,
    inward: bool,
    scratch4: &mut Scratch<u32>,
    scratch6: &mut Scratch<u128>,
    parsed: &mut Parsed,
) -> Result<(), DropReason> {
    let bytes = frame.bytes();
    let Some(header) = bytes.first_chunk::<{ ethernet::HEADER_LEN }>() else {
        return Err(DropReason::FrameTruncated);
    };
    // There is none before the first tables were installed.
    let port = port.ok_or(DropReason::NoRoute)?;
    let group = ethernet::is_group(header);
    if !group && header[..6] != port.mac {
        return Err(DropReason::NotForUs);
    }
    match get16(header, ethernet::ETHERTYPE) {
        ethernet::IPV4 => {
            let (header, is_sound) = match parse::ipv4(bytes) {
                Err(DropReason::OptionsBad) => {
                    (parse::ipv4_with_bad_options(bytes).ok_or(DropReason::OptionsBad)?.0, false)
                }
                header => (header?, true),
            };
            let own = !inward && Some(header.src) == port.v4;
            let kind = match kind(frame, &header, group, own)? {
                kind if is_sound => kind,
                Kind::Routable => Kind::BadOptions,
                _ => return Err(DropReason::OptionsBad),
            };
            scratch4.note(i, &header, port.vrf);
            parsed.v4.insert(i, kind);
        }
        ethernet::IPV6 => {
            let header = parse::ipv6(bytes)?;
            let own = !inward && (Some(header.src) == port.v6 || header.src == port.link_local);
            let kind = kind(frame, &header, group, own)?;
            scratch6.note(i, &header, port.vrf);
            parsed.v6.insert(i, kind);
        }
        ethernet::ARP => parsed.arp.insert(i),
        _ => return Err(DropReason::EtherTypeUnknown),
    }
    Ok(())
}

/// What is to become of an IP packet, sent to a `group` or not, from an `own`
/// address or not.
fn kind<A: Address>(frame: &Frame, header: &IpHeader<A>, group: bool, own: bool) -> Result<Kind, DropReason> {
    let layers = parse::layers(frame.bytes(), header, VrfId::MAIN);
    if !fits(frame, &layers) {
        return Err(DropReason::L4HeaderBad);
    }
    // Control wants to hear of a neighbour that claims our address.
    if A::BITS == 128 && layers.kind == L4Kind::NeighborDiscovery {
        return Ok(Kind::Discovery);
    }
    if group {
        return Err(DropReason::Multicast);
    }
    if own {
        return Err(DropReason::MartianSource);
    }
    match reach(header.src, header.dst) {
        Reach::Anywhere => Ok(Kind::Routable),
        Reach::Link => Ok(Kind::OnLink),
        Reach::Nowhere(reason) => Err(reason),
    }
}

/// May the partial checksum of a frame be completed where its sender says?
///
/// Whoever sends the frame on writes two bytes there, after everything was decided
/// and translated: a guest must not get an address or a port written that way.
fn fits<A: Address>(frame: &Frame, layers: &Layers<A>) -> bool {
    match frame.offload.checksum {
        ChecksumState::Complete => true,
        ChecksumState::Partial { start, offset } => {
            let (start, l4) = (u32::from(start), layers.l4);
            match layers.kind {
                L4Kind::Tcp if start == l4 => usize::from(offset) == tcp::CHECKSUM,
                L4Kind::Udp if start == l4 => usize::from(offset) == udp::CHECKSUM,
                L4Kind::Sctp if start == l4 => usize::from(offset) == sctp::CHECKSUM,
                L4Kind::Sctp => start >= l4 + sctp::HEADER_LEN as u32,
                L4Kind::Other | L4Kind::AddressBound | L4Kind::Fragment | L4Kind::Damaged => start >= l4,
                // Nobody leaves that of UDP-Lite undone, whose coverage hardware does not know.
                L4Kind::Tcp | L4Kind::Udp | L4Kind::UdpLite => start >= l4 + udp::HEADER_LEN as u32,
                _ if start == l4 => usize::from(offset) == icmp::CHECKSUM,
                _ => start >= l4 + icmp::HEADER_LEN as u32,
            }
        }
    }
}

/// Hands ARP to control, and holds it back once there is more of it than control
/// should see.
pub(super) fn punt_arp(verdicts: &mut [Verdict], packets: Set, bucket: &mut TokenBucket, now: Instant) {
    for i in packets {
        verdicts[i] =
            if bucket.take(now) { Verdict::Punt(PuntReason::Arp) } else { Verdict::Drop(DropReason::PuntRateLimited) };
    }
}

impl<A: Address> Walk<'_, A> {
    /// Hands neighbour discovery to control: only what was sent on this very link is
    /// any (RFC 4861, 7.1.1).
    pub(super) fn discovery(&mut self, packets: Set) {
        for i in packets {
            self.verdicts[i] = if self.scratch.notes[i].ttl != 255 {
                Verdict::Drop(DropReason::NdHopLimit)
            } else if self.limits.discovery.take(self.now) {
                Verdict::Punt(PuntReason::NeighborDiscovery)
            } else {
                Verdict::Drop(DropReason::PuntRateLimited)
            };
        }
    }
}

/// How far a packet may travel.
enum Reach {
    Anywhere,
    Link,
    Nowhere(DropReason),
}

/// RFC 1812, 5.3.7, RFC 3927, section 7, and RFC 4291, section 2: addresses that
/// nobody may send from or to across a router.
fn reach<A: Address>(src: A, dst: A) -> Reach {
    if !is_suspect(src, dst) {
        return Reach::Anywhere;
    }
    if bad_source(src) {
        return Reach::Nowhere(DropReason::MartianSource);
    }
    match kind_of(dst) {
        Scope::Multicast => Reach::Nowhere(DropReason::Multicast),
        Scope::Never => Reach::Nowhere(DropReason::MartianDestination),
        Scope::Global if !is_link_local(src) => Reach::Anywhere,
        Scope::Link | Scope::Global => Reach::Link,
    }
}

/// May one of the addresses be one that does not travel? By its first byte.
#[inline(always)]
fn is_suspect<A: Address>(src: A, dst: A) -> bool {
    let first = |address: A| address.bits(0, 8) as usize & 0xff;
    let suspects = if A::BITS == 32 { &SUSPECTS_V4 } else { &SUSPECTS_V6 };
    suspects[first(src)] | suspects[first(dst)]
}

/// First bytes of IPv4 addresses of which some or all do not travel: 0/8, 127/8,
/// 169.254/16, multicast and what is reserved.
static SUSPECTS_V4: [bool; 256] = {
    let mut suspects = [false; 256];
    suspects[0] = true;
    suspects[127] = true;
    suspects[169] = true;
    let mut first = 224;
    while first < 256 {
        suspects[first] = true;
        first += 1;
    }
    suspects
};

/// The same of IPv6 addresses: ::/8, link-local and multicast.
static SUSPECTS_V6: [bool; 256] = {
    let mut suspects = [false; 256];
    suspects[0] = true;
    suspects[0xfe] = true;
    suspects[0xff] = true;
    suspects
};

enum Scope {
    Global,
    Link,
    Multicast,
    Never,
}

fn kind_of<A: Address>(address: A) -> Scope {
    match address.to_ip() {
        core::net::IpAddr::V4(v4) => {
            if v4.is_broadcast() || v4.is_multicast() {
                Scope::Multicast
            } else if v4.octets()[0] == 0 || v4.is_loopback() || v4.octets()[0] >= 240 {
                Scope::Never
            } else if v4.is_link_local() {
                Scope::Link
            } else {
                Scope::Global
            }
        }
        core::net::IpAddr::V6(v6) => {
            if v6.is_multicast() {
                Scope::Multicast
            } else if v6.is_unspecified() || v6.is_loopback() || v6.to_ipv4_mapped().is_some() {
                Scope::Never
            } else if v6.is_unicast_link_local() {
                Scope::Link
            } else {
                Scope::Global
            }
        }
    }
}

/// Is this no address that a packet may come from?
pub(super) fn bad_source<A: Address>(address: A) -> bool {
    matches!(kind_of(address), Scope::Multicast | Scope::Never)
}

/// Must a packet from or to this address stay on its link?
pub(super) fn is_link_local<A: Address>(address: A) -> bool {
    matches!(kind_of(address), Scope::Link)
}
