//! Nobody sleeps while there is something for him: what `may_sleep` and `end_turn` in
//! `engine/src/handoff.rs` do, as steps of two processors that keep their stores to
//! themselves for a while (x86-TSO: Sewell et al., "x86-TSO: a rigorous and usable
//! programmer's model", CACM 2010). Every order of steps is gone through.

use std::collections::BTreeSet;

/// What a processor does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Store(Cell, bool),
    /// All that it stored is seen by everybody before it goes on.
    Fence,
    /// If the cell holds this, its program is over.
    EndIf(Cell, bool),
    /// Exchanges the cell for `false`, seen by everybody at once; its program is over if it was
    /// `false` already.
    TakeOrEnd(Cell),
    Sleep,
    Ring,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cell {
    Mail,
    Asleep,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    memory: [bool; 2],
    /// By processor: how far it is, and the stores that nobody else has seen yet.
    at: [usize; 2],
    kept: [Vec<(Cell, bool)>; 2],
    sleeps: bool,
    rings: bool,
}

/// Who hands something over, and who is about to sleep.
const GIVER: [Step; 4] = [Step::Store(Cell::Mail, true), Step::Fence, Step::TakeOrEnd(Cell::Asleep), Step::Ring];
const SLEEPER: [Step; 4] = [Step::Store(Cell::Asleep, true), Step::Fence, Step::EndIf(Cell::Mail, true), Step::Sleep];

/// Every state that can follow.
fn next(state: &State, programs: [&[Step]; 2]) -> Vec<State> {
    let mut states = Vec::new();
    for (who, program) in programs.into_iter().enumerate() {
        if let Some((cell, value)) = state.kept[who].first() {
            let mut seen = state.clone();
            seen.memory[*cell as usize] = *value;
            seen.kept[who].remove(0);
            states.push(seen);
        }
        let Some(step) = program.get(state.at[who]) else {
            continue;
        };
        let mut after = state.clone();
        after.at[who] += 1;
        let own = |cell| state.kept[who].iter().rev().find(|(kept, _)| *kept == cell).map(|(_, value)| *value);
        match *step {
            Step::Store(cell, value) => after.kept[who].push((cell, value)),
            // They wait until nothing is kept.
            Step::Fence | Step::TakeOrEnd(_) if !state.kept[who].is_empty() => continue,
            Step::Fence => {}
            Step::EndIf(cell, value) if own(cell).unwrap_or(state.memory[cell as usize]) == value => {
                after.at[who] = program.len();
            }
            Step::EndIf(..) => {}
            Step::TakeOrEnd(cell) => {
                if !state.memory[cell as usize] {
                    after.at[who] = program.len();
                }
                after.memory[cell as usize] = false;
            }
            Step::Sleep => after.sleeps = true,
            Step::Ring => after.rings = true,
        }
        states.push(after);
    }
    states
}

/// Can somebody sleep for ever? And how many states there are.
fn oversleeps(giver: &[Step], sleeper: &[Step]) -> (bool, usize) {
    let (mut seen, mut open) = (BTreeSet::new(), vec![State::default()]);
    let mut lost = false;
    while let Some(state) = open.pop() {
        let states = next(&state, [giver, sleeper]);
        lost |= states.is_empty() && state.sleeps && state.memory[Cell::Mail as usize] && !state.rings;
        if seen.insert(state) {
            open.extend(states);
        }
    }
    (lost, seen.len())
}

#[test]
fn who_is_handed_something_never_sleeps_on() {
    let (lost, states) = oversleeps(&GIVER, &SLEEPER);
    assert!(!lost && states > 20, "{states} states");
}

#[test]
fn without_either_fence_or_the_second_look_somebody_would() {
    let without = |program: &[Step], left_out: usize| -> Vec<Step> {
        program.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, step)| *step).collect()
    };
    assert!(oversleeps(&GIVER, &without(&SLEEPER, 1)).0, "who sleeps must be seen to sleep before it looks");
    assert!(oversleeps(&GIVER, &without(&SLEEPER, 2)).0, "it must look again");
    // The exchange is a fence by itself on this machine; a plain look is none.
    let plain = [GIVER[0], Step::EndIf(Cell::Asleep, false), Step::Ring];
    assert!(oversleeps(&plain, &SLEEPER).0, "what was handed over must be seen before it looks who sleeps");
}
