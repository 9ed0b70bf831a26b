//! UDP (RFC 768).

use super::Ip;
use super::build::{Sum, Transport};

/// A UDP datagram being described.
#[derive(Clone, Debug)]
pub struct Udp {
    ip: Ip,
    ports: [u16; 2],
    length: Option<u16>,
    checksum: Sum,
    payload: Vec<u8>,
}

impl Udp {
    pub(super) fn new(ip: Ip, src_port: u16, dst_port: u16) -> Self {
        let ports = [src_port, dst_port];
        Udp { ip, ports, length: None, checksum: Sum::Right, payload: Vec::new() }
    }

    /// What the datagram carries.
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// Lies about the datagram's length, in bytes. The checksum stays that of the
    /// bytes that are there.
    pub fn length(mut self, bytes: u16) -> Self {
        self.length = Some(bytes);
        self
    }

    /// Sets the checksum, whatever the right one is.
    pub fn checksum(mut self, checksum: u16) -> Self {
        self.checksum = Sum::Is(checksum);
        self
    }

    /// No checksum: the field is 0, which IPv6 forbids.
    pub fn no_checksum(self) -> Self {
        self.checksum(0)
    }

    /// Sets a checksum that is surely wrong, and not 0.
    pub fn bad_checksum(mut self) -> Self {
        self.checksum = Sum::Wrong;
        self
    }

    /// Leaves the pseudo-header's sum in the field, as Linux does for hardware to complete.
    pub fn partial_checksum(mut self) -> Self {
        self.checksum = Sum::Partial;
        self
    }
}

impl Transport for Udp {
    fn ip(&self) -> &Ip {
        &self.ip
    }

    fn ip_mut(&mut self) -> &mut Ip {
        &mut self.ip
    }

    fn segment(&self) -> (u8, Vec<u8>) {
        let length = 8 + self.payload.len();
        let claimed = self.length.unwrap_or(length as u16);
        let mut bytes = Vec::with_capacity(length);
        bytes.extend(self.ports[0].to_be_bytes());
        bytes.extend(self.ports[1].to_be_bytes());
        bytes.extend(claimed.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(&self.payload);
        let mut checksum = self.ip.transport_checksum(17, &bytes, self.checksum);
        if checksum == 0 && self.checksum == Sum::Right {
            // RFC 768: a sum of zero is sent as all ones, because 0 says "none".
            checksum = 0xffff;
        }
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
        (17, bytes)
    }
}
