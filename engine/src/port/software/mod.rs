//! Offloads made good in software, for ports that cannot pass them on.
//!
//! [`complete_checksum`] does what a NIC does with `NETIF_F_HW_CSUM`,
//! [`Segments`] what it does with TSO and USO. Both trust nothing they are
//! told: the offload state comes from a VM or a container.

mod checksum;
mod segment;

pub use segment::Segments;

use causeway_fastpath::frame::Frame;
use causeway_fastpath::offload;

/// Why the offload state of a frame cannot be made good. The frame is an error
/// to count, not to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The checksum field is not inside the frame.
    #[error("the partial checksum lies outside the frame")]
    ChecksumOutside,
    /// The partial checksum is not that of the L4 header that is to be segmented.
    #[error("the partial checksum is not that of the segmented protocol")]
    ChecksumElsewhere,
    /// The headers are cut short, or are not those of the kind of segments claimed.
    #[error("the headers are not those of the claimed segments")]
    Headers,
    /// Segments of no bytes, or larger than an IP packet can be.
    #[error("the segment size is zero or too large")]
    SegmentSize,
    /// More than [`Segments::MAX`] segments.
    #[error("too many segments in one frame")]
    TooMany,
}

/// As [`offload::complete_checksum`].
///
/// # Errors
/// [`Unfit::ChecksumOutside`]; the frame is unchanged.
pub fn complete_checksum(frame: &mut Frame) -> Result<(), Unfit> {
    offload::complete_checksum(frame).map_err(|_| Unfit::ChecksumOutside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_fastpath::offload::ChecksumState;

    fn partial(bytes: &[u8], start: u16, offset: u16) -> Frame {
        let mut frame = Frame::boxed(bytes, 0, 0);
        frame.offload.checksum = ChecksumState::Partial { start, offset };
        frame
    }

    #[test]
    fn a_partial_checksum_is_completed_over_the_rest_of_the_frame() {
        // RFC 1071's example: the words 0001 f203 f4f5 f6f7 sum to ddf2.
        let mut frame = partial(&[0xee, 0xee, 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0, 0], 2, 8);
        assert_eq!(complete_checksum(&mut frame), Ok(()));
        assert_eq!(frame.bytes()[10..], (!0xddf2u16).to_be_bytes());
        assert_eq!(frame.offload.checksum, ChecksumState::Complete);
    }

    #[test]
    fn a_sum_of_zero_is_sent_as_all_ones() {
        let mut frame = partial(&[0xff, 0xff, 0, 0], 0, 2);
        assert_eq!(complete_checksum(&mut frame), Ok(()));
        assert_eq!(frame.bytes(), [0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn a_checksum_field_outside_the_frame_is_refused() {
        for (start, offset) in [(0, 3), (4, 0), (3, 0), (u16::MAX, u16::MAX)] {
            let mut frame = partial(&[1, 2, 3, 4], start, offset);
            assert_eq!(complete_checksum(&mut frame), Err(Unfit::ChecksumOutside), "{start}+{offset}");
            assert_eq!(frame.bytes(), [1, 2, 3, 4]);
        }
    }

    #[test]
    fn a_complete_checksum_is_left_alone() {
        let mut frame = Frame::boxed(&[1, 2, 3], 0, 0);
        assert_eq!(complete_checksum(&mut frame), Ok(()));
        assert_eq!(frame.bytes(), [1, 2, 3]);
    }
}
