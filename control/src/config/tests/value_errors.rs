//! Messages about names, numbers, addresses and prefixes.

use super::assert_each;

#[test]
fn a_name_is_checked() {
    assert_each(&[
        ("name = \"gw-1\"", "name = \"\"", "2:8: gateway.name = \"\": is empty; give it a name"),
        (
            "name = \"gw-1\"",
            "name = \"Gw\"",
            "2:8: gateway.name = \"Gw\": \"G\" cannot stand in a name; a name is made of a to z, 0 to 9 and -",
        ),
        (
            "name = \"gw-1\"",
            "name = \"gw 1\"",
            "2:8: gateway.name = \"gw 1\": \" \" cannot stand in a name; a name is made of a to z, 0 to 9 and -",
        ),
        (
            "name = \"gw-1\"",
            "name = \"gw\\u001b\"",
            "2:8: gateway.name = \"gw\\u001b\": \"\\u{1b}\" cannot stand in a name; a name is made of a to z, 0 to 9 and -",
        ),
        (
            "name = \"gw-1\"",
            "name = \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
            "2:8: gateway.name = \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: is too long; a name has at most 63 characters",
        ),
        (
            "name = \"uplink\"",
            "name = \"nodes\"",
            "11:8: port[1].name = \"nodes\": is already the name of port[0], line 5; names are unique: take another",
        ),
        (
            "name = \"node-a\"",
            "name = \"node_a\"",
            "31:8: cluster[0].node[0].name = \"node_a\": \"_\" cannot stand in a name; a name is made of a to z, 0 to 9, - and .",
        ),
    ]);
}

#[test]
fn the_gateway_is_checked() {
    assert_each(&[
        (
            "cores = [1]",
            "cores = []",
            "3:9: gateway.cores = []: is empty; name the core of each worker, as cores = [1, 2]",
        ),
        ("cores = [1]", "cores = [1, 2, 1]", "3:16: gateway.cores[2] = 1: stands twice; a core has one worker"),
        (
            "cores = [1]",
            "cores = [-1]",
            "3:10: gateway.cores[0] = -1: is not a processor core; 0 to 8191 would do, as the machine has",
        ),
        (
            "cores = [1]",
            "cores = [8192]",
            "3:10: gateway.cores[0] = 8192: is not a processor core; 0 to 8191 would do, as the machine has",
        ),
        (
            "cores = [1]",
            "idle = \"spin\"",
            "3:8: gateway.idle = \"spin\": is not known here; known are spin-then-poll, busy and poll",
        ),
        ("cores = [1]", "idle = \"bussy\"", "3:8: gateway.idle = \"bussy\": is not known here; did you mean \"busy\"?"),
        ("cores = [1]", "api = \"\"", "3:7: gateway.api = \"\": is empty; write the path of a file"),
        (
            "cores = [1]",
            "api = \"/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"",
            "3:7: gateway.api = \"/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...: is too long; a path has at most 107 bytes here",
        ),
        (
            "cores = [1]",
            "api = \"a\\u0000b\"",
            "3:7: gateway.api = \"a\\u0000b\": holds a zero byte; write the path of a file",
        ),
        (
            "cores = [1]",
            "max-sessions = 1023",
            "3:16: gateway.max-sessions = 1023: is out of range; 1024 to 16777216 sessions would do",
        ),
        (
            "cores = [1]",
            "max-sessions = 16777217",
            "3:16: gateway.max-sessions = 16777217: is out of range; 1024 to 16777216 sessions would do",
        ),
        (
            "cores = [1]",
            "icmp-errors-per-second = -1",
            "3:26: gateway.icmp-errors-per-second = -1: is out of range; 0 to 1000000 packets a second would do",
        ),
        (
            "cores = [1]",
            "icmp-errors-per-second = 1000001",
            "3:26: gateway.icmp-errors-per-second = 1000001: is out of range; 0 to 1000000 packets a second would do",
        ),
        ("cores = [1]", "seed = -1", "3:8: gateway.seed = -1: is out of range; 0 to 9223372036854775807 would do"),
    ]);
}

#[test]
fn a_timer_below_what_its_rfc_asks_for_is_an_error() {
    assert_each(&[
        (
            "[[route]]",
            "[timers]\ntcp-established-s = 7439\n[[route]]",
            "16:21: timers.tcp-established-s = 7439: is out of range; 7440 to 2592000 seconds would do (RFC 5382 REQ-5)",
        ),
        (
            "[[route]]",
            "[timers]\ntcp-transitory-s = 239\n[[route]]",
            "16:20: timers.tcp-transitory-s = 239: is out of range; 240 to 2592000 seconds would do (RFC 5382 REQ-5)",
        ),
        (
            "[[route]]",
            "[timers]\nudp-s = 119\n[[route]]",
            "16:9: timers.udp-s = 119: is out of range; 120 to 2592000 seconds would do (RFC 4787 REQ-5)",
        ),
        (
            "[[route]]",
            "[timers]\nicmp-s = 59\n[[route]]",
            "16:10: timers.icmp-s = 59: is out of range; 60 to 2592000 seconds would do (RFC 5508 REQ-2)",
        ),
        (
            "[[route]]",
            "[timers]\nicmp-s = 2592001\n[[route]]",
            "16:10: timers.icmp-s = 2592001: is out of range; 60 to 2592000 seconds would do (RFC 5508 REQ-2)",
        ),
    ]);
}

#[test]
fn an_address_is_checked() {
    assert_each(&[
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113\"",
            "17:7: route[0].via = \"203.0.113\": \"203.0.113\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\"",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.256\"",
            "17:7: route[0].via = \"203.0.113.256\": \"203.0.113.256\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\"",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.01\"",
            "17:7: route[0].via = \"203.0.113.01\": \"203.0.113.01\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\"",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"203.0.113.1/24\"",
            "17:7: route[0].via = \"203.0.113.1/24\": \"203.0.113.1/24\" is not an address; write it without a prefix length",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"\"",
            "17:7: route[0].via = \"\": \"\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\"",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"fe80::1%eth0\"",
            "17:7: route[0].via = \"fe80::1%eth0\": \"fe80::1%eth0\" is not an address; write it without the zone after %",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"2001:db8::g\"",
            "17:7: route[0].via = \"2001:db8::g\": \"2001:db8::g\" is not an address; an IPv6 address is up to eight groups of hexadecimal digits, as \"fd00:a::1\"",
        ),
        (
            "via = \"203.0.113.1\"",
            "via = \"::ffff:203.0.113.1\"",
            "17:7: route[0].via = \"::ffff:203.0.113.1\": is an IPv4 address written as IPv6; write \"203.0.113.1\"",
        ),
        (
            "\"192.168.0.11\"",
            "\"0.0.0.0\"",
            "32:14: cluster[0].node[0].addresses[0] = \"0.0.0.0\": is the unspecified address; write the address of one host",
        ),
        (
            "\"192.168.0.11\"",
            "\"224.0.0.1\"",
            "32:14: cluster[0].node[0].addresses[0] = \"224.0.0.1\": is a multicast address; write the address of one host",
        ),
        (
            "\"192.168.0.11\"",
            "\"127.0.0.1\"",
            "32:14: cluster[0].node[0].addresses[0] = \"127.0.0.1\": is a loopback address; write the address of one host",
        ),
        (
            "\"192.168.0.11\"",
            "\"255.255.255.255\"",
            "32:14: cluster[0].node[0].addresses[0] = \"255.255.255.255\": is the broadcast address; write the address of one host",
        ),
    ]);
}

#[test]
fn a_prefix_is_checked() {
    assert_each(&[
        (
            "to = \"0.0.0.0/0\"",
            "to = \"0.0.0.0/33\"",
            "16:6: route[0].to = \"0.0.0.0/33\": /33 is not a prefix length; a prefix length is 0 to 32",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"0.0.0.0/\"",
            "16:6: route[0].to = \"0.0.0.0/\": / is not a prefix length; a prefix length is 0 to 32",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"0.0.0.0/+8\"",
            "16:6: route[0].to = \"0.0.0.0/+8\": /+8 is not a prefix length; a prefix length is 0 to 32",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"0.0.0.0/08\"",
            "16:6: route[0].to = \"0.0.0.0/08\": /08 is not a prefix length; a prefix length is 0 to 32",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"0.0.0.0/255.0.0.0\"",
            "16:6: route[0].to = \"0.0.0.0/255.0.0.0\": /255.0.0.0 is not a prefix length; a prefix length is 0 to 32",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"::/129\"",
            "16:6: route[0].to = \"::/129\": /129 is not a prefix length; a prefix length is 0 to 128",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"10.0.0.0\"",
            "16:6: route[0].to = \"10.0.0.0\": has no prefix length; for this one address write \"10.0.0.0/32\"",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"default\"",
            "16:6: route[0].to = \"default\": is short for two prefixes; write \"0.0.0.0/0\" for IPv4, \"::/0\" for IPv6",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"10.0.0.0./8\"",
            "16:6: route[0].to = \"10.0.0.0./8\": has a dot too many before the slash; write \"10.0.0.0/8\"",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"10.0.0/8\"",
            "16:6: route[0].to = \"10.0.0/8\": \"10.0.0\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\"",
        ),
        (
            "to = \"0.0.0.0/0\"",
            "to = \"\"",
            "16:6: route[0].to = \"\": \"\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\"",
        ),
        (
            "\"10.1.0.0/16\"",
            "\"10.1.0.0./16\"",
            "26:14: cluster[0].pod-cidrs[0] = \"10.1.0.0./16\": has a dot too many before the slash; write \"10.1.0.0/16\"",
        ),
    ]);
}

#[test]
fn timers_of_udp_ports_are_checked() {
    assert_each(&[
        (
            "[[route]]",
            "[[timers.udp-port]]\nports = 1024\nudp-s = 30\n[[route]]",
            "16:9: timers.udp-port[0].ports = 1024: is not well-known; ports up to 1023 may have a timer of their own (RFC 4787 REQ-5)",
        ),
        (
            "[[route]]",
            "[[timers.udp-port]]\nports = \"1000-1024\"\nudp-s = 30\n[[route]]",
            "16:9: timers.udp-port[0].ports = \"1000-1024\": is not well-known; ports up to 1023 may have a timer of their own (RFC 4787 REQ-5)",
        ),
        (
            "[[route]]",
            "[[timers.udp-port]]\nports = 53\nudp-s = 4\n[[route]]",
            "17:9: timers.udp-port[0].udp-s = 4: is out of range; 5 to 2592000 seconds would do",
        ),
        (
            "[[route]]",
            "[[timers.udp-port]]\nports = \"50-60\"\nudp-s = 30\n[[timers.udp-port]]\nports = 53\nudp-s = 30\n[[route]]",
            "19:9: timers.udp-port[1].ports = 53: overlaps timers.udp-port[0].ports, line 16; a port has one timer: write it once",
        ),
    ]);
}
