//! What crosses the shore, and what does not.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use causeway_lab::netlink::Offload;
use causeway_lab::plan::{self, Family};
use causeway_lab::{World, traffic};
use causeway_testkit::packet::*;
use causeway_testkit::pcap::write_pcap;
use causeway_tests::capture::{BAD_CHECKSUM, Capture, GOOD_CHECKSUM, MINUS_ZERO, dissect};
use causeway_tests::program::{run, wait_until};
use causeway_tests::stage::Stage;

use crate::transfer::{HTTP, download, http_server};

pub(crate) fn only_the_pool_is_seen_outside_and_every_checksum_is_right(stage: &mut Stage) {
    stage.start();
    assert_tshark_finds_bad_checksums(&stage.folder().path().join("bad.pcap"));
    complete_checksums_at_the_hosts(&stage.world);
    let capture = Capture::start(stage.world.host("server"), "eth0", stage.folder().path().join("outside.pcap"));
    talk(stage);
    let file = capture.stop();

    assert!(dissect(&file, "frame.cap_len < frame.len", &["frame.len"]).is_empty(), "longer frames than captured");
    let server = format!("(ip.src == {} || ipv6.src == {})", plan::SERVER.v4.addr(), plan::SERVER.v6.addr());
    let bad = format!("({BAD_CHECKSUM}) && !({MINUS_ZERO} && {server})");
    let bad = dissect(&file, &bad, &["frame.number", "_ws.col.Info"]);
    assert!(bad.is_empty(), "bad checksums: {bad:#?}");
    let good = dissect(&file, GOOD_CHECKSUM, &["frame.number"]).len();
    assert!(good > 1_000, "only {good} frames with a good checksum were seen");
    for (protocol, filter) in [
        ("TCP", "tcp"),
        ("UDP", "udp && !icmp && !icmpv6"),
        ("ICMP echo", "icmp.type == 8"),
        ("ICMPv6 echo", "icmpv6.type == 128"),
        ("ICMP errors from outside", "icmp.type == 3"),
        ("ICMPv6 errors from outside", "icmpv6.type == 1"),
    ] {
        assert!(!dissect(&file, filter, &["frame.number"]).is_empty(), "no {protocol} was seen");
    }
    let seen = addresses(&file);
    let strangers: Vec<_> = seen.iter().filter(|address| !belongs_outside(**address)).collect();
    assert!(strangers.is_empty(), "seen outside: {strangers:?}");
    for family in Family::BOTH {
        let pool = plan::POOL.network(family);
        assert!(seen.iter().any(|address| pool.contains(address)), "no address of {pool} was seen");
    }
}

/// A checker that finds nothing proves nothing: it must find what is wrong on purpose.
fn assert_tshark_finds_bad_checksums(file: &Path) {
    let v4 = || eth().ipv4("203.0.113.16", "203.0.113.10");
    let v6 = || eth().ipv6("2001:db8:1::100", "2001:db8:1::10");
    let minus_zero = |payload: u16| {
        let mut frame = v4().tcp(1, 2).payload(&payload.to_be_bytes()[..]).build();
        let checksum = frame.len() - 6..frame.len() - 4;
        (frame[checksum.clone()] == [0, 0]).then(|| {
            frame[checksum].fill(0xff);
            frame
        })
    };
    let frames = [
        v4().udp(1, 2).payload("right").build(),
        v4().bad_checksum().udp(1, 2).build(),
        v4().udp(1, 2).bad_checksum().payload("x").build(),
        v6().tcp(1, 2).bad_checksum().build(),
        v6().tcp(1, 2).partial_checksum().build(),
        v6().icmp_echo_request(1, 1).bad_checksum().build(),
        v4().icmp_echo_request(1, 1).bad_checksum().build(),
        (0..=u16::MAX).find_map(minus_zero).expect("some payload makes the checksum 0"),
    ];
    write_pcap(file, &frames.map(|frame| (0, frame))).expect("a capture");
    let found = dissect(file, BAD_CHECKSUM, &["frame.number"]).concat();
    assert_eq!(found, ["2", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(dissect(file, MINUS_ZERO, &["frame.number"]).concat(), ["8"]);
}

/// Every host computes its checksums itself, so that what is seen on a wire is whole.
fn complete_checksums_at_the_hosts(world: &World) {
    for host in world.hosts().filter(|host| !matches!(host.name(), "gateway" | "fabric")) {
        let mut netlink = host.netlink().expect("netlink");
        netlink.set_offload("eth0", Offload::TxChecksum, false).expect("an offload switched off");
    }
}

/// A little of everything from pods to the server. Nodes keep their own addresses.
fn talk(stage: &Stage) {
    let world = &stage.world;
    let (pod, server) = (world.host("pod-a1"), world.host("server"));
    let shop = stage.folder().path().join("shop");
    fs::create_dir(&shop).expect("a folder");
    fs::write(shop.join("ware"), vec![7; 3_000_000]).expect("a file");
    for family in Family::BOTH {
        let address = server.address(family);
        let http = http_server(server, family, &shop);
        for buyer in ["pod-a1", "pod-b1", "pod-b2"] {
            download(world.host(buyer), SocketAddr::new(address, HTTP), "ware", &shop.join("bought"));
        }
        drop(http);
        let figures = traffic::udp_exchange(pod, server, address, 500).expect("UDP");
        assert_eq!((figures.answered, figures.damaged), (500, 0));
        let mut ping = pod.command("ping");
        ping.args(["-n", "-c", "20", "-i", "0.01", "-s", "1201"]).arg(address.to_string());
        run(&mut ping, Duration::from_secs(20)).success();
        // Ends with errors of the server about packets of the pod.
        let mut traceroute = pod.command("traceroute");
        traceroute.args(["-n", "-q", "1", "-w", "3"]).arg(address.to_string());
        run(&mut traceroute, Duration::from_secs(60)).success();
    }
}

/// Every address in any header of any frame, quotes included.
fn addresses(file: &Path) -> BTreeSet<IpAddr> {
    let fields = ["ip.addr", "ipv6.addr", "arp.src.proto_ipv4", "arp.dst.proto_ipv4"];
    let rows = dissect(file, "ip || ipv6 || arp", &fields);
    let texts = rows.iter().flatten().flat_map(|cell| cell.split(','));
    texts.filter(|text| !text.is_empty()).map(|text| text.parse().expect("an address")).collect()
}

fn belongs_outside(address: IpAddr) -> bool {
    let family = Family::of(address);
    let link_only = match address {
        IpAddr::V4(address) => address.is_multicast(),
        IpAddr::V6(address) => address.is_multicast() || address.is_unicast_link_local() || address.is_unspecified(),
    };
    let hosts = [plan::SERVER, plan::CLIENT, plan::GATEWAY_UPLINK].map(|host| host.address(family));
    link_only || hosts.contains(&address) || plan::POOL.contains(address)
}

pub(crate) fn uninvited_packets_are_dropped_and_counted_one_by_one(stage: &mut Stage) {
    stage.start();
    let world = &stage.world;
    let client = world.host("client");
    for family in Family::BOTH {
        // So that neighbours know each other, and a mapping is there that is not meant.
        let server = world.host("server").address(family);
        let figures = traffic::udp_exchange(world.host("pod-a1"), world.host("server"), server, 10).expect("UDP");
        let mapped = figures.seen.expect("an answer");
        let unused = |port| SocketAddr::new(mapped.ip(), port);
        let free_port = if mapped.port() > 40_000 { mapped.port() - 7 } else { mapped.port() + 7 };
        traffic::throw_datagrams(client, unused(free_port), 1).expect("a datagram");

        let before = stage.settled_counters();
        traffic::throw_datagrams(client, unused(free_port), 17).expect("datagrams");
        traffic::throw_datagrams(client, unused(53), 4).expect("datagrams");
        let attempt = traffic::connect_to(client, unused(443), Duration::from_millis(300)).expect("an attempt");
        assert_eq!(attempt, traffic::Attempt::Silence, "one SYN, and no answer to it");

        let count = || stage.counters().get("drop", "nat-unsolicited") - before.get("drop", "nat-unsolicited");
        wait_until(Duration::from_secs(3), || count() >= 22);
        assert_eq!(stage.settled_counters().get("drop", "nat-unsolicited") - before.get("drop", "nat-unsolicited"), 22);
        assert_eq!(count(), 22, "over {}", family.name());
    }
}
