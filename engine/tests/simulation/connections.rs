//! TCP connections of whole hosts, through bad weather: what a gateway loses they say again,
//! and what it mistakes for another's breaks them.

use std::net::IpAddr;
use std::time::Duration;

use causeway_testkit::packet::ToIp;
use causeway_testkit::seed::Seed;

use crate::hosts::Host;
use crate::place::{self, NODE_A, NODE_B, OTHER_SERVER, SERVER};
use crate::run::{BAD, HEALED, Run, START};

/// Connections of each pod.
const EACH: u16 = 6;

/// One course: pods that connect to servers, and one server that connects to a service.
fn carries(workers: usize, seed: &Seed) {
    let mut rng = seed.rng();
    let mut run = Run::new(workers, rng.fork());
    while !run.names.are_plenty() {
        run = Run::new(workers, rng.fork());
    }
    run.weather.keep_connections();
    run.talks.clear();
    let v6 = rng.bool();
    let gateway = |station: usize| -> IpAddr {
        let (v4_own, v6_own) = place::GATEWAY[if station <= NODE_B { 0 } else { 1 }];
        if v6 { v6_own } else { v4_own }.to_ip()
    };
    let pod = |node| place::pod_of(node, 0, v6);
    let mut hosts: Vec<Host> = (NODE_A..=OTHER_SERVER)
        .map(|station| {
            let pod = (station <= NODE_B).then(|| pod(station));
            Host::new(run.stations[station].mac, place::own(station, v6), pod, gateway(station), rng.u64(), START)
        })
        .collect();
    for number in 0..2 * EACH {
        let (client, server) = (usize::from(number / EACH), *rng.choose(&[SERVER, OTHER_SERVER]));
        let (bytes, port) = (1 + rng.below(40_000) as usize, 1_000 + number);
        hosts[server].serve(port, number, bytes);
        hosts[client].open((pod(client), 5_000 + number), (place::own(server, v6), port), number, bytes, START);
    }
    // To the service, from outside or from inside, out and in again.
    let (client, bytes) = (*rng.choose(&[NODE_A, OTHER_SERVER]), 1 + rng.below(40_000) as usize);
    let from = if client == NODE_A { pod(client) } else { place::own(client, v6) };
    hosts[NODE_B].serve(8_080, 100, bytes);
    hosts[client].open((from, 6_000), place::service(v6), 100, bytes, START);
    for (station, host) in run.stations.iter_mut().zip(hosts) {
        station.host = Some(host);
    }
    while run.now < START + BAD {
        run.step();
        run.change_something();
    }
    run.clear_up();
    let deadline = run.now + HEALED;
    while let Some(waits) = run.stations.iter().find_map(|station| station.host.as_ref()?.unfinished()) {
        assert!(run.now < deadline, "{waits}\n{:?}\n{}", run.weather, run.gateway.story());
        run.step();
    }
    let renamed = run.gateway.counted("sessions-ended-renamed") + run.gateway.counted("sessions-ended-policy");
    assert_eq!(renamed, 0, "no configuration ends a connection");
    // The last of each say goodbye.
    let end = run.now + Duration::from_secs(60);
    while run.now < end {
        run.step();
    }
    run.end();
}

#[test]
fn connections_carry_every_byte_in_order() {
    let told = std::env::var_os("CAUSEWAY_SEED").is_some();
    for number in 0..if told { 1 } else { 48 } {
        let seed = Seed::from_env_or(number);
        carries([1, 2, 4, 8][seed.value() as usize % 4], &seed);
    }
}
