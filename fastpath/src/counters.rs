//! What a worker has counted. Plain numbers, owned by the worker.

use crate::verdict::{DropReason, PuntReason, Verdict};

/// Everything a forwarder counts. Packets unless said otherwise; a super-frame counts once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters {
    /// Came in from ports.
    pub received: u64,
    /// Came in from control: packets that had waited for a neighbour.
    pub injected: u64,
    /// Came in from other workers.
    pub taken_over: u64,
    /// Came out of the store of fragments, to go on or to be dropped.
    pub released: u64,
    /// Pieces behind the first of packets that were too big for their link, to go out.
    pub cut: u64,
    /// Went out, as somebody else's packet.
    pub forwarded: u64,
    /// Went out, as our answer.
    pub replied: u64,
    /// Went to another worker.
    pub handed_off: u64,
    /// Went into the store of fragments.
    pub held: u64,
    /// Went to control, by [`PuntReason`].
    pub punted: [u64; PuntReason::COUNT],
    /// Went nowhere, by [`DropReason`].
    pub dropped: [u64; DropReason::COUNT],
    /// Translated outward. A port may have refused some of them afterwards.
    pub translated_out: u64,
    /// Translated inward, likewise.
    pub translated_in: u64,
    /// ICMP errors whose quote was translated too, likewise.
    pub translated_errors: u64,
    /// Sessions begun.
    pub sessions_created: u64,
    /// Sessions ended.
    pub sessions_ended: u64,
    /// Of those, because other tables give their flows another name or receiver.
    pub sessions_ended_renamed: u64,
    /// Because by other tables whoever began them may not.
    pub sessions_ended_policy: u64,
    /// Because nothing leads in to their receivers any more.
    pub sessions_ended_forward: u64,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            received: 0,
            injected: 0,
            taken_over: 0,
            released: 0,
            cut: 0,
            forwarded: 0,
            replied: 0,
            handed_off: 0,
            held: 0,
            punted: [0; PuntReason::COUNT],
            dropped: [0; DropReason::COUNT],
            translated_out: 0,
            translated_in: 0,
            translated_errors: 0,
            sessions_created: 0,
            sessions_ended: 0,
            sessions_ended_renamed: 0,
            sessions_ended_policy: 0,
            sessions_ended_forward: 0,
        }
    }
}

impl Counters {
    /// Counts a verdict.
    #[inline(always)]
    pub fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Forward(_) => self.forwarded += 1,
            Verdict::Reply(_) => self.replied += 1,
            Verdict::Punt(reason) => self.punted[reason.index()] += 1,
            Verdict::HandOff(_) => self.handed_off += 1,
            Verdict::Hold => self.held += 1,
            Verdict::Drop(reason) => self.dropped[reason.index()] += 1,
        }
    }

    /// Counts the verdicts of a burst, most of which forward.
    #[inline(always)]
    pub fn count_all(&mut self, verdicts: &[Verdict]) {
        let mut forwarded = 0;
        for verdict in verdicts {
            match verdict {
                Verdict::Forward(_) => forwarded += 1,
                other => self.count(*other),
            }
        }
        self.forwarded += forwarded;
    }

    /// A verdict that was counted could not be carried out: the packet is dropped
    /// for `reason` after all.
    pub fn recount_as_dropped(&mut self, verdict: Verdict, reason: DropReason) {
        match verdict {
            Verdict::Forward(_) => self.forwarded -= 1,
            Verdict::Reply(_) => self.replied -= 1,
            Verdict::Punt(was) => self.punted[was.index()] -= 1,
            Verdict::HandOff(_) => self.handed_off -= 1,
            Verdict::Hold => self.held -= 1,
            Verdict::Drop(was) => self.dropped[was.index()] -= 1,
        }
        self.dropped[reason.index()] += 1;
    }

    /// So many packets came out of the store of fragments, to be dropped.
    pub fn give_up(&mut self, reason: DropReason, count: u64) {
        self.released += count;
        self.dropped[reason.index()] += count;
    }

    /// Packets that came in, from wherever.
    pub fn came_in(&self) -> u64 {
        self.received + self.injected + self.taken_over + self.released + self.cut
    }

    /// Packets that met an end.
    pub fn accounted_for(&self) -> u64 {
        self.forwarded
            + self.replied
            + self.handed_off
            + self.held
            + self.punted.iter().sum::<u64>()
            + self.dropped.iter().sum::<u64>()
    }

    /// The law: every packet that came in met exactly one end.
    pub fn conserve(&self) -> bool {
        self.came_in() == self.accounted_for()
    }

    /// Adds what another worker has counted.
    pub fn add(&mut self, other: &Counters) {
        let add_all = |these: &mut [u64], those: &[u64]| these.iter_mut().zip(those).for_each(|(a, b)| *a += b);
        self.received += other.received;
        self.injected += other.injected;
        self.taken_over += other.taken_over;
        self.cut += other.cut;
        self.released += other.released;
        self.forwarded += other.forwarded;
        self.replied += other.replied;
        self.handed_off += other.handed_off;
        self.held += other.held;
        add_all(&mut self.punted, &other.punted);
        add_all(&mut self.dropped, &other.dropped);
        self.translated_out += other.translated_out;
        self.translated_in += other.translated_in;
        self.translated_errors += other.translated_errors;
        self.sessions_created += other.sessions_created;
        self.sessions_ended += other.sessions_ended;
        self.sessions_ended_renamed += other.sessions_ended_renamed;
        self.sessions_ended_policy += other.sessions_ended_policy;
        self.sessions_ended_forward += other.sessions_ended_forward;
    }

    /// Each counter with its name, in a fixed order, for publishing and printing.
    pub fn each(&self, mut row: impl FnMut(&'static str, &'static str, u64)) {
        row("rx", "received", self.received);
        row("rx", "injected", self.injected);
        row("rx", "taken-over", self.taken_over);
        row("rx", "released", self.released);
        row("rx", "cut", self.cut);
        row("end", "forwarded", self.forwarded);
        row("end", "replied", self.replied);
        row("end", "handed-off", self.handed_off);
        row("end", "held", self.held);
        for (reason, count) in PuntReason::ALL.iter().zip(self.punted) {
            row("punt", reason.name(), count);
        }
        for (reason, count) in DropReason::ALL.iter().zip(self.dropped) {
            row("drop", reason.name(), count);
        }
        row("nat", "translated-out", self.translated_out);
        row("nat", "translated-in", self.translated_in);
        row("nat", "translated-errors", self.translated_errors);
        row("nat", "sessions-created", self.sessions_created);
        row("nat", "sessions-ended", self.sessions_ended);
        row("nat", "sessions-ended-renamed", self.sessions_ended_renamed);
        row("nat", "sessions-ended-policy", self.sessions_ended_policy);
        row("nat", "sessions-ended-forward", self.sessions_ended_forward);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::PortId;

    #[test]
    fn a_recounted_verdict_keeps_the_law() {
        let mut counters = Counters { received: 2, ..Counters::default() };
        counters.count(Verdict::Forward(PortId(1)));
        counters.count(Verdict::Punt(PuntReason::Arp));
        assert!(counters.conserve());
        counters.recount_as_dropped(Verdict::Forward(PortId(1)), DropReason::PortFull);
        counters.recount_as_dropped(Verdict::Punt(PuntReason::Arp), DropReason::PuntQueueFull);
        assert!(counters.conserve());
        assert_eq!((counters.forwarded, counters.dropped[DropReason::PortFull.index()]), (0, 1));
    }

    #[test]
    fn every_reason_has_a_name_of_its_own_and_a_sentence() {
        let mut names = std::collections::BTreeSet::new();
        for reason in DropReason::ALL {
            assert!(names.insert(reason.name()), "{} is taken twice", reason.name());
            assert!(reason.sentence().ends_with('.'));
        }
        for (at, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.index(), at);
        }
    }
}
