//! Messages about ports, routes, pools and neighbours.

use super::assert_each;

#[test]
fn a_port_is_checked() {
    assert_each(&[
        (
            "device = \"eth1\"",
            "device = \"\"",
            "7:10: port[0].device = \"\": is empty; name a network interface, as \"eth1\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"sixteen-bytes-ab\"",
            "7:10: port[0].device = \"sixteen-bytes-ab\": is too long for an interface; a name has at most 15 bytes",
        ),
        (
            "device = \"eth1\"",
            "device = \"a/b\"",
            "7:10: port[0].device = \"a/b\": cannot be the name of an interface; write one without blanks, slashes and colons, as \"eth1\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"..\"",
            "7:10: port[0].device = \"..\": cannot be the name of an interface; write one without blanks, slashes and colons, as \"eth1\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth0\"",
            "12:10: port[1].device = \"eth0\": is already the device of port[0].device, line 7; a device serves one port",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\ndriver = \"afxdp\"",
            "8:10: port[0].driver = \"afxdp\": is not known here; did you mean \"af-xdp\"?",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\ndriver = \"dpdk\"",
            "8:10: port[0].driver = \"dpdk\": is not known here; known are auto, af-packet, af-xdp, tap, memif, pcap and memory",
        ),
        (
            "device = \"eth1\"",
            "device = \"\"\ndriver = \"pcap\"",
            "7:10: port[0].device = \"\": is empty; write the path of a file",
        ),
        (
            "device = \"eth1\"",
            "device = \"sixteen-bytes-ab\"\ndriver = \"tap\"",
            "7:10: port[0].device = \"sixteen-bytes-ab\": is too long for an interface; a name has at most 15 bytes",
        ),
        (
            "device = \"eth1\"",
            "driver = \"pcap\"",
            "5:1: port[0].device: is missing; name the network interface, as device = \"eth1\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmtu = 67",
            "8:7: port[0].mtu = 67: is out of range; 68 to 65535 bytes would do",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmtu = 65536",
            "8:7: port[0].mtu = 65536: is out of range; 68 to 65535 bytes would do",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmtu = 1279",
            "8:7: port[0].mtu = 1279: is too small for IPv6; at least 1280 bytes would do (RFC 8200)",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nring = 32",
            "8:8: port[0].ring = 32: is out of range; 64 to 65536 frames would do",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nring = 1000",
            "8:8: port[0].ring = 1000: is not a power of two; 512 or 1024 would do",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nring = 131072",
            "8:8: port[0].ring = 131072: is out of range; 64 to 65536 frames would do",
        ),
        (
            "device = \"eth1\"",
            "driver = \"memif\"",
            "5:1: port[0].device: is missing; name the server's socket, as device = \"/run/vpp/memif.sock\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"\"\ndriver = \"memif\"",
            "7:10: port[0].device = \"\": is empty; write the path of a file",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmemif-id = 1",
            "8:12: port[0].memif-id = 1: means nothing with this driver; leave it out, or write driver = \"memif\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"/run/m\"\ndriver = \"memif\"\nmemif-id = -1",
            "9:12: port[0].memif-id = -1: is out of range; 0 to 4294967295 would do",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmac = \"02:00:00:00:00\"",
            "8:7: port[0].mac = \"02:00:00:00:00\": is not an Ethernet address; write six pairs of hexadecimal digits, as \"02:00:00:00:00:01\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmac = \"02:00:00:00:00:01:02\"",
            "8:7: port[0].mac = \"02:00:00:00:00:01:02\": is not an Ethernet address; write six pairs of hexadecimal digits, as \"02:00:00:00:00:01\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmac = \"02:00:00:00:00:+1\"",
            "8:7: port[0].mac = \"02:00:00:00:00:+1\": is not an Ethernet address; write six pairs of hexadecimal digits, as \"02:00:00:00:00:01\"",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmac = \"01:00:00:00:00:01\"",
            "8:7: port[0].mac = \"01:00:00:00:00:01\": is a group address; the first byte of a station's own address is even",
        ),
        (
            "device = \"eth1\"",
            "device = \"eth1\"\nmac = \"00:00:00:00:00:00\"",
            "8:7: port[0].mac = \"00:00:00:00:00:00\": is all zeros; write the address of a station",
        ),
    ]);
}

#[test]
fn the_addresses_of_a_port_are_checked() {
    assert_each(&[
        (
            "\"192.168.0.1/24\"",
            "\"192.168.0.1\"",
            "8:14: port[0].addresses[0] = \"192.168.0.1\": has no prefix length; write that of its subnet, as \"192.168.0.1/24\"",
        ),
        (
            "\"192.168.0.1/24\"",
            "\"192.168.0.0/24\"",
            "8:14: port[0].addresses[0] = \"192.168.0.0/24\": is a subnet, not an address on it; write the gateway's own, as \"192.168.0.1/24\"",
        ),
        (
            "\"192.168.0.1/24\"",
            "\"192.168.0.255/24\"",
            "8:14: port[0].addresses[0] = \"192.168.0.255/24\": is the broadcast address of its subnet; write the gateway's own address",
        ),
        (
            "\"fd00:a::1/64\"",
            "\"fd00:a::/64\"",
            "8:32: port[0].addresses[1] = \"fd00:a::/64\": is a subnet, not an address on it; write the gateway's own, as \"fd00:a::1/64\"",
        ),
        (
            "\"192.168.0.1/24\"",
            "\"224.0.0.1/24\"",
            "8:14: port[0].addresses[0] = \"224.0.0.1/24\": is a multicast address; write the address of one host",
        ),
        (
            "\"192.168.0.1/24\"",
            "\"192.168.0.1/0\"",
            "8:14: port[0].addresses[0] = \"192.168.0.1/0\": is on a subnet of everything; write the prefix length of the subnet, as /24",
        ),
        (
            "\"192.168.0.1/24\"",
            "\"192.168.0.1/24\", \"192.168.0.1/16\"",
            "8:32: port[0].addresses[1] = \"192.168.0.1/16\": is already port[0].addresses[0], line 8; write an address once",
        ),
        (
            "\"203.0.113.2/24\"",
            "\"203.0.113.2/24\", \"192.168.0.77/25\"",
            "13:32: port[1].addresses[1] = \"192.168.0.77/25\": overlaps 192.168.0.0/24 of port[0].addresses[0], line 8; ports are on different subnets",
        ),
    ]);
}

#[test]
fn a_route_is_checked() {
    assert_each(&[
        (
            "via = \"203.0.113.1\"",
            "via = \"198.51.100.1\"",
            "17:7: route[0].via = \"198.51.100.1\": lies in no subnet of a port; subnets are 192.168.0.0/24 (nodes) and 203.0.113.0/24 (uplink)",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.2\"",
            "17:7: route[0].via = \"203.0.113.2\": is the gateway's own address on port \"uplink\"; write the address of the other side",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"2001:db8:1::1\"",
            "17:7: route[0].via = \"2001:db8:1::1\": is IPv6 and the route is IPv4; write an IPv4 address",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"::/0\"",
            "17:7: route[0].via = \"203.0.113.1\": is IPv4 and the route is IPv6; write an IPv6 address",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.17\"",
            "17:7: route[0].via = \"203.0.113.17\": lies in 203.0.113.16/29 of pool[0].addresses[0], line 21; the addresses of a pool are the gateway's: take it out of the pool",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.1\"\ntype = \"blackhole\"",
            "18:8: route[0].type = \"blackhole\": stands beside \"via\"; a route goes somewhere or nowhere: keep one",
        ),
        (
            "via = \"203.0.113.1\"",
            "type = \"drop\"",
            "17:8: route[0].type = \"drop\": is not known here; known are blackhole, unreachable and prohibit",
        ),
        (
            "via = \"203.0.113.1\"",
            "type = \"blackhol\"",
            "17:8: route[0].type = \"blackhol\": is not known here; did you mean \"blackhole\"?",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"203.0.113.0/24\"",
            "16:6: route[0].to = \"203.0.113.0/24\": 203.0.113.0/24 is the subnet of port \"uplink\"; it is reached there: leave the route out",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.1\"\n[[route]]\nto = \"0.0.0.0/0\"\ntype = \"prohibit\"",
            "19:6: route[1].to = \"0.0.0.0/0\": is already the destination of route[0].to, line 16; keep one of the two",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.1\"\ncluster = \"blu\"",
            "18:11: route[0].cluster = \"blu\": names no cluster; did you mean \"blue\"?",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.1\"\ncluster = \"blue\"",
            "17:7: route[0].via = \"203.0.113.1\": is on port \"uplink\", which is not one of cluster \"blue\"; \
             name a router on a port of the cluster, or leave \"cluster\" out",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.1\"\ncluster = \"red\"",
            "18:11: route[0].cluster = \"red\": names no cluster; known are blue",
        ),
    ]);
}

#[test]
fn a_pool_is_checked() {
    assert_each(&[
        (
            "name = \"egress\"",
            "name = \"masquerade\"",
            "20:8: pool[0].name = \"masquerade\": has a meaning of its own where clusters name a pool; take another name",
        ),
        (
            "[\"203.0.113.16/29\", \"2001:db8:1::100/124\"]",
            "[]",
            "21:13: pool[0].addresses = []: holds no address; write at least one, as \"203.0.113.16/29\"",
        ),
        (
            "\"203.0.113.16/29\"",
            "\"203.0.113.0/30\"",
            "21:14: pool[0].addresses[0] = \"203.0.113.0/30\": holds 203.0.113.2, the gateway's own on port \"uplink\"; leave it out, or use it by egress = \"masquerade\"",
        ),
        (
            "\"203.0.113.16/29\"",
            "\"203.0.113.16/29\", \"203.0.113.20\"",
            "21:33: pool[0].addresses[1] = \"203.0.113.20\": overlaps 203.0.113.16/29 of pool[0].addresses[0], line 21; an address belongs to one pool, once",
        ),
        (
            "\"203.0.113.16/29\"",
            "\"192.0.2.0/19\"",
            "21:14: pool[0].addresses[0] = \"192.0.2.0/19\": makes more than 4096 addresses in all pools together; write a longer prefix, as /28",
        ),
        (
            "\"2001:db8:1::100/124\"",
            "\"2001:db8:2::/64\"",
            "21:33: pool[0].addresses[1] = \"2001:db8:2::/64\": makes more than 4096 addresses in all pools together; write a longer prefix, as /124",
        ),
        (
            "\"203.0.113.16/29\"",
            "\"239.0.0.0/28\"",
            "21:14: pool[0].addresses[0] = \"239.0.0.0/28\": is a multicast address; write addresses that others can send to",
        ),
        (
            "\"2001:db8:1::100/124\"",
            "\"fe80::100/124\"",
            "21:33: pool[0].addresses[1] = \"fe80::100/124\": is link-local; write addresses that others can send to",
        ),
        (
            "name = \"egress\"",
            "name = \"egress\"\nports = \"1024\"",
            "21:9: pool[0].ports = \"1024\": is not a range; write the first and the last port, as \"1024-65535\"",
        ),
        (
            "name = \"egress\"",
            "name = \"egress\"\nports = \"0-65535\"",
            "21:9: pool[0].ports = \"0-65535\": begins at port 0; ports are 1 to 65535",
        ),
        (
            "name = \"egress\"",
            "name = \"egress\"\nports = \"1024-65536\"",
            "21:9: pool[0].ports = \"1024-65536\": is not a range of ports 1 to 65535; write the first and the last port, as \"1024-65535\"",
        ),
        (
            "name = \"egress\"",
            "name = \"egress\"\nports = \"2000-1000\"",
            "21:9: pool[0].ports = \"2000-1000\": begins after its end; write \"1000-2000\"",
        ),
        (
            "name = \"egress\"",
            "name = \"egress\"\nports = \"+1-2\"",
            "21:9: pool[0].ports = \"+1-2\": is not a range of ports 1 to 65535; write the first and the last port, as \"1024-65535\"",
        ),
    ]);
}

#[test]
fn a_neighbour_is_checked() {
    assert_each(&[
        (
            "[[pool]]",
            "[[neighbor]]\nport = \"nods\"\naddress = \"192.168.0.9\"\nmac = \"02:00:00:00:00:09\"\n[[pool]]",
            "20:8: neighbor[0].port = \"nods\": names no port; did you mean \"nodes\"?",
        ),
        (
            "[[pool]]",
            "[[neighbor]]\nport = \"nodes\"\naddress = \"203.0.113.1\"\nmac = \"02:00:00:00:00:09\"\n[[pool]]",
            "21:11: neighbor[0].address = \"203.0.113.1\": lies in no subnet of port \"nodes\"; its subnets are 192.168.0.0/24 and fd00:a::/64",
        ),
        (
            "[[pool]]",
            "[[neighbor]]\nport = \"nodes\"\naddress = \"192.168.0.1\"\nmac = \"02:00:00:00:00:09\"\n[[pool]]",
            "21:11: neighbor[0].address = \"192.168.0.1\": is the gateway's own address on port \"nodes\"; write the address of the other side",
        ),
        (
            "[[pool]]",
            "[[neighbor]]\nport = \"uplink\"\naddress = \"203.0.113.16\"\nmac = \"02:00:00:00:00:09\"\n[[pool]]",
            "21:11: neighbor[0].address = \"203.0.113.16\": lies in 203.0.113.16/29 of pool[0].addresses[0], line 25; the addresses of a pool are the gateway's: take it out of the pool",
        ),
        (
            "[[pool]]",
            "[[neighbor]]\nport = \"uplink\"\naddress = \"203.0.113.1\"\nmac = \"02:00:00:00:00:09\"\n[[neighbor]]\nport = \"uplink\"\naddress = \"203.0.113.1\"\nmac = \"02:00:00:00:00:09\"\n[[pool]]",
            "25:11: neighbor[1].address = \"203.0.113.1\": is already neighbor[0].address, line 21; keep one of the two",
        ),
    ]);
}

#[test]
fn who_lets_strangers_in_maps_by_endpoint() {
    assert_each(&[
        (
            "[[pool]]",
            "[[pool]]\ntcp-filtering = \"endpoint-independent\"",
            "20:17: pool[0].tcp-filtering = \"endpoint-independent\": lets strangers in by a name that is not one endpoint's; write tcp-mapping = \"endpoint-independent\", too",
        ),
        (
            "[[pool]]",
            "[[pool]]\nudp-mapping = \"address-and-port-dependent\"\nudp-filtering = \"address-dependent\"",
            "21:17: pool[0].udp-filtering = \"address-dependent\": lets strangers in by a name that is not one endpoint's; write udp-mapping = \"endpoint-independent\", too",
        ),
        (
            "[[pool]]",
            "[[pool]]\nudp-mapping = \"address-dependent\"\nudp-filtering = \"endpoint-independent\"",
            "21:17: pool[0].udp-filtering = \"endpoint-independent\": lets everybody in by names that are for one address each; write udp-filtering = \"address-dependent\", or udp-mapping = \"endpoint-independent\"",
        ),
        (
            "[[pool]]",
            "[[pool]]\nudp-mapping = \"endpoint-dependent\"",
            "20:15: pool[0].udp-mapping = \"endpoint-dependent\": is not known here; did you mean \"endpoint-independent\"?",
        ),
    ]);
}
