//! Frames that a broken or hostile sender makes, handed to control by the thousand.

use causeway_fastpath::command::Event;
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::ids::PortId;
use causeway_fastpath::verdict::PuntReason;
use causeway_testkit::packet::Build;
use causeway_testkit::random;
use causeway_testkit::seed::{Rng, Seed};

use crate::lab::*;
use crate::world::{Step, millis};

/// Valid, and about things that the gateway cares for.
fn sensible(rng: &mut Rng) -> Vec<u8> {
    let host = *rng.choose(&[NODE_A, NODE_B, PLAIN, SERVER]);
    let family = *rng.choose(&FAMILIES);
    match rng.below(4) {
        0 => host.asks(own_address(host.port, family)),
        1 => host.answers(family),
        2 => NODE_A.udp(NODE_A.address(family), SERVER.address(family)).build(),
        _ => {
            let last = rng.u8();
            let dst = if family == Family::V4 { format!("203.0.113.{last}") } else { format!("2001:db8:1::{last:x}") };
            NODE_A.udp(NODE_A.address(family), &dst).build()
        }
    }
}

#[test]
fn no_frame_breaks_control_or_makes_it_do_much() {
    let seed = Seed::from_env_or(0xca05e);
    let mut rng = seed.rng();
    let mut world = lab_with(&[NODE_A]);
    for _ in 0..100_000 {
        let frame = if rng.bool() { random::frame(&mut rng) } else { sensible(&mut rng) };
        let frame = if rng.chance(1, 4) { frame } else { random::mangle(&mut rng, &frame) };
        let port = PortId(rng.below(2) as u16);
        if rng.bool() {
            // As a worker would hand it over.
            world.send(port, frame);
        } else {
            // As no worker would: any frame under any reason.
            let mut punted = Frame::boxed(&frame, 128, 0);
            punted.ingress = port;
            world.tell(Event::Punted(*rng.choose(PuntReason::ALL), punted, Errand::Own));
        }
        let steps = world.steps();
        let count = |kind: fn(&Step) -> bool| steps.iter().filter(|step| kind(step)).count();
        assert!(count(|step| matches!(step, Step::Install(_))) <= 2);
        assert!(count(|step| matches!(step, Step::Transmit)) <= 2, "an answer and a question");
        assert!(count(|step| matches!(step, Step::Inject)) <= 4, "three that waited, and this one");
        if rng.chance(1, 100) {
            world.wait(millis(rng.below(500)));
            world.steps();
            let guests = world.control.neighbors().filter(|row| !row.router).count();
            assert!(guests <= 2 * 8192, "{guests} neighbours");
        }
        world.sent();
    }
    assert!(world.forwarder.counters().injected > 100, "some of it makes sense");
}
