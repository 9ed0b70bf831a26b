//! What is known of nodes after a restart.

use super::*;

/// What is remembered of a world, and a world that starts with it at that time of the wall.
fn restarted(before: &World, wall_s: [u64; 2]) -> World {
    let memory = before.nodes.memory(&before.config, before.now, wall_s[0]);
    let json = serde_json::to_string(&memory).expect("it is JSON");
    let mut world = World::new();
    world.nodes.recall(&world.config, &serde_json::from_str(&json).expect("it was written so"), world.now, wall_s[1]);
    world.say([]);
    world
}

/// How old what is remembered of the cluster's nodes is; `None` once its source has spoken.
fn age_s(world: &World) -> Option<u64> {
    let recalled = world.nodes.sources().next().expect("the cluster has one").recalled;
    assert!(world.nodes.rows().all(|row| row.recalled == recalled));
    recalled.map(|recalled| recalled.age(world.now).as_secs())
}

#[test]
fn nodes_are_remembered_over_a_restart_until_their_source_speaks() {
    let mut world = World::new();
    let [a, b, c] = ["a", "b", "c"].map(|name| {
        let at = name.as_bytes()[0] - b'a' + 1;
        node(name, &[&format!("192.168.0.{at}1"), &format!("fd00:a::{at}1")], &[&format!("10.0.{at}.0/24")])
    });
    let flawed = NodeFact { flaws: vec!["flawed.env: is not UTF-8".into()], ..node("flawed", &[], &[]) };
    world.say([Update::All(vec![a.clone(), b.clone(), flawed]), Update::InStep]);
    assert_eq!((age_s(&world), world.state("flawed")), (None, "flawed.env: is not UTF-8".into()));

    let mut second = restarted(&world, [5_000, 5_040]);
    assert_eq!(second.routes(), world.routes());
    assert_eq!((age_s(&second), second.nodes.rows().count()), (Some(40), 2), "but not the one with flaws");
    assert_eq!(second.nodes.rows().next().expect("it is known").fact.ready, Ready::Unsaid);
    second.say([Update::Away("connection refused".into())]);
    second.now = Instant::from_secs(1_060);
    assert_eq!((second.routes(), age_s(&second)), (world.routes(), Some(100)), "it is still away");

    // What was never confirmed grows older over another restart.
    let mut third = restarted(&second, [5_100, 5_105]);
    assert_eq!((third.routes(), age_s(&third)), (world.routes(), Some(105)));
    let before = third.nodes.revision();
    assert_eq!(third.say([Update::All(vec![b, c]), Update::InStep]), 2, "one has gone and one has come, one stays");
    assert_eq!(third.routes(), ["10.0.2.0/24 192.168.0.21", "10.0.3.0/24 192.168.0.31"]);
    assert_eq!(age_s(&third), None);
    assert!(third.nodes.revision() > before);
    let mut fourth = restarted(&third, [5_200, 5_200]);
    let before = fourth.nodes.revision();
    fourth.say([Update::InStep]);
    assert!(fourth.nodes.revision() > before, "that it is all the same is news, too");
}

#[test]
fn what_was_heard_before_the_source_went_away_is_as_old_as_that() {
    let mut world = World::new();
    world.say([Update::One(numbered(1)), Update::InStep]);
    world.now = Instant::from_secs(1_030);
    world.say([Update::Away("connection refused".into())]);
    world.now = Instant::from_secs(1_050);
    assert_eq!(age_s(&restarted(&world, [5_000, 5_001])), Some(21));
    assert_eq!(age_s(&restarted(&world, [5_000, 100])), Some(0), "the clock was set back");
}

#[test]
fn what_another_source_said_is_not_remembered_and_bad_nodes_are_judged_anew() {
    let mut world = World::new();
    world.say([Update::All(vec![numbered(1), node("bad", &["192.168.0.12"], &["172.16.0.0/24"])])]);
    let memory = world.nodes.memory(&world.config, world.now, 5_000);
    let recalled = |nodes_from: &str| {
        let text = CONFIG.replace("nodes-from = { in-cluster = true }", nodes_from);
        let (config, _) = Config::parse("test.toml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        let mut world = World { domains: Domains::of(&config), nodes: Nodes::new(&config, world.now), ..World::new() };
        world.nodes.recall(&config, &memory, world.now, 5_000);
        world.say([]);
        let known = world.nodes.rows().count();
        (known, world.routes().len(), world.nodes.memory(&config, world.now, 5_000) == memory)
    };
    assert_eq!(recalled("nodes-from = { in-cluster = true }"), (2, 1, true));
    assert_eq!(recalled("nodes-from = { kubeconfig = \"/k\" }"), (0, 0, false));
    assert_eq!(recalled("nodes-from = { file = \"in-cluster\" }"), (0, 0, false));
    assert_eq!(recalled(""), (0, 0, false));
}

#[test]
fn only_what_routes_depend_on_is_a_change_to_remember() {
    let mut world = World::new();
    let mut revisions = vec![world.nodes.revision()];
    for update in [
        Update::One(numbered(1)),
        Update::One(unready(numbered(1), Ready::NotReady)),
        Update::InStep,
        Update::Away("refused".into()),
        Update::All(vec![numbered(1)]),
        Update::Gone("nobody".into()),
        Update::All(vec![]),
    ] {
        world.say([update]);
        revisions.push(world.nodes.revision());
    }
    assert_eq!(revisions, [0, 1, 1, 1, 1, 1, 1, 2]);
}
