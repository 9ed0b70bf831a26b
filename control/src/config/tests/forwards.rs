//! Messages about forwards and static NAT.

use super::{accepted, base_with, errors, warnings};
use crate::config::*;

/// A forward that is right, for tests to make wrong.
const FORWARD: &str = r#"[[forward]]
cluster = "blue"
address = "203.0.113.16"
protocol = "tcp"
port = 443
to = "10.1.2.20"
to-port = 8443
"#;

/// A static NAT, likewise.
const STATIC_NAT: &str = r#"[[static-nat]]
cluster = "blue"
address = "203.0.113.24"
to = "10.1.2.21"
"#;

/// The base with these sections in front of its pool, where line 19 is.
fn with(sections: &str) -> String {
    base_with("[[pool]]", &format!("{sections}[[pool]]"))
}

/// Each change of the section gives exactly this one message.
fn assert_each(section: &str, cases: &[(&str, &str, &str)]) {
    for (old, new, expected) in cases {
        assert_eq!(section.matches(old).count(), 1, "{old:?} has to stand once");
        assert_eq!(errors(&with(&section.replacen(old, new, 1))), [*expected], "{old:?} -> {new:?}");
    }
}

#[test]
fn the_ends_of_a_forward_are_checked() {
    assert_each(
        FORWARD,
        &[
            (
                "cluster = \"blue\"",
                "cluster = \"blu\"",
                "20:11: forward[0].cluster = \"blu\": names no cluster; did you mean \"blue\"?",
            ),
            (
                "cluster = \"blue\"",
                "cluster = \"green\"",
                "20:11: forward[0].cluster = \"green\": names no cluster; known are blue",
            ),
            (
                "address = \"203.0.113.16\"",
                "address = \"2001:db8:1::100\"",
                "24:6: forward[0].to = \"10.1.2.20\": is IPv4 and the public address is IPv6; write an IPv6 address",
            ),
            (
                "address = \"203.0.113.16\"",
                "address = \"10.1.7.7\"",
                "21:11: forward[0].address = \"10.1.7.7\": lies in 10.1.0.0/16 of cluster \"blue\"; write an address that is known outside, and the one of the pod in \"to\"",
            ),
            (
                "address = \"203.0.113.16\"",
                "address = \"10.96.0.1\"",
                "21:11: forward[0].address = \"10.96.0.1\": lies in 10.96.0.0/12 of cluster \"blue\"; write an address that is known outside, and the one of the pod in \"to\"",
            ),
            (
                "address = \"203.0.113.16\"",
                "address = \"169.254.1.1\"",
                "21:11: forward[0].address = \"169.254.1.1\": is link-local; write an address that others can send to",
            ),
            (
                "address = \"203.0.113.16\"",
                "address = \"224.0.0.9\"",
                "21:11: forward[0].address = \"224.0.0.9\": is a multicast address; write the address of one host",
            ),
            (
                "address = \"203.0.113.16\"",
                "address = \"192.168.0.11\"",
                "21:11: forward[0].address = \"192.168.0.11\": is the address of node \"node-a\" of cluster \"blue\"; write one that nobody has",
            ),
            (
                "address = \"203.0.113.16\"",
                "address = \"203.0.113.1\"",
                "21:11: forward[0].address = \"203.0.113.1\": is the address of a router, to 0.0.0.0/0; write one that nobody has",
            ),
            (
                "address = \"203.0.113.16\"",
                "address = \"203.0.113.16/32\"",
                "21:11: forward[0].address = \"203.0.113.16/32\": \"203.0.113.16/32\" is not an address; write it without a prefix length",
            ),
            (
                "to = \"10.1.2.20\"",
                "to = \"10.2.0.1\"",
                "24:6: forward[0].to = \"10.2.0.1\": is neither a pod's nor a node's address in cluster \"blue\"; its addresses are in 10.1.0.0/16 and 192.168.0.0/24",
            ),
            (
                "to = \"10.1.2.20\"",
                "to = \"203.0.113.50\"",
                "24:6: forward[0].to = \"203.0.113.50\": is neither a pod's nor a node's address in cluster \"blue\"; its addresses are in 10.1.0.0/16 and 192.168.0.0/24",
            ),
            (
                "to = \"10.1.2.20\"",
                "to = \"192.168.0.1\"",
                "24:6: forward[0].to = \"192.168.0.1\": is the gateway's own address on port \"nodes\"; nothing listens there: write the address of a pod or node",
            ),
            (
                "to = \"10.1.2.20\"",
                "to = \"fd00:10::1\"",
                "24:6: forward[0].to = \"fd00:10::1\": is IPv6 and the public address is IPv4; write an IPv4 address",
            ),
        ],
    );
}

#[test]
fn the_ports_of_a_forward_are_checked() {
    assert_each(
        FORWARD,
        &[
            (
                "protocol = \"tcp\"",
                "protocol = \"sctp\"",
                "22:12: forward[0].protocol = \"sctp\": is not known here; known are tcp and udp",
            ),
            (
                "protocol = \"tcp\"",
                "protocol = []",
                "22:12: forward[0].protocol = []: is empty; write protocol = \"tcp\"",
            ),
            (
                "protocol = \"tcp\"",
                "protocol = [\"tcp\", \"tcp\"]",
                "22:20: forward[0].protocol[1] = \"tcp\": is named twice; name a protocol once",
            ),
            (
                "protocol = \"tcp\"",
                "protocol = 6",
                "22:12: forward[0].protocol = 6: is an integer, not a string; write protocol = \"tcp\"",
            ),
            ("port = 443", "port = 0", "23:8: forward[0].port = 0: is out of range; ports are 1 to 65535"),
            ("port = 443", "port = 65536", "23:8: forward[0].port = 65536: is out of range; ports are 1 to 65535"),
            ("port = 443", "port = \"0-9\"", "23:8: forward[0].port = \"0-9\": begins at port 0; ports are 1 to 65535"),
            (
                "port = 443",
                "port = true",
                "23:8: forward[0].port = true: is a boolean, not a port or a range of ports; write port = 443",
            ),
            (
                "port = 443",
                "port = \"8000-8099\"",
                "25:11: forward[0].to-port = 8443: makes 1 port, and \"port\" makes 100 ports; write to-port = \"8443-8542\"",
            ),
            (
                "to-port = 8443",
                "to-port = \"8000-8099\"",
                "25:11: forward[0].to-port = \"8000-8099\": makes 100 ports, and \"port\" makes 1 port; write to-port = 8000",
            ),
            (
                "port = 443",
                "port = \"1-60000\"",
                "25:11: forward[0].to-port = 8443: makes 1 port, and \"port\" makes 60000 ports; write as many as there",
            ),
            ("to-port = 8443", "to-port = 0", "25:11: forward[0].to-port = 0: is out of range; ports are 1 to 65535"),
        ],
    );
}

#[test]
fn a_static_nat_is_checked() {
    assert_each(
        STATIC_NAT,
        &[
            (
                "address = \"203.0.113.24\"",
                "address = \"203.0.113.16\"",
                "21:11: static-nat[0].address = \"203.0.113.16\": lies in 203.0.113.16/29 of pool[0].addresses[0], line 25; an address with static NAT is its owner's alone: take it out of the pool",
            ),
            (
                "address = \"203.0.113.24\"",
                "address = \"203.0.113.2\"",
                "21:11: static-nat[0].address = \"203.0.113.2\": is the gateway's own address on port \"uplink\"; take another, or forward single ports by [[forward]]",
            ),
            (
                "address = \"203.0.113.24\"",
                "address = \"239.1.1.1\"",
                "21:11: static-nat[0].address = \"239.1.1.1\": is a multicast address; write the address of one host",
            ),
            (
                "to = \"10.1.2.21\"",
                "to = \"172.16.0.1\"",
                "22:6: static-nat[0].to = \"172.16.0.1\": is neither a pod's nor a node's address in cluster \"blue\"; its addresses are in 10.1.0.0/16 and 192.168.0.0/24",
            ),
            (
                "to = \"10.1.2.21\"",
                "to = \"fd00:10::21\"",
                "22:6: static-nat[0].to = \"fd00:10::21\": is IPv6 and the public address is IPv4; write an IPv4 address",
            ),
            (
                "to = \"10.1.2.21\"",
                "to = \"10.1.2.21\"\n[[static-nat]]\ncluster = \"blue\"\naddress = \"203.0.113.24\"\nto = \"10.1.2.22\"",
                "25:11: static-nat[1].address = \"203.0.113.24\": is already static-nat[0].address, line 21; an address stands for one receiver: take another",
            ),
            (
                "to = \"10.1.2.21\"",
                "to = \"10.1.2.21\"\n[[static-nat]]\ncluster = \"blue\"\naddress = \"203.0.113.25\"\nto = \"10.1.2.21\"",
                "26:6: static-nat[1].to = \"10.1.2.21\": is already static-nat[0].to, line 22; it can leave under one address only: keep one of the two",
            ),
            (
                "to = \"10.1.2.21\"",
                "to = \"10.1.2.21\"\n[[forward]]\ncluster = \"blue\"\naddress = \"203.0.113.24\"\nprotocol = \"tcp\"\nport = 80\nto = \"10.1.2.22\"",
                "25:11: forward[0].address = \"203.0.113.24\": is already static-nat[0].address, line 21; an address with static NAT is its owner's alone: take another",
            ),
        ],
    );
}

#[test]
fn a_port_goes_to_one_receiver() {
    let both = |more: &str| with(&format!("{FORWARD}{}", second("203.0.113.16", more)));
    for (more, expected) in [
        (
            "protocol = \"tcp\"\nport = 443",
            "31:8: forward[1].port = 443: is already forward[0].port, line 23, of 203.0.113.16 by tcp; a port goes to one receiver",
        ),
        (
            "protocol = [\"udp\", \"tcp\"]\nport = \"440-450\"",
            "31:8: forward[1].port = \"440-450\": overlaps forward[0].port, line 23, of 203.0.113.16 by tcp; a port goes to one receiver",
        ),
    ] {
        assert_eq!(errors(&both(more)), [expected]);
    }
    // Another protocol, another port, another address.
    accepted(&both("protocol = \"udp\"\nport = 443"));
    accepted(&both("protocol = \"tcp\"\nport = \"444-450\""));
    accepted(&with(&format!("{FORWARD}{}", second("203.0.113.17", "protocol = \"tcp\"\nport = 443"))));
}

#[test]
fn forwarded_ports_are_bounded_in_all() {
    let all = |address| second(address, "protocol = [\"tcp\", \"udp\"]\nport = \"1-65535\"");
    accepted(&with(&all("203.0.113.16")));
    assert_eq!(
        errors(&with(&(all("203.0.113.16") + &all("203.0.113.17")))),
        [
            "30:8: forward[1].port = \"1-65535\": makes more than 131072 ports in all forwards together; give the receiver an address of its own by [[static-nat]]"
        ]
    );
}

/// A forward to another pod.
fn second(address: &str, more: &str) -> String {
    format!("[[forward]]\ncluster = \"blue\"\naddress = \"{address}\"\nto = \"10.1.2.22\"\n{more}\n")
}

#[test]
fn a_forward_arrives_as_it_is_written() {
    let config = accepted(&with(&format!("{FORWARD}{STATIC_NAT}")));
    let forward = Forward {
        cluster: ClusterIdx(0),
        address: [203, 0, 113, 16].into(),
        protocols: vec![Protocol::Tcp],
        ports: 443..=443,
        to: [10, 1, 2, 20].into(),
        to_port: 8443,
    };
    assert_eq!(config.forwards, [forward]);
    let nat = StaticNat { cluster: ClusterIdx(0), address: [203, 0, 113, 24].into(), to: [10, 1, 2, 21].into() };
    assert_eq!(config.static_nat, [nat]);
    assert_eq!(config.taken_over().into_iter().collect::<Vec<_>>(), [nat.address], "the pool has the other");

    let range =
        FORWARD.replace("port = 443\n", "port = \"8000-8099\"\n").replace("to-port = 8443", "to-port = \"9000-9099\"");
    let forward = &accepted(&with(&range)).forwards[0];
    assert_eq!((&forward.ports, forward.to_port), (&(8000..=8099), 9000));
    let same = FORWARD.replace("to-port = 8443", "");
    assert_eq!(accepted(&with(&same)).forwards[0].to_port, 443);
    let both = FORWARD.replace("\"tcp\"", "[\"udp\", \"tcp\"]");
    assert_eq!(accepted(&with(&both)).forwards[0].protocols, [Protocol::Udp, Protocol::Tcp]);
}

#[test]
fn a_forward_may_be_on_an_own_address_and_lead_to_a_node() {
    let own = FORWARD.replace("203.0.113.16", "203.0.113.2").replace("10.1.2.20", "192.168.0.11");
    assert!(accepted(&with(&own)).taken_over().is_empty());
    let v6 = FORWARD.replace("203.0.113.16", "2001:db8:1::2").replace("10.1.2.20", "fd00:a::99");
    assert!(accepted(&with(&v6)).is_forwarded("2001:db8:1::2".parse().expect("an address")));
}

#[test]
fn the_end_of_a_subnet_is_hardly_meant() {
    let end = FORWARD.replace("203.0.113.16", "203.0.113.255");
    assert_eq!(
        warnings(&with(&end)),
        [
            "t.toml:21:11: warning: forward[0].address = \"203.0.113.255\": holds 203.0.113.255, the broadcast address of the \
          subnet of port \"uplink\"; hosts there may not answer it"
        ]
    );
}

#[test]
fn a_pool_keeps_ports_when_told() {
    let told = |value: &str| base_with("name = \"egress\"", &format!("name = \"egress\"\nkeep-ports = {value}"));
    assert!(accepted(&told("true")).pools[0].keep_ports);
    assert!(!accepted(&told("false")).pools[0].keep_ports);
    assert_eq!(
        errors(&told("\"yes\"")),
        ["21:14: pool[0].keep-ports = \"yes\": is a string, not true or false; write keep-ports = true"]
    );
}

#[test]
fn a_pool_carries_other_protocols_when_told() {
    let told = |value: &str| base_with("name = \"egress\"", &format!("name = \"egress\"\nother-protocols = {value}"));
    assert!(accepted(&told("true")).pools[0].other_protocols);
    assert!(!accepted(&told("false")).pools[0].other_protocols);
}
