//! Any frame as ARP, as neighbour discovery, as a packet that waits for a neighbour,
//! and any line as a request: no panic, and no more commands than packets deserve.
#![no_main]

use causeway_control::api::Request;
use causeway_control::compile::PortFacts;
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::ids::PortId;
use causeway_fastpath::time::Instant;
use causeway_fastpath::verdict::PuntReason;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(line) = std::str::from_utf8(input) {
        let _ = Request::parse(line);
    }
    let (config, _) = Config::parse("lab.toml", include_str!("../../configs/lab.toml")).expect("the lab's is sound");
    let facts = vec![PortFacts { mac: [2, 0, 0, 0, 0, 1], mtu: 1500 }; config.ports.len()];
    let mut now = Instant::from_secs(1);
    let mut control = Control::new(config, facts, 7, now);
    carry_out(&mut control, now);
    for (nth, frame) in input.chunks(90).enumerate() {
        for reason in PuntReason::ALL {
            let mut punted = Frame::boxed(frame, 128, 0);
            punted.ingress = PortId(nth as u16 % 3);
            control.handle_event(Event::Punted(*reason, punted, Errand::Own), now);
            assert!(carry_out(&mut control, now) <= 64, "one packet asks for little");
        }
        now = Instant::from_millis(now.as_millis() + 700);
        control.handle_timeout(now);
        carry_out(&mut control, now);
    }
});

/// Does as control says, as far as memory goes; says how many commands there were.
fn carry_out(control: &mut Control, now: Instant) -> usize {
    let mut count = 0;
    while let Some(command) = control.poll_command() {
        count += 1;
        if let Command::Inject(frame, _) | Command::Transmit(_, frame) = command {
            control.handle_event(Event::Spent(frame), now);
        }
    }
    count
}
