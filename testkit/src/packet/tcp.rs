//! TCP (RFC 9293).

use super::Ip;
use super::build::{Sum, Transport};

/// No more data from the sender.
pub const FIN: u8 = 0x01;
/// Synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Reset the connection.
pub const RST: u8 = 0x04;
/// Push.
pub const PSH: u8 = 0x08;
/// The acknowledgement number counts.
pub const ACK: u8 = 0x10;
/// The urgent pointer counts.
pub const URG: u8 = 0x20;
/// Congestion was experienced.
pub const ECE: u8 = 0x40;
/// The congestion window was reduced.
pub const CWR: u8 = 0x80;

/// A TCP segment being described. ACK, sequence numbers 0, window 65535 by default.
#[derive(Clone, Debug)]
pub struct Tcp {
    ip: Ip,
    ports: [u16; 2],
    seq: u32,
    ack: u32,
    flags: u8,
    window: u16,
    urgent: u16,
    options: Vec<u8>,
    data_offset: Option<u8>,
    checksum: Sum,
    payload: Vec<u8>,
}

impl Tcp {
    pub(super) fn new(ip: Ip, src_port: u16, dst_port: u16) -> Self {
        Tcp {
            ip,
            ports: [src_port, dst_port],
            seq: 0,
            ack: 0,
            flags: ACK,
            window: 0xffff,
            urgent: 0,
            options: Vec::new(),
            data_offset: None,
            checksum: Sum::Right,
            payload: Vec::new(),
        }
    }

    /// All flags, [`SYN`]` | `[`ACK`] and so on.
    pub fn flags(mut self, flags: u8) -> Self {
        self.flags = flags;
        self
    }

    /// Sequence number.
    pub fn seq(mut self, seq: u32) -> Self {
        self.seq = seq;
        self
    }

    /// Acknowledgement number; does not set [`ACK`].
    pub fn ack(mut self, ack: u32) -> Self {
        self.ack = ack;
        self
    }

    /// Window, unscaled.
    pub fn window(mut self, window: u16) -> Self {
        self.window = window;
        self
    }

    /// Urgent pointer; does not set [`URG`].
    pub fn urgent(mut self, urgent: u16) -> Self {
        self.urgent = urgent;
        self
    }

    /// Options as bytes, padded with end-of-list bytes to whole words; at most 40 bytes.
    pub fn options(mut self, options: impl AsRef<[u8]>) -> Self {
        self.options = options.as_ref().to_vec();
        self.options.resize(self.options.len().next_multiple_of(4), 0);
        assert!(self.options.len() <= 40, "TCP has room for 40 bytes of options");
        self
    }

    /// The maximum segment size as only option.
    pub fn mss(self, bytes: u16) -> Self {
        let [high, low] = bytes.to_be_bytes();
        self.options([2, 4, high, low])
    }

    /// Lies about the header length, in words of four bytes.
    pub fn data_offset(mut self, words: u8) -> Self {
        self.data_offset = Some(words);
        self
    }

    /// What the segment carries.
    pub fn payload(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
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

    /// Leaves the pseudo-header's sum in the field, as Linux does for hardware to complete.
    pub fn partial_checksum(mut self) -> Self {
        self.checksum = Sum::Partial;
        self
    }
}

impl Transport for Tcp {
    fn ip(&self) -> &Ip {
        &self.ip
    }

    fn ip_mut(&mut self) -> &mut Ip {
        &mut self.ip
    }

    fn segment(&self) -> (u8, Vec<u8>) {
        let words = self.data_offset.unwrap_or(5 + (self.options.len() / 4) as u8);
        let mut bytes = Vec::with_capacity(20 + self.options.len() + self.payload.len());
        bytes.extend(self.ports[0].to_be_bytes());
        bytes.extend(self.ports[1].to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([words << 4, self.flags]);
        bytes.extend(self.window.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(self.urgent.to_be_bytes());
        bytes.extend(&self.options);
        bytes.extend(&self.payload);
        let checksum = self.ip.transport_checksum(6, &bytes, self.checksum);
        bytes[16..18].copy_from_slice(&checksum.to_be_bytes());
        (6, bytes)
    }
}
