//! flannel's files, sound and otherwise.

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;

/// As flanneld writes it (flannel, Documentation/configuration.md), with the node's addresses.
const ENV: &str = "\
FLANNEL_NETWORK=10.42.0.0/16
FLANNEL_SUBNET=10.42.7.1/24
FLANNEL_IPV6_NETWORK=2001:cafe:42::/56
FLANNEL_IPV6_SUBNET=2001:cafe:42:7::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=false

# Added by who collects the files.
FLANNELD_PUBLIC_IP=192.168.0.11
FLANNELD_PUBLIC_IPV6=fd00:a::11
";

const CONF: &str = r#"{
  "Network": "10.42.0.0/16",
  "EnableIPv6": true,
  "IPv6Network": "2001:cafe:42::/56",
  "SubnetLen": 24,
  "Backend": { "Type": "alloc" }
}"#;

fn pods() -> Vec<IpNet> {
    ["10.42.0.0/16", "2001:cafe::/32"].map(|net| net.parse().expect("a prefix")).to_vec()
}

fn file(node: &str, content: &str) -> EnvFile {
    EnvFile { node: node.into(), name: format!("{node}.env"), content: Ok(content.into()) }
}

/// What is wrong with a file, beside a sound one that does not suffer from it.
fn flaws(conf: Option<&str>, env: &str) -> String {
    let files = [file("a", env), file("b", &ENV.replace(".7.1", ".8.1"))];
    let found = read_flannel(conf.map(str::as_bytes), files, &pods()).expect("the network is sound");
    assert_eq!((found.nodes[1].flaws.len(), found.nodes[1].pod_cidrs[0].as_str()), (0, "10.42.8.0/24"));
    let a = &found.nodes[0];
    assert_eq!(a.flaws.is_empty(), !a.pod_cidrs.is_empty(), "{a:?}");
    a.flaws.join("\n")
}

#[test]
fn what_flanneld_writes_is_a_node() {
    for conf in [None, Some(CONF.as_bytes())] {
        let found = read_flannel(conf, [file("a", ENV)], &pods()).expect("it is sound");
        assert_eq!(found.remarks, [""; 0]);
        let [node] = found.nodes.as_slice() else { panic!("{found:?}") };
        assert_eq!((node.name.as_str(), node.flaws.len()), ("a", 0), "{node:?}");
        assert_eq!(node.addresses, ["192.168.0.11", "fd00:a::11"]);
        assert_eq!(node.pod_cidrs, ["10.42.7.0/24", "2001:cafe:42:7::/64"]);
    }
    let one: String = ENV.lines().filter(|line| !line.contains("IPV6")).map(|line| format!("{line}\r\n")).collect();
    let later = format!("FLANNEL_NEW=1\n{}", one.replace("=10.42.0.0/16", "=10.50.0.0/16,10.42.0.0/16"));
    for env in [&one, &later] {
        assert_eq!(flaws(None, env), "");
    }
}

#[test]
fn a_file_that_makes_no_sense_says_where_and_why() {
    let with = |from: &str, to: &str| ENV.replacen(from, to, 1);
    for (env, expected) in [
        (
            with("10.42.7.1/24", "10.42.300.1/24"),
            "a.env:2: FLANNEL_SUBNET = \"10.42.300.1/24\": \"10.42.300.1\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\"",
        ),
        (
            with("10.42.7.1/24", "10.42.7.1"),
            "a.env:2: FLANNEL_SUBNET = \"10.42.7.1\": has no prefix length; for this one address write \"10.42.7.1/32\"",
        ),
        (
            with("10.42.7.1/24", "10.43.7.1/24"),
            "a.env:2: FLANNEL_SUBNET 10.43.7.0/24 lies outside FLANNEL_NETWORK; is this flanneld's own file?",
        ),
        (
            with("10.42.7.1/24", "fd00::1/64"),
            "a.env:2: FLANNEL_SUBNET = \"fd00::1/64\": is of the other family; IPv6 has variables of its own",
        ),
        (with("=1450", "=-1"), "a.env:5: FLANNEL_MTU = \"-1\": is not a number; write it as 1500"),
        (
            with("=false", "=no"),
            "a.env:6: FLANNEL_IPMASQ = \"no\": is neither of true and false; flanneld writes what --ip-masq says",
        ),
        (with("\n\n", "\nFLANNEL_MTU\n"), "a.env:7: is not a variable; write it as FLANNEL_MTU=1500"),
        (with("\n\n", "\nFLANNEL_MTU=1500\n"), "a.env:7: FLANNEL_MTU stands in line 5 already; keep one of the two"),
        (
            with("192.168.0.11", "224.0.0.1"),
            "a.env:9: FLANNELD_PUBLIC_IP = \"224.0.0.1\": is a multicast address; write the address of one host",
        ),
        (with("FLANNEL_SUBNET=", "#"), "a.env: is missing FLANNEL_SUBNET; flanneld writes it with the network"),
        (with("FLANNEL_NETWORK=", "#"), "a.env: is missing FLANNEL_NETWORK; flanneld writes it with the subnet"),
        (
            with("FLANNELD_PUBLIC_IP=", "#").replace("FLANNELD_PUBLIC_IPV6", "#"),
            "a.env: is missing FLANNELD_PUBLIC_IP; add the node's own address, as FLANNELD_PUBLIC_IP=192.168.0.11",
        ),
        // Half of a file.
        (
            ENV[..ENV.find("FLANNEL_IPMASQ").expect("it is there")].to_owned() + "FLANNELD_PUBLIC_IP=192.168.0.11",
            "a.env: is missing FLANNEL_IPMASQ; flanneld writes it: is this the whole file?",
        ),
    ] {
        assert_eq!(flaws(None, &env), expected);
    }
    assert_eq!(flaws(None, "").lines().count(), 4, "all is missing");
    assert_eq!(flaws(None, &"nonsense\n".repeat(1000)).lines().count(), 10, "of many the first");
    let long = "x".repeat(60_000);
    assert!(flaws(None, &ENV.replace("10.42.7.1/24", &long)).len() < 400, "not all of it is repeated");
    let conf = CONF.replace("24", &format!("{long:?}"));
    assert!(read_flannel(Some(conf.as_bytes()), [], &pods()).expect_err("no number").len() < 400);
    let unread = EnvFile { content: Err("Permission denied".into()), ..file("a", "") };
    let binary = EnvFile { content: Ok(vec![0xff; 9]), ..file("b", "") };
    let found = read_flannel(None, [unread, binary], &pods()).expect("there is no network");
    let flaws: Vec<_> = found.nodes.iter().map(|node| node.flaws.join("; ")).collect();
    assert_eq!(flaws, ["a.env: Permission denied", "b.env: is not UTF-8"]);
}

#[test]
fn a_node_is_held_against_the_network() {
    for (env, expected) in [
        (
            ENV.replace("7.1/24", "7.1/25"),
            "a.env: 10.42.7.0/25 is not as large as SubnetLen of net-conf.json says, which is 24",
        ),
        (
            ENV.replace("=10.42.0.0/16", "=10.42.0.0/17"),
            "a.env: is of another network than net-conf.json:2, whose Network is 10.42.0.0/16",
        ),
    ] {
        assert_eq!(flaws(Some(CONF), &env), expected);
    }
    let one = CONF.replace("true", "false");
    let found = read_flannel(Some(one.as_bytes()), [file("a", ENV)], &pods()).expect("it is sound");
    let expected = "a.env: has the subnet 2001:cafe:42:7::/64, and net-conf.json does not enable its family";
    assert_eq!(found.nodes[0].flaws, [expected]);
}

#[test]
fn a_network_that_makes_no_sense_is_refused_in_flannels_words() {
    let with = |from: &str, to: &str| CONF.replacen(from, to, 1);
    for (conf, expected) in [
        (String::new(), "net-conf.json:1: is not flannel's configuration"),
        (
            "7".to_owned(),
            "net-conf.json:1: is not flannel's configuration: invalid type: integer `7`, expected an object",
        ),
        (with("\"10.42.0.0/16\"", "17"), "net-conf.json:2: is not flannel's configuration: invalid type"),
        (
            with("\"Network\"", "\"Net\""),
            "net-conf.json: please define a correct Network parameter in the flannel config",
        ),
        (with("IPv6Network", "IPv6"), "net-conf.json: please define a correct IPv6Network parameter"),
        (
            with("10.42.0.0/16", "10.42.0.0./16"),
            "net-conf.json:2: Network = \"10.42.0.0./16\": has a dot too many before the slash; write \"10.42.0.0/16\"",
        ),
        (with("10.42.0.0/16", "fd00::/16"), "net-conf.json:2: Network = \"fd00::/16\": is of the other family"),
        (with("24", "31"), "net-conf.json:5: SubnetLen must be less than /31"),
        (with("24", "17"), "net-conf.json:5: network must be able to accommodate at least four subnets"),
        (
            with("0/16", "0/29").replace("24", "0"),
            "net-conf.json:2: network is too small. Minimum useful network prefix is /28",
        ),
        (
            with("42::/56", "42::/125"),
            "net-conf.json:4: IPv6Network is too small. Minimum useful network prefix is /124",
        ),
        (
            with("10.42.0.0/16", "10.42.0.0/15"),
            "net-conf.json:2: Network 10.42.0.0/15 lies outside the cluster's pod-cidrs; write pod-cidrs = [\"10.42.0.0/15\", \"2001:cafe:42::/56\"]",
        ),
        (with("{", "{\"EnableIPv4\": false,").replace("true", "false"), "net-conf.json: has neither family enabled"),
    ] {
        let error = read_flannel(Some(conf.as_bytes()), [file("a", ENV)], &pods()).expect_err(&conf);
        assert!(error.starts_with(expected), "{error}\nnot\n{expected}");
    }
}

#[test]
fn what_is_hardly_meant_so_is_remarked_on() {
    let remarks = |backend: &str, env: &str| {
        let conf = CONF.replace("{ \"Type\": \"alloc\" }", backend);
        let files = [file("a", env), file("b", &env.replace(".7.1", ".8.1"))];
        read_flannel(Some(conf.as_bytes()), files, &pods()).expect("it is sound").remarks.join("\n")
    };
    for silent in [r#"{"Type":"host-gw"}"#, r#"{"Type":"vxlan","DirectRouting":true}"#] {
        assert_eq!(remarks(silent, ENV), "");
    }
    assert!(remarks(r#"{"Type":"vxlan","VNI":1}"#, ENV).starts_with("net-conf.json: the backend \"vxlan\" packs"));
    assert!(remarks("null", ENV).contains("\"udp\""), "flannel's default");
    let masquerading = remarks(r#"{"Type":"alloc"}"#, &ENV.replace("=false", "=true"));
    assert!(masquerading.contains("(FLANNEL_IPMASQ=true): a and 1 more;"), "{masquerading}");
}

proptest! {
    #[test]
    fn what_flanneld_writes_of_any_node_comes_back(
        a in any::<u32>(), len in 2u8..=28, more in 2u8..=30, host in 1u32..0xdfff_ffff, mtu in any::<u32>(), masq: bool,
    ) {
        let (network, host) = (IpNet::new(a.to_be_bytes().into(), len).expect("a length"), std::net::Ipv4Addr::from(host));
        let subnet = IpNet::new(network.network(), (len + more).min(32)).expect("a length");
        let env = format!(
            "FLANNEL_NETWORK={}\nFLANNEL_SUBNET={subnet}\nFLANNEL_MTU={mtu}\nFLANNEL_IPMASQ={masq}\nFLANNELD_PUBLIC_IP={host}\n",
            network.trunc()
        );
        prop_assume!(!host.is_loopback());
        let found = read_flannel(None, [file("a", &env)], &[]).expect("there is no network");
        prop_assert_eq!(&found.nodes[0].flaws, &Vec::<String>::new());
        prop_assert_eq!(&found.nodes[0].pod_cidrs, &vec![subnet.trunc().to_string()]);
        prop_assert_eq!(&found.nodes[0].addresses, &vec![host.to_string()]);
        prop_assert_eq!(!found.remarks.is_empty(), masq);
    }

    #[test]
    fn no_bytes_break_the_readers(cut in 0..ENV.len(), at in 0..ENV.len(), byte in any::<u8>(), random: Vec<u8>) {
        let mut env = ENV.as_bytes().to_vec();
        env[at] = byte;
        let mut conf = CONF.as_bytes().to_vec();
        conf[at % CONF.len()] = byte;
        for (conf, env) in [(&conf[..], &env[..]), (&conf[..cut % CONF.len()], &env[..cut]), (&random, &random)] {
            let files = || [EnvFile { content: Ok(env.to_vec()), ..file("a", "") }];
            let _ = read_flannel(Some(conf), files(), &pods());
            let found = read_flannel(None, files(), &pods()).expect("there is no network");
            prop_assert_eq!(found.nodes[0].flaws.is_empty(), !found.nodes[0].pod_cidrs.is_empty());
        }
    }
}
