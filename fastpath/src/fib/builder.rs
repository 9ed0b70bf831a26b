//! Routes in, a compiled table out.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;

use super::lookup::{DIRECT_BITS, Fib, INTERNAL, Node, STRIDE};
use super::{NextHop, Prefix};
use crate::address::Address;

/// A set of routes, from which a [`Fib`] is compiled.
///
/// Lives in control; workers only see what [`FibBuilder::build`] made.
#[derive(Clone, Debug, Default)]
pub struct FibBuilder<A> {
    routes: BTreeMap<Prefix<A>, NextHop>,
}

impl<A: Address> FibBuilder<A> {
    /// No routes.
    pub fn new() -> FibBuilder<A> {
        FibBuilder { routes: BTreeMap::new() }
    }

    /// Adds a route; says which next hop the prefix had before.
    pub fn insert(&mut self, prefix: Prefix<A>, next_hop: NextHop) -> Option<NextHop> {
        self.routes.insert(prefix, next_hop)
    }

    /// Takes a route away; says which next hop it had.
    pub fn remove(&mut self, prefix: Prefix<A>) -> Option<NextHop> {
        self.routes.remove(&prefix)
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Is there no route?
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Compiles the table.
    ///
    /// Linear in the routes, plus 2^18 for the direct part.
    pub fn build(&self) -> Fib<A> {
        // BTreeMap order is (address, length): a route comes after all that
        // contain it, so writing in this order leaves the longest on top.
        let routes: Vec<Route<A>> =
            self.routes.iter().map(|(prefix, next_hop)| Route { prefix: *prefix, next_hop: *next_hop }).collect();
        let mut compiler =
            Compiler { direct: vec![NextHop::NO_ROUTE.raw(); 1 << DIRECT_BITS], nodes: Vec::new(), leaves: Vec::new() };
        compiler.direct(&routes);
        Fib::from_parts(compiler.direct, compiler.nodes, compiler.leaves, routes.len())
    }
}

#[derive(Clone, Copy)]
struct Route<A> {
    prefix: Prefix<A>,
    next_hop: NextHop,
}

struct Compiler {
    direct: Vec<u32>,
    nodes: Vec<Node>,
    leaves: Vec<NextHop>,
}

impl Compiler {
    /// Fills the direct part: the first 18 bits of an address.
    fn direct<A: Address>(&mut self, routes: &[Route<A>]) {
        for route in routes.iter().filter(|route| u32::from(route.prefix.len()) <= DIRECT_BITS) {
            let first = route.prefix.address().bits(0, DIRECT_BITS) as usize;
            let count = 1usize << (DIRECT_BITS - u32::from(route.prefix.len()));
            self.direct[first..first + count].fill(route.next_hop.raw());
        }
        let mut rest = routes;
        while let Some(route) = rest.first() {
            let slot = route.prefix.address().bits(0, DIRECT_BITS);
            let end = rest.partition_point(|route| route.prefix.address().bits(0, DIRECT_BITS) <= slot);
            let (group, tail) = rest.split_at(end);
            rest = tail;
            if group.iter().any(|route| u32::from(route.prefix.len()) > DIRECT_BITS) {
                let inherited = NextHop::from_raw(self.direct[slot as usize]);
                let node = self.nodes.len() as u32;
                self.nodes.push(Node::EMPTY);
                self.fill(node, group, DIRECT_BITS, inherited);
                self.direct[slot as usize] = INTERNAL | node;
            }
        }
    }

    /// Fills node `node`, which decides on the `STRIDE` bits at `depth`.
    ///
    /// `routes` are those inside the node's range; the ones of at most `depth`
    /// bits are already in `inherited`.
    fn fill<A: Address>(&mut self, node: u32, routes: &[Route<A>], depth: u32, inherited: NextHop) {
        let below = depth + STRIDE;
        let mut hops = [inherited; 1 << STRIDE];
        let mut internal = 0u64;
        for route in routes {
            let len = u32::from(route.prefix.len());
            let first = route.prefix.address().bits(depth, STRIDE) as usize;
            if len > below {
                internal |= 1 << first;
            } else if len > depth {
                let count = 1usize << (below - len);
                hops[first..first + count].fill(route.next_hop);
            }
        }

        let base_leaf = self.leaves.len() as u32;
        let mut leaf_starts = 0u64;
        let mut last = None;
        for (slot, hop) in hops.iter().enumerate() {
            if internal >> slot & 1 == 0 && last != Some(*hop) {
                leaf_starts |= 1 << slot;
                self.leaves.push(*hop);
                last = Some(*hop);
            }
        }

        let base_child = self.nodes.len() as u32;
        self.nodes.resize(self.nodes.len() + internal.count_ones() as usize, Node::EMPTY);
        self.nodes[node as usize] = Node { internal, leaf_starts, base_child, base_leaf };

        let mut child = base_child;
        let mut rest = routes;
        while let Some(route) = rest.first() {
            let slot = route.prefix.address().bits(depth, STRIDE);
            let end = rest.partition_point(|route| route.prefix.address().bits(depth, STRIDE) <= slot);
            let (group, tail) = rest.split_at(end);
            rest = tail;
            if internal >> slot & 1 == 1 {
                self.fill(child, group, below, hops[slot as usize]);
                child += 1;
            }
        }
    }
}
