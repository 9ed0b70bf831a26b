//! What kube-controller-manager answers: the vectors of its `cidr_set_test.go`.

use ipnet::IpNet;

use super::{CidrSet, CidrSetError};

fn net(text: &str) -> IpNet {
    text.parse().unwrap()
}

fn set(cluster: &str, mask: u8) -> CidrSet {
    CidrSet::new(net(cluster), mask).unwrap()
}

#[test]
fn a_block_is_found_by_its_index() {
    for (cluster, mask, index, block) in [
        ("127.123.3.0/16", 24, 0, "127.123.0.0/24"),
        ("127.123.3.0/16", 24, 15, "127.123.15.0/24"),
        ("192.168.5.219/28", 32, 5, "192.168.5.213/32"),
        ("2001:db8:1234:3::/48", 64, 0, "2001:db8:1234::/64"),
        ("2001:db8:1234::/48", 64, 15, "2001:db8:1234:f::/64"),
        ("2001:db8:85a3::8a2e:370:7334/50", 63, 6425, "2001:db8:85a3:3232::/63"),
        ("2001:db8::/32", 48, 6425, "2001:db8:1919::/48"),
        ("2001:db8:1234:ff00::/56", 72, 15, "2001:db8:1234:ff00:f00::/72"),
        ("2001:db8:1234:ff00::/56", 72, 6425, "2001:db8:1234:ff19:1900::/72"),
        ("2001:db8:1234:0:1234::/80", 96, 15, "2001:db8:1234:0:1234:f::/96"),
        ("2001:db8:1234:ff00::/80", 96, 6425, "2001:db8:1234:ff00:0:1919::/96"),
        ("0.0.0.0/0", 32, (1 << 32) - 1, "255.255.255.255/32"),
    ] {
        assert_eq!(set(cluster, mask).block(index), net(block), "{cluster} {index}");
    }
}

#[test]
fn a_cidr_occupies_the_blocks_it_overlaps() {
    for (cluster, mask, cidr, blocks) in [
        ("127.0.0.0/8", 16, "127.0.0.0/8", (0, 255)),
        ("2001:beef:1200::/40", 48, "2001:beef:1200::/40", (0, 255)),
        ("127.0.0.0/8", 16, "127.0.0.0/2", (0, 255)),
        ("2001:beef:1200::/40", 48, "2001:beef:1234::/34", (0, 255)),
        ("127.0.0.0/8", 16, "127.0.0.0/16", (0, 0)),
        ("127.0.0.0/8", 32, "127.0.0.0/16", (0, 65_535)),
        ("2001:beef:1200::/48", 64, "2001:beef:1200::/48", (0, 65_535)),
        ("127.0.0.0/7", 16, "127.0.0.0/15", (256, 257)),
        ("2001:beef:7f00::/39", 48, "2001:beef:7f00::/47", (256, 257)),
        ("127.0.0.0/7", 15, "127.0.0.0/15", (128, 128)),
        ("127.0.0.0/7", 18, "127.0.0.0/15", (1024, 1031)),
        ("2001:beef:7f00::/39", 50, "2001:beef:7f00::/47", (1024, 1031)),
        ("be00::/8", 16, "beef::/16", (0xef, 0xef)),
        ("beef::/16", 24, "beef:9700::/24", (0x97, 0x97)),
        // Smaller than a block: the block around it.
        ("10.0.0.0/8", 16, "10.3.7.0/24", (3, 3)),
        ("10.0.0.0/8", 16, "0.0.0.0/0", (0, 255)),
    ] {
        let found = set(cluster, mask).blocks_of(net(cidr));
        assert_eq!(found, Ok(blocks), "{cluster} {cidr}");
    }
}

#[test]
fn a_cidr_elsewhere_is_refused_in_the_words_of_kubernetes() {
    for (cluster, cidr) in
        [("192.168.0.0/16", "127.168.224.0/24"), ("beef::/16", "2001:db00::/24"), ("10.0.0.0/8", "beef::/16")]
    {
        let mut set = set(cluster, 24);
        let message = format!("cidr {cidr} is out the range of cluster cidr {cluster}");
        assert_eq!(set.occupy(net(cidr)).unwrap_err().to_string(), message);
        assert_eq!(set.release(net(cidr)).unwrap_err().to_string(), message);
    }
}

#[test]
fn occupying_and_releasing_twice_counts_once() {
    let mut set = set("10.42.0.0/16", 24);
    let steps: [(&str, bool, u64); 7] = [
        ("10.42.5.0/24", true, 1),
        ("10.42.9.0/24", true, 2),
        ("10.42.8.0/22", true, 5),
        ("10.42.9.0/24", true, 5),
        ("10.42.9.0/24", false, 4),
        ("10.42.9.0/24", false, 4),
        ("10.42.4.0/22", false, 3),
    ];
    for (cidr, occupy, used) in steps {
        let done = if occupy { set.occupy(net(cidr)) } else { set.release(net(cidr)) };
        assert_eq!(done, Ok(()));
        assert_eq!(set.used(), used, "{cidr}");
    }
    assert_eq!(set.free(), 253);
    for _ in 0..253 {
        set.allocate_next().unwrap();
    }
    assert_eq!(set.allocate_next(), Err(CidrSetError::NoneLeft));
}

#[test]
fn a_whole_round_is_given_out_again_in_the_same_order() {
    for cluster in ["127.123.234.0/16", "beef:1234::/16"] {
        let mut set = set(cluster, 24);
        let first: Vec<_> = (0..256).map(|_| set.allocate_next().unwrap()).collect();
        assert_eq!(
            set.allocate_next().unwrap_err().to_string(),
            "CIDR allocation failed; there are no remaining CIDRs left to allocate in the accepted range"
        );
        for &block in &first {
            set.release(block).unwrap();
        }
        for &block in &first[128..] {
            set.occupy(block).unwrap();
        }
        let second: Vec<_> = (0..128).map(|_| set.allocate_next().unwrap()).collect();
        assert_eq!(second, first[..128]);
        assert_eq!(set.free(), 0);
    }
}

#[test]
fn a_released_block_waits_until_the_search_has_come_round() {
    let mut set = set("10.0.0.0/22", 24);
    let first = set.allocate_next().unwrap();
    set.release(first).unwrap();
    let given: Vec<_> = (0..4).map(|_| set.allocate_next().unwrap().to_string()).collect();
    assert_eq!(given, ["10.0.1.0/24", "10.0.2.0/24", "10.0.3.0/24", "10.0.0.0/24"]);
}

#[test]
fn occupying_does_not_move_the_search() {
    let mut set = set("10.0.0.0/16", 24);
    set.occupy(net("10.0.0.0/17")).unwrap();
    assert_eq!(set.allocate_next(), Ok(net("10.0.128.0/24")));
    assert_eq!((set.used(), set.free()), (129, 127));
}

#[test]
fn the_size_of_a_block_has_bounds() {
    let new = |cluster, mask| CidrSet::new(net(cluster), mask).map(|set| set.free());
    assert_eq!(new("127.0.0.0/8", 32), Ok(1 << 24));
    assert_eq!(new("0.0.0.0/0", 32), Ok(1 << 32));
    assert_eq!(new("0.0.0.0/0", 0), Ok(1));
    assert_eq!(new("::/0", 0), Ok(1));
    assert_eq!(new("10.0.0.0/24", 24), Ok(1));
    assert_eq!(new("10.0.0.0/24", 23), Err(CidrSetError::NodeMaskTooShort));
    assert_eq!(new("10.0.0.0/24", 33), Err(CidrSetError::NodeMaskTooLong));
    assert_eq!(new("beef:1234::/32", 48), Ok(1 << 16));
    let error = new("beef:1234::/32", 49).unwrap_err();
    assert_eq!(error.to_string(), "New CIDR set failed; the node CIDR size is too big");
}

#[test]
fn host_bits_of_the_cluster_cidr_are_ignored() {
    let mut set = set("2001:beef:1234:369b::/60", 64);
    assert_eq!(set.allocate_next(), Ok(net("2001:beef:1234:3690::/64")));
    assert_eq!(set.allocate_next(), Ok(net("2001:beef:1234:3691::/64")));
}
