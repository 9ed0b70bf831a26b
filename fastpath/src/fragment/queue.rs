//! Records in order of arrival: the oldest is the first whose time is up.

/// No number.
pub(super) const NONE: u32 = u32::MAX;

/// The neighbours of a record in its queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    before: u32,
    behind: u32,
}

impl Link {
    pub(super) const NONE: Link = Link { before: NONE, behind: NONE };
}

/// Numbers in a row, each linked by the entry of its number in a common list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    oldest: u32,
    newest: u32,
    len: usize,
}

impl Queue {
    pub(super) const EMPTY: Queue = Queue { oldest: NONE, newest: NONE, len: 0 };

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn oldest(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Adds a number at the end.
    pub(super) fn push(&mut self, links: &mut [Link], number: u32) {
        links[number as usize] = Link { before: self.newest, behind: NONE };
        match self.newest {
            NONE => self.oldest = number,
            newest => links[newest as usize].behind = number,
        }
        self.newest = number;
        self.len += 1;
    }

    /// Takes a number out, wherever it stands in this queue.
    pub(super) fn remove(&mut self, links: &mut [Link], number: u32) {
        let Link { before, behind } = links[number as usize];
        match before {
            NONE => self.oldest = behind,
            before => links[before as usize].behind = behind,
        }
        match behind {
            NONE => self.newest = before,
            behind => links[behind as usize].before = before,
        }
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn numbers_come_in_order_of_arrival_whoever_left_in_between() {
        let mut links = vec![Link::NONE; 5];
        let mut queue = Queue::EMPTY;
        for number in [3, 1, 4, 0, 2] {
            queue.push(&mut links, number);
        }
        for gone in [1, 3, 2] {
            queue.remove(&mut links, gone);
        }
        queue.push(&mut links, 3);
        let mut order = vec![];
        while let Some(number) = queue.oldest() {
            queue.remove(&mut links, number);
            order.push(number);
        }
        assert_eq!((order, queue.len()), (vec![4, 0, 3], 0));
    }
}
