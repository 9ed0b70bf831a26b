//! Protocols that the gateway routes without looking inside.

use super::Ip;
use super::build::Transport;
use crate::checksum;

/// Bytes under a protocol number.
#[derive(Clone, Debug)]
pub struct Raw {
    ip: Ip,
    protocol: u8,
    bytes: Vec<u8>,
}

impl Raw {
    pub(super) fn new(ip: Ip, protocol: u8, bytes: Vec<u8>) -> Self {
        Raw { ip, protocol, bytes }
    }

    pub(super) fn udp_lite(ip: Ip, words: [u16; 3], payload: &[u8]) -> Self {
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.extend([0, 0]);
        bytes.extend(payload);
        let covered = match usize::from(words[2]) {
            0 => bytes.len(),
            some => some.min(bytes.len()),
        };
        // The pseudo-header counts the whole datagram, whatever is covered (RFC 3828, 3.1).
        let mut summed = ip.pseudo_header(136, bytes.len());
        summed.extend(&bytes[..covered]);
        let checksum = match checksum::internet(&summed) {
            0 => 0xffff,
            other => other,
        };
        bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
        Raw::new(ip, 136, bytes)
    }

    pub(super) fn sctp(ip: Ip, src_port: u16, dst_port: u16, tag: u32, chunks: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(12 + chunks.len());
        bytes.extend(src_port.to_be_bytes());
        bytes.extend(dst_port.to_be_bytes());
        bytes.extend(tag.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(chunks);
        // The CRC stands low byte first, alone in the whole suite.
        let crc = checksum::crc32c(&bytes).to_le_bytes();
        bytes[8..12].copy_from_slice(&crc);
        Raw::new(ip, 132, bytes)
    }
}

impl Transport for Raw {
    fn ip(&self) -> &Ip {
        &self.ip
    }

    fn ip_mut(&mut self) -> &mut Ip {
        &mut self.ip
    }

    fn segment(&self) -> (u8, Vec<u8>) {
        (self.protocol, self.bytes.clone())
    }
}
