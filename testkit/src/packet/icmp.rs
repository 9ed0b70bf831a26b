//! ICMP (RFC 792) and ICMPv6 (RFC 4443, RFC 4861).

use super::Ip;
use super::build::{Sum, Transport};
use crate::checksum;

/// An ICMP or ICMPv6 message being described; the IP layer's family says which.
#[derive(Clone, Debug)]
pub struct Icmp {
    ip: Ip,
    kind: u8,
    code: u8,
    rest: [u8; 4],
    body: Vec<u8>,
    options: Vec<u8>,
    checksum: Sum,
}

impl Icmp {
    pub(super) fn new(ip: Ip, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Self {
        let (body, options) = (body.to_vec(), Vec::new());
        Icmp { ip, kind, code, rest, body, options, checksum: Sum::Right }
    }

    /// What an echo message carries; for other messages, the whole body.
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.body = payload.as_ref().to_vec();
        self
    }

    /// Keeps only the first `len` bytes of the body: of an error, the quote.
    pub fn quote_len(mut self, len: usize) -> Self {
        self.body.truncate(len);
        self
    }

    /// Sets the code.
    pub fn code(mut self, code: u8) -> Self {
        self.code = code;
        self
    }

    /// Adds a neighbour discovery option, padded with zeros to eight bytes.
    pub fn nd_option(mut self, kind: u8, data: impl AsRef<[u8]>) -> Self {
        let len = (2 + data.as_ref().len()).next_multiple_of(8);
        let end = self.options.len() + len;
        self.options.extend([kind, (len / 8) as u8]);
        self.options.extend(data.as_ref());
        self.options.resize(end, 0);
        self
    }

    /// Takes the neighbour discovery options away.
    pub fn without_options(mut self) -> Self {
        self.options.clear();
        self
    }

    /// Sets the checksum, whatever the right one is.
    pub fn checksum(mut self, checksum: u16) -> Self {
        self.checksum = Sum::Is(checksum);
        self
    }

    /// Sets a checksum that is surely wrong.
    pub fn bad_checksum(mut self) -> Self {
        self.checksum = Sum::Wrong;
        self
    }
}

impl Transport for Icmp {
    fn ip(&self) -> &Ip {
        &self.ip
    }

    fn ip_mut(&mut self) -> &mut Ip {
        &mut self.ip
    }

    fn segment(&self) -> (u8, Vec<u8>) {
        let mut bytes = Vec::with_capacity(8 + self.body.len() + self.options.len());
        bytes.extend([self.kind, self.code, 0, 0]);
        bytes.extend(self.rest);
        bytes.extend(&self.body);
        bytes.extend(&self.options);
        // ICMP alone among the four has no pseudo-header.
        let (protocol, checksum) = if self.ip.is_v4() {
            (1, self.checksum.resolve(checksum::internet(&bytes), 0))
        } else {
            (58, self.ip.transport_checksum(58, &bytes, self.checksum))
        };
        bytes[2..4].copy_from_slice(&checksum.to_be_bytes());
        (protocol, bytes)
    }
}
