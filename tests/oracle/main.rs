//! The Linux kernel as an oracle: the same packets through its masquerading and
//! through our forwarder.
//!
//! Both get each packet in turn, addressed by the names that they themselves gave
//! out: what a peer answers to is what it saw. What becomes of it is compared byte
//! by byte, but for those names; a difference is justified in [`differences`], or
//! fails the test. `CAUSEWAY_SEED` plays a course again.

mod causeway;
mod differences;
mod errors;
mod event;
mod flannel;
mod flow;
mod generate;
mod judge;
mod kernel;
mod names;
mod odd;
mod outcome;
mod place;
mod router;
mod wire;

use std::io::Write;

use causeway_lab::privilege::Privilege;
use causeway_testkit::seed::Seed;
use causeway_tests::needs;
use causeway_tests::stage::alone;

use crate::causeway::Causeway;
use crate::generate::Generator;
use crate::judge::{Case, Judge};
use crate::kernel::Kernel;
use crate::names::Names;
use crate::outcome::Outcome;
use crate::place::{Place, Side, V4, V6};
use crate::router::Router;

/// Packets of each course.
const PACKETS: u32 = 25_000;

#[test]
fn ipv4_leaves_by_a_narrow_link_as_the_kernel_lets_it() {
    compare("ipv4_leaves_by_a_narrow_link_as_the_kernel_lets_it", &V4, Side::Outside);
}

#[test]
fn ipv4_enters_by_a_narrow_link_as_the_kernel_lets_it() {
    compare("ipv4_enters_by_a_narrow_link_as_the_kernel_lets_it", &V4, Side::Inside);
}

#[test]
fn ipv6_leaves_by_a_narrow_link_as_the_kernel_lets_it() {
    compare("ipv6_leaves_by_a_narrow_link_as_the_kernel_lets_it", &V6, Side::Outside);
}

#[test]
fn ipv6_enters_by_a_narrow_link_as_the_kernel_lets_it() {
    compare("ipv6_enters_by_a_narrow_link_as_the_kernel_lets_it", &V6, Side::Inside);
}

/// Plays a course between two routers whose link on one side is `narrow`.
fn compare(test: &str, place: &Place, narrow: Side) {
    if !needs::met(test, Privilege::UserNamespace, &["nft"]) {
        return;
    }
    let _alone = alone();
    let seed = Seed::from_env_or(0xca05_0bac);
    let (mut kernel, mut ours) = (Kernel::new(place, narrow), Causeway::new(narrow, seed.value()));
    let (mut kernel_names, mut our_names) = (Names::default(), Names::default());
    let mut generator = Generator::new(seed.rng(), *place, narrow);
    let mut judge = Judge::default();
    let mut sent = 0;
    while sent < PACKETS {
        let event = generator.next();
        let (Some(to_kernel), Some(to_us)) = ((event.draft)(&kernel_names), (event.draft)(&our_names)) else {
            continue;
        };
        sent += 1;
        let pass = |router: &mut dyn Router, frame: &[u8]| {
            let passed = router.pass(event.from, frame);
            Outcome::new(place, event.from, frame, passed.out, passed.note)
        };
        let (mut kernel_did, mut we_did) = (pass(&mut kernel, &to_kernel), pass(&mut ours, &to_us));
        if let Some(flow) = event.flow.filter(|_| event.belongs) {
            let parties = generator.parties(flow);
            kernel_did.faults.extend(kernel_names.learn(flow, parties, event.opens, event.from, &kernel_did));
            we_did.faults.extend(our_names.learn(flow, parties, event.opens, event.from, &we_did));
        }
        let case = Case { event: &event, frames: [&to_kernel, &to_us], kernel: &kernel_did, ours: &we_did };
        let agreed = judge.hear(&case, [&kernel, &ours]);
        if let Some(flow) = event.flow.filter(|_| event.belongs) {
            if !agreed {
                generator.retire(flow);
            }
            if !agreed || generator.has_ended(flow) {
                for names in [&mut kernel_names, &mut our_names] {
                    names.release(flow, generator.parties(flow));
                }
            }
        }
    }
    tell(&format!("\n{test}, seed {}: {sent} packets\n{}", seed.value(), judge.report()));
    let unjustified = judge.unjustified();
    assert!(unjustified.is_empty(), "not as the kernel does it, and no reason is known:\n{}", unjustified.join("\n"));
    assert!(judge.agreed() > sent / 2, "most packets meet the same end");
}

/// Straight to the descriptor: the test harness would swallow `eprintln!`.
fn tell(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}
