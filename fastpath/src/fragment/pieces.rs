//! Which bytes of a datagram were seen.

use super::Piece;

/// Pieces that a datagram may come in. The longest datagram, in pieces for the
/// smallest MTU of IPv6, has 54.
pub(super) const MOST: usize = 64;

/// The pieces of one datagram that were seen, side by side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pieces {
    /// First byte and one past the last of each, in order; the first `count` of them.
    ranges: [(u16, u16); MOST],
    count: u8,
    /// Bytes in all pieces.
    seen: u16,
    /// Bytes in the datagram; 0 until its last piece was seen.
    total: u16,
}

/// Why a piece does not go with the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It was seen before, exactly so.
    Duplicate,
    /// Some of its bytes were seen before, or it disagrees about the datagram's end.
    Clash,
    /// There are too many.
    TooMany,
}

impl Pieces {
    pub(super) const NONE: Pieces = Pieces { ranges: [(0, 0); MOST], count: 0, seen: 0, total: 0 };

    /// Adds a piece. In order that is one comparison; otherwise a binary search, and a
    /// move of at most 63 ranges.
    pub(super) fn insert(&mut self, piece: Piece) -> Result<(), Misfit> {
        let (start, end) = (piece.start(), piece.end());
        let ranges = &self.ranges[..usize::from(self.count)];
        let so_far = ranges.last().map_or(0, |last| last.1);
        let at = if start >= so_far { ranges.len() } else { ranges.partition_point(|range| range.0 < start) };
        if ranges.get(at) == Some(&(start, end)) && piece.is_last() == (self.total == end) {
            return Err(Misfit::Duplicate);
        }
        let overlaps = ranges.get(at).is_some_and(|next| next.0 < end) || (at > 0 && ranges[at - 1].1 > start);
        let disagrees = match (self.total, piece.is_last()) {
            (0, true) => so_far > end,
            (0, false) => false,
            // Of what has an end, the last piece was seen; before it there is more.
            (_, true) => true,
            (total, false) => end >= total,
        };
        if overlaps || disagrees {
            return Err(Misfit::Clash);
        }
        if ranges.len() == MOST {
            return Err(Misfit::TooMany);
        }
        self.ranges.copy_within(at..usize::from(self.count), at + 1);
        self.ranges[at] = (start, end);
        self.count += 1;
        self.seen += end - start;
        if piece.is_last() {
            self.total = end;
        }
        Ok(())
    }

    /// Was every byte of the datagram seen?
    pub(super) fn are_all(&self) -> bool {
        self.total != 0 && self.seen == self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(start: u16, len: usize, more: bool) -> Piece {
        Piece::new(start, len, more).expect("a sound piece")
    }

    #[test]
    fn a_datagram_is_whole_in_whatever_order_its_pieces_come() {
        let all = [piece(0, 16, true), piece(16, 8, true), piece(24, 5, false)];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut pieces = Pieces::NONE;
            for at in order {
                assert!(!pieces.are_all());
                pieces.insert(all[at]).expect("it fits");
            }
            assert!(pieces.are_all());
        }
    }

    #[test]
    fn a_piece_that_was_seen_is_told_from_one_that_overlaps() {
        let mut pieces = Pieces::NONE;
        pieces.insert(piece(8, 16, true)).expect("it fits");
        assert_eq!(pieces.insert(piece(8, 16, true)), Err(Misfit::Duplicate));
        for (start, len) in [(8, 8), (8, 24), (0, 16), (16, 8), (16, 16), (0, 64)] {
            assert_eq!(pieces.insert(piece(start, len, true)), Err(Misfit::Clash), "{len} bytes at {start}");
        }
        assert_eq!(pieces.insert(piece(8, 16, false)), Err(Misfit::Clash), "now it is the last");
        pieces.insert(piece(0, 8, true)).expect("before it");
        pieces.insert(piece(24, 8, true)).expect("behind it");
    }

    #[test]
    fn a_datagram_ends_once() {
        let mut pieces = Pieces::NONE;
        pieces.insert(piece(16, 8, true)).expect("it fits");
        assert_eq!(pieces.insert(piece(0, 8, false)), Err(Misfit::Clash), "it ends before what was seen");
        pieces.insert(piece(32, 3, false)).expect("it fits");
        assert_eq!(pieces.insert(piece(40, 8, true)), Err(Misfit::Clash), "beyond the end");
        assert_eq!(pieces.insert(piece(40, 8, false)), Err(Misfit::Clash), "another end");
        assert_eq!(pieces.insert(piece(32, 3, false)), Err(Misfit::Duplicate));
    }

    #[test]
    fn the_longest_datagram_fits_and_one_in_too_many_pieces_does_not() {
        let mut pieces = Pieces::NONE;
        for at in (0..65_528).step_by(1_232) {
            let len = (65_535 - at).min(1_232);
            pieces.insert(piece(at as u16, len, at + len < 65_535)).expect("an MTU of 1280 is enough");
        }
        assert!(pieces.are_all());
        let mut pieces = Pieces::NONE;
        for at in 0..MOST as u16 {
            pieces.insert(piece(at * 16, 8, true)).expect("it fits");
        }
        assert_eq!(pieces.insert(piece(8, 8, true)), Err(Misfit::TooMany));
    }
}
