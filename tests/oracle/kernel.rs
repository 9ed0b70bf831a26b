//! The Linux kernel as the router: a namespace of its own between two more.
//!
//! No packet waits for a timer: after each follows a marker on either side, and what
//! has come out before both markers did is what became of the packet. The thread is
//! bound to one processor, whose backlog is first in, first out.

use std::io::Write;
use std::net::IpAddr;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use causeway_lab::netlink::{Mac, Netlink, Offload};
use causeway_lab::netns::Namespace;
use causeway_testkit::packet::{Build, Network, ToIp};
use causeway_tests::injector::Injector;
use ipnet::IpNet;

use crate::place::{NARROW_MTU, Place, Side};
use crate::router::{Passed, Router};

/// What a careful operator writes for a masquerading gateway. Markers pass unseen; for
/// IPv6 there is no `rp_filter`, and a rule takes its place.
const RULES: &str = r#"
table inet oracle {
    chain enter {
        type filter hook prerouting priority raw; policy accept;
        meta l4proto 253 notrack
        meta nfproto ipv6 fib saddr . iif oif missing drop
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        meta l4proto 253 accept
        ct state established,related accept
        ct state invalid drop
        iifname "inside" oifname "outside" accept
    }
    chain answer {
        type filter hook input priority filter; policy accept;
        ct state invalid drop
    }
    chain leave {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "outside" masquerade
    }
}
"#;

/// An experimental protocol (RFC 3692).
const MARKER: u8 = 253;

/// Every switch that matters, whatever this kernel's default is.
const SWITCHES: [(&str, &str); 20] = [
    ("net.ipv4.ip_forward", "1"),
    // Strict: a source must be where its route leads (RFC 3704, 2.2).
    ("net.ipv4.conf.all.rp_filter", "1"),
    ("net.ipv4.conf.all.send_redirects", "0"),
    // ICMP errors as many as are due to each destination; to all together: below.
    ("net.ipv4.icmp_ratelimit", "0"),
    ("net.ipv6.icmp.ratelimit", "0"),
    ("net.ipv4.conf.all.log_martians", "0"),
    // No conversation begins in its middle.
    ("net.netfilter.nf_conntrack_tcp_loose", "0"),
    // A router leaves transport checksums to the ends.
    ("net.netfilter.nf_conntrack_checksum", "0"),
    // Windows are watched.
    ("net.netfilter.nf_conntrack_tcp_be_liberal", "0"),
    // Nothing ends by itself while the test lasts.
    ("net.netfilter.nf_conntrack_udp_timeout", "3600"),
    ("net.netfilter.nf_conntrack_icmp_timeout", "3600"),
    ("net.netfilter.nf_conntrack_icmpv6_timeout", "3600"),
    ("net.netfilter.nf_conntrack_tcp_timeout_close", "3600"),
    ("net.netfilter.nf_conntrack_tcp_timeout_syn_sent", "3600"),
    ("net.netfilter.nf_conntrack_tcp_timeout_syn_recv", "3600"),
    ("net.netfilter.nf_conntrack_tcp_timeout_last_ack", "3600"),
    ("net.netfilter.nf_conntrack_tcp_timeout_time_wait", "3600"),
    ("net.ipv4.ipfrag_time", "3600"),
    ("net.netfilter.nf_conntrack_frag6_timeout", "3600"),
    ("net.ipv6.conf.all.forwarding", "1"),
];

/// ICMP errors a second to all destinations together. In recent kernels these switches
/// are a namespace's own; in others they are the machine's, and no namespace has them.
const ERRORS_PER_SECOND: [(&str, &str); 2] =
    [("net.ipv4.icmp_msgs_per_sec", "1000000"), ("net.ipv4.icmp_msgs_burst", "1000000")];

/// Between packets where the machine's limit stands: 1000 errors a second, of which a
/// course has one in ten packets.
const PACE: Duration = Duration::from_micros(100);

/// How long a marker may take; a healthy kernel needs microseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a marker may take over a link that may not be up yet, and how often one is sent.
const FIRST_PATIENCE: Duration = Duration::from_millis(20);
const FIRST_TRIES: u32 = 250;

/// The namespaces, held, and a socket at either end.
pub(crate) struct Kernel {
    _router: Namespace,
    _ends: [Namespace; 2],
    wires: [Injector; 2],
    /// The marker from either side; its last bytes number the round.
    markers: [Vec<u8>; 2],
    round: u64,
    /// The wait before each packet.
    pause: Duration,
}

impl Kernel {
    pub(crate) fn new(place: &Place, narrow: Side) -> Kernel {
        let cores = core_affinity::get_core_ids().expect("processors");
        assert!(core_affinity::set_for_current(cores[0]), "a thread may choose its processor");
        let namespace = || Namespace::new().expect("a namespace");
        let (router, ends) = (namespace(), [namespace(), namespace()]);
        let mut netlink = Netlink::open(&router).expect("netlink");
        for (side, end) in Side::BOTH.into_iter().zip(&ends) {
            connect(&router, &mut netlink, end, side, if side == narrow { NARROW_MTU } else { 1500 });
        }
        router.set_sysctls(&SWITCHES).expect("the switches of a router");
        let is_unlimited = ERRORS_PER_SECOND.iter().all(|(key, _)| router.sysctl(key).is_ok());
        if is_unlimited {
            router.set_sysctls(&ERRORS_PER_SECOND).expect("switches that are there");
        }
        let pause = if is_unlimited { Duration::ZERO } else { PACE };
        for (side, net, neighbor, beyond) in [
            (Side::Inside, place.inside_net, place.node, place.hosts),
            (Side::Outside, place.outside_net, place.next, place.peers),
        ] {
            let length = net.parse::<IpNet>().expect("a network").prefix_len();
            let own = IpNet::new(place.router(side), length).expect("an address of the network");
            let neighbor: IpAddr = neighbor.to_ip();
            netlink.add_address(name(side), own).expect("an address");
            netlink.add_neighbor(name(side), neighbor, Mac(side.neighbor_mac())).expect("a neighbour");
            netlink.add_route(beyond.parse().expect("a network"), neighbor).expect("a route");
        }
        load_rules(&router);
        let wires = [Side::Inside, Side::Outside].map(|side| Injector::listening(&ends[side as usize], "end"));
        let markers = [
            marker(Side::Inside, place.marker_inside, place.marker_outside),
            marker(Side::Outside, place.marker_outside, place.marker_inside),
        ];
        let mut kernel = Kernel { _router: router, _ends: ends, wires, markers, round: 0, pause };
        kernel.wait_until_up();
        kernel
    }

    /// The kernel says that a link is up, and lets packets through some time later.
    fn wait_until_up(&mut self) {
        for from in Side::BOTH {
            let came_through = (0..FIRST_TRIES).any(|_| {
                self.mark(from);
                self.collect(from.other(), FIRST_PATIENCE).is_some()
            });
            assert!(came_through, "nothing comes through from {from:?}");
        }
    }

    /// Sends the marker of a new round from a side.
    fn mark(&mut self, from: Side) {
        self.round += 1;
        let marker = &mut self.markers[from as usize];
        let tail = marker.len() - size_of::<u64>();
        marker[tail..].copy_from_slice(&self.round.to_be_bytes());
        assert!(self.wires[from as usize].send(marker), "a marker is a sound frame");
    }

    /// All that arrives at a side before the last marker towards it; `None` if that
    /// does not arrive.
    fn collect(&self, side: Side, patience: Duration) -> Option<Vec<(Side, Vec<u8>)>> {
        let marker = &self.markers[side.other() as usize];
        let mut out = Vec::new();
        loop {
            let frame = self.wires[side as usize].receive(patience)?;
            if is_marker(&frame) {
                if frame.ends_with(&marker[marker.len() - size_of::<u64>()..]) {
                    return Some(out);
                }
            } else if frame[0] & 1 == 0 {
                // What the kernel tells groups is about itself: discovery, membership.
                out.push((side, frame));
            }
        }
    }
}

impl Router for Kernel {
    fn name(&self) -> &'static str {
        "the kernel"
    }

    fn pass(&mut self, from: Side, frame: &[u8]) -> Passed {
        if !self.pause.is_zero() {
            thread::sleep(self.pause);
        }
        let taken = self.wires[from as usize].send(frame);
        for side in Side::BOTH {
            self.mark(side);
        }
        let out = Side::BOTH.map(|side| {
            let out = self.collect(side, PATIENCE);
            out.unwrap_or_else(|| panic!("the kernel lost a marker to its {side:?}"))
        });
        Passed { out: out.concat(), note: if taken { String::new() } else { "the wire did not take it".into() } }
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Inside => "inside",
        Side::Outside => "outside",
    }
}

fn connect(router: &Namespace, netlink: &mut Netlink, end: &Namespace, side: Side, mtu: u16) {
    // The far end is nobody: it has no address, and its kernel says nothing.
    end.set_sysctl("net.ipv6.conf.default.disable_ipv6", "1").expect("a switch");
    router.set_sysctl("net.ipv6.conf.default.accept_ra", "0").expect("a switch");
    netlink.create_veth(name(side), "end", end).expect("a veth pair");
    netlink.set_mac(name(side), Mac(side.router_mac())).expect("an Ethernet address");
    let mut far = Netlink::open(end).expect("netlink");
    far.set_mac("end", Mac(side.neighbor_mac())).expect("an Ethernet address");
    for (netlink, device) in [(&mut far, "end"), (&mut *netlink, name(side))] {
        // Checksums complete, as a physical wire carries them.
        netlink.set_offload(device, Offload::TxChecksum, false).expect("an offload");
        netlink.set_mtu(device, u32::from(mtu)).expect("an MTU");
        netlink.set_up(device).expect("a link");
    }
}

fn load_rules(router: &Namespace) {
    let mut nft = router.command("nft");
    let mut child = nft.args(["-f", "-"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("nft");
    child.stdin.take().expect("its input").write_all(RULES.as_bytes()).expect("nft reads");
    let output = child.wait_with_output().expect("nft ends");
    assert!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
}

fn marker(side: Side, from: &str, to: &str) -> Vec<u8> {
    side.towards_router().ip(from, to).raw(MARKER, [0; size_of::<u64>()]).build()
}

fn is_marker(frame: &[u8]) -> bool {
    matches!(
        (frame.get(12..14), frame.get(23), frame.get(20)),
        (Some([0x08, 0x00]), Some(&MARKER), _) | (Some([0x86, 0xdd]), _, Some(&MARKER))
    )
}
