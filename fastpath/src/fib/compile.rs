//! Routes in, a [`Sub`] out: which node suits which bits.

use alloc::vec::Vec;

use super::chunk::SUB_AT;
use super::sub::{FEW_BORDERS, Kind, MOST_BORDERS, MOST_STRIDE, Node, Sub, kind, lead};
use crate::address::Address;

/// A route on its way into a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<A> {
    pub(super) address: A,
    pub(super) len: u8,
    /// A next hop's raw bits.
    pub(super) hop: u32,
}

/// Compiles the trie for `routes`, all of one /24 and longer than that, ordered by address
/// and then by length. `inherited` is the answer where none of them is.
///
/// A node advances by four bits at least (so many can always be told apart by
/// [`MOST_BORDERS`] borders), so the depth is at most 26. Each node settles a route, forks,
/// or skips 32 bits of a long one: memory is linear in the routes.
pub(super) fn compile<A: Address>(routes: &[Route<A>], inherited: u32) -> (Kind, Sub) {
    let mut compiler = Compiler { nodes: Vec::new(), cells: Vec::new() };
    let root = compiler.node(routes, SUB_AT, inherited);
    let kind = kind(root).expect("a node was made");
    // Children come before their parents; the root is last.
    let root = compiler.nodes.pop().expect("a trie has a root");
    let inner = (!compiler.nodes.is_empty()).then(|| compiler.nodes.into());
    (kind, Sub { root, cells: compiler.cells.into(), inner })
}

struct Compiler {
    nodes: Vec<Node>,
    cells: Vec<u32>,
}

impl Compiler {
    /// Adds the node for `routes`, which have `depth` bits in common at least, and its
    /// children; returns the value that leads there.
    fn node<A: Address>(&mut self, routes: &[Route<A>], depth: u32, outside: u32) -> u32 {
        let (kind, at, width) = shape(routes, depth);
        let mut pieces = Vec::new();
        cut(routes, at, width, outside, &mut pieces);
        // Children first: their cells and nodes lie before ours.
        let answers: Vec<u32> = pieces
            .iter()
            .map(|piece| match piece.below {
                None => piece.value,
                Some((from, to)) => self.node(&routes[from..to], at + width, piece.value),
            })
            .collect();
        let first = self.cells.len() as u32;
        self.write(kind, width, &pieces, &answers);
        let window = if kind == Kind::Page { width } else { 32 };
        let shift = A::BITS - at - window;
        self.nodes.push(Node {
            before: routes[0].address.ending(shift) >> window,
            outside,
            first,
            mask: if kind == Kind::Page { (1 << width) - 1 } else { 0 },
            shift: shift as u8,
            width: window as u8,
        });
        lead(kind, self.nodes.len() - 1)
    }

    fn write<B>(&mut self, kind: Kind, width: u32, pieces: &[Piece<B>], answers: &[u32]) {
        let borders = match kind {
            Kind::Page => {
                let starts = pieces.iter().map(|piece| piece.start as usize);
                let ends = starts.clone().skip(1).chain([1 << width]);
                for ((start, end), answer) in starts.zip(ends).zip(answers) {
                    self.cells.extend(core::iter::repeat_n(*answer, end - start));
                }
                return;
            }
            Kind::Few => FEW_BORDERS,
            Kind::Many => MOST_BORDERS,
        };
        let keys = pieces[1..].iter().map(|piece| (piece.start << (32 - width)) as u32 ^ 1 << 31);
        // Borders that are not there stand at the last address. It counts them all, and
        // finds the last answer, as it must.
        let padding = borders + 1 - pieces.len();
        self.cells.extend(keys.chain(core::iter::repeat_n(i32::MAX as u32, padding)));
        let last = answers[answers.len() - 1];
        self.cells.extend(answers.iter().copied().chain(core::iter::repeat_n(last, padding)));
    }
}

/// The kind of node for `routes`, where its window begins, and how many bits of it count.
///
/// Ranges, where that settles everything; a page, where the bits are crowded; or else
/// whichever advances farther.
fn shape<A: Address>(routes: &[Route<A>], depth: u32) -> (Kind, u32, u32) {
    let (first, last) = (&routes[0], &routes[routes.len() - 1]);
    let (shortest, longest) = routes
        .iter()
        .fold((u8::MAX, 0), |(shortest, longest), route| (shortest.min(route.len), longest.max(route.len)));
    let (shortest, longest) = (u32::from(shortest), u32::from(longest));
    let page_at = first.address.common_bits(last.address).min(shortest - 1);
    // A node sees 64 bits: its window, and bits before that; and 32 from the window on.
    let ranges_at = page_at.min(depth + 32).min(A::BITS - 32);

    let mut pieces = Vec::new();
    let mut count = |at, width| {
        cut(routes, at, width, 0, &mut pieces);
        pieces.len()
    };
    let widest = (longest - ranges_at).min(32);
    let all = count(ranges_at, widest);
    let few = |count| if count <= FEW_BORDERS + 1 { Kind::Few } else { Kind::Many };
    let stride = (longest - page_at).min(MOST_STRIDE);
    let near = page_at <= depth + 64 - MOST_STRIDE;
    if near && longest - page_at <= MOST_STRIDE && crowded(count(page_at, stride), stride) {
        return (Kind::Page, page_at, stride);
    }
    if all <= MOST_BORDERS + 1 {
        return (few(all), ranges_at, widest);
    }
    // The more bits, the more pieces. Five bits always fit.
    let (mut fits, mut too_wide) = (5, widest);
    while too_wide - fits > 1 {
        let middle = fits.midpoint(too_wide);
        if count(ranges_at, middle) <= MOST_BORDERS + 1 {
            fits = middle;
        } else {
            too_wide = middle;
        }
    }
    let crowded = (1..=stride).rev().find(|stride| near && crowded(count(page_at, *stride), *stride));
    match crowded {
        Some(stride) if page_at + stride >= ranges_at + fits => (Kind::Page, page_at, stride),
        _ => (few(count(ranges_at, fits)), ranges_at, fits),
    }
}

/// Are there pieces enough for one cell each value of `stride` bits?
fn crowded(pieces: usize, stride: u32) -> bool {
    pieces << 3 >= 1 << stride
}

/// Where an answer begins to hold.
#[derive(Clone, Copy, Debug)]
struct Piece<B> {
    /// In units of the window's last bit.
    start: u64,
    /// The next hop; what is inherited, where longer routes lead on.
    value: u32,
    /// The first of the routes that lead on, and the one after their last.
    below: Option<B>,
}

/// Cuts the `width` bits at `at` into pieces of one answer each, into `pieces`, ascending.
fn cut<A: Address>(routes: &[Route<A>], at: u32, width: u32, inherited: u32, pieces: &mut Vec<Piece<(usize, usize)>>) {
    pieces.clear();
    pieces.push(Piece { start: 0, value: inherited, below: None });
    // Routes around the current one, each with its end; a length has one at most.
    let mut around: Vec<(u64, u32)> = Vec::new();
    let mut next = 0;
    while next < routes.len() {
        let route = &routes[next];
        let start = u64::from(route.address.bits(at, width));
        close(&mut around, start, inherited, pieces);
        let len = u32::from(route.len);
        if len <= at + width {
            put(pieces, start, route.hop, None);
            around.push((start + (1 << (at + width - len)), route.hop));
            next += 1;
        } else {
            let count = routes[next..].partition_point(|route| u64::from(route.address.bits(at, width)) <= start);
            let value = around.last().map_or(inherited, |(_, hop)| *hop);
            put(pieces, start, value, Some((next, next + count)));
            around.push((start + 1, value));
            next += count;
        }
    }
    close(&mut around, 1 << width, inherited, pieces);
    pieces.pop_if(|piece| piece.start == 1 << width);
}

/// Leaves the routes that end by `upto`.
fn close<B>(around: &mut Vec<(u64, u32)>, upto: u64, inherited: u32, pieces: &mut Vec<Piece<B>>) {
    while let Some((end, _)) = around.pop_if(|(end, _)| *end <= upto) {
        put(pieces, end, around.last().map_or(inherited, |(_, hop)| *hop), None);
    }
}

/// From `start` on the answer is this; pieces of one answer become one.
fn put<B>(pieces: &mut Vec<Piece<B>>, start: u64, value: u32, below: Option<B>) {
    pieces.pop_if(|piece| piece.start == start);
    let same = |piece: &Piece<B>| piece.below.is_none() && piece.value == value;
    if below.is_some() || !pieces.last().is_some_and(same) {
        pieces.push(Piece { start, value, below });
    }
}
