//! Where each chunk of a UMEM is: one line a chunk, never two owners.
//!
//! The law, at any moment: `free + in_rings + lent = total`.

/// Chunks of one UMEM, each free, lent out as a frame, or in the rings of a socket.
///
/// Chunks are named by their number, 0 to `total - 1`. Every step costs one
/// store beside a push or pop; nothing allocates once made.
pub(super) struct Ledger {
    free: Vec<u32>,
    place: Vec<Place>,
    in_rings: usize,
    lent: usize,
    /// Numbers of holders that came back.
    vacant: Vec<u16>,
    holders: u16,
}

/// The rings of one socket, as a place where chunks can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holder(u16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Free,
    Lent,
    InRings(Holder),
}

/// How many chunks there are, and where: a picture of one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// All chunks of the UMEM.
    pub total: usize,
    /// Chunks that wait for use.
    pub free: usize,
    /// Chunks in fill, receive, transmit and completion rings, or with the kernel.
    pub in_rings: usize,
    /// Chunks that are out as frames.
    pub lent: usize,
}

impl Ledger {
    pub(super) fn new(total: u32) -> Ledger {
        Ledger {
            // Low numbers on top: a quiet worker stays within few pages.
            free: (0..total).rev().collect(),
            place: vec![Place::Free; total as usize],
            in_rings: 0,
            lent: 0,
            vacant: Vec::new(),
            holders: 0,
        }
    }

    /// A new holder, for the rings of a new socket.
    ///
    /// # Panics
    /// There are 65 536 of them at once.
    pub(super) fn new_holder(&mut self) -> Holder {
        Holder(self.vacant.pop().unwrap_or_else(|| {
            self.holders = self.holders.checked_add(1).expect("fewer than 65536 sockets share a UMEM");
            self.holders
        }))
    }

    /// A free chunk goes to the rings of `holder`; `None` when no chunk is free.
    #[inline]
    pub(super) fn free_to_rings(&mut self, holder: Holder) -> Option<u32> {
        let chunk = self.free.pop()?;
        self.place[chunk as usize] = Place::InRings(holder);
        self.in_rings += 1;
        Some(chunk)
    }

    /// A chunk comes out of a ring of `holder` as a frame.
    #[inline]
    pub(super) fn rings_to_lent(&mut self, chunk: u32, holder: Holder) {
        self.moved(chunk, Place::InRings(holder), Place::Lent);
        self.in_rings -= 1;
        self.lent += 1;
    }

    /// A frame goes into a ring of `holder`.
    #[inline]
    pub(super) fn lent_to_rings(&mut self, chunk: u32, holder: Holder) {
        self.moved(chunk, Place::Lent, Place::InRings(holder));
        self.lent -= 1;
        self.in_rings += 1;
    }

    /// A frame comes back.
    #[inline]
    pub(super) fn lent_to_free(&mut self, chunk: u32) {
        self.moved(chunk, Place::Lent, Place::Free);
        self.lent -= 1;
        self.free.push(chunk);
    }

    /// A chunk comes out of a ring of `holder`, done with.
    #[inline]
    pub(super) fn rings_to_free(&mut self, chunk: u32, holder: Holder) {
        self.moved(chunk, Place::InRings(holder), Place::Free);
        self.in_rings -= 1;
        self.free.push(chunk);
    }

    /// The socket of `holder` is closed and the kernel uses its chunks no more:
    /// all of them are free again.
    pub(super) fn reclaim(&mut self, holder: Holder) {
        for chunk in 0..self.place.len() as u32 {
            if self.place[chunk as usize] == Place::InRings(holder) {
                self.rings_to_free(chunk, holder);
            }
        }
        self.vacant.push(holder.0);
    }

    /// How many chunks are where.
    pub(super) fn account(&self) -> Account {
        Account { total: self.place.len(), free: self.free.len(), in_rings: self.in_rings, lent: self.lent }
    }

    #[inline(always)]
    fn moved(&mut self, chunk: u32, from: Place, to: Place) {
        let place = &mut self.place[chunk as usize];
        assert!(*place == from, "chunk {chunk} is {place:?}, so it cannot leave {from:?}: it was given back twice");
        *place = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_is_in_one_place() {
        let mut ledger = Ledger::new(3);
        let (a, b) = (ledger.new_holder(), ledger.new_holder());
        let account = |free, in_rings, lent| Account { total: 3, free, in_rings, lent };
        assert_eq!(ledger.account(), account(3, 0, 0));

        let first = ledger.free_to_rings(a).expect("three are free");
        let second = ledger.free_to_rings(b).expect("two are free");
        assert_eq!(ledger.account(), account(1, 2, 0));
        ledger.rings_to_lent(first, a);
        assert_eq!(ledger.account(), account(1, 1, 1));
        ledger.lent_to_rings(first, b);
        assert_eq!(ledger.account(), account(1, 2, 0));
        ledger.rings_to_free(second, b);
        assert_eq!(ledger.account(), account(2, 1, 0));
        ledger.reclaim(b);
        assert_eq!(ledger.account(), account(3, 0, 0));
        assert_eq!(ledger.new_holder(), b);
    }

    #[test]
    fn an_empty_ledger_lends_nothing() {
        let mut ledger = Ledger::new(1);
        let holder = ledger.new_holder();
        assert!(ledger.free_to_rings(holder).is_some());
        assert!(ledger.free_to_rings(holder).is_none());
    }

    #[test]
    #[should_panic(expected = "given back twice")]
    fn a_frame_that_comes_back_twice_is_noticed() {
        let mut ledger = Ledger::new(1);
        let holder = ledger.new_holder();
        let chunk = ledger.free_to_rings(holder).expect("one is free");
        ledger.rings_to_lent(chunk, holder);
        ledger.lent_to_free(chunk);
        ledger.lent_to_free(chunk);
    }
}
