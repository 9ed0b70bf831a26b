//! Routes in, a [`Window`] or a [`Sub`] out: which node suits which bits.

use alloc::vec::Vec;

use super::chunk::SUB_AT;
use super::sub::{FEW_BORDERS, Kind, MOST_BORDERS, MOST_STRIDE, Node, Sub, lead};
use super::window::{BITS, MOST, Window};
use crate::address::Address;

/// A route on its way into a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route<A> {
    pub(super) address: A,
    pub(super) len: u8,
    /// A next hop's raw bits.
    pub(super) hop: u32,
}

/// What a slot leads on to, and by which kind of value.
pub(super) enum Below {
    Window(Kind, Window),
    Trie(Kind, Sub),
}

/// Compiles what answers for `routes`, all of one /24 and longer than that, ordered by
/// address and then by length. `inherited` is the answer where none of them is.
///
/// A page, where bits are crowded and it settles everything; a window, where its borders
/// suffice, but for few long routes that one node of a trie tells apart; or else a trie.
pub(super) fn compile<A: Address>(routes: &[Route<A>], inherited: u32) -> Below {
    let longest = routes.iter().map(|route| route.len).max().unwrap_or(0);
    let suits = match whole(routes, SUB_AT) {
        Some((Kind::Page, ..)) => false,
        Some(_) => u32::from(longest) <= SUB_AT + BITS,
        None => true,
    };
    if suits && let Some((kind, window)) = window(routes, inherited) {
        return Below::Window(kind, window);
    }
    let (kind, sub) = trie(routes, SUB_AT, inherited);
    Below::Trie(kind, sub)
}

/// The window for `routes`, unless they have too many borders.
fn window<A: Address>(routes: &[Route<A>], inherited: u32) -> Option<(Kind, Window)> {
    let mut pieces = Vec::new();
    cut(routes, SUB_AT, BITS, inherited, &mut pieces);
    if pieces.len() - 1 > MOST[2] {
        return None;
    }
    let mut deeper = Vec::new();
    let mut answer = |piece: &Piece<(usize, usize)>| match piece.below {
        None => piece.value,
        Some((from, to)) => {
            let (kind, sub) = trie(&routes[from..to], SUB_AT + BITS, piece.value);
            deeper.push(sub);
            lead(kind, deeper.len() - 1)
        }
    };
    let answers: Vec<u32> = pieces.iter().map(&mut answer).collect();
    let borders: Vec<u32> = pieces[1..].iter().map(|piece| piece.start as u32).collect();
    Some(Window::new(&borders, &answers, deeper))
}

/// Compiles the trie for `routes`, which have `depth` bits in common and are longer than that.
///
/// A node advances by four bits at least (so many can always be told apart by
/// [`MOST_BORDERS`] borders), so the depth is at most 26. Each node settles a route, forks,
/// or skips 32 bits of a long one: memory is linear in the routes.
fn trie<A: Address>(routes: &[Route<A>], depth: u32, inherited: u32) -> (Kind, Sub) {
    let mut compiler = Compiler { nodes: Vec::new(), cells: Vec::new() };
    let (kind, root) = compiler.node(routes, depth, inherited);
    assert_eq!(root + 1, compiler.nodes.len(), "children come before their parents");
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
    /// children; returns its kind and its index.
    fn node<A: Address>(&mut self, routes: &[Route<A>], depth: u32, outside: u32) -> (Kind, usize) {
        let (kind, at, width) = shape(routes, depth);
        let mut pieces = Vec::new();
        cut(routes, at, width, outside, &mut pieces);
        // Children first: their cells and nodes lie before ours.
        let answers: Vec<u32> = pieces
            .iter()
            .map(|piece| match piece.below {
                None => piece.value,
                Some((from, to)) => {
                    let (kind, index) = self.node(&routes[from..to], at + width, piece.value);
                    lead(kind, index)
                }
            })
            .collect();
        let first = self.cells.len() as u32;
        self.write(kind, width, &pieces, &answers, outside);
        let window = if kind == Kind::Page { width } else { 32 };
        let shift = A::BITS - at - window;
        let before = routes[0].address.ending(shift) >> window;
        let (before, size) = if kind == Kind::Page { (before << width, 1 << width) } else { (before, 0) };
        self.nodes.push(Node { before, outside, first, size, shift: shift as u8 });
        (kind, self.nodes.len() - 1)
    }

    fn write<B>(&mut self, kind: Kind, width: u32, pieces: &[Piece<B>], answers: &[u32], outside: u32) {
        let borders = match kind {
            Kind::Page => {
                let starts = pieces.iter().map(|piece| piece.start as usize);
                let ends = starts.clone().skip(1).chain([1 << width]);
                for ((start, end), answer) in starts.zip(ends).zip(answers) {
                    self.cells.extend(core::iter::repeat_n(*answer, end - start));
                }
                self.cells.push(outside);
                return;
            }
            Kind::Few => FEW_BORDERS,
            _ => MOST_BORDERS,
        };
        let keys = pieces[1..].iter().map(|piece| (piece.start << (32 - width)) as u32);
        // Borders that are not there stand at the last address. It counts them all, and
        // finds the last answer, as it must.
        let padding = borders + 1 - pieces.len();
        self.cells.extend(keys.chain(core::iter::repeat_n(u32::MAX, padding)));
        let last = answers[answers.len() - 1];
        self.cells.extend(answers.iter().copied().chain(core::iter::repeat_n(last, padding)));
    }
}

/// Where the windows of a node for `routes` can begin, which have `depth` bits in common.
struct Reach {
    page_at: u32,
    ranges_at: u32,
    /// Bits from there to the end of the longest route, as far as a node goes.
    stride: u32,
    widest: u32,
    /// The longest route.
    longest: u32,
    /// Does a page reach the bits skipped before it?
    near: bool,
}

impl Reach {
    fn of<A: Address>(routes: &[Route<A>], depth: u32) -> Reach {
        let (first, last) = (&routes[0], &routes[routes.len() - 1]);
        let (shortest, longest) = routes
            .iter()
            .fold((u8::MAX, 0), |(shortest, longest), route| (shortest.min(route.len), longest.max(route.len)));
        let (shortest, longest) = (u32::from(shortest), u32::from(longest));
        let page_at = first.address.common_bits(last.address).min(shortest - 1);
        // A node sees 64 bits: its window, and bits before that; and 32 from the window on.
        let ranges_at = page_at.min(depth + 32).min(A::BITS - 32);
        Reach {
            page_at,
            ranges_at,
            stride: (longest - page_at).min(MOST_STRIDE),
            widest: (longest - ranges_at).min(32),
            longest,
            near: page_at <= depth + 64 - MOST_STRIDE,
        }
    }
}

/// The node that settles `routes` by itself, or nearly, if there is one: its kind, where its
/// window begins, and how many bits of it count. A page, where the bits are crowded, or ranges.
fn whole<A: Address>(routes: &[Route<A>], depth: u32) -> Option<(Kind, u32, u32)> {
    let reach = Reach::of(routes, depth);
    let mut pieces = Vec::new();
    let all = reach.longest - reach.page_at <= MOST_STRIDE;
    if reach.near && all {
        cut(routes, reach.page_at, reach.stride, 0, &mut pieces);
        if crowded(pieces.len(), reach.stride) {
            return Some((Kind::Page, reach.page_at, reach.stride));
        }
    }
    cut(routes, reach.ranges_at, reach.widest, 0, &mut pieces);
    (pieces.len() <= MOST_BORDERS + 1).then(|| (ranges(pieces.len()), reach.ranges_at, reach.widest))
}

/// The kind of ranges for so many pieces.
fn ranges(pieces: usize) -> Kind {
    if pieces <= FEW_BORDERS + 1 { Kind::Few } else { Kind::Many }
}

/// The kind of node for `routes`, where its window begins, and how many bits of it count.
///
/// What settles everything; or else a page or ranges, whichever advances farther.
fn shape<A: Address>(routes: &[Route<A>], depth: u32) -> (Kind, u32, u32) {
    if let Some(whole) = whole(routes, depth) {
        return whole;
    }
    let Reach { page_at, ranges_at, stride, widest, near, .. } = Reach::of(routes, depth);
    let mut pieces = Vec::new();
    let mut count = |at, width| {
        cut(routes, at, width, 0, &mut pieces);
        pieces.len()
    };
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
        _ => (ranges(count(ranges_at, fits)), ranges_at, fits),
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
