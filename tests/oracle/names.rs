//! Under which names a router lets flows out, as seen from outside.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::outcome::{Fate, Outcome};
use crate::place::Side;
use crate::wire::{End, L2, layout, word};

/// A flow's number, the same for both routers.
pub(crate) type FlowId = usize;

/// Who talks to whom, told without names that a router chose. For echo the port of
/// the host is its identifier, and that of the peer 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Parties {
    pub(crate) protocol: u8,
    pub(crate) host: (IpAddr, u16),
    pub(crate) peer: (IpAddr, u16),
}

/// What was learned about one router's flows.
#[derive(Default)]
pub(crate) struct Names {
    traces: Vec<Trace>,
    /// Live flows by protocol, peer and outside name.
    taken: HashMap<(u8, (IpAddr, u16), u16), FlowId>,
}

#[derive(Clone, Default)]
struct Trace {
    outside: Option<u16>,
    left: Option<Vec<u8>>,
    entered: Option<Vec<u8>>,
}

impl Names {
    /// The port or identifier under which the flow's host is known outside.
    pub(crate) fn outside(&self, flow: FlowId) -> Option<u16> {
        self.traces.get(flow)?.outside
    }

    /// The flow's last packet as its peer saw it.
    pub(crate) fn left(&self, flow: FlowId) -> Option<&[u8]> {
        Some(&self.traces.get(flow)?.left.as_ref()?[L2..])
    }

    /// The flow's last packet as its host saw it.
    pub(crate) fn entered(&self, flow: FlowId) -> Option<&[u8]> {
        Some(&self.traces.get(flow)?.entered.as_ref()?[L2..])
    }

    /// Learns from a packet of the flow; says what cannot be. A packet that opens the
    /// flow, perhaps again, may give it another name.
    pub(crate) fn learn(
        &mut self,
        flow: FlowId,
        parties: &Parties,
        opens: bool,
        from: Side,
        outcome: &Outcome,
    ) -> Option<String> {
        if self.traces.len() <= flow {
            self.traces.resize(flow + 1, Trace::default());
        }
        if outcome.fate != Fate::Crossed {
            return None;
        }
        let trace = &mut self.traces[flow];
        let frame = outcome.out[0].1.clone();
        if from == Side::Outside {
            let found = destination(&frame);
            trace.entered = Some(frame);
            return (found != Some(parties.host))
                .then(|| format!("it was for {:?} and went to {found:?}", parties.host));
        }
        trace.left = Some(frame);
        let name = outcome.outside_name()?;
        match trace.outside {
            Some(known) if known == name && !opens => return None,
            Some(known) if !opens => return Some(format!("its name outside was {known} and is {name}")),
            Some(known) => drop(self.taken.remove(&(parties.protocol, parties.peer, known))),
            None => {}
        }
        trace.outside = Some(name);
        let owner = self.taken.insert((parties.protocol, parties.peer, name), flow);
        owner.filter(|owner| *owner != flow).map(|owner| format!("flow {owner} has the same name {name} outside"))
    }

    /// The flow ended: its name may be given to another.
    pub(crate) fn release(&mut self, flow: FlowId, parties: &Parties) {
        if let Some(name) = self.outside(flow)
            && self.taken.get(&(parties.protocol, parties.peer, name)) == Some(&flow)
        {
            self.taken.remove(&(parties.protocol, parties.peer, name));
        }
    }
}

/// Whom a packet is for: address and port, or echo identifier.
fn destination(frame: &[u8]) -> Option<(IpAddr, u16)> {
    let packet = &frame[L2..];
    let found = layout(packet)?;
    Some((found.dst, word(packet, found.name_at(packet, End::Destination)?)))
}
