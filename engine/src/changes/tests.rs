//! Changes, and a gateway of which control alone is there.

use std::sync::Arc;

use causeway_control::compile::PortFacts;
use causeway_control::config::ClusterIdx;
use causeway_control::nodes::{NodeFact, Ready, Update};
use causeway_control::rib::{Change, Origin, Route, Via};
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::ids::VrfId;
use causeway_tests::folder::Folder;

use super::*;
use crate::api::Awaited;
use crate::wake::{Doorbell, readable, sleep};

/// A loaded machine is slow; nothing here waits that long otherwise.
const PATIENCE: Duration = Duration::from_secs(60);

/// Control with its clerk, and a worker that takes whatever tables there are.
struct World {
    folder: Folder,
    clerk: Clerk,
    control: Control,
    bell: Arc<Doorbell>,
    now: Instant,
    /// How often another configuration may have come into force.
    changes: usize,
    /// What the worker has to say once it has judged its sessions.
    settled: Vec<Event>,
    /// Does it take its time over them?
    is_slow: bool,
}

/// An island behind a pool whose ports end here; more in `gateway` and at the end.
fn text(last_port: u16, gateway: &str, more: &str) -> String {
    format!(
        "[gateway]\nname = \"g\"\n{gateway}\n\
         [[port]]\nname = \"nodes\"\ndriver = \"memory\"\naddresses = [\"192.168.0.1/24\"]\n\
         [[port]]\nname = \"out\"\ndriver = \"memory\"\naddresses = [\"203.0.113.2/24\"]\n\
         [[pool]]\nname = \"p\"\naddresses = [\"203.0.113.16\"]\nports = \"1024-{last_port}\"\n{more}"
    )
}

const ISLAND: &str = "[[cluster]]\nname = \"c\"\nmodel = \"island\"\npod-cidrs = [\"10.1.0.0/16\"]\nports = [\"nodes\"]\n\
                      egress = \"p\"\nnodes-from = { in-cluster = true }\n";

impl World {
    fn start(text: &str) -> World {
        let folder = Folder::new();
        let file = folder.write("g.toml", text);
        let launch = Launch { file, driver: None, api: None, last_good: None };
        let loaded = load(&launch).unwrap_or_else(|error| panic!("{error}"));
        let (changes, config) = Changes::begin(launch, loaded).unwrap_or_else(|error| panic!("{error}"));
        let bell = Arc::new(Doorbell::new().expect("a doorbell"));
        let clerk = Clerk::start(changes, &[], Arc::clone(&bell)).expect("a thread");
        let facts = config.ports.iter().map(|_| PortFacts { mac: Default::default(), mtu: 1500 }).collect();
        let control = Control::new(config, facts, 7, Instant::ZERO);
        let mut world =
            World { folder, clerk, control, bell, now: Instant::ZERO, changes: 0, settled: Vec::new(), is_slow: false };
        world.step();
        world
    }

    fn step(&mut self) {
        while let Some(note) = self.clerk.next(&mut self.control, self.now) {
            match note {
                Note::Changed => self.changes += 1,
                Note::Promise(_, asked, answer) => asked.answer(answer),
                Note::Plan(..) => panic!("nobody asks for one"),
            }
        }
        while let Some(command) = self.control.poll_command() {
            match command {
                Command::Prepare(room) => self.settled.push(Event::Settled(room)),
                Command::Install(snapshot) => {
                    let epoch = snapshot.epoch;
                    self.control.handle_event(Event::Installed { epoch, retired: snapshot }, self.now);
                }
                _ => {}
            }
        }
        if !self.is_slow {
            self.settled.drain(..).for_each(|event| self.control.handle_event(event, self.now));
        }
    }

    fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut World) -> bool) {
        let patience = std::time::Instant::now() + PATIENCE;
        let mut fds = [readable(self.bell.fd())];
        loop {
            self.step();
            if is_so(self) {
                return;
            }
            assert!(std::time::Instant::now() < patience, "{what}");
            sleep(&mut fds, Duration::from_millis(20));
            self.bell.silence();
        }
    }

    fn ask(&mut self, ask: Ask) -> Awaited {
        let (asked, awaited) = Asked::new(ask);
        self.clerk.ask(asked);
        awaited
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        let awaited = self.ask(ask);
        let mut answer = None;
        self.until("an answer", |_| {
            answer = awaited.wait(Duration::ZERO);
            answer.is_some()
        });
        answer.expect("it came")
    }

    /// Whatever was wanted before is done.
    fn catch_up(&mut self) {
        assert!(matches!(self.answer(Ask::Show(Show::History)), Answer::History { .. }));
    }

    fn apply(&mut self, text: &str, confirm: Option<u32>) -> Answer {
        self.answer(applying(text, confirm))
    }

    /// Where the ports of the pool end, by the configuration in force.
    fn last_port(&self) -> u16 {
        *self.control.config().pools[0].ports.end()
    }

    /// Another configuration comes into force, and the worker goes on judging sessions by it
    /// while the one after that, from the file, waits.
    fn hold(&mut self, gateway: &str) {
        self.is_slow = true;
        self.folder.write("g.toml", text(2000, gateway, ""));
        self.clerk.reload();
        self.until("a change", |world| world.last_port() == 2000);
        self.folder.write("g.toml", text(3000, gateway, ""));
        self.clerk.reload();
        self.until("a change that waits", |world| world.clerk.poll_timeout().is_some());
        assert_eq!((self.last_port(), self.settled.len()), (2000, 1));
    }
}

fn applying(text: &str, confirm: Option<u32>) -> Ask {
    let config = ConfigText { name: "new.toml".to_owned(), text: text.to_owned() };
    Ask::Do(Deed::Apply { config, confirm })
}

#[test]
fn a_change_waits_until_workers_have_judged_sessions_by_the_one_before() {
    let mut world = World::start(&text(1500, "", ""));
    world.hold("");
    // Routes do not.
    let epoch = world.control.settled();
    let (to, via) = ("198.51.100.0/24".parse().expect("a prefix"), Via::Blackhole);
    let route = Route { domain: VrfId::MAIN, to, origin: Origin::Static, via };
    world.control.change_routes([Change::Add(route)], world.now);
    world.step();
    assert!(world.control.is_settled() && world.settled.len() == 1);
    // However often it is asked for in the meantime, the newest comes, once.
    world.folder.write("g.toml", text(4000, "", ""));
    (0..3).for_each(|_| world.clerk.reload());
    world.step();
    assert_eq!((world.last_port(), world.changes), (2000, 1));
    world.is_slow = false;
    world.until("the newest", |world| world.last_port() == 4000);
    world.catch_up();
    assert_eq!(world.changes, 3);
    assert!(world.control.settled() > epoch);
}

#[test]
fn a_worker_that_does_not_get_there_holds_no_change_for_ever() {
    let mut world = World::start(&text(1500, "", ""));
    world.hold("");
    let until = world.clerk.poll_timeout().expect("it waits");
    assert_eq!(until, world.now + Duration::from_secs(5));
    world.now = until;
    world.until("the change", |world| world.last_port() == 3000);
    assert_eq!(world.settled.len(), 2, "it has judged by none of them");
}

#[test]
fn what_is_on_trial_and_taken_back_waits_as_well_and_leaves_nodes_as_they_were() {
    let before = text(1500, "", ISLAND);
    let mut world = World::start(&before);
    let node = NodeFact {
        name: "n".to_owned(),
        addresses: vec!["192.168.0.9".to_owned()],
        pod_cidrs: vec!["10.1.9.0/24".to_owned()],
        ready: Ready::Ready,
        flaws: Vec::new(),
    };
    world.control.update_nodes([(ClusterIdx(0), Update::All(vec![node]))], world.now);
    world.step();
    let routed = |world: &World| world.control.nodes().filter(|node| !node.routed.is_empty()).count();
    assert_eq!(routed(&world), 1);
    world.is_slow = true;
    let answer = world.apply(&text(1500, "", ""), Some(3600));
    assert!(matches!(answer, Answer::Applied { confirm_within: Some(3600), .. }), "{answer:?}");
    assert!(world.clerk.has_trial() && routed(&world) == 0);
    let _awaited = world.ask(Ask::Do(Deed::Rollback { to: None, confirm: None }));
    world.until("a change that waits", |world| world.clerk.poll_timeout().is_some());
    assert!(world.control.config().clusters.is_empty());
    world.is_slow = false;
    world.until("the one before", |world| !world.control.config().clusters.is_empty());
    assert_eq!(routed(&world), 1);
    world.catch_up();
    assert!(!world.clerk.has_trial());
}

#[test]
fn a_file_that_changes_after_it_was_read_is_read_again() {
    let mut world = World::start(&text(1500, "watch = true", ""));
    // Read, and not in force yet.
    world.hold("watch = true");
    world.folder.write("g.toml", text(4000, "watch = true", ""));
    world.is_slow = false;
    world.until("the newest", |world| world.last_port() == 4000);
}

/// The file is a pipe that nobody writes to: whoever opens it hangs.
#[test]
fn a_disk_that_hangs_holds_up_nothing_but_changes() {
    let mut world = World::start(&text(1500, "", ""));
    let file = world.folder.path().join("g.toml");
    std::fs::remove_file(&file).expect("it is there");
    let name = std::ffi::CString::new(file.as_os_str().as_encoded_bytes()).expect("a path");
    // SAFETY: the name ends with a zero, and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    world.clerk.reload();
    let waiting = world.ask(Ask::Show(Show::History));
    let to = "198.51.100.0/24".parse().expect("a prefix");
    let route = Route { domain: VrfId::MAIN, to, origin: Origin::Static, via: Via::Blackhole };
    world.control.change_routes([Change::Add(route)], world.now);
    world.step();
    assert!(world.control.is_settled() && waiting.wait(Duration::ZERO).is_none() && world.changes == 0);
    // Waits for the reader.
    std::fs::write(&file, text(2000, "", "")).expect("a pipe");
    world.until("a change", |world| world.last_port() == 2000);
    world.until("an answer", |_| waiting.wait(Duration::ZERO).is_some());
}

#[test]
fn whoever_has_given_up_waiting_changes_nothing() {
    let mut world = World::start(&text(1500, "", ""));
    world.hold("");
    drop(world.ask(applying(&text(4000, "", ""), None)));
    world.is_slow = false;
    world.catch_up();
    assert_eq!((world.last_port(), world.changes), (3000, 2));
}

#[test]
fn there_is_an_end_to_what_waits() {
    let mut world = World::start(&text(1500, "", ""));
    world.hold("");
    let mut waiting: Vec<Awaited> = (0..16).map(|_| world.ask(Ask::Show(Show::History))).collect();
    let refused = world.ask(Ask::Show(Show::History)).wait(Duration::ZERO);
    assert!(matches!(refused, Some(Answer::Refused(Refusal::Not(why))) if why.contains("try again")));
    // One that nobody waits for any more takes no room.
    waiting.pop();
    assert!(world.ask(Ask::Show(Show::History)).wait(Duration::ZERO).is_none());
}

#[test]
fn what_is_not_sound_or_needs_a_restart_writes_nothing() {
    let before = text(1500, "", "");
    let mut world = World::start(&before);
    for (text, expected) in
        [(text(1500, "", "[[pool]]\n"), "name"), (text(1500, "max-sessions = 5000", ""), "max-sessions")]
    {
        for confirm in [None, Some(60)] {
            let answer = world.apply(&text, confirm);
            assert!(
                matches!(&answer, Answer::Refused(refusal) if refusal.to_string().contains(expected)),
                "{answer:?}"
            );
        }
    }
    assert_eq!(world.folder.names(), ["g.toml"]);
    assert!(!world.clerk.has_trial());
    let found = std::fs::read_to_string(world.folder.path().join("g.toml")).expect("it is there");
    assert_eq!(found, before);
}
