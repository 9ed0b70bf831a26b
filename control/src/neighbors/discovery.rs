//! IPv6 neighbour discovery: RFC 4861.

use std::net::Ipv6Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet,
    Ipv6Repr, NdiscNeighborFlags, NdiscRepr, RawHardwareAddress,
};

/// A neighbour discovery message that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// "Who has `target`?" `sender` is unspecified for duplicate address detection.
    Solicit { sender: Ipv6Addr, sender_mac: Option<[u8; 6]>, target: Ipv6Addr },
    /// "`target` is at `mac`." Without `mac`: it still is where you asked.
    Advert { target: Ipv6Addr, mac: Option<[u8; 6]>, solicited: bool, overrides: bool },
}

/// Reads an Ethernet frame with neighbour discovery in it. `None` for messages a
/// router has no use for and for those that break RFC 4861, 7.1.
pub(super) fn parse(bytes: &[u8]) -> Option<Message> {
    let frame = EthernetFrame::new_checked(bytes).ok()?;
    let ip_packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
    let ip = Ipv6Repr::parse(&ip_packet).ok()?;
    if ip.hop_limit != 255 || ip.next_header != IpProtocol::Icmpv6 {
        return None;
    }
    let icmp = Icmpv6Packet::new_checked(ip_packet.payload()).ok()?;
    if icmp.msg_code() != 0 {
        return None;
    }
    match Icmpv6Repr::parse(&ip.src_addr, &ip.dst_addr, &icmp, &ChecksumCapabilities::default()).ok()? {
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborSolicit { target_addr, lladdr }) if !target_addr.is_multicast() => {
            let sender_mac = match lladdr {
                Some(lladdr) => Some(station(lladdr)?),
                None => None,
            };
            // 7.1.1: duplicate address detection asks the group, and carries no
            // link-layer address.
            let sound =
                !ip.src_addr.is_unspecified() || (sender_mac.is_none() && ip.dst_addr == solicited_node(target_addr));
            sound.then_some(Message::Solicit { sender: ip.src_addr, sender_mac, target: target_addr })
        }
        Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert { flags, target_addr, lladdr }) if !target_addr.is_multicast() => {
            let mac = match lladdr {
                Some(lladdr) => Some(station(lladdr)?),
                // 7.2.4: it may be left out of an answer to a unicast question.
                None => None,
            };
            let solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
            let overrides = flags.contains(NdiscNeighborFlags::OVERRIDE);
            // 7.1.2: what is said to all was said to nobody in particular.
            let sound = !(solicited && ip.dst_addr.is_multicast());
            sound.then_some(Message::Advert { target: target_addr, mac, solicited, overrides })
        }
        _ => None,
    }
}

fn station(address: RawHardwareAddress) -> Option<[u8; 6]> {
    let bytes: [u8; 6] = address.as_bytes().try_into().ok()?;
    (EthernetAddress(bytes).is_unicast() && bytes != [0; 6]).then_some(bytes)
}

/// "Who has `target`?" To its solicited-node group, or to `mac` alone.
pub(super) fn solicit(own_mac: [u8; 6], sender: Ipv6Addr, target: Ipv6Addr, mac: Option<[u8; 6]>) -> Vec<u8> {
    let group = solicited_node(target);
    let (destination, destination_mac) = match mac {
        Some(mac) => (target, EthernetAddress(mac)),
        None => (group, multicast_mac(group)),
    };
    let lladdr = Some(RawHardwareAddress::from(EthernetAddress(own_mac)));
    emit(own_mac, destination_mac, sender, destination, NdiscRepr::NeighborSolicit { target_addr: target, lladdr })
}

/// "`target` is at `own_mac`": to whom asked, or to all nodes when nobody (or
/// somebody without an address) did.
pub(super) fn advert(own_mac: [u8; 6], target: Ipv6Addr, to: Option<(Ipv6Addr, [u8; 6])>) -> Vec<u8> {
    let mut flags = NdiscNeighborFlags::ROUTER | NdiscNeighborFlags::OVERRIDE;
    let (destination, destination_mac) = match to {
        Some((address, mac)) => {
            flags |= NdiscNeighborFlags::SOLICITED;
            (address, EthernetAddress(mac))
        }
        None => (ALL_NODES, multicast_mac(ALL_NODES)),
    };
    let lladdr = Some(RawHardwareAddress::from(EthernetAddress(own_mac)));
    emit(
        own_mac,
        destination_mac,
        target,
        destination,
        NdiscRepr::NeighborAdvert { flags, target_addr: target, lladdr },
    )
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// RFC 4291, 2.7.1.
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from(b) << 8 | u16::from(c))
}

/// RFC 2464, section 7.
fn multicast_mac(group: Ipv6Addr) -> EthernetAddress {
    let [.., a, b, c, d] = group.octets();
    EthernetAddress([0x33, 0x33, a, b, c, d])
}

fn emit(
    own_mac: [u8; 6],
    destination_mac: EthernetAddress,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    message: NdiscRepr<'_>,
) -> Vec<u8> {
    let icmp = Icmpv6Repr::Ndisc(message);
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: icmp.buffer_len(),
        hop_limit: 255,
    };
    let ethernet = EthernetRepr {
        src_addr: EthernetAddress(own_mac),
        dst_addr: destination_mac,
        ethertype: EthernetProtocol::Ipv6,
    };
    let mut bytes = vec![0; ethernet.buffer_len() + ip.buffer_len() + icmp.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.emit(&mut frame);
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet);
    let mut packet = Icmpv6Packet::new_unchecked(packet.payload_mut());
    icmp.emit(&source, &destination, &mut packet, &ChecksumCapabilities::default());
    bytes
}
