//! `struct virtio_net_hdr` in front of a frame, and what it says, as [`Offload`].
//!
//! AF_PACKET (`PACKET_VNET_HDR`) and TAP (`IFF_VNET_HDR`) speak it in the
//! machine's byte order (Linux `vio_le()`, `include/linux/virtio_net.h`).

use causeway_fastpath::offload::{ChecksumState, Gso, Offload};

/// Ten bytes before each frame, as the kernel lays them out.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct VnetHdr {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

/// The header says what cannot be: a count for the driver, nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl VnetHdr {
    /// Bytes it takes.
    pub(super) const LEN: usize = size_of::<VnetHdr>();

    /// Reads it from the bytes that the kernel put before a frame.
    pub(super) fn from_bytes(bytes: [u8; VnetHdr::LEN]) -> VnetHdr {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        VnetHdr {
            flags: bytes[0],
            gso_type: bytes[1],
            hdr_len: word(2),
            gso_size: word(4),
            csum_start: word(6),
            csum_offset: word(8),
        }
    }

    /// What it says about a frame of `len` bytes.
    ///
    /// # Errors
    /// A checksum field outside the frame, an unknown or retired kind of
    /// segments (UFO), segments of no bytes. `hdr_len` is a hint that anybody may
    /// get wrong; it is not looked at.
    pub(super) fn offload(&self, len: usize) -> Result<Offload, Malformed> {
        let checksum = if self.flags & F_NEEDS_CSUM == 0 {
            ChecksumState::Complete
        } else {
            if usize::from(self.csum_start) + usize::from(self.csum_offset) + 2 > len {
                return Err(Malformed);
            }
            ChecksumState::Partial { start: self.csum_start, offset: self.csum_offset }
        };
        let ecn = self.gso_type & GSO_ECN != 0;
        let gso = match self.gso_type & !GSO_ECN {
            GSO_NONE if !ecn => return Ok(Offload { checksum, gso: Gso::None, gso_size: 0 }),
            GSO_TCPV4 => Gso::TcpV4 { ecn },
            GSO_TCPV6 => Gso::TcpV6 { ecn },
            GSO_UDP_L4 if !ecn => Gso::Udp,
            _ => return Err(Malformed),
        };
        if self.gso_size == 0 {
            return Err(Malformed);
        }
        Ok(Offload { checksum, gso, gso_size: self.gso_size })
    }

    /// The header that tells the kernel what a frame of `len` bytes still needs.
    pub(super) fn of(offload: &Offload, len: usize) -> VnetHdr {
        let mut header = VnetHdr::default();
        if let ChecksumState::Partial { start, offset } = offload.checksum {
            header.flags = F_NEEDS_CSUM;
            header.csum_start = start;
            header.csum_offset = offset;
        }
        let with_ecn = |kind: u8, ecn: bool| if ecn { kind | GSO_ECN } else { kind };
        header.gso_type = match offload.gso {
            Gso::None => return header,
            Gso::TcpV4 { ecn } => with_ecn(GSO_TCPV4, ecn),
            Gso::TcpV6 { ecn } => with_ecn(GSO_TCPV6, ecn),
            Gso::Udp => GSO_UDP_L4,
        };
        header.gso_size = offload.gso_size;
        // How much of a large frame the kernel keeps in one piece; the rest goes
        // to pages. Without it, it asks for 64 KiB in one piece.
        header.hdr_len = len.min(LINEAR) as u16;
        header
    }
}

/// No header stack is longer: Ethernet, two tags, IP and TCP with all options.
const LINEAR: usize = 192;

const F_NEEDS_CSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
const GSO_ECN: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flags: u8, gso_type: u8, gso_size: u16, csum_start: u16, csum_offset: u16) -> Result<Offload, Malformed> {
        VnetHdr { flags, gso_type, hdr_len: 0xffff, gso_size, csum_start, csum_offset }.offload(100)
    }

    #[test]
    fn whatever_can_be_said_survives_the_way_there_and_back() {
        let checksums = [ChecksumState::Complete, ChecksumState::Partial { start: 34, offset: 16 }];
        let kinds = [
            Gso::None,
            Gso::TcpV4 { ecn: false },
            Gso::TcpV4 { ecn: true },
            Gso::TcpV6 { ecn: false },
            Gso::TcpV6 { ecn: true },
            Gso::Udp,
        ];
        for checksum in checksums {
            for gso in kinds {
                let gso_size = if gso == Gso::None { 0 } else { 1448 };
                let offload = Offload { checksum, gso, gso_size };
                assert_eq!(VnetHdr::of(&offload, 100).offload(100), Ok(offload));
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_kernel() {
        let mut bytes = [0; VnetHdr::LEN];
        bytes[0] = 1;
        bytes[1] = 0x81;
        bytes[4..6].copy_from_slice(&1448u16.to_ne_bytes());
        bytes[6..8].copy_from_slice(&34u16.to_ne_bytes());
        bytes[8..10].copy_from_slice(&16u16.to_ne_bytes());
        let expected = Offload {
            checksum: ChecksumState::Partial { start: 34, offset: 16 },
            gso: Gso::TcpV4 { ecn: true },
            gso_size: 1448,
        };
        assert_eq!(VnetHdr::from_bytes(bytes).offload(100), Ok(expected));
    }

    #[test]
    fn a_header_that_says_what_cannot_be_is_malformed() {
        assert_eq!(
            read(1, 0, 0, 98, 0),
            Ok(Offload { checksum: ChecksumState::Partial { start: 98, offset: 0 }, ..Offload::DONE })
        );
        assert_eq!(read(1, 0, 0, 98, 1), Err(Malformed), "checksum past the end");
        assert_eq!(read(1, 0, 0, u16::MAX, u16::MAX), Err(Malformed), "sum that overflows");
        assert_eq!(read(0, 1, 0, 0, 0), Err(Malformed), "segments of no bytes");
        assert_eq!(read(0, 3, 1000, 0, 0), Err(Malformed), "UFO");
        assert_eq!(read(0, 2, 1000, 0, 0), Err(Malformed), "unknown kind");
        assert_eq!(read(0, 0x80, 0, 0, 0), Err(Malformed), "ECN of nothing");
        assert_eq!(read(0, 0x85, 1000, 0, 0), Err(Malformed), "ECN of UDP");
        assert_eq!(read(2, 0, 77, 9, 9), Ok(Offload::DONE), "DATA_VALID is a complete checksum");
    }
}
