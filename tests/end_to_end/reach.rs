//! Who reaches whom.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::{Host, World};
use causeway_tests::program::{Service, run};
use causeway_tests::stage::Stage;

pub(crate) fn ping_crosses_in_both_families(stage: &mut Stage) {
    stage.start();
    let world = &stage.world;
    for family in Family::BOTH {
        let server = world.host("server").address(family);
        let (nodes, uplink) = (plan::GATEWAY_NODES.address(family), plan::GATEWAY_UPLINK.address(family));
        let ways = [
            ("pod-a1", server),
            ("pod-b2", server),
            ("node-a", server),
            ("pod-a1", world.host("pod-b1").address(family)),
            ("pod-b1", world.host("pod-a2").address(family)),
            ("pod-a1", nodes),
            ("node-b", nodes),
            ("client", uplink),
        ];
        for (from, to) in ways {
            for size in ["56", "1400"] {
                ping(world.host(from), to, size);
            }
        }
    }
}

fn ping(from: &Host, to: IpAddr, size: &str) {
    let mut command = from.command("ping");
    // With a deadline it waits for five answers, and asks on while the fifth is late.
    command.args(["-n", "-c", "5", "-i", "0.01", "-w", "5", "-s", size]).arg(to.to_string());
    let finished = run(&mut command, Duration::from_secs(20)).success();
    for number in 1..=5 {
        let answered = finished.stdout.contains(&format!("icmp_seq={number} ttl="));
        assert!(answered, "{}, {number}: {finished}", from.name());
    }
    assert!(!finished.stdout.contains("DUP!"), "{}: {finished}", from.name());
}

pub(crate) fn pings_of_several_fragments_cross_in_both_families(stage: &mut Stage) {
    stage.start();
    let world = &stage.world;
    for family in Family::BOTH {
        for (from, to) in [("pod-a1", "server"), ("node-a", "server"), ("pod-a1", "pod-b1")] {
            ping(world.host(from), world.host(to).address(family), "4000");
        }
        // The gateway answers such pings too.
        let (nodes, uplink) = (plan::GATEWAY_NODES.address(family), plan::GATEWAY_UPLINK.address(family));
        for (from, to) in [("pod-a1", nodes), ("node-b", nodes), ("client", uplink), ("pod-b1", uplink)] {
            ping(world.host(from), to, "3000");
        }
    }
}

pub(crate) fn large_pings_are_cut_up_for_a_narrow_link(stage: &mut Stage) {
    let narrow = plan::CONFIG.replace("name = \"uplink\"\n", "name = \"uplink\"\nmtu = 1400\n");
    stage.configure(&narrow);
    stage.start();
    let world = &stage.world;
    for from in ["pod-a1", "node-a"] {
        ping(world.host(from), world.host("server").address(Family::V4), "3000");
    }
    // Each asks five times, by two fragments that do not fit and one that does.
    assert_eq!(stage.settled_counters().get("rx", "cut"), 2 * 5 * 2);
}

pub(crate) fn datagrams_of_several_fragments_cross_both_ways(stage: &mut Stage) {
    stage.start();
    let world = &stage.world;
    for family in Family::BOTH {
        let server = world.host("server");
        let question: Vec<u8> = (0..8_000u32).map(|at| (at * at / 7) as u8).collect();
        let answer: Vec<u8> = question.iter().rev().copied().collect();
        let (asks, answers) = (udp(world.host("pod-b2"), family), udp(server, family));
        for _ in 0..20 {
            asks.send_to(&question, SocketAddr::new(server.address(family), SERVICE)).expect("a question");
            let (asked, from) = receive(&answers);
            assert_eq!(asked, question);
            answers.send_to(&answer, from).expect("an answer");
            assert_eq!(receive(&asks).0, answer);
        }
    }
    // Twenty datagrams of six fragments in each family.
    let counters = stage.settled_counters();
    for way in ["translated-out", "translated-in"] {
        assert!(counters.get("nat", way) >= 2 * 20 * 6, "{counters}");
    }
}

/// The port that everybody listens on.
const SERVICE: u16 = 9_000;

fn udp(host: &Host, family: Family) -> UdpSocket {
    let socket = host.run(|| UdpSocket::bind((host.address(family), SERVICE))).expect("the port is free");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket has a timeout");
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 65_536];
    let (len, from) = socket.recv_from(&mut buffer).expect("a datagram arrives whole");
    (buffer[..len].to_vec(), from)
}

pub(crate) fn a_real_dnsmasq_is_asked_with_dig(stage: &mut Stage) {
    stage.start();
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    let _dnsmasq = dnsmasq(server);
    for family in Family::BOTH {
        let at = format!("@{}", server.address(family));
        for transport in ["+notcp", "+tcp"] {
            for (kind, answer) in [("A", "198.51.100.7"), ("AAAA", "2001:db8:7::7"), ("MX", "10 mail.example.test.")] {
                let mut command = pod.command("dig");
                command.args([&at, "www.example.test", kind, transport, "+short", "+tries=1", "+time=5"]);
                let finished = run(&mut command, Duration::from_secs(20)).success();
                assert_eq!(finished.stdout.trim(), answer, "{finished}");
            }
        }
    }
}

/// A name server that knows one name.
fn dnsmasq(host: &Host) -> Service {
    let mut command = host.command("dnsmasq");
    command.args(["--keep-in-foreground", "--log-facility=-", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]);
    // As who it is: in a user namespace there is nobody else to become.
    command.args(["--user=", "--group=", "--pid-file=", "--port=53"]);
    command.args(["--address=/www.example.test/198.51.100.7", "--address=/www.example.test/2001:db8:7::7"]);
    command.arg("--mx-host=www.example.test,mail.example.test,10");
    Service::start(&mut command, |said| said.contains("started"))
}

pub(crate) fn tracepath_and_traceroute_show_the_gateway(stage: &mut Stage) {
    stage.start();
    let world = &stage.world;
    for family in Family::BOTH {
        let server = world.host("server").address(family).to_string();
        for program in [
            &["tracepath", "-n"][..],
            &["traceroute", "-n", "-q", "1", "-w", "3"],
            &["traceroute", "-n", "-q", "1", "-w", "3", "-I"],
            &["traceroute", "-n", "-q", "1", "-w", "3", "-T", "-p", "9"],
        ] {
            assert_hops(world, family, program, &server);
        }
    }
}

/// The second hop from a pod is the gateway and the third the server.
fn assert_hops(world: &World, family: Family, program: &[&str], server: &str) {
    let mut command = world.host("pod-a1").command(program[0]);
    command.args(&program[1..]).arg(server);
    let finished = run(&mut command, Duration::from_secs(60)).success();
    let expected = [plan::node_towards_pods(0).address(family), plan::GATEWAY_NODES.address(family)];
    for (hop, address) in
        (1..).zip(expected.map(|address| address.to_string()).iter().map(String::as_str).chain([server]))
    {
        let marks = [format!("{hop}"), format!("{hop}:")];
        let line = finished.stdout.lines().find(|line| {
            let mut words = line.split_whitespace();
            words.next().is_some_and(|first| marks.iter().any(|mark| mark == first)) && words.next() == Some(address)
        });
        assert!(line.is_some(), "hop {hop} is not {address}: {finished}");
    }
}
