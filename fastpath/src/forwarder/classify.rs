//! First look at a packet: is it for us, is it sound, may it travel at all?

use super::set::Set;
use super::walk::{Meta, Plan, Scratch, Walk};
use crate::address::Address;
use crate::frame::Frame;
use crate::limiter::TokenBucket;
use crate::offload::ChecksumState;
use crate::parse::{self, L4Kind, Layers};
use crate::snapshot::PortEntry;
use crate::time::Instant;
use crate::verdict::{DropReason, PuntReason, Verdict};
use crate::wire::{ethernet, icmp, tcp, udp};

/// How many frames ahead the first cache line of a packet is asked for.
const AHEAD: usize = 8;

/// What was found in the frames of a burst; what is in no set has its verdict.
#[derive(Default)]
pub(super) struct Parsed {
    pub(super) v4: Set,
    pub(super) v6: Set,
    pub(super) arp: Set,
}

/// Parses every frame.
pub(super) fn parse(
    frames: &[Frame],
    verdicts: &mut [Verdict],
    ports: &[PortEntry],
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
        let Some(header) = bytes.first_chunk::<{ ethernet::HEADER_LEN }>() else {
            verdicts[i] = Verdict::Drop(DropReason::FrameTruncated);
            continue;
        };
        let Some(port) = ports.get(frame.ingress.index()) else {
            // Before the first tables were installed.
            verdicts[i] = Verdict::Drop(DropReason::NoRoute);
            continue;
        };
        let group = ethernet::is_group(header);
        if !group && header[..6] != port.mac {
            verdicts[i] = Verdict::Drop(DropReason::NotForUs);
            continue;
        }
        match u16::from_be_bytes([header[ethernet::ETHERTYPE], header[ethernet::ETHERTYPE + 1]]) {
            ethernet::IPV4 => match parse::ipv4(bytes) {
                Ok(layers) if !fits(frame, &layers) => verdicts[i] = Verdict::Drop(DropReason::L4HeaderBad),
                Ok(layers) if !group && Some(layers.key.src) != port.v4 => {
                    scratch4.metas[i] = meta(layers, port);
                    parsed.v4.insert(i);
                }
                outcome => verdicts[i] = not_taken(outcome, group),
            },
            ethernet::IPV6 => match parse::ipv6(bytes) {
                Ok(layers) if !fits(frame, &layers) => verdicts[i] = Verdict::Drop(DropReason::L4HeaderBad),
                // Control wants to hear of a neighbour that claims our address.
                Ok(layers)
                    if layers.kind == L4Kind::NeighborDiscovery
                        || !(group || Some(layers.key.src) == port.v6 || layers.key.src == port.link_local) =>
                {
                    scratch6.metas[i] = meta(layers, port);
                    parsed.v6.insert(i);
                }
                outcome => verdicts[i] = not_taken(outcome, group),
            },
            ethernet::ARP => parsed.arp.insert(i),
            _ => verdicts[i] = Verdict::Drop(DropReason::EtherTypeUnknown),
        }
    }
    parsed
}

/// May the partial checksum of a frame be completed where its sender says?
///
/// Whoever sends the frame on writes two bytes there, after everything was decided
/// and translated: a guest must not get an address or a port written that way.
#[inline(always)]
fn fits<A: Address>(frame: &Frame, layers: &Layers<A>) -> bool {
    match frame.offload.checksum {
        ChecksumState::Complete => true,
        ChecksumState::Partial { start, offset } => {
            let (start, l4) = (u32::from(start), layers.l4);
            match layers.kind {
                L4Kind::Tcp if start == l4 => usize::from(offset) == tcp::CHECKSUM,
                L4Kind::Udp if start == l4 => usize::from(offset) == udp::CHECKSUM,
                L4Kind::Other | L4Kind::Fragment | L4Kind::Damaged => start >= l4,
                L4Kind::Tcp | L4Kind::Udp => start >= l4 + udp::HEADER_LEN as u32,
                _ if start == l4 => usize::from(offset) == icmp::CHECKSUM,
                _ => start >= l4 + icmp::HEADER_LEN as u32,
            }
        }
    }
}

/// Why a packet is not taken: damaged, for a group, or from our own address.
#[cold]
fn not_taken<A>(outcome: Result<Layers<A>, DropReason>, group: bool) -> Verdict {
    Verdict::Drop(match outcome {
        Err(reason) => reason,
        Ok(_) if group => DropReason::Multicast,
        Ok(_) => DropReason::MartianSource,
    })
}

#[inline(always)]
fn meta<A: Address>(mut layers: Layers<A>, port: &PortEntry) -> Meta<A> {
    layers.key.vrf = port.vrf;
    Meta {
        layers,
        table: port.vrf,
        target: layers.key.dst,
        adjacency: crate::ids::AdjacencyId(0),
        plan: Plan::AsIs,
        refusal: super::refuse::Refusal::NoRoute,
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
    /// Drops martians, sets aside what stays on its link, hands neighbour discovery
    /// to control. What is returned may be routed.
    pub(super) fn classify(&mut self, packets: Set) -> Set {
        let mut sound = packets;
        for i in packets {
            let layers = &self.scratch.metas[i].layers;
            if A::BITS == 128 && layers.kind == L4Kind::NeighborDiscovery {
                self.verdicts[i] = self.discovery(i);
            } else {
                match reach(layers.key.src, layers.key.dst) {
                    Reach::Anywhere => continue,
                    Reach::Link => self.scratch.on_link.insert(i),
                    Reach::Nowhere(reason) => self.verdicts[i] = Verdict::Drop(reason),
                }
            }
            sound.remove(i);
        }
        sound
    }

    /// Only what was sent on this very link is neighbour discovery (RFC 4861, 7.1.1).
    fn discovery(&mut self, i: usize) -> Verdict {
        if self.scratch.metas[i].layers.ttl != 255 {
            Verdict::Drop(DropReason::NdHopLimit)
        } else if self.limits.discovery.take(self.now) {
            Verdict::Punt(PuntReason::NeighborDiscovery)
        } else {
            Verdict::Drop(DropReason::PuntRateLimited)
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
#[inline(always)]
fn reach<A: Address>(src: A, dst: A) -> Reach {
    // One subtraction and one comparison settle the common case: the first byte of
    // a sound IPv4 address is 1..=223 but 127; of a sound IPv6 address 1..=0xfd.
    let (first_src, first_dst) = (src.bits(0, 8), dst.bits(0, 8));
    let suspect = |first: u32| {
        if A::BITS == 32 {
            first.wrapping_sub(1) >= 223 || first == 127 || first == 169
        } else {
            first.wrapping_sub(1) >= 0xfd
        }
    };
    if !suspect(first_src) && !suspect(first_dst) {
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
