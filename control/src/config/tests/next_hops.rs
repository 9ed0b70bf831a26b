//! Routes through several routers.

use super::{accepted, assert_each, base_with, errors};
use crate::config::{NextHop, PortIdx, RouteKind};

const VIA: &str = "via = \"203.0.113.1\"";

fn next_hops(via: &str) -> Vec<NextHop> {
    match accepted(&base_with(VIA, via)).routes.remove(0).kind {
        RouteKind::Via(next_hops) => next_hops,
        kind => panic!("{kind:?}"),
    }
}

fn next_hop(last: u8, weight: u16) -> NextHop {
    NextHop { gateway: [203, 0, 113, last].into(), port: PortIdx(1), weight }
}

#[test]
fn routers_stand_alone_or_in_a_list_with_or_without_weights() {
    assert_eq!(next_hops(VIA), [next_hop(1, 1)]);
    assert_eq!(next_hops("via = [\"203.0.113.1\"]"), [next_hop(1, 1)]);
    assert_eq!(next_hops("via = [{ gateway = \"203.0.113.1\", weight = 7 }]"), [next_hop(1, 1)]);
    assert_eq!(next_hops("via = [\"203.0.113.9\", \"203.0.113.1\"]"), [next_hop(9, 1), next_hop(1, 1)]);
    assert_eq!(
        next_hops("via = [{ gateway = \"203.0.113.9\", weight = 256 }, \"203.0.113.1\"]"),
        [next_hop(9, 256), next_hop(1, 1)]
    );
    assert_eq!(
        next_hops("[[route.via]]\ngateway = \"203.0.113.9\"\n[[route.via]]\ngateway = \"203.0.113.1\"\nweight = 2"),
        [next_hop(9, 1), next_hop(1, 2)]
    );
}

fn list(count: u8) -> String {
    let routers: Vec<_> = (1..=count).map(|n| format!("\"203.0.113.{}\"", 100 + n)).collect();
    format!("via = [{}]", routers.join(", "))
}

#[test]
fn a_route_has_sixty_four_routers_at_most() {
    assert_eq!(next_hops(&list(64)).len(), 64);
    let errors = errors(&base_with(VIA, &list(65)));
    assert_eq!(errors.len(), 1);
    assert!(errors[0].ends_with(": has 65 elements; at most 64 will do"), "{}", errors[0]);
}

#[test]
fn each_router_is_checked() {
    assert_each(&[
        (VIA, "via = []", "17:7: route[0].via = []: names no router; name at least one, or write type = \"blackhole\""),
        (
            VIA,
            "via = 1",
            "17:7: route[0].via = 1: is an integer, not an address or a list; write via = \"203.0.113.1\"",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", 2]",
            "17:23: route[0].via[1] = 2: is an integer, not an address or a table; write via = \"203.0.113.1\"",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", \"203.0.113\"]",
            "17:23: route[0].via[1] = \"203.0.113\": \"203.0.113\" is not an address; an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\"",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", \"203.0.113.2\"]",
            "17:23: route[0].via[1] = \"203.0.113.2\": is the gateway's own address on port \"uplink\"; write the address of the other side",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", \"2001:db8:1::1\"]",
            "17:23: route[0].via[1] = \"2001:db8:1::1\": is IPv6 and the route is IPv4; write an IPv4 address",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", { gateway = \"203.0.113.1\", weight = 2 }]",
            "17:35: route[0].via[1].gateway = \"203.0.113.1\": is already route[0].via[0], line 17; name a router once, with a larger weight if it is to get more",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", \"192.168.0.77\"]",
            "17:23: route[0].via[1] = \"192.168.0.77\": is in cluster \"blue\", and route[0].via[0], line 17 is outside; routers that share a route are in one routing domain",
        ),
        (
            VIA,
            "via = [\"192.168.0.77\", \"203.0.113.1\"]",
            "17:24: route[0].via[1] = \"203.0.113.1\": is outside, and route[0].via[0], line 17 is in cluster \"blue\"; routers that share a route are in one routing domain",
        ),
        (
            VIA,
            "via = [\"192.168.0.77\", \"203.0.113.1\"]\ncluster = \"blue\"",
            "17:24: route[0].via[1] = \"203.0.113.1\": is on port \"uplink\", which is not one of cluster \"blue\"; name a router on a port of the cluster, or leave \"cluster\" out",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", { gateway = \"203.0.113.9\", weight = 0 }]",
            "17:59: route[0].via[1].weight = 0: is out of range; 1 to 256 would do",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", { gateway = \"203.0.113.9\", wieght = 2 }]",
            "17:50: route[0].via[1].wieght: is not a key of [[route.via]]; did you mean \"weight\"?",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", { weight = 2 }]",
            "17:23: route[0].via[1].gateway: is missing; write gateway = \"203.0.113.9\"",
        ),
        (
            VIA,
            "via = [\"203.0.113.1\", \"203.0.113.9\"]\ntype = \"blackhole\"",
            "18:8: route[0].type = \"blackhole\": stands beside \"via\"; a route goes somewhere or nowhere: keep one",
        ),
    ]);
}
