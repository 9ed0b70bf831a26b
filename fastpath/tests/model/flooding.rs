//! Flows that were chosen to collide, by somebody who had to guess the seed.

use causeway_fastpath::address::Address;

use causeway_fastpath::session::{FlowKey, Index, Seed};
use causeway_testkit::packet::*;

use crate::world::{Endpoint, ISLAND, NODE_A, NODES, Plan, ROUTER, UPLINK, V4, V6, World, from, source};

/// Room for sessions; half of it is used.
const CAPACITY: usize = 4_096;
/// What whoever floods takes for the seed.
const GUESS: Seed = Seed([0x5eed, 0xfeed]);
/// Bits of the hash in which his flows are alike.
const ALIKE: u32 = 10;

/// UDP flows from pods of node A to one service, whose packets or answers, as he thinks, all
/// look for one place in the session table.
fn colliding<A: Address>(pods: &str, peer: &str) -> Vec<Endpoint> {
    let address = |text: &str| A::from_ip(text.to_ip()).expect("an address of this family");
    let (pods, dst): (A, A) = (address(pods), address(peer));
    let mut flows = Vec::new();
    let mut index = Index::with_capacity(2 * CAPACITY);
    let mut fitted = 0;
    for number in 0u64.. {
        let (src, src_port) = (pods.offset(1 + number / 60_000), 1 + (number % 60_000) as u16);
        let key = FlowKey { src, dst, src_port, dst_port: 443, vrf: ISLAND, protocol: 17, hairpin: 0 };
        let hash = key.hash(GUESS);
        if hash >> (64 - ALIKE) == 77 {
            fitted += usize::from(index.insert(hash, flows.len() as u32));
            flows.push((src.to_ip(), src_port));
        }
        if flows.len() == CAPACITY / 2 {
            break;
        }
    }
    assert!(fitted < CAPACITY / 4, "with this seed, {fitted} of {} would have fitted", flows.len());
    flows
}

fn all_are_served(flows: &[Endpoint], peer: &str) {
    let mut world = World::sized(&Plan::island(), CAPACITY);
    let ask = |(pod, port): Endpoint| from(NODE_A).ip(pod, peer.to_ip()).udp(port, 443).build();
    let names: Vec<Endpoint> =
        flows.iter().map(|flow| source(world.send(NODES, ask(*flow)).forwarded(UPLINK))).collect();
    for (flow, name) in flows.iter().zip(&names) {
        assert_eq!(source(world.send(NODES, ask(*flow)).forwarded(UPLINK)), *name);
        let answer = from(ROUTER).ip(peer.to_ip(), name.0).udp(443, name.1).build();
        world.send(UPLINK, answer).forwarded(NODES);
    }
    let (created, served) = (world.forwarder.counters().sessions_created, flows.len());
    assert_eq!((created as usize, world.sessions(64).len()), (served, served));
}

#[test]
fn flows_that_collide_under_a_guessed_seed_are_all_found_and_none_is_lost() {
    all_are_served(&colliding::<u32>("10.1.1.0", V4.outside), V4.outside);
    all_are_served(&colliding::<u128>("fd00:10:0:1::", V6.outside), V6.outside);
}
