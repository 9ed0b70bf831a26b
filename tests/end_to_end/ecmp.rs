//! One service behind two next hops.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use causeway_lab::Host;
use causeway_lab::plan::{self, Family};
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;
use ipnet::IpNet;

/// The hosts behind the service, which both have its address.
const SERVERS: [&str; 2] = ["server", "client"];
/// The service's port.
const PORT: u16 = 7777;
/// Flows, each from a port of its own.
const FLOWS: u16 = 60;
/// A neighbour is believed for half a minute and asked for three seconds more; a dead
/// one is asked every five seconds.
const DEATH: Duration = Duration::from_secs(45);

fn service(family: Family) -> IpAddr {
    match family {
        Family::V4 => [198, 51, 100, 80].into(),
        Family::V6 => [0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80].into(),
    }
}

pub(crate) fn a_next_hop_that_dies_loses_its_flows_and_has_them_again_when_it_is_back(stage: &mut Stage) {
    for server in SERVERS {
        // Looking for the gateway, it shall ask by its own name, not by the one of the service.
        let namespace = stage.world.host(server).namespace();
        namespace.set_sysctl("net.ipv4.conf.all.arp_announce", "2").expect("a switch");
    }
    let mut config = plan::CONFIG.to_owned();
    for family in Family::BOTH {
        let (to, via) = (IpNet::from(service(family)), [plan::SERVER, plan::CLIENT].map(|host| host.address(family)));
        config += &format!("[[route]]\nto = \"{to}\"\nvia = [\"{}\", \"{}\"]\n", via[0], via[1]);
        for server in SERVERS {
            stage.world.host(server).netlink().expect("netlink").add_address("lo", to).expect("an address");
        }
    }
    stage.configure(&config);
    stage.start();

    let sockets: Vec<_> = Family::BOTH
        .into_iter()
        .flat_map(|family| SERVERS.map(|name| (name, bind(stage.world.host(name), service(family), PORT))))
        .collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for (name, socket) in &sockets {
            scope.spawn(|| answer_until(&stop, socket, name));
        }
        // Whatever fails below, the scope must be left.
        let _stop = StopOnDrop(&stop);
        lose_and_find(stage);
    });
}

fn lose_and_find(stage: &Stage) {
    let at_first = Family::BOTH.map(|family| owners(stage, family));
    for owners in &at_first {
        let share = owners.iter().filter(|owner| *owner == "server").count();
        assert!((10..=50).contains(&share), "{share} of {FLOWS} flows go to one of two");
    }
    assert!(Family::BOTH.map(|family| owners(stage, family)) == at_first, "a flow stays where it is");

    let mut fabric = stage.world.host("fabric").netlink().expect("netlink");
    fabric.set_down("client").expect("the wire to the client is cut");
    assert!(wait_until(DEATH, || states(stage) == ["dead"; 2]), "the client is not dead: {:?}", states(stage));
    for family in Family::BOTH {
        assert!(owners(stage, family).iter().all(|owner| owner == "server"), "over {}", family.name());
    }

    fabric.set_up("client").expect("the wire is mended");
    assert!(wait_until(DEATH, || states(stage) == ["reachable"; 2]), "the client is dead: {:?}", states(stage));
    assert!(Family::BOTH.map(|family| owners(stage, family)) == at_first, "each has its flows again");
}

/// What the gateway thinks of the client, in each family.
fn states(stage: &Stage) -> [String; 2] {
    let answer = stage.show("neighbors");
    let rows = answer["neighbors"].as_array().expect("a list");
    Family::BOTH.map(|family| {
        let address = plan::CLIENT.address(family).to_string();
        let row = rows.iter().find(|row| row["address"] == *address).expect("a router is always known");
        row["state"].as_str().expect("a word").to_owned()
    })
}

/// Who answers each of the flows of a pod.
fn owners(stage: &Stage, family: Family) -> Vec<String> {
    let pod = stage.world.host("pod-a1");
    let owner = |flow| {
        let socket = bind(pod, family.unspecified(), 40_000 + flow);
        socket.connect((service(family), PORT)).expect("a route");
        socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
        let mut name = [0; 16];
        // Packets are lost while addresses are resolved.
        let answer = (0..10).find_map(|_| socket.send(b"who?").and_then(|_| socket.recv(&mut name)).ok());
        let length = answer.unwrap_or_else(|| panic!("nobody answers flow {flow} over {}", family.name()));
        String::from_utf8_lossy(&name[..length]).into_owned()
    };
    (0..FLOWS).map(owner).collect()
}

fn bind(host: &Host, address: IpAddr, port: u16) -> UdpSocket {
    host.run(|| UdpSocket::bind(SocketAddr::new(address, port))).expect("a socket")
}

/// Answers every datagram with a name.
fn answer_until(stop: &AtomicBool, socket: &UdpSocket, name: &str) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let answer = || -> io::Result<usize> {
        let (_, asker) = socket.recv_from(&mut [0; 16])?;
        socket.send_to(name.as_bytes(), asker)
    };
    while !stop.load(Ordering::Relaxed) {
        // Nothing came, or there is no way back: the asker will notice.
        let _ = answer();
    }
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
