//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use super::{Build, Eth, Mac, ToMac};

/// An ARP message being described.
#[derive(Clone, Debug)]
pub struct Arp {
    eth: Eth,
    hardware: u16,
    protocol: u16,
    lengths: [u8; 2],
    operation: u16,
    sender_mac: Mac,
    sender: Ipv4Addr,
    target_mac: Mac,
    target: Ipv4Addr,
}

impl Arp {
    pub(super) fn new(eth: Eth, operation: u16, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Arp {
            eth,
            hardware: 1,
            protocol: 0x0800,
            lengths: [6, 4],
            operation,
            sender_mac: [0; 6],
            sender,
            target_mac: [0; 6],
            target,
        }
    }

    /// The hardware address that the sender claims.
    pub fn sender_mac(mut self, mac: impl ToMac) -> Self {
        self.sender_mac = mac.to_mac();
        self
    }

    /// The hardware address of the target.
    pub fn target_mac(mut self, mac: impl ToMac) -> Self {
        self.target_mac = mac.to_mac();
        self
    }

    /// Any operation: 1 asks, 2 answers.
    pub fn operation(mut self, operation: u16) -> Self {
        self.operation = operation;
        self
    }

    /// Lies about the kinds of address: hardware type (1 is Ethernet), protocol
    /// (0x0800 is IPv4), and their lengths in bytes (6, 4).
    pub fn kinds(mut self, hardware: u16, protocol: u16, lengths: [u8; 2]) -> Self {
        (self.hardware, self.protocol, self.lengths) = (hardware, protocol, lengths);
        self
    }
}

impl Build for Arp {
    fn eth(&mut self) -> &mut Eth {
        &mut self.eth
    }

    fn packet(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(28);
        bytes.extend(self.hardware.to_be_bytes());
        bytes.extend(self.protocol.to_be_bytes());
        bytes.extend(self.lengths);
        bytes.extend(self.operation.to_be_bytes());
        bytes.extend(self.sender_mac);
        bytes.extend(self.sender.octets());
        bytes.extend(self.target_mac);
        bytes.extend(self.target.octets());
        bytes
    }

    fn build(&self) -> Vec<u8> {
        self.eth.encode(0x0806, &self.packet())
    }
}
