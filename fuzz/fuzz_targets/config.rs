//! Any text as a configuration: an answer, never a panic; a sound one compiles to
//! sound tables.
#![no_main]

use causeway_control::compile::{PortFacts, plan};
use causeway_control::config::Config;
use causeway_control::neighbors::Neighbors;
use causeway_fastpath::ids::Epoch;
use causeway_fastpath::time::Instant;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Config::parse("fuzz.toml", text) {
        Err(errors) => assert!(!errors.to_string().is_empty(), "what is refused is refused in words"),
        Ok((config, _)) => {
            let facts = vec![PortFacts { mac: [2, 0, 0, 0, 0, 1], mtu: 1500 }; config.ports.len()];
            let (_, _, mut compiler) = plan(&config, facts.clone(), 7);
            compiler.set_neighbors(Neighbors::new(&config, &facts, Instant::ZERO).take_facts());
            assert_eq!(compiler.snapshot(Epoch(1)).check(), Ok(()));
        }
    }
});
