//! Flannel's rules in the kernel, and what we take them to mean.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use causeway_control::flannel::{IpMasq, Variant};
use causeway_fastpath::fib::Prefix;
use causeway_lab::netlink::Netlink;
use causeway_lab::netns::Namespace;
use causeway_lab::privilege::Privilege;
use causeway_tests::needs;
use causeway_tests::program::run;
use causeway_tests::stage::alone;

/// As flannel writes them with iptables, for the node whose pods are in 10.244.1.0/24.
const IPTABLES: &str = "\
-N FLANNEL-POSTRTG
-A POSTROUTING -j FLANNEL-POSTRTG
-A FLANNEL-POSTRTG -m mark --mark 0x4000/0x4000 -j RETURN
-A FLANNEL-POSTRTG -s 10.244.1.0/24 -d 10.244.0.0/16 -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.1.0/24 -j RETURN
-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE --random-fully
-A FLANNEL-POSTRTG ! -s 10.244.0.0/16 -d 10.244.0.0/16 -j MASQUERADE --random-fully
";

/// As it writes them with nft; counters are ours.
const NFT: &str = "
table ip flannel-ipv4 {
    chain postrtg {
        type nat hook postrouting priority srcnat;
        meta mark 0x4000 return
        ip saddr 10.244.1.0/24 ip daddr 10.244.0.0/16 return
        ip saddr 10.244.0.0/16 ip daddr 10.244.1.0/24 return
        ip saddr != 10.244.1.0/24 ip daddr 10.244.0.0/16 return
        ip saddr 10.244.0.0/16 ip daddr != 224.0.0.0/4 counter masquerade fully-random
        ip saddr != 10.244.0.0/16 ip daddr 10.244.0.0/16 counter masquerade fully-random
    }
}
";

/// A pod of this node and of another, the node itself, a host elsewhere.
const SOURCES: [[u8; 4]; 4] = [[10, 244, 1, 5], [10, 244, 2, 5], [192, 0, 2, 1], [198, 51, 100, 5]];
/// The same places, and a group.
const DESTINATIONS: [[u8; 4]; 5] =
    [[10, 244, 1, 9], [10, 244, 9, 9], [192, 0, 2, 9], [198, 51, 100, 9], [224, 0, 1, 7]];
/// A packet's mark, by its destination port.
const MARKS: [(u16, u32); 4] = [(7_000, 0), (7_001, 0x4000), (7_002, 0x4001), (7_003, 0x8000)];

#[test]
fn flannels_rules_of_nft_decide_as_we_do() {
    if !needs::met("flannels_rules_of_nft_decide_as_we_do", Privilege::UserNamespace, &["nft"]) {
        return;
    }
    let node = Node::new();
    node.nft(NFT);
    node.compare(Variant::Nft, |node| {
        let listed = node.run("nft", &["list", "table", "ip", "flannel-ipv4"]);
        let counts = listed.lines().filter(|line| line.contains("masquerade"));
        counts.map(|line| number_behind(line, "packets")).sum()
    });
}

#[test]
fn flannels_rules_of_iptables_decide_as_we_do() {
    if !needs::met("flannels_rules_of_iptables_decide_as_we_do", Privilege::UserNamespace, &["nft", "iptables"]) {
        return;
    }
    let node = Node::new();
    for rule in IPTABLES.lines() {
        let words: Vec<_> = ["-w", "-t", "nat"].into_iter().chain(rule.split_whitespace()).collect();
        node.run("iptables", &words);
    }
    node.compare(Variant::Iptables, |node| {
        let listed = node.run("iptables", &["-w", "-t", "nat", "-L", "FLANNEL-POSTRTG", "-v", "-x", "-n"]);
        let counts = listed.lines().filter(|line| line.contains("MASQUERADE"));
        counts
            .map(|line| line.split_whitespace().next().and_then(|word| word.parse::<u64>().ok()).expect("a count"))
            .sum()
    });
}

fn number_behind(line: &str, word: &str) -> u64 {
    let number = line.split_whitespace().skip_while(|other| *other != word).nth(1);
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {word} in {line:?}"))
}

/// A machine that flannel runs on. It sends from every address there is.
struct Node {
    namespace: Namespace,
    /// Two of these would share the machine's processors.
    _alone: std::sync::MutexGuard<'static, ()>,
}

impl Node {
    fn new() -> Node {
        let _alone = alone();
        let namespace = Namespace::new().expect("a namespace");
        let mut netlink = Netlink::open(&namespace).expect("netlink");
        netlink.set_up("lo").expect("lo");
        // Nobody is behind it: what counts is done before a packet looks for a neighbour.
        netlink.create_bridge("out").expect("a bridge");
        netlink.set_up("out").expect("a bridge");
        netlink.add_address("out", "192.0.2.1/24".parse().expect("an address")).expect("an address");
        for source in SOURCES.iter().filter(|source| **source != [192, 0, 2, 1]) {
            let address = ipnet::IpNet::from(std::net::IpAddr::from(*source));
            netlink.add_address("lo", address).expect("an address");
        }
        let everywhere = "0.0.0.0/0".parse().expect("a prefix");
        netlink.add_route(everywhere, [192, 0, 2, 254].into()).expect("a route");
        let node = Node { namespace, _alone };
        let marks: String =
            MARKS.iter().map(|(port, mark)| format!("udp dport {port} meta mark set {mark}\n")).collect();
        node.nft(&format!("table ip marks {{ chain out {{ type filter hook output priority mangle;\n{marks}}}\n}}"));
        node
    }

    fn nft(&self, rules: &str) {
        self.run("nft", &[rules]);
    }

    fn run(&self, program: &str, words: &[&str]) -> String {
        let mut command = self.namespace.command(program);
        run(command.args(words), Duration::from_secs(20)).success().stdout
    }

    /// Sends a packet of each kind, each of a flow of its own, and asks how many were
    /// masqueraded.
    fn compare(&self, variant: Variant, masqueraded: impl Fn(&Node) -> u64) {
        let prefix = |address: [u8; 4], len| Prefix::containing(u32::from_be_bytes(address), len);
        let ours = IpMasq { variant, network: prefix([10, 244, 0, 0], 16), pods: Some(prefix([10, 244, 1, 0], 24)) };
        let (mut before, mut seen) = (masqueraded(self), [0, 0]);
        for source in SOURCES {
            for destination in DESTINATIONS {
                for (port, mark) in MARKS {
                    let to = SocketAddr::from((Ipv4Addr::from(destination), port));
                    let socket = self.namespace.run(|| UdpSocket::bind((Ipv4Addr::from(source), 0))).expect("a port");
                    socket.set_multicast_loop_v4(false).expect("a switch");
                    socket.send_to(b"?", to).expect("a packet");
                    let after = masqueraded(self);
                    let expected = ours.masquerades(mark, u32::from_be_bytes(source), u32::from_be_bytes(destination));
                    let kernel = after - before;
                    assert_eq!(kernel, u64::from(expected), "{variant:?} mark {mark:#x} {source:?} > {to}");
                    seen[usize::from(expected)] += 1;
                    before = after;
                }
            }
        }
        assert!(seen[0] > 10 && seen[1] > 10, "both happen: {seen:?}");
    }
}
