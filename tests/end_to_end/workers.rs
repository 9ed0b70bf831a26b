//! Two workers that share ports of a pool, and lend them to each other.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;

/// Ports of the one address of the pool.
const PORTS: usize = 24;
/// How long what arrives at all may take.
const SOON: Duration = Duration::from_secs(5);

/// One pod has one home: half of its connections go by ports of the other worker.
pub(crate) fn a_pod_gets_every_port_whosoever_it_is(stage: &mut Stage) {
    let (before, after) = plan::CONFIG.split_once("[[pool]]").expect("it has a pool");
    let (_, rest) = after.split_once("addresses = [").expect("with addresses");
    let (_, rest) = rest.split_once(']').expect("that end");
    let pool = "[[pool]]\nname = \"egress\"\naddresses = [\"203.0.113.16/32\"]\nports = \"5000-5023\"";
    stage.configure(&format!("{before}{pool}{rest}"));
    stage.start();
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    let listener = server.run(|| TcpListener::bind(SocketAddr::new(Family::V4.unspecified(), 0))).expect("a socket");
    let target = SocketAddr::new(server.address(Family::V4), listener.local_addr().expect("an address").port());
    let connect = || {
        let near = pod.run(|| TcpStream::connect_timeout(&target, SOON))?;
        listener.accept().map(|(far, _)| (near, far))
    };
    let mut connections: Vec<_> = (0..PORTS).map(|_| connect().expect("a port is free")).collect();
    for (near, far) in &mut connections {
        let mut byte = [0];
        near.write_all(b"x").expect("room");
        far.read_exact(&mut byte).expect("it arrives");
        far.write_all(b"y").expect("room");
        near.read_exact(&mut byte).expect("and is answered");
    }
    let refused = connect().expect_err("no port is left").kind();
    assert!(matches!(refused, ErrorKind::HostUnreachable | ErrorKind::PermissionDenied), "{refused}");
    let counters = stage.settled_counters();
    assert!(counters.conserve(), "{counters:?}");
    assert_eq!(counters.get("end", "handed-off"), counters.get("rx", "taken-over"));
    assert!(counters.get("rx", "taken-over") > PORTS as u64, "{counters:?}");
    assert_eq!(counters.get("sessions", "alive-v4"), PORTS as u64);

    let pools = stage.gateway().ask(&["show", "pools", "--json"]).expect("an answer");
    assert!(pools.contains(&format!("\"ports\":{PORTS}")), "{pools}");
    // What ends gives the ports back, each to whose it is.
    let kill = ["sessions", "kill", "--filter", "protocol=tcp"];
    assert_eq!(stage.gateway().ask(&kill).expect("done"), format!("{PORTS} sessions ended\n"));
    drop(connections);
    let again = || connect().is_ok();
    assert!(wait_until(SOON, again), "a port is free again");
}
