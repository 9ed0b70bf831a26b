//! Messages about clusters and their nodes.

use super::assert_each;

#[test]
fn a_cluster_is_checked() {
    assert_each(&[
        (
            "model = \"island\"",
            "model = \"Island\"",
            "25:9: cluster[0].model = \"Island\": is not known here; did you mean \"island\"?",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egres\"\n",
            "28:10: cluster[0].egress = \"egres\": names no pool; did you mean \"egress\"?",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"nat\"\n",
            "28:10: cluster[0].egress = \"nat\": names no pool; known are egress",
        ),
        (
            "[\"10.1.0.0/16\", \"fd00:10::/56\"]",
            "[]",
            "26:13: cluster[0].pod-cidrs = []: is empty; write where the pods live, as pod-cidrs = [\"10.1.0.0/16\"]",
        ),
        (
            "\"10.1.0.0/16\", \"fd00:10::/56\"",
            "\"10.1.0.0/16\", \"10.2.0.0/16\"",
            "26:29: cluster[0].pod-cidrs[1] = \"10.2.0.0/16\": is the second of IPv4; at most one a family will do",
        ),
        (
            "\"10.1.0.0/16\"",
            "\"192.168.0.0/16\"",
            "26:14: cluster[0].pod-cidrs[0] = \"192.168.0.0/16\": overlaps 192.168.0.0/24, the subnet of port \"nodes\"; pods and nodes live in different ranges",
        ),
        (
            "\"203.0.113.16/29\"",
            "\"203.0.113.16/29\", \"10.1.7.0/30\"",
            "26:14: cluster[0].pod-cidrs[0] = \"10.1.0.0/16\": overlaps 10.1.7.0/30 of pool[0].addresses[1], line 21; a pool and pods cannot share addresses",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nports = [\"node\"]\n",
            "29:10: cluster[0].ports[0] = \"node\": names no port; did you mean \"nodes\"?",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nports = [\"uplink\"]\n",
            "33:14: cluster[0].node[0].addresses[0] = \"192.168.0.11\": lies on port \"nodes\", which is not among those of the cluster; add \"nodes\" to its ports, or mend the address",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nports = [\"nodes\", \"nodes\"]\n",
            "29:19: cluster[0].ports[1] = \"nodes\": is named twice; name a port once",
        ),
        (
            "\n[[cluster.node]]\nname = \"node-a\"\naddresses = [\"192.168.0.11\", \"fd00:a::11\"]\n",
            "",
            "23:1: cluster[0].ports: is missing, and so are nodes; name the ports on which its nodes live, as ports = [\"nodes\"], or write its nodes",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nnode-mask-size = { ipv4 = 0 }\n",
            "29:27: cluster[0].node-mask-size.ipv4 = 0: is out of range; 1 to 32 bits would do",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nnode-mask-size = { ipv4 = 33 }\n",
            "29:27: cluster[0].node-mask-size.ipv4 = 33: is out of range; 1 to 32 bits would do",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nnode-mask-size = { ipv4 = 15 }\n",
            "26:14: cluster[0].pod-cidrs[0] = \"10.1.0.0/16\": cannot be cut into pieces of /15: mask size of cluster CIDR must be less than or equal to --node-cidr-mask-size configured for CIDR family; write node-mask-size.ipv4 = 16 or more",
        ),
        (
            "egress = \"egress\"\n",
            "egress = \"egress\"\nnode-mask-size = { ipv6 = 73 }\n",
            "26:29: cluster[0].pod-cidrs[1] = \"fd00:10::/56\": cannot be cut into pieces of /73: New CIDR set failed; the node CIDR size is too big; write node-mask-size.ipv6 = 72 or less",
        ),
        (
            "\"10.1.0.0/16\"",
            "\"10.1.0.0/25\"",
            "26:14: cluster[0].pod-cidrs[0] = \"10.1.0.0/25\": cannot be cut into pieces of /24: mask size of cluster CIDR must be less than or equal to --node-cidr-mask-size configured for CIDR family; write node-mask-size.ipv4 = 25 or more",
        ),
    ]);
}

#[test]
fn a_node_is_checked() {
    assert_each(&[
        (
            "\"192.168.0.11\", \"fd00:a::11\"",
            "\"172.16.0.1\"",
            "32:14: cluster[0].node[0].addresses[0] = \"172.16.0.1\": lies in no subnet of a port; subnets are 192.168.0.0/24 (nodes) and 203.0.113.0/24 (uplink)",
        ),
        (
            "\"192.168.0.11\", \"fd00:a::11\"",
            "\"192.168.0.1\"",
            "32:14: cluster[0].node[0].addresses[0] = \"192.168.0.1\": is the gateway's own address on port \"nodes\"; write the address of the other side",
        ),
        (
            "\"192.168.0.11\", \"fd00:a::11\"",
            "\"203.0.113.17\"",
            "32:14: cluster[0].node[0].addresses[0] = \"203.0.113.17\": lies in 203.0.113.16/29 of pool[0].addresses[0], line 21; the addresses of a pool are the gateway's: take it out of the pool",
        ),
        (
            "\"192.168.0.11\", \"fd00:a::11\"",
            "\"192.168.0.11\", \"192.168.0.12\"",
            "32:30: cluster[0].node[0].addresses[1] = \"192.168.0.12\": is the second of IPv4; at most one a family will do",
        ),
        (
            "\"192.168.0.11\", \"fd00:a::11\"",
            "\"192.168.0.11\", \"2001:db8:1::11\"",
            "32:30: cluster[0].node[0].addresses[1] = \"2001:db8:1::11\": lies on port \"uplink\", the other address on port \"nodes\"; a node is reached by one port",
        ),
        (
            "[\"192.168.0.11\", \"fd00:a::11\"]",
            "[]",
            "32:13: cluster[0].node[0].addresses = []: is empty; write address = \"192.168.0.11\"",
        ),
        (
            "name = \"node-a\"",
            "name = \"node-a\"\naddress = \"192.168.0.12\"",
            "32:11: cluster[0].node[0].address = \"192.168.0.12\": stands beside \"addresses\"; keep one of the two",
        ),
        (
            "name = \"node-a\"",
            "name = \"node-a\"\naddress = \"192.168.0.12\"\n[[cluster.node]]\nname = \"node-a\"",
            "34:8: cluster[0].node[1].name = \"node-a\": is already the name of cluster[0].node[0], line 30; names are unique: take another",
        ),
        (
            "name = \"node-a\"",
            "name = \"node-a\"\naddress = \"192.168.0.11\"\n[[cluster.node]]\nname = \"node-b\"",
            "35:14: cluster[0].node[1].addresses[0] = \"192.168.0.11\": is already cluster[0].node[0].address, line 32; every node has its own address",
        ),
    ]);
}

#[test]
fn the_pod_cidrs_of_a_node_are_checked() {
    assert_each(&[
        (
            "name = \"node-a\"",
            "name = \"node-a\"\npod-cidrs = [\"10.2.0.0/24\"]",
            "32:14: cluster[0].node[0].pod-cidrs[0] = \"10.2.0.0/24\": lies outside the cluster's pod CIDRs; those are 10.1.0.0/16 and fd00:10::/56",
        ),
        (
            "name = \"node-a\"",
            "name = \"node-a\"\npod-cidrs = [\"10.0.0.0/8\"]",
            "32:14: cluster[0].node[0].pod-cidrs[0] = \"10.0.0.0/8\": lies outside the cluster's pod CIDRs; those are 10.1.0.0/16 and fd00:10::/56",
        ),
        (
            "name = \"node-a\"",
            "name = \"node-a\"\npod-cidrs = [\"10.1.0.0/24\", \"10.1.1.0/24\"]",
            "32:29: cluster[0].node[0].pod-cidrs[1] = \"10.1.1.0/24\": is the second of IPv4; at most one a family will do",
        ),
        (
            "name = \"node-a\"",
            "name = \"node-a\"\naddress = \"192.168.0.12\"\npod-cidrs = [\"10.1.0.0/24\", \"fd00:10::/64\"]\n[[cluster.node]]\nname = \"node-b\"",
            "33:29: cluster[0].node[0].pod-cidrs[1] = \"fd00:10::/64\": cannot be reached: the node has no IPv6 address; add its IPv6 address to addresses",
        ),
        (
            "name = \"node-a\"",
            "name = \"node-a\"\naddress = \"192.168.0.12\"\npod-cidrs = [\"10.1.0.0/24\"]\n[[cluster.node]]\nname = \"node-b\"\npod-cidrs = [\"10.1.0.128/25\"]",
            "36:14: cluster[0].node[1].pod-cidrs[0] = \"10.1.0.128/25\": overlaps 10.1.0.0/24 of cluster[0].node[0].pod-cidrs[0], line 33; every node has its own range",
        ),
    ]);
}
