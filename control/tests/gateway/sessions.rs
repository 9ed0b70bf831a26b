//! Listing sessions page by page.

use causeway_control::api::SessionView;
use causeway_fastpath::command::{Event, SessionPage};
use causeway_fastpath::session::SessionFilter;
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;

use crate::lab::*;
use crate::world::{Step, World, seconds};

/// A lab with so many sessions a family.
fn lab_with_sessions(count: u16) -> World {
    let mut world = lab_with(&[NODE_A, SERVER]);
    for number in 0..count {
        for (pod, server) in [("10.1.1.10", "203.0.113.10"), ("fd00:10:0:1::10", "2001:db8:1::10")] {
            world.send(NODES, NODE_A.eth().ip(pod, server).udp(2000 + number, 53).build());
        }
    }
    assert_eq!(world.forwarder.sessions(), (usize::from(count), usize::from(count)));
    world.started()
}

fn list(world: &mut World, most: usize) -> usize {
    assert!(world.control.list_sessions(7, most, SessionFilter::default()));
    world.settle();
    let (request, rows) = world.control.take_sessions().expect("it is there");
    assert_eq!(request, 7);
    assert!(world.control.take_sessions().is_none(), "it is handed out once");
    let mut inside: Vec<_> = rows.iter().map(|row| row.inside).collect();
    inside.sort_unstable();
    inside.dedup();
    assert_eq!(inside.len(), rows.len(), "each session is listed once");
    rows.len()
}

#[test]
fn a_listing_has_as_many_sessions_as_were_asked_for_and_there_are() {
    let mut world = lab_with_sessions(700);
    for (most, expected) in
        [(0, 0), (1, 1), (255, 255), (256, 256), (257, 257), (700, 700), (701, 701), (1400, 1400), (usize::MAX, 1400)]
    {
        assert_eq!(list(&mut world, most), expected);
    }
    assert_eq!(list(&mut World::lab(), 1000), 0);
}

#[test]
fn a_listing_stops_asking_when_it_has_enough() {
    let mut world = lab_with_sessions(700);
    list(&mut world, 10);
    assert_eq!(world.steps().iter().filter(|step| matches!(step, Step::ListSessions)).count(), 1);
    list(&mut world, 1400);
    let pages = world.steps().iter().filter(|step| matches!(step, Step::ListSessions)).count();
    assert!((6..=8).contains(&pages), "{pages} pages of 256");
}

#[test]
fn one_listing_goes_on_at_a_time_and_foreign_pages_do_not_disturb_it() {
    let mut world = lab_with_sessions(3);
    assert!(world.control.list_sessions(1, 10, SessionFilter::default()));
    assert!(!world.control.list_sessions(2, 10, SessionFilter::default()));
    world.control.handle_event(Event::Sessions(Box::new(SessionPage { request: 9, ..Default::default() })), world.now);
    world.settle();
    let (request, rows) = world.control.take_sessions().expect("it is there");
    assert_eq!((request, rows.len()), (1, 6));
    // Nor do pages that nobody asked for.
    world.tell(Event::Sessions(Box::new(SessionPage { request: 1, ..Default::default() })));
    assert!(world.control.take_sessions().is_none());
    assert!(world.control.list_sessions(3, 10, SessionFilter::default()));
}

fn filter(world: &World, words: &[&str]) -> SessionFilter {
    let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
    world.control.session_filter(&words).expect("a sound filter")
}

#[test]
fn a_limit_counts_the_sessions_that_are_meant() {
    let mut world = lab_with_sessions(700);
    let meant = filter(&world, &["inside=fd00:10::/56", "inside-port=2690"]);
    assert!(world.control.list_sessions(1, 3, meant));
    world.settle();
    let (_, rows) = world.control.take_sessions().expect("it is there");
    assert_eq!(rows.iter().map(|row| row.inside).collect::<Vec<_>>(), [("fd00:10:0:1::10".to_ip(), 2_690)]);
    let meant = filter(&world, &["domain=blue", "protocol=udp", "address=10.1.1.10"]);
    assert!(world.control.list_sessions(2, 600, meant));
    world.settle();
    let (_, rows) = world.control.take_sessions().expect("it is there");
    assert!(rows.len() == 600 && rows.iter().all(|row| row.inside.0 == "10.1.1.10".to_ip()));
}

#[test]
fn a_kill_walks_the_table_in_steps_and_says_how_many_it_met() {
    let mut world = lab_with_sessions(700);
    let kill = |world: &mut World, words: &[&str], dry_run| {
        let meant = filter(world, words);
        assert!(world.control.kill_sessions(5, meant, dry_run));
        world.settle();
        let killed = world.control.take_killed().expect("it is done");
        assert!(world.control.take_killed().is_none(), "it is handed out once");
        killed
    };
    assert_eq!(kill(&mut world, &["peer=203.0.113.10", "peer-port=53"], true), (5, 700));
    assert_eq!(world.forwarder.sessions(), (700, 700), "it was only a question");
    let steps = world.steps().iter().filter(|step| matches!(step, Step::EndSessions)).count();
    assert!((6..=8).contains(&steps), "{steps} steps of 256");
    assert_eq!(kill(&mut world, &["peer=203.0.113.10"], false), (5, 700));
    assert_eq!(world.forwarder.sessions(), (0, 700));
    assert_eq!(world.forwarder.counters().sessions_ended, 700);
    assert_eq!(kill(&mut world, &[], false), (5, 700));
    assert_eq!(world.forwarder.sessions(), (0, 0));
}

#[test]
fn what_is_left_of_a_conversation_that_was_killed_is_dropped() {
    let mut world = lab_with(&[NODE_A, SERVER]);
    let segment = |flags| NODE_A.eth().ipv4("10.1.1.10", "203.0.113.10").tcp(40000, 443).flags(flags).build();
    assert_eq!(world.send(NODES, segment(SYN)), Verdict::Forward(UPLINK));
    assert_eq!(world.send(NODES, segment(ACK)), Verdict::Forward(UPLINK));
    let meant = filter(&world, &["port=443"]);
    assert!(world.control.kill_sessions(1, meant.clone(), false));
    assert!(!world.control.kill_sessions(2, meant, false), "one at a time");
    world.settle();
    assert_eq!(world.control.take_killed(), Some((1, 1)));
    assert_eq!(world.send(NODES, segment(ACK)), Verdict::Drop(DropReason::NatTcpNotSyn));
    assert_eq!(world.send(NODES, segment(SYN)), Verdict::Forward(UPLINK));
}

#[test]
fn a_session_is_shown_from_both_sides() {
    let mut world = lab_with(&[NODE_A, SERVER]);
    world.send(NODES, NODE_A.eth().ipv4("10.1.1.10", "203.0.113.10").tcp(40000, 443).flags(SYN).build());
    world.wait(seconds(2));
    assert!(world.control.list_sessions(1, 10, SessionFilter::default()));
    world.settle();
    let (_, rows) = world.control.take_sessions().expect("it is there");
    let view = SessionView::of(&world.control, &rows[0]);
    assert_eq!((view.domain.as_str(), view.protocol.as_str()), ("blue", "tcp"));
    assert_eq!((view.inside.to_string().as_str(), view.inside_port), ("10.1.1.10", 40000));
    assert_eq!((view.peer.to_string().as_str(), view.peer_port), ("203.0.113.10", 443));
    assert!(view.outside.to_string().starts_with("203.0.113."));
    assert_eq!((view.packets_out, view.packets_in, view.age_ms, view.idle_ms), (1, 0, 2000, 2000));
    assert_eq!(view.expires_ms, 238_000);
}
