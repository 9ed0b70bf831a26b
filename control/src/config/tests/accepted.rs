//! What a right file means: values, defaults, warnings, allocated pod CIDRs.

use std::path::Path;

use causeway_fastpath::nat::{Behavior, Filtering, Mapping};

use super::{BASE, accepted, base_with, errors, warnings};
use crate::config::*;

#[test]
fn every_file_in_configs_loads_without_a_warning() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            let (_, warnings) = Config::load(&path).unwrap_or_else(|errors| panic!("{errors}"));
            assert_eq!(warnings, [], "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 5, "configs/ holds a file for each common situation");
}

#[test]
fn conversations_are_picked_up_where_a_cluster_says_so() {
    let text = |line: &str| BASE.replacen("egress = \"egress\"\n", &format!("egress = \"egress\"\n{line}"), 1);
    assert!(!accepted(&text("")).clusters[0].tcp_pick_up);
    assert!(accepted(&text("tcp-pick-up = true\n")).clusters[0].tcp_pick_up);
}

#[test]
fn a_pod_may_be_held_to_a_number_of_sessions_and_to_a_rate() {
    let limits = |line: &str| {
        let text = BASE.replacen("egress = \"egress\"\n", &format!("egress = \"egress\"\n{line}"), 1);
        let cluster = &accepted(&text).clusters[0];
        (cluster.sessions_per_pod, cluster.new_sessions_per_pod_per_second)
    };
    assert_eq!(limits(""), (None, None));
    assert_eq!(limits("sessions-per-pod = 500\n"), (Some(500), None));
    assert_eq!(limits("new-sessions-per-pod-per-second = 20\n"), (None, Some(20)));
}

#[test]
fn a_pool_says_for_each_protocol_which_flows_share_a_name() {
    let mappings = |lines: &str| {
        let pool = &accepted(&BASE.replacen("[[pool]]\n", &format!("[[pool]]\n{lines}"), 1)).pools[0];
        (pool.udp.mapping, pool.tcp.mapping)
    };
    let (by_endpoint, by_destination) = (Mapping::EndpointIndependent, Mapping::AddressAndPortDependent);
    assert_eq!(mappings(""), (by_endpoint, by_destination));
    assert_eq!(mappings("tcp-mapping = \"endpoint-independent\"\n"), (by_endpoint, by_endpoint));
    assert_eq!(mappings("udp-mapping = \"address-and-port-dependent\"\n"), (by_destination, by_destination));
    assert_eq!(mappings("tcp-mapping = \"address-dependent\"\n"), (by_endpoint, Mapping::AddressDependent));
}

#[test]
fn a_pool_says_for_each_protocol_whom_its_names_let_in() {
    let filterings = |lines: &str| {
        let pool = &accepted(&BASE.replacen("[[pool]]\n", &format!("[[pool]]\n{lines}"), 1)).pools[0];
        (pool.udp.filtering, pool.tcp.filtering)
    };
    let strict = Filtering::AddressAndPortDependent;
    assert_eq!(filterings(""), (strict, strict));
    assert_eq!(filterings("udp-filtering = \"address-dependent\"\n"), (Filtering::AddressDependent, strict));
    let tcp = "tcp-mapping = \"endpoint-independent\"\ntcp-filtering = \"endpoint-independent\"\n";
    assert_eq!(filterings(tcp), (strict, Filtering::EndpointIndependent));
}

#[test]
fn a_port_says_so_for_those_who_leave_under_its_address() {
    let lines = "udp-mapping = \"address-dependent\"\nudp-filtering = \"address-dependent\"\n\
                 tcp-mapping = \"endpoint-independent\"\n";
    let ports = accepted(&BASE.replacen("[[port]]\n", &format!("[[port]]\n{lines}"), 1)).ports;
    let udp = Behavior { mapping: Mapping::AddressDependent, filtering: Filtering::AddressDependent };
    assert_eq!((ports[0].udp, ports[0].tcp.mapping), (udp, Mapping::EndpointIndependent));
    assert_eq!((ports[1].udp, ports[1].tcp), (Behavior::UDP, Behavior::TCP));
}

#[test]
fn well_known_udp_ports_may_have_timers_of_their_own() {
    let text = "[[timers.udp-port]]\nports = 53\nudp-s = 30\n[[timers.udp-port]]\nports = \"67-68\"\nudp-s = 400\n";
    let timer = |ports, udp_s| UdpPortTimer { ports, udp_s };
    let timers = accepted(&format!("{BASE}{text}")).timers;
    assert_eq!(timers.udp_ports, [timer(53..=53, 30), timer(67..=68, 400)]);
    assert_eq!(timers.udp_s, 300, "the others have the usual one");
}

#[test]
fn what_is_left_out_has_its_default() {
    let config = accepted("gateway.name = \"g\"\n[[port]]\nname = \"p\"\ndriver = \"memory\"\n");
    let gateway = Gateway {
        name: "g".to_owned(),
        cores: vec![0],
        api: "/run/causeway/api.sock".into(),
        state: None,
        idle: Idle::SpinThenPoll,
        watch: false,
        max_sessions: 1_048_576,
        icmp_errors_per_second: 1_000,
        icmp_errors_per_destination: 100,
        seed: None,
    };
    let port = Port {
        name: "p".to_owned(),
        device: String::new(),
        driver: Driver::Memory,
        addresses: vec![],
        mtu: None,
        mac: None,
        ring: 1_024,
        memif_id: 0,
        tcp: Behavior::TCP,
        udp: Behavior::UDP,
    };
    let expected = Config {
        gateway,
        ports: vec![port],
        routes: vec![],
        pools: vec![],
        clusters: vec![],
        forwards: vec![],
        static_nat: vec![],
        policies: vec![],
        neighbors: vec![],
        timers: Timers::default(),
    };
    assert_eq!(config, expected);
}

#[test]
fn what_is_written_arrives() {
    let text = BASE
        .replace("cores = [1]", "cores = [3]\nidle = \"busy\"\nseed = 7\nmax-sessions = 1024")
        .replace(
            "device = \"eth1\"",
            "device = \"eth1\"\ndriver = \"af-xdp\"\nmtu = 9000\nmac = \"02:00:00:00:00:0A\"\nring = 4096",
        )
        .replace(
            "[[pool]]",
            "[[route]]\nto = \"10.0.0.0/8\"\ntype = \"prohibit\"\ncluster = \"blue\"\n[[pool]]\nports = \"1-1\"",
        )
        .replace("egress = \"egress\"\n", "egress = \"masquerade\"\n")
        + "[[neighbor]]\nport = \"uplink\"\naddress = \"203.0.113.1\"\nmac = \"02:00:00:00:00:fe\"\n\
           [timers]\nudp-s = 120\n";
    let config = accepted(&text);
    assert_eq!(config.gateway.cores, [3]);
    assert_eq!(config.gateway.idle, Idle::Busy);
    assert_eq!(config.gateway.seed, Some(7));
    assert_eq!(config.gateway.max_sessions, 1_024);
    let port = &config.ports[0];
    assert_eq!((port.driver, port.mtu, port.ring), (Driver::AfXdp, Some(9_000), 4_096));
    assert_eq!(port.mac, Some([2, 0, 0, 0, 0, 10]));
    assert_eq!(port.addresses[0].to_string(), "192.168.0.1/24", "host bits are kept");
    let via = RouteKind::Via(vec![next_hop("203.0.113.1")]);
    assert_eq!((&config.routes[0].kind, config.routes[0].cluster), (&via, None));
    let nowhere = (&RouteKind::Prohibit, Some(ClusterIdx(0)));
    assert_eq!((&config.routes[1].kind, config.routes[1].cluster), nowhere);
    assert_eq!(config.pools[0].ports, 1..=1);
    let cluster = &config.clusters[0];
    assert_eq!(cluster.egress, Egress::Masquerade);
    assert_eq!(cluster.ports, [PortIdx(0)], "derived from the addresses of the nodes");
    let neighbor = Neighbor { port: PortIdx(1), address: "203.0.113.1".parse().unwrap(), mac: [2, 0, 0, 0, 0, 0xfe] };
    assert_eq!(config.neighbors, [neighbor]);
    assert_eq!((config.timers.udp_s, config.timers.icmp_s), (120, 60));
}

#[test]
fn ports_on_one_memif_socket_have_ids_of_their_own() {
    let memif = |id: &str| {
        let port = |device: &str| format!("device = \"{device}\"");
        BASE.replace(&port("eth1"), "device = \"/run/m\"\ndriver = \"memif\"")
            .replace(&port("eth0"), &format!("device = \"/run/m\"\ndriver = \"memif\"\nmemif-id = {id}"))
    };
    let config = accepted(&memif("7"));
    let found: Vec<_> = config.ports.iter().map(|port| (port.device.as_str(), port.driver, port.memif_id)).collect();
    assert_eq!(found, [("/run/m", Driver::Memif, 0), ("/run/m", Driver::Memif, 7)]);
    let errors = Config::parse("gw.toml", &memif("0")).expect_err("both have the id 0").to_string();
    let what = "port[1].device = \"/run/m\": is already the device of port[0].device, line 7; ports on one socket have \
                different memif-ids";
    assert!(errors.contains(what), "{errors}");
}

/// An address of the uplink.
fn next_hop(gateway: &str) -> NextHop {
    NextHop { gateway: gateway.parse().unwrap(), port: PortIdx(1), weight: 1 }
}

/// The pod CIDRs of the nodes of a cluster with these pieces in it.
fn pod_cidrs(cluster: &str, nodes: &[&str]) -> Vec<String> {
    let mut text = BASE.split_once("[[cluster]]").unwrap().0.to_owned();
    text += &format!("[[cluster]]\nname = \"c\"\nmodel = \"island\"\negress = \"masquerade\"\n{cluster}\n");
    for (index, node) in nodes.iter().enumerate() {
        let address = index + 11;
        text += &format!(
            "[[cluster.node]]\nname = \"n{index}\"\naddresses = [\"192.168.0.{address}\", \"fd00:a::{address}\"]\n{node}\n"
        );
    }
    let nodes = &accepted(&text).clusters[0].nodes;
    let shown = |node: &Node| {
        let nets: Vec<_> = node.pod_cidrs.iter().map(ToString::to_string).collect();
        nets.join(" ")
    };
    nodes.iter().map(shown).collect()
}

#[test]
fn nodes_get_the_next_free_piece_after_those_that_are_given() {
    let found = pod_cidrs(
        "pod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]",
        &["", "pod-cidrs = [\"10.1.0.0/24\", \"fd00:10:0:1::/64\"]", "pod-cidrs = []", ""],
    );
    assert_eq!(
        found,
        [
            "10.1.1.0/24 fd00:10::/64",
            "10.1.0.0/24 fd00:10:0:1::/64",
            "10.1.2.0/24 fd00:10:0:2::/64",
            "10.1.3.0/24 fd00:10:0:3::/64",
        ]
    );
}

#[test]
fn service_ranges_are_not_given_out() {
    let found =
        pod_cidrs("pod-cidrs = [\"10.1.0.0/16\"]\nservice-cidrs = [\"10.1.0.0/20\", \"10.96.0.0/12\"]", &["", ""]);
    assert_eq!(found, ["10.1.16.0/24", "10.1.17.0/24"]);
}

#[test]
fn the_size_of_a_piece_can_be_chosen() {
    let found = pod_cidrs(
        "pod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\nnode-mask-size = { ipv4 = 26, ipv6 = 72 }",
        &["", ""],
    );
    assert_eq!(found, ["10.1.0.0/26 fd00:10::/72", "10.1.0.64/26 fd00:10:0:0:100::/72"]);
}

#[test]
fn host_bits_of_a_prefix_are_dropped_with_a_warning() {
    let text = base_with("\"10.1.0.0/16\"", "\"10.1.2.3/16\"");
    assert_eq!(
        warnings(&text),
        [
            "t.toml:26:14: warning: cluster[0].pod-cidrs[0] = \"10.1.2.3/16\": has host bits set; taken as \"10.1.0.0/16\""
        ]
    );
    assert_eq!(accepted(&text).clusters[0].pod_cidrs[0].to_string(), "10.1.0.0/16");
}

#[test]
fn what_is_hardly_meant_is_warned_about() {
    for (old, new, expected) in [
        (
            "\"203.0.113.16/29\", \"2001:db8:1::100/124\"",
            "\"203.0.113.16/29\"",
            "28:10: warning: cluster[0].egress = \"egress\": has no IPv6 address, and the pods have; their IPv6 traffic stays inside",
        ),
        (
            "\"203.0.113.16/29\"",
            "\"203.0.113.248/29\"",
            "21:14: warning: pool[0].addresses[0] = \"203.0.113.248/29\": holds 203.0.113.255, the broadcast address of the subnet of port \"uplink\"; hosts there may not answer it",
        ),
        (
            "\"203.0.113.16/29\"",
            "\"203.0.113.0\"",
            "21:14: warning: pool[0].addresses[0] = \"203.0.113.0\": holds 203.0.113.0, the network address of the subnet of port \"uplink\"; hosts there may not answer it",
        ),
        (
            "\"2001:db8:1::100/124\"",
            "\"2001:db8:1::\"",
            "21:33: warning: pool[0].addresses[1] = \"2001:db8:1::\": holds 2001:db8:1::, the subnet-router anycast address of the subnet of port \"uplink\"; hosts there may not answer it",
        ),
        (
            "\"192.168.0.11\", \"fd00:a::11\"",
            "\"192.168.0.11\"",
            "30:1: warning: cluster[0].node[0]: has no IPv6 address, and the cluster has IPv6 pods; its IPv6 pods (fd00:10::/64) are not reached until it has one",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"198.51.100.1/24\"",
            "16:6: warning: route[0].to = \"198.51.100.1/24\": has host bits set; taken as \"198.51.100.0/24\"",
        ),
    ] {
        assert_eq!(warnings(&base_with(old, new)), [format!("t.toml:{expected}")]);
    }
    assert_eq!(warnings(BASE), [""; 0]);
}

#[test]
fn clusters_on_different_ports_may_use_the_same_pod_cidrs() {
    let config = accepted(&two_clusters("203.0.113.50"));
    assert_eq!(config.clusters[0].pod_cidrs, config.clusters[1].pod_cidrs);
    assert_ne!(config.clusters[0].ports, config.clusters[1].ports);
}

#[test]
fn clusters_on_one_port_may_not() {
    assert_eq!(
        errors(&two_clusters("192.168.0.50")),
        [
            "36:14: cluster[1].pod-cidrs[0] = \"10.1.0.0/16\": is of a cluster on port \"nodes\", on which cluster \"blue\" lives too; give each island a port (a NIC or a VLAN) of its own"
        ]
    );
}

/// A second cluster with the pod CIDR of the first, whose node has this address.
fn two_clusters(address: &str) -> String {
    let cluster = format!(
        "[[cluster]]\nname = \"red\"\nmodel = \"island\"\npod-cidrs = [\"10.1.0.0/16\"]\negress = \"masquerade\"\n\
         [[cluster.node]]\nname = \"node-a\"\naddress = \"{address}\"\n"
    );
    let text = base_with(", \"fd00:10::/56\"]", "]");
    let text = text.replace("addresses = [\"192.168.0.11\", \"fd00:a::11\"]", "address = \"192.168.0.11\"");
    text + &cluster + OUTSIDE
}

/// A port without nodes, by which islands leave.
const OUTSIDE: &str = "[[port]]\nname = \"outside\"\ndevice = \"eth2\"\n";

#[test]
fn a_cluster_may_name_its_ports_before_it_has_nodes() {
    let text = BASE.split_once("\n[[cluster.node]]").unwrap().0;
    assert_eq!(
        errors(&format!("{text}\nnode = []\n"))[0],
        "23:1: cluster[0].ports: is missing, and so are nodes; \
         name the ports on which its nodes live, as ports = [\"nodes\"], or write its nodes"
    );
    let config = accepted(&format!("{text}\nports = [\"uplink\", \"nodes\"]\n{OUTSIDE}"));
    assert_eq!(config.clusters[0].ports, [PortIdx(0), PortIdx(1)]);
}

#[test]
fn an_island_needs_a_port_to_leave_by() {
    let text = BASE.split_once("\n[[cluster.node]]").unwrap().0;
    assert_eq!(
        errors(&format!("{text}\nports = [\"uplink\", \"nodes\"]\n"))[0],
        "26:14: cluster[0].pod-cidrs[0] = \"10.1.0.0/16\": is of an island that no port leads out of: \
         clusters live on all of them; add a [[port]] toward the outside, without nodes on it"
    );
}

#[test]
fn link_local_subnets_may_stand_on_every_port() {
    let text = BASE
        .replace("\"fd00:a::1/64\"", "\"fd00:a::1/64\", \"fe80::1/64\"")
        .replace("\"2001:db8:1::2/64\"", "\"2001:db8:1::2/64\", \"fe80::2/64\"");
    assert_eq!(accepted(&text).ports[1].addresses.len(), 3);
    let via = text.replace("[[pool]]", "[[route]]\nto = \"::/0\"\nvia = \"fe80::9\"\n[[pool]]");
    assert_eq!(
        errors(&via),
        [
            "21:7: route[1].via = \"fe80::9\": lies in a subnet of several ports; write an address that is not link-local"
        ]
    );
}

#[test]
fn tables_may_be_written_inline() {
    let text =
        "gateway = { name = \"g\" }\nport = [{ name = \"p\", driver = \"memory\", addresses = [\"10.0.0.1/31\"] }]\n";
    assert_eq!(accepted(text).ports[0].addresses[0].to_string(), "10.0.0.1/31");
}

#[test]
fn the_edges_of_every_range_are_within() {
    for (old, new) in [
        ("cores = [1]", "cores = [8191]\nmax-sessions = 16777216\nicmp-errors-per-second = 0"),
        ("cores = [1]", "seed = 0x7fffffffffffffff\nicmp-errors-per-second = 1000000"),
        ("device = \"eth1\"", "device = \"fifteen-bytes-a\"\nmtu = 1280\nring = 64"),
        ("device = \"eth1\"", "device = \"/a/path/longer-than-an-interface.pcap\"\ndriver = \"pcap\""),
        ("device = \"eth1\"", "device = \"eth1\"\nmtu = 65535\nring = 65536"),
        ("\"203.0.113.16/29\"", "\"192.0.32.0/21\", \"192.0.48.0/22\""),
        ("name = \"egress\"", "name = \"egress\"\nports = \"1-65535\""),
        ("egress = \"egress\"\n", "egress = \"egress\"\nnode-mask-size = { ipv4 = 32, ipv6 = 72 }\n"),
        ("egress = \"egress\"\n", "egress = \"egress\"\nnode-mask-size = { ipv4 = 16, ipv6 = 56 }\n"),
    ] {
        accepted(&base_with(old, new));
    }
}

#[test]
fn a_subnet_of_two_has_neither_network_nor_broadcast_address() {
    for (subnet, peer) in [("198.51.100.0/31", "198.51.100.1"), ("198.51.100.1/31", "198.51.100.0")] {
        let text = base_with("\"203.0.113.2/24\"", &format!("\"203.0.113.2/24\", \"{subnet}\""));
        let text = text.replace("via = \"203.0.113.1\"", &format!("via = \"{peer}\""));
        let config = accepted(&text);
        assert_eq!(config.routes[0].kind, RouteKind::Via(vec![next_hop(peer)]));
    }
}

#[test]
fn nodes_are_asked_whether_they_live_as_the_file_says() {
    let with = |liveness: &str| {
        let lines = format!("egress = \"egress\"\nliveness = {liveness}\n");
        accepted(&base_with("egress = \"egress\"\n", &lines)).clusters[0].liveness
    };
    let usual = Liveness { probe: Probe::Neighbor, interval_s: 5, failures: 3, successes: 2, withdraw: false };
    assert_eq!(with("{}"), Some(usual));
    let other = Liveness { probe: Probe::Icmp, interval_s: 1, failures: 9, successes: 8, withdraw: true };
    let text = "{ probe = \"icmp\", interval-s = 1, failures = 9, successes = 8, withdraw = true }";
    assert_eq!(with(text), Some(other));
    assert_eq!(accepted(BASE).clusters[0].liveness, None);
}
