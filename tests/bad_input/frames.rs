//! A running gateway under fire.

use std::thread;
use std::time::Duration;

use causeway_lab::Host;
use causeway_lab::plan::{self, Family};
use causeway_lab::traffic;
use causeway_testkit::seed::Seed;
use causeway_tests::injector::Injector;
use causeway_tests::needs;
use causeway_tests::program::{resident_kib, run, wait_until};
use causeway_tests::stage::{Medium, Stage};

use crate::hostile::{self, Side};

/// Frames thrown at each gateway.
const FRAMES: u64 = 40_000;
/// What a gateway's memory may grow by: sessions, neighbours and rings in use.
const GROWTH_KIB: u64 = 64 * 1024;

#[test]
fn a_gateway_on_af_packet_survives_hostile_frames() {
    // Super-frames may come: any MTU.
    bombard("a_gateway_on_af_packet_survives_hostile_frames", Medium::AfPacket, 9000);
}

#[test]
fn a_gateway_on_af_xdp_survives_hostile_frames() {
    // The largest MTU that veth lets pass to an XDP program without fragments.
    bombard("a_gateway_on_af_xdp_survives_hostile_frames", Medium::AfXdp, 3400);
}

#[test]
fn a_gateway_on_af_xdp_with_partial_checksums_survives_hostile_frames() {
    let test = "a_gateway_on_af_xdp_with_partial_checksums_survives_hostile_frames";
    bombard(test, Medium::AfXdpPartial, 3400);
}

fn bombard(test: &str, medium: Medium, jumbo_mtu: usize) {
    if !needs::met(test, medium.privilege(), &["ip"]) {
        return;
    }
    let mut stage = Stage::new(medium);
    stage.start();
    assert_answers(&stage);
    let mtu = jumbo_mtu.to_string();
    for (host, device) in [("gateway", "eth0"), ("gateway", "eth1"), ("fabric", "gw-nodes"), ("fabric", "gw-uplink")] {
        set_mtu(stage.world.host(host), device, &mtu);
    }
    let before = stage.settled_counters();
    let process = stage.gateway().id();
    let memory = resident_kib(process);

    let sent = throw(&stage, jumbo_mtu + 14);
    let after = stage.settled_counters();
    let grown = resident_kib(process).saturating_sub(memory);
    assert!(grown < GROWTH_KIB, "{sent} frames cost {grown} KiB");
    let ports = stage.show("ports");
    let heard = after.get("rx", "received") - before.get("rx", "received");
    // Frames that were too large for a buffer or came too fast were never heard.
    assert!(heard > sent * 8 / 10, "of {sent} frames {heard} were heard: {ports:#}");
    let groups = ["end", "punt", "drop", "nat"];
    assert!(groups.iter().all(|group| after.sum(group) > before.sum(group)), "not a mixture:\n{after}");
    for reason in ["frame-truncated", "ethertype-unknown", "ipv4-header-bad", "ipv4-checksum-bad", "l4-header-bad"] {
        assert!(after.get("drop", reason) > before.get("drop", reason), "none dropped as {reason}:\n{after}");
    }
    assert_eq!(after.get("drop", "undecided"), 0);

    assert_answers(&stage);
    stage.settled_counters();
    stage.assert_kernel_does_not_forward();
    let said = stage.stop().stderr;
    assert!(said.lines().count() < 100, "a hostile packet is data, and nothing to log:\n{said}");
}

/// Throws frames from both sides; how many the wires took.
fn throw(stage: &Stage, most: usize) -> u64 {
    let seed = Seed::from_env_or(0xca05_e3a1);
    let mut rng = seed.rng();
    let fabric = stage.world.host("fabric");
    let injectors = Side::BOTH.map(|side| (side, Injector::on(fabric, side.wire())));
    let mut sent = 0;
    for round in 0..FRAMES {
        let (side, injector) = rng.choose(&injectors);
        sent += u64::from(injector.send(&hostile::frame(&mut rng, *side, most)));
        if round % 32 == 0 {
            // As fast as a gateway on a busy machine listens.
            thread::sleep(Duration::from_micros(500));
        }
    }
    sent
}

/// The gateway answers for itself and lets pods out. Lies about neighbours may have
/// been believed, as by any router; the truth is believed as soon as it is heard.
fn assert_answers(stage: &Stage) {
    let server = stage.world.host("server");
    for neighbor in ["node-a", "node-b", "server", "client"] {
        // It has to ask for the gateway again, and so says where it is.
        let mut flush = stage.world.host(neighbor).command("ip");
        run(flush.args(["neighbor", "flush", "dev", "eth0"]), Duration::from_secs(5)).success();
    }
    for family in Family::BOTH {
        let (nodes, uplink) = (plan::GATEWAY_NODES.address(family), plan::GATEWAY_UPLINK.address(family));
        for (from, to) in [
            ("node-a", nodes),
            ("node-b", nodes),
            ("server", uplink),
            ("client", uplink),
            ("pod-a1", nodes),
            ("pod-b1", server.address(family)),
        ] {
            let from = stage.world.host(from);
            let answers = || {
                let figures = traffic::ping(from, to, 3, 56, Duration::from_millis(500)).expect("a raw socket");
                figures.received() == 3
            };
            assert!(
                wait_until(Duration::from_secs(5), answers),
                "no answer to {} from {to}: {:#}",
                from.name(),
                stage.show("neighbors")
            );
        }
    }
}

fn set_mtu(host: &Host, device: &str, mtu: &str) {
    run(host.command("ip").args(["link", "set", "dev", device, "mtu", mtu]), Duration::from_secs(5)).success();
}
