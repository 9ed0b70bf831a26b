//! What a NIC, a VM or a container left undone in a frame.
//!
//! A veth peer or a virtio guest hands over frames whose L4 checksum is partial
//! and whose size is up to 64 KiB. That state travels with the frame; the port
//! that sends it either passes it on or makes it good in software.

use crate::frame::Frame;
use crate::wire::checksum::{finish, sum};
use crate::wire::put16;

/// What is still to be done to a frame before it is fit for a wire.
///
/// The meaning of each field is that of `struct virtio_net_hdr`
/// (virtio 1.2, section 5.1.6; Linux `include/uapi/linux/virtio_net.h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offload {
    /// Is the L4 checksum whole?
    pub checksum: ChecksumState,
    /// Is the frame several segments in one?
    pub gso: Gso,
    /// Payload bytes a segment, without headers. 0 when `gso` is `None`.
    pub gso_size: u16,
}

/// How far the L4 checksum of a frame has got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumState {
    /// The field holds the checksum (or what the sender claims it to be).
    #[default]
    Complete,
    /// The field holds only the sum over the pseudo header, not complemented
    /// (Linux `CHECKSUM_PARTIAL`): addresses change it, ports do not.
    Partial {
        /// Bytes from the start of the frame to where summing starts: the L4 header.
        start: u16,
        /// Bytes from `start` to the checksum field.
        offset: u16,
    },
}

/// Generic segmentation: the kind of the segments in a super-frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gso {
    /// One ordinary frame.
    #[default]
    None,
    /// TCP over IPv4; `ecn` says that CWR is set and must show in the first segment only.
    TcpV4 {
        /// `VIRTIO_NET_HDR_GSO_ECN`.
        ecn: bool,
    },
    /// TCP over IPv6; `ecn` as above.
    TcpV6 {
        /// `VIRTIO_NET_HDR_GSO_ECN`.
        ecn: bool,
    },
    /// UDP datagrams of `gso_size` bytes each (`VIRTIO_NET_HDR_GSO_UDP_L4`).
    Udp,
}

/// The checksum field of a frame is not inside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChecksumOutside;

/// Turns a partial checksum into a complete one, in place.
///
/// Sums from `start` to the end of the frame, the pseudo header being in the
/// field already. A sum of 0 is written as 0xffff, whatever the protocol: UDP
/// wants it (RFC 768), and to all others both are the same (as Linux,
/// `skb_checksum_help`). A frame whose checksum is complete stays as it is.
///
/// # Errors
/// [`ChecksumOutside`]; the frame is unchanged.
pub fn complete_checksum(frame: &mut Frame) -> Result<(), ChecksumOutside> {
    let ChecksumState::Partial { start, offset } = frame.offload.checksum else { return Ok(()) };
    let bytes = frame.bytes_mut();
    let field = usize::from(start) + usize::from(offset);
    if field + 2 > bytes.len() {
        return Err(ChecksumOutside);
    }
    let checksum = match finish(sum(&bytes[usize::from(start)..])) {
        0 => 0xffff,
        checksum => checksum,
    };
    put16(bytes, field, checksum);
    frame.offload.checksum = ChecksumState::Complete;
    Ok(())
}

impl Offload {
    /// Nothing left to do.
    pub const DONE: Offload = Offload { checksum: ChecksumState::Complete, gso: Gso::None, gso_size: 0 };

    /// How far the checksum of the L4 header at `l4` bytes from the start of the
    /// frame has got. What a tunnel carries may be partial while its own is whole.
    pub const fn checksum_at(&self, l4: u32) -> ChecksumState {
        match self.checksum {
            ChecksumState::Partial { start, .. } if start as u32 == l4 => self.checksum,
            _ => ChecksumState::Complete,
        }
    }

    /// Is the frame several segments in one?
    pub const fn is_super_frame(&self) -> bool {
        !matches!(self.gso, Gso::None)
    }
}
