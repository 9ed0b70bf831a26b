//! What pools hold, who holds how much of them, and what a file says of names: from the file
//! to the fast path and back.

use causeway_control::alarm::Turn;
use causeway_control::api::{HostView, PoolView};
use causeway_fastpath::command::{Event, PoolPage, RefusedPage, SessionPage};
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::lab::*;
use crate::world::{Step, World, configs, seconds};

/// The lab with one small pool, more lines of it and of the cluster, and neighbours that
/// have answered.
fn lab(pool: &str, cluster: &str) -> World {
    let text = std::fs::read_to_string(configs().join("lab.toml")).expect("the file is there");
    let addresses = "addresses = [\"203.0.113.16/29\", \"2001:db8:1::100/125\"]";
    let egress = "egress = \"egress\"";
    assert!(text.contains(addresses) && text.contains(egress));
    let text = text.replace(addresses, &format!("addresses = [\"203.0.113.16/31\", \"2001:db8:1::100/128\"]\n{pool}"));
    let mut world = World::start(&text.replace(egress, &format!("{egress}\n{cluster}")));
    for host in [NODE_A, SERVER] {
        for family in FAMILIES {
            world.send(host.port, host.asks(own_address(host.port, family)));
        }
    }
    world.started()
}

/// So many flows of a pod to the server; says how many went through.
fn open(world: &mut World, pod: &str, count: u16) -> usize {
    let flow = |port| NODE_A.eth().ip(pod, "203.0.113.10").udp(2_000 + port, 53).build();
    (0..count).filter(|port| world.send(NODES, flow(*port)) == Verdict::Forward(UPLINK)).count()
}

/// What is shown of pools, and how often an alarm was raised and cleared meanwhile.
fn pools(world: &mut World, addresses: bool) -> (Vec<PoolView>, Vec<Turn>) {
    assert!(world.control.list_pools(3));
    assert!(!world.control.list_pools(4), "one at a time");
    world.settle();
    let (rows, alarms) = world.control.take_pools().expect("it is there");
    assert!(world.control.take_pools().is_none(), "it is handed out once");
    let views = PoolView::all(&world.control, &rows, addresses);
    (views, alarms.iter().map(|alarm| alarm.turn).collect())
}

fn hosts(world: &mut World) -> Vec<HostView> {
    assert!(world.control.list_hosts(5));
    assert!(!world.control.list_hosts(6), "one at a time");
    world.settle();
    let rows = world.control.take_hosts().expect("it is there");
    rows.iter().map(|row| HostView::of(&world.control, row)).collect()
}

#[test]
fn a_pool_is_shown_with_what_is_in_use_of_it() {
    let mut world = lab("ports = \"1024-1033\"", "");
    assert_eq!(open(&mut world, "10.1.1.10", 12), 12);
    let (views, _) = pools(&mut world, false);
    assert_eq!(views.len(), 6, "three protocols of two families");
    let udp = views.iter().find(|view| (&*view.family, &*view.protocol) == ("ipv4", "udp")).expect("it has one");
    assert_eq!((&*udp.pool, udp.addresses, udp.ports, udp.address), ("egress", 2, 20, None));
    assert_eq!((udp.used, udp.free, udp.high_water, udp.bindings, udp.sessions), (12, 8, 12, 12, 12));
    let (views, _) = pools(&mut world, true);
    assert_eq!(views.len(), 9, "three addresses");
    let udp: Vec<u64> =
        views.iter().filter(|view| view.protocol == "udp" && view.family == "ipv4").map(|view| view.used).collect();
    assert!(udp == [10, 2] || udp == [2, 10], "a pod keeps to one address as long as that has ports: {udp:?}");
}

#[test]
fn an_alarm_is_raised_when_a_pool_is_nearly_used_up_and_cleared_when_that_is_over() {
    let mut world = lab("ports = \"1024-1033\"", "");
    open(&mut world, "10.1.1.10", 17);
    assert_eq!(pools(&mut world, false).1, []);
    open(&mut world, "10.1.1.11", 1);
    assert_eq!(pools(&mut world, false).1, [Turn::Raised]);
    let (views, again) = pools(&mut world, false);
    assert_eq!(again, [], "it is told once");
    let full: Vec<_> = views.iter().filter(|view| view.full).map(|view| (&*view.family, &*view.protocol)).collect();
    assert_eq!(full, [("ipv4", "udp")]);
    open(&mut world, "10.1.1.11", 9);
    assert_eq!(pools(&mut world, false).0.iter().map(|view| view.refused).sum::<u64>(), 6);
    world.now = world.now + seconds(301);
    while world.forwarder.handle_timeout(world.now) {}
    assert_eq!(pools(&mut world, false).1, [Turn::Cleared]);
}

#[test]
fn who_holds_most_comes_first_and_who_was_refused_is_named() {
    let mut world = lab("ports = \"1024-1033\"", "sessions-per-pod = 9\n");
    open(&mut world, "10.1.1.10", 3);
    open(&mut world, "10.1.1.11", 30);
    let syn = |port| NODE_A.eth().ipv4("10.1.1.10", "203.0.113.10").tcp(9, port).flags(SYN).build();
    (1..=4).for_each(|port| assert_eq!(world.send(NODES, syn(port)), Verdict::Forward(UPLINK)));
    let shown: Vec<_> = hosts(&mut world);
    let row = |host: &HostView| (host.address.to_string(), host.sessions, host.refused);
    assert_eq!(shown.iter().map(row).collect::<Vec<_>>(), [("10.1.1.11".into(), 9, 21), ("10.1.1.10".into(), 7, 0)]);
    assert!(shown.iter().all(|host| host.domain == "blue"));
    assert!(shown[0].ports == 9 && shown[1].ports <= 7 && shown[1].ports >= 4, "{shown:?}");
    assert_eq!(hosts(&mut lab("", "")), []);
}

#[test]
fn a_walk_takes_small_steps_and_foreign_pages_do_not_disturb_it() {
    let mut world = lab("", "");
    open(&mut world, "10.1.1.10", 700);
    world.steps();
    assert!(world.control.list_hosts(5) && world.control.list_pools(6));
    for event in [
        Event::Sessions(Box::new(SessionPage { request: 99, ..Default::default() })),
        Event::Pools(Box::new(PoolPage { request: 99, ..Default::default() })),
        Event::Refused(Box::new(RefusedPage { request: 99, ..Default::default() })),
    ] {
        world.control.handle_event(event, world.now);
    }
    world.settle();
    assert_eq!(world.control.take_hosts().map(|hosts| hosts[0].sessions), Some(700));
    assert!(world.control.take_pools().is_some());
    let steps = world.steps();
    let count = |is: fn(&Step) -> bool| steps.iter().filter(|step| is(step)).count();
    assert!((4..=5).contains(&count(|step| matches!(step, Step::ListSessions))), "700 by 256, and IPv6");
    assert_eq!(count(|step| matches!(step, Step::ListRefused)), 8, "1024 a family, by 256");
    assert_eq!(count(|step| matches!(step, Step::ListPools)), 1);
}

#[test]
fn what_a_file_says_of_names_and_limits_is_what_happens() {
    let udp_is_open = "udp-filtering = \"endpoint-independent\"\nkeep-ports = true";
    let limits =
        "new-sessions-per-pod-per-second = 10\ntcp-pick-up = true\n[[timers.udp-port]]\nports = 53\nudp-s = 7\n";
    let mut world = lab(udp_is_open, limits);
    assert_eq!(open(&mut world, "10.1.1.10", 30), 10, "its pace is limited");
    assert!(world.control.list_sessions(1, 100, Default::default()));
    world.settle();
    let (_, rows) = world.control.take_sessions().expect("it is there");
    let (row, name) = (rows[0], rows[0].outside);
    assert_eq!((row.expires_ms, row.outside.1), (7_000, row.inside.1), "DNS has a timer of its own; ports are kept");
    world.now = world.now + seconds(5);
    // Somebody whom the pod has not called.
    let stranger = |port| SERVER.eth().ip("203.0.113.77".to_ip(), name.0).udp(port, name.1).build();
    assert_eq!(world.send(UPLINK, stranger(9)), Verdict::Forward(NODES));
    let segment = |flags| NODE_A.eth().ipv4("10.1.1.11", "203.0.113.10").tcp(40_000, 443).flags(flags).build();
    assert_eq!(world.send(NODES, segment(ACK)), Verdict::Forward(UPLINK), "picked up");
    let mut strict = lab("", "");
    assert_eq!(strict.send(NODES, segment(ACK)), Verdict::Drop(DropReason::NatTcpNotSyn));
}
