//! Where the two routers may differ, and the count of where they do.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use causeway_testkit::print;

use crate::differences::{DIFFERENCES, Difference};
use crate::event::{Event, Kind};
use crate::names::FlowId;
use crate::outcome::Outcome;
use crate::router::Router;
use crate::wire::L2;

/// One event, what each router was given, and what each did.
pub(crate) struct Case<'a> {
    pub(crate) event: &'a Event,
    pub(crate) frames: [&'a [u8]; 2],
    pub(crate) kernel: &'a Outcome,
    pub(crate) ours: &'a Outcome,
}

impl Case<'_> {
    /// Did both do the same, and nothing wrong?
    pub(crate) fn agrees(&self) -> bool {
        self.kernel.fate == self.ours.fate && self.kernel.canonical == self.ours.canonical && !self.has_fault()
    }

    /// Did both do the same, but for type of service or traffic class?
    pub(crate) fn agrees_but_for_tos(&self) -> bool {
        let blank =
            |outcome: &Outcome| -> Vec<_> { outcome.canonical.iter().map(|frame| without_tos(frame)).collect() };
        self.kernel.fate == self.ours.fate && blank(self.kernel) == blank(self.ours) && !self.has_fault()
    }

    fn has_fault(&self) -> bool {
        !(self.kernel.faults.is_empty() && self.ours.faults.is_empty())
    }

    /// The whole story, for people.
    fn story(&self, routers: [&dyn Router; 2]) -> String {
        let Event { kind, from, flow, .. } = self.event;
        let mut story = format!("{kind:?} from {from:?}, flow {flow:?}\n");
        for ((router, frame), outcome) in routers.iter().zip(self.frames).zip([self.kernel, self.ours]) {
            let _ = writeln!(story, "  {}: {:?} {}", router.name(), outcome.fate, outcome.note);
            let _ = writeln!(story, "    in:  {}", print::line(frame));
            for (side, frame) in &outcome.out {
                let _ = writeln!(story, "    out by {side:?}: {}", print::line(frame));
            }
            for fault in &outcome.faults {
                let _ = writeln!(story, "    !{fault}");
            }
        }
        if let ([(_, kernel)], [(_, ours)]) = (&self.kernel.out[..], &self.ours.out[..]) {
            for line in print::diff(kernel, ours).lines().take(DIFF_LINES) {
                let _ = writeln!(story, "    {line}");
            }
        }
        story
    }
}

/// What was said about a flow of late, the last line being the case itself.
fn tell_history(history: &[(Kind, Vec<u8>)]) -> String {
    let late = &history[history.len().saturating_sub(HISTORY)..];
    late.iter().map(|(kind, frame)| format!("  before: {kind:?} {}\n", print::line(frame))).collect()
}

fn without_tos(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    if frame[L2] >> 4 == 4 {
        frame[L2 + 1] = 0;
    } else {
        frame[L2] &= 0xf0;
        frame[L2 + 1] &= 0x0f;
    }
    frame
}

/// Packets of a flow's history that are told.
const HISTORY: usize = 16;
/// Lines of a difference between two frames that are worth reading.
const DIFF_LINES: usize = 40;

/// Counts agreements and justified differences, and collects what is neither.
#[derive(Default)]
pub(crate) struct Judge {
    agreed: BTreeMap<(Kind, String), u32>,
    /// By the name of the difference, what the kernel did, and what we did.
    justified: BTreeMap<(&'static str, String), u32>,
    /// A story and a count for each class.
    unjustified: BTreeMap<(Kind, String), (u32, String)>,
    /// What the kernel was given about each flow so far.
    histories: HashMap<FlowId, Vec<(Kind, Vec<u8>)>>,
}

impl Judge {
    /// Judges one case; says whether both routers did the same.
    pub(crate) fn hear(&mut self, case: &Case<'_>, routers: [&dyn Router; 2]) -> bool {
        if let Some(flow) = case.event.flow {
            self.histories.entry(flow).or_default().push((case.event.kind, case.frames[0].to_vec()));
        }
        if case.agrees() {
            *self.agreed.entry((case.event.kind, format!("{:?}", case.ours.fate))).or_default() += 1;
            return true;
        }
        let fates = format!("{:?} there, {:?} here", case.kernel.fate, case.ours.fate);
        match DIFFERENCES.iter().find(|difference| (difference.is_it)(case)) {
            Some(Difference { name, .. }) => *self.justified.entry((name, fates)).or_default() += 1,
            None => {
                let history = case.event.flow.and_then(|flow| self.histories.get(&flow));
                let tell = || (0, case.story(routers) + &tell_history(history.map_or(&[], |history| history)));
                self.unjustified.entry((case.event.kind, fates)).or_insert_with(tell).0 += 1;
            }
        }
        false
    }

    /// How often both did the same.
    pub(crate) fn agreed(&self) -> u32 {
        self.agreed.values().sum()
    }

    /// What was counted, a line each.
    pub(crate) fn report(&self) -> String {
        let mut report = String::new();
        for ((kind, fate), count) in &self.agreed {
            let _ = writeln!(report, "  {count:>6}  {kind:?}: {fate}");
        }
        let _ = writeln!(report, "differences:");
        for Difference { name, reason, .. } in DIFFERENCES {
            let _ = writeln!(report, "  {name}: {reason}");
            for ((_, fates), count) in self.justified.iter().filter(|((of, _), _)| of == name) {
                let _ = writeln!(report, "  {count:>6}  {fates}");
            }
        }
        report
    }

    /// What is neither the same nor justified: of each class the first, and how many.
    pub(crate) fn unjustified(&self) -> Vec<String> {
        self.unjustified.values().map(|(count, story)| format!("{count} times: {story}")).collect()
    }
}
