//! Tables: when new ones are made, what they share, and that they are sound.

use std::sync::Arc;

use causeway_control::config::Config;
use causeway_fastpath::address::Address;
use causeway_fastpath::snapshot::{Snapshot, Tables};
use causeway_testkit::packet::*;

use crate::lab::*;
use crate::world::{Step, World, config_files, seconds};

fn installed(steps: Vec<Step>) -> Vec<Arc<Snapshot>> {
    let tables = |step| match step {
        Step::Install(snapshot) => Some(snapshot),
        _ => None,
    };
    steps.into_iter().filter_map(tables).collect()
}

/// Do both stand on the very same tables, but for neighbours?
fn share<A: Address>(one: &Tables<A>, other: &Tables<A>) -> bool {
    one.fibs.len() == other.fibs.len()
        && one.fibs.iter().zip(&other.fibs).all(|(one, other)| Arc::ptr_eq(one, other))
        && Arc::ptr_eq(&one.egress, &other.egress)
        && Arc::ptr_eq(&one.pools, &other.pools)
}

#[test]
fn every_configuration_makes_sound_tables_from_start_to_silence() {
    let files = config_files();
    assert!(files.len() >= 6);
    for file in files {
        Config::load(&file).unwrap_or_else(|errors| panic!("{errors}"));
        // Each set of tables is checked when it is installed.
        let mut world = World::load(&file.file_name().expect("it has one").to_string_lossy());
        assert!(matches!(world.steps()[0], Step::Install(_)));
        world.wait(seconds(3600));
        assert!(world.snapshot.epoch.0 <= 4, "who is dead stays dead: {}", world.snapshot.epoch.0);
    }
}

#[test]
fn a_change_of_neighbors_shares_everything_else() {
    let mut world = World::load("lab.toml");
    for host in [NODE_A, NODE_B, SERVER] {
        for family in FAMILIES {
            world.send(host.port, host.asks(own_address(host.port, family)));
        }
    }
    world.wait(seconds(120));
    let tables = installed(world.steps());
    assert!(tables.len() > 7, "{} sets of tables", tables.len());
    for pair in tables.windows(2) {
        assert!(share(&pair[0].v4, &pair[1].v4) && share(&pair[0].v6, &pair[1].v6));
        assert!(Arc::ptr_eq(&pair[0].ports, &pair[1].ports));
        assert_eq!(pair[1].epoch.0, pair[0].epoch.0 + 1);
    }
}

#[test]
fn replaced_tables_are_freed_by_control() {
    let mut world = World::load("lab.toml");
    let first = installed(world.steps()).remove(0);
    assert_eq!(Arc::strong_count(&first), 4, "here, at control, in the test's world and in the forwarder");
    world.send(UPLINK, SERVER.asks("203.0.113.2"));
    world.steps();
    assert_eq!(Arc::strong_count(&first), 1);
}

#[test]
fn however_much_happens_at_once_there_is_one_set_of_new_tables() {
    let mut world = World::lab();
    let ask = |last: u8| {
        let address = format!("192.168.0.{last}");
        let mac: Mac = [2, 0, 0, 0, 3, last];
        (NODES, eth().src(mac).arp_request(address.as_str(), "192.168.0.1").build())
    };
    world.burst(&(100..164).map(ask).collect::<Vec<_>>());
    assert_eq!(world.sent_by(NODES).len(), 64);
    assert_eq!(installed(world.steps()).len(), 1);
    // Nothing that tables hold has changed.
    world.burst(&(100..164).map(ask).collect::<Vec<_>>());
    assert_eq!(world.sent_by(NODES).len(), 64);
    assert_eq!(installed(world.steps()).len(), 0);
}

#[test]
fn asking_for_a_neighbor_needs_no_new_tables_and_its_answer_does() {
    let mut world = lab_with(&[NODE_A]);
    world.send(NODES, NODE_A.udp("192.168.0.11", "203.0.113.10").build());
    assert_eq!(installed(world.steps()).len(), 0);
    world.send(UPLINK, SERVER.answers(Family::V4));
    assert_eq!(installed(world.steps()).len(), 1);
}
