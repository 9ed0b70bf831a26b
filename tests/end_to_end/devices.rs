//! Devices that go away and come back, and a gateway that comes while packets flow.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::traffic::{self, Witness};
use causeway_lab::{Driver, Host};
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;

use crate::kill::{arrives, connect};

/// How long what happens at all may take.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) fn a_device_that_is_made_anew_is_taken_up_again(stage: &mut Stage) {
    stage.start();
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    let mut connection = connect(pod, server, Family::V4);
    assert!(arrives(&mut connection));
    for (port, device, wire, bridge) in
        [("uplink", "eth0", "gw-uplink", "br-uplink"), ("nodes", "eth1", "gw-nodes", "br-nodes")]
    {
        let mac = field(stage, port, "mac");
        let mut here = stage.world.gateway().netlink().expect("netlink");
        here.set_down(device).expect("down");
        await_state(stage, port, false, false);
        here.set_up(device).expect("up");
        await_state(stage, port, true, false);
        await_answers(stage);

        here.delete_link(device).expect("it is there");
        await_state(stage, port, false, true);
        let mut fabric = stage.world.host("fabric").netlink().expect("netlink");
        fabric.create_veth(wire, device, stage.world.gateway().namespace()).expect("a wire");
        fabric.set_up(wire).expect("up");
        fabric.set_bridge(wire, bridge).expect("a switch");
        here.set_up(device).expect("up");
        await_state(stage, port, true, false);
        await_answers(stage);
        assert_ne!(field(stage, port, "mac"), mac, "it is another device");
        assert!(wait_until(SOON, || arrives(&mut connection)), "a session lives on");
    }
    let ended = stage.stop();
    for (port, line) in
        [("uplink", "device has gone"), ("nodes", "device has gone"), ("uplink", "up again"), ("nodes", "up again")]
    {
        let lines = ended.stderr.lines().filter(|said| said.contains(line) && said.contains(port));
        // By the link that went down, and by the device that was deleted.
        let expected = if line == "up again" { 2 } else { 1 };
        assert_eq!(lines.count(), expected, "{line}: {}", ended.stderr);
    }
    stage.start();
}

/// What `show ports` says of a port.
pub(crate) fn field(stage: &Stage, port: &str, field: &str) -> serde_json::Value {
    let ports = stage.show("ports");
    let found = ports["ports"].as_array().expect("a list").iter().find(|row| row["name"] == port);
    found.expect("the port")[field].clone()
}

pub(crate) fn await_state(stage: &Stage, port: &str, up: bool, gone: bool) {
    let is = || field(stage, port, "up") == up && field(stage, port, "gone") == gone;
    assert!(wait_until(SOON, is), "{port}: {}", stage.show("ports"));
}

/// Pods reach the server again, once neighbours know each other.
pub(crate) fn await_answers(stage: &Stage) {
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    for family in Family::BOTH {
        let patience = Duration::from_millis(500);
        let answers = || traffic::ping(pod, server.address(family), 1, 56, patience).expect("a raw socket").received();
        assert!(wait_until(SOON, || answers() == 1), "over {}", family.name());
    }
}

pub(crate) fn no_private_source_leaves_while_a_gateway_starts_and_ends(stage: &mut Stage) {
    let expected = Family::BOTH.map(|family| plan::SERVER.network(family));
    let witness = Witness::watch(stage.world.host("server"), &expected).expect("a packet socket");
    let world = stage.world.hosts().cloned().collect::<Vec<_>>();
    let host = |name: &str| world.iter().find(|host| host.name() == name).expect("a host").clone();
    let (server, done) = (host("server"), AtomicBool::new(false));
    thread::scope(|scope| {
        for pod in ["pod-a1", "pod-b1"] {
            for family in Family::BOTH {
                let (pod, target, done) = (host(pod), server.socket(family, 9), &done);
                scope.spawn(move || hammer(&pod, target, done));
            }
        }
        let done = Done(&done);
        // Once with nobody there before, and once right after the last one.
        for _ in 0..2 {
            stage.start();
            let translated = || stage.counters().get("nat", "translated-out") > 500;
            assert!(wait_until(SOON, translated), "{}", stage.counters());
            stage.stop();
        }
        drop(done);
    });
    let strangers = witness.strangers().expect("a socket");
    assert!(strangers.is_empty(), "seen outside: {strangers:?}");
    stage.start();
}

/// Sets a flag when it goes, also by a panic.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends datagrams, whoever takes them.
fn hammer(from: &Host, target: SocketAddr, done: &AtomicBool) {
    let unspecified = Family::of(target.ip()).unspecified();
    let socket = from.run(|| UdpSocket::bind((unspecified, 0))).expect("a socket");
    while !done.load(Ordering::Relaxed) {
        // Errors are what the gateway that is not there, or the server's closed port, lead to.
        let _ = socket.send_to(b"to whom it may concern", target);
        thread::sleep(Duration::from_micros(500));
    }
}

pub(crate) fn a_kernel_that_forwards_beside_the_gateway_is_warned_of(stage: &mut Stage) {
    let here = stage.world.gateway().namespace().clone();
    here.set_sysctl("net.ipv4.conf.eth1.forwarding", "1").expect("a switch");
    stage.start();
    here.set_sysctl("net.ipv4.conf.eth1.forwarding", "0").expect("a switch");
    let ended = stage.stop();
    assert!(stage.medium().driver() == Driver::AfPacket);
    let warned = |device: &str| ended.stderr.contains(&format!("sysctl -w net.ipv4.conf.{device}.forwarding=0"));
    assert!(warned("eth1") && !warned("eth0"), "{}", ended.stderr);
    stage.start();
}
