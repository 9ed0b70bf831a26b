//! What lies below a /24, by its borders: a search tree of whole cache lines.
//!
//! A border is where the answer changes within the 32 bits behind the first 24. An
//! address passes as many borders as are not beyond it, and that number, its rank, finds
//! the answer. One comparison counts a line of borders, so that a few lines do for
//! thousands, and how many lines it takes is known before the first has come from memory.
//! Nothing on the way depends on a branch.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::chunk::SUB_AT;
use super::sub::{Count, Kind, Sub};
use crate::address::Address;

/// Bits of the window.
pub(super) const BITS: u32 = 32;
/// Borders at the root.
const ROOT: usize = 9;
/// Numbers of a line.
const LINE: usize = 16;
/// Ranks under a leaf, which has a border less.
const LEAF: usize = LINE;
/// Ranks under a branch, which has a leaf more than borders.
const BRANCH: usize = LEAF * (LINE + 1);
/// The most borders of a window of one, two and three levels.
pub(super) const MOST: [usize; 3] = [ROOT, (ROOT + 1) * LEAF - 1, (ROOT + 1) * BRANCH - 1];

/// A line of the cache.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub(super) struct Line([u32; LINE]);

/// The borders below one /24 and the answers between them. Its root lies here.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(super) struct Window {
    /// Every so many-th border, ascending. As in all lines, those that are not there stand at
    /// the end of the window. An address there is sent to the last leaf and the last answer.
    root: [u32; ROOT],
    /// How many branches there are; more than none, if there are three levels.
    branches: u32,
    /// The branches, a line each. Then the leaves, if there are two levels, with the answers
    /// by rank (as [`super::chunk::Words::slots`]) right behind each: who looks up a leaf
    /// fetches both at once. Or the answers alone.
    lines: Arc<[Line]>,
    /// Tries behind the window, to which answers lead.
    deeper: Option<Arc<Vec<Sub>>>,
}

impl Window {
    /// Of ascending `borders`, [`MOST`] at most, and an answer more than there are borders.
    pub(super) fn new(borders: &[u32], answers: &[u32], deeper: Vec<Sub>) -> (Kind, Window) {
        assert_eq!(answers.len(), borders.len() + 1, "answers lie between borders");
        let levels = MOST.iter().position(|most| borders.len() <= *most).expect("borders fit a window");
        let (kind, step) = [(Kind::One, 1), (Kind::Two, LEAF), (Kind::Three, BRANCH)][levels];
        // `count` borders whose ranks are multiples of `step`, those after `first`.
        let pick = |first: usize, step: usize, count: usize| {
            borders.iter().copied().skip(first + step - 1).step_by(step).take(count)
        };
        let mut lines = Vec::new();
        if levels == 2 {
            let firsts = (0..answers.len()).step_by(BRANCH);
            lines.extend(firsts.map(|first| line(pick(first, LEAF, LINE), u32::MAX)));
        }
        let branches = lines.len() as u32;
        for (first, answers) in (0..).step_by(LEAF).zip(answers.chunks(LEAF)) {
            if levels > 0 {
                lines.push(line(pick(first, 1, LEAF - 1), u32::MAX));
            }
            lines.push(line(answers.iter().copied(), answers[answers.len() - 1]));
        }
        let mut root = pick(0, step, ROOT);
        let window = Window {
            root: core::array::from_fn(|_| root.next().unwrap_or(u32::MAX)),
            branches,
            lines: lines.into(),
            deeper: (!deeper.is_empty()).then(|| Arc::new(deeper)),
        };
        (kind, window)
    }

    /// Is it a window to which a value marked so leads on?
    pub(super) fn has(mark: u8) -> bool {
        mark >= Kind::One.mark()
    }

    /// The answer of a window of one level.
    #[inline(always)]
    pub(super) fn one<A: Address, C: Count>(&self, address: A) -> u32 {
        self.lines[0].0[C::passed(&self.root, key(address)) % LINE]
    }

    /// The leaf of a window of two levels.
    #[inline(always)]
    pub(super) fn two<A: Address, C: Count>(&self, address: A) -> &[Line; 2] {
        self.leaf(2 * C::passed(&self.root, key(address)))
    }

    /// The leaf of a window of three levels.
    #[inline(always)]
    pub(super) fn three<A: Address, C: Count>(&self, address: A) -> &[Line; 2] {
        let branch = C::passed(&self.root, key(address)).min(self.branches as usize - 1);
        let leaf = (LINE + 1) * branch + C::passed(&self.lines[branch].0, key(address));
        self.leaf(self.branches as usize + 2 * leaf)
    }

    #[inline(always)]
    fn leaf(&self, at: usize) -> &[Line; 2] {
        let at = at.min(self.lines.len() - 2);
        self.lines[at..].first_chunk().expect("a leaf has two lines")
    }

    /// The trie that an answer leads on to.
    pub(super) fn deeper(&self, index: usize) -> &Sub {
        let deeper = self.deeper.as_deref().map_or(&[][..], Vec::as_slice);
        &deeper[index]
    }

    /// What it occupies behind itself, in bytes.
    pub(super) fn bytes(&self) -> usize {
        // The counters before shared lines take a line.
        let deeper = self.deeper.as_deref().map_or(0, |deeper| {
            let tries: usize = deeper.iter().map(|sub| size_of_val(sub) + sub.bytes()).sum();
            tries + size_of::<Vec<Sub>>() + 2 * size_of::<usize>()
        });
        size_of_val(&*self.lines) + size_of::<Line>() + deeper
    }

    /// Where its lines lie.
    #[cfg(test)]
    pub(super) fn place(&self) -> *const () {
        self.lines.as_ptr().cast()
    }
}

/// The answer of a leaf.
#[inline(always)]
pub(super) fn answer<A: Address, C: Count>(leaf: &[Line; 2], address: A) -> u32 {
    leaf[1].0[C::passed(&leaf[0].0, key(address)).min(LINE - 1)]
}

/// A line of the numbers there are, and `rest` for the others.
fn line(mut numbers: impl Iterator<Item = u32>, rest: u32) -> Line {
    Line(core::array::from_fn(|_| numbers.next().unwrap_or(rest)))
}

/// The window's bits of an address.
#[inline(always)]
fn key<A: Address>(address: A) -> u32 {
    address.bits(SUB_AT, BITS)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use causeway_testkit::seed::Seed;

    use super::super::sub::Portable;
    use super::*;

    fn ask<C: Count>(kind: Kind, window: &Window, key: u32) -> u32 {
        let address = u128::from(key) << (128 - SUB_AT - BITS);
        match kind {
            Kind::One => window.one::<u128, C>(address),
            Kind::Two => answer::<u128, C>(window.two::<u128, C>(address), address),
            _ => answer::<u128, C>(window.three::<u128, C>(address), address),
        }
    }

    /// Asks for each border and what is right beside it. Answer `n` has `n` borders before it.
    fn check(borders: &[u32]) {
        let answers: Vec<u32> = (0..=borders.len() as u32).collect();
        let (kind, window) = Window::new(borders, &answers, Vec::new());
        let beside = |border: &u32| [border.saturating_sub(1), *border, border.saturating_add(1)];
        for key in borders.iter().flat_map(beside).chain([0, 1, u32::MAX - 1, u32::MAX]) {
            let rank = borders.partition_point(|border| *border <= key) as u32;
            assert_eq!(ask::<Portable>(kind, &window, key), rank, "at {key:#x} of {} borders", borders.len());
            #[cfg(target_arch = "x86_64")]
            if crate::cpu::has_avx512() {
                assert_eq!(ask::<super::super::sub::Avx512>(kind, &window, key), rank, "at {key:#x}, by vectors");
            }
        }
    }

    #[test]
    fn windows_of_any_number_of_borders_count_them() {
        let mut rng = Seed::from_env_or(5).rng();
        let full = MOST.iter().flat_map(|most| [most - 1, *most, most + 1]).filter(|count| *count <= MOST[2]);
        let around = [LEAF, LEAF * 2, BRANCH - 1, BRANCH, BRANCH + 1, BRANCH * 2, 255, 256, 257];
        for count in (0..=35).chain(full).chain(around) {
            // The last borders of the window, the first ones, and any.
            check(&(0..count as u32).map(|n| u32::MAX - count as u32 + 1 + n).collect::<Vec<_>>());
            check(&(1..=count as u32).collect::<Vec<_>>());
            let mut any: Vec<u32> = (0..count).map(|_| rng.u32().max(1)).collect();
            any.sort_unstable();
            any.dedup();
            check(&any);
        }
    }
}
