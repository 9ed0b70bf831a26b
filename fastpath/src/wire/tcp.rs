//! TCP: RFC 9293.

/// Length of a header without options.
pub const HEADER_LEN: usize = 20;
/// Source port.
pub const SOURCE_PORT: usize = 0;
/// Destination port.
pub const DESTINATION_PORT: usize = 2;
/// Sequence number.
pub const SEQUENCE: usize = 4;
/// Acknowledgement number.
pub const ACKNOWLEDGEMENT: usize = 8;
/// Header length in 32-bit words, in the upper half of the byte.
pub const DATA_OFFSET: usize = 12;
/// Flags.
pub const FLAGS: usize = 13;
/// Window.
pub const WINDOW: usize = 14;
/// Checksum.
pub const CHECKSUM: usize = 16;

/// The largest shift count of a window: RFC 7323, 2.3.
pub const MAX_SCALE: u8 = 14;
/// Options: the end of the list, one byte of nothing, and the shift count of windows.
const END: u8 = 0;
const NOTHING: u8 = 1;
const WINDOW_SCALE: u8 = 3;

/// Flag: no more data from the sender.
pub const FIN: u8 = 0x01;
/// Flag: synchronise sequence numbers.
pub const SYN: u8 = 0x02;
/// Flag: reset.
pub const RST: u8 = 0x04;
/// Flag: the acknowledgement field counts.
pub const ACK: u8 = 0x10;

/// Do the flags ask for a new connection: SYN, and none of ACK, RST and FIN?
/// RFC 9293, section 3.5.
#[inline(always)]
pub const fn opens(flags: u8) -> bool {
    flags & (SYN | ACK | RST | FIN) == SYN
}

/// May a segment with these flags be of a connection that is open: ACK, and neither SYN nor
/// RST? RFC 9293, section 3.10.7.4.
#[inline(always)]
pub const fn goes_on(flags: u8) -> bool {
    flags & (SYN | ACK | RST) == ACK
}

/// The shift count that a SYN announces for later windows, as it says, if it does (RFC 7323,
/// 2.2). A header has 40 bytes of options at most, each of which is looked at once.
pub fn window_scale(header: &[u8]) -> Option<u8> {
    let end = usize::from(header.get(DATA_OFFSET)? >> 4) * 4;
    let mut options = header.get(HEADER_LEN..end)?;
    loop {
        options = match options {
            [] | [END, ..] => return None,
            [NOTHING, rest @ ..] => rest,
            [WINDOW_SCALE, 3, scale, ..] => return Some(*scale),
            [_, len, ..] if *len >= 2 => options.get(usize::from(*len)..)?,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn header(options: &[u8]) -> Vec<u8> {
        let mut header = std::vec![0; HEADER_LEN];
        header[DATA_OFFSET] = (5 + options.len().div_ceil(4) as u8) << 4;
        header.extend(options);
        header.resize(HEADER_LEN + options.len().next_multiple_of(4), 0);
        header
    }

    #[test]
    fn the_scale_is_found_among_other_options_and_nowhere_else() {
        for (options, expected) in [
            (&[][..], None),
            (&[3, 3, 7], Some(7)),
            (&[1, 3, 3, 255], Some(255)),
            (&[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 9], Some(9)),
            (&[0, 3, 3, 7], None),
            (&[3, 2, 7, 7], None),
            (&[3, 4, 7, 7, 3, 3, 5], Some(5)),
            (&[254, 0, 3, 3, 7], None),
            (&[254, 1, 3, 3, 7], None),
            (&[254, 99, 3, 3, 7], None),
            (&[1, 1, 3, 3], None),
        ] {
            assert_eq!(window_scale(&header(options)), expected, "{options:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_stumble(bytes: Vec<u8>, options in prop::collection::vec(any::<u8>(), 0..=40)) {
            let _ = window_scale(&bytes);
            let whole = header(&options);
            let found = window_scale(&whole);
            prop_assert!(found.is_none_or(|scale| options.windows(3).any(|three| three == [3, 3, scale])));
            for end in 0..whole.len() {
                let cut = window_scale(&whole[..end]);
                prop_assert!(cut.is_none());
            }
        }
    }
}
