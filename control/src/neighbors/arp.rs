//! ARP over Ethernet: RFC 826.

use std::net::Ipv4Addr;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr};

/// An ARP packet that makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) request: bool,
    pub(super) sender_mac: [u8; 6],
    pub(super) sender: Ipv4Addr,
    pub(super) target: Ipv4Addr,
}

/// Reads an Ethernet frame with ARP in it; `None` for anything that is not ARP for
/// IPv4 over Ethernet, or whose sender has no MAC address or that of a group.
pub(super) fn parse(frame: &[u8]) -> Option<Message> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let packet = ArpPacket::new_checked(frame.payload()).ok()?;
    let ArpRepr::EthernetIpv4 { operation, source_hardware_addr, source_protocol_addr, target_protocol_addr, .. } =
        ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    let request = match operation {
        ArpOperation::Request => true,
        ArpOperation::Reply => false,
        ArpOperation::Unknown(_) => return None,
    };
    let is_station = source_hardware_addr.is_unicast() && source_hardware_addr.0 != [0; 6];
    is_station.then_some(Message {
        request,
        sender_mac: source_hardware_addr.0,
        sender: source_protocol_addr,
        target: target_protocol_addr,
    })
}

/// "Who has `target`? Tell `sender`." To everybody, or to `mac` alone.
pub(super) fn request(own_mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr, mac: Option<[u8; 6]>) -> Vec<u8> {
    let destination = mac.map_or(EthernetAddress::BROADCAST, EthernetAddress);
    emit(destination, own_mac, ArpOperation::Request, sender, EthernetAddress([0; 6]), target)
}

/// "`sender` is at `own_mac`", to whom asked.
pub(super) fn reply(own_mac: [u8; 6], sender: Ipv4Addr, to: &Message) -> Vec<u8> {
    let asker = EthernetAddress(to.sender_mac);
    emit(asker, own_mac, ArpOperation::Reply, sender, asker, to.sender)
}

fn emit(
    destination: EthernetAddress,
    own_mac: [u8; 6],
    operation: ArpOperation,
    sender: Ipv4Addr,
    target_mac: EthernetAddress,
    target: Ipv4Addr,
) -> Vec<u8> {
    let arp = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(own_mac),
        source_protocol_addr: sender,
        target_hardware_addr: target_mac,
        target_protocol_addr: target,
    };
    let ethernet =
        EthernetRepr { src_addr: EthernetAddress(own_mac), dst_addr: destination, ethertype: EthernetProtocol::Arp };
    let mut bytes = vec![0; ethernet.buffer_len() + arp.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes);
    ethernet.emit(&mut frame);
    arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    bytes
}
