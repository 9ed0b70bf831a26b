//! Destinations to which nearly every port of an address is in use.
//!
//! Where mapping is by destination a port serves many of them, so a port is free *toward a
//! destination*, and to know all that are would take a set for each. Drawing ports until one
//! is free needs no set, and hardly ever more than a draw or two, as long as few are taken.
//! Where a quarter is, a destination becomes a *crowd*: it gets a set, which is filled
//! in steps while draws still succeed, and from then on the last free port is found
//! as fast as the first.

use alloc::vec::Vec;

use hashbrown::HashMap;

use super::numbers::NumberSet;
use super::stripe::Stripe;

/// Pools with fewer ports have no crowds: to look at every port is short enough.
pub(super) const FEW_PORTS: usize = 1024;
/// Ports that are looked at each time a session begins while a set is being filled.
const STEP: u32 = 256;

/// The crowds of a pool. Allocates once, when made: half a byte a session.
pub(super) struct Crowds {
    stripe: Stripe,
    /// Ports in use that make a crowd. Half as many end it.
    threshold: u32,
    sets: Vec<Crowd>,
    idle: Vec<u32>,
    /// By the number of the binding that counts the destination's sessions.
    by_binding: HashMap<u32, u32>,
}

struct Crowd {
    free: NumberSet,
    /// Ports before this one are in the set.
    known: u32,
}

impl Crowds {
    /// No crowd, for these ports of a pool and at most `capacity` sessions.
    pub(super) fn new(stripe: Stripe, capacity: usize) -> Crowds {
        let ports = stripe.len();
        let threshold = ports / 4;
        // Each holds half of the threshold at least.
        let most = if ports < FEW_PORTS { 0 } else { capacity.div_ceil(threshold / 2) };
        Crowds {
            stripe,
            threshold: threshold as u32,
            sets: (0..most).map(|_| Crowd { free: NumberSet::none(ports), known: 0 }).collect(),
            idle: (0..most as u32).rev().collect(),
            // With room to spare it never grows, however entries come and go.
            by_binding: HashMap::with_capacity(2 * most),
        }
    }

    /// Looks at more ports toward a destination that is a crowd: `is_free` says whether
    /// one is. Says a free port, at or after that with the number `from`, once all are
    /// known; `Err` means that there is none, `Ok(None)` that the caller has to draw.
    pub(super) fn pick(
        &mut self,
        binding: u32,
        from: u32,
        mut is_free: impl FnMut(u16) -> bool,
    ) -> Result<Option<u16>, Exhausted> {
        let Some(number) = self.by_binding.get(&binding) else {
            return Ok(None);
        };
        let crowd = &mut self.sets[*number as usize];
        let ports = self.stripe.len() as u32;
        let end = ports.min(crowd.known + STEP);
        for number in crowd.known..end {
            if is_free(self.stripe.port(number)) {
                crowd.free.insert(number);
            }
        }
        crowd.known = end;
        if end < ports {
            return Ok(None);
        }
        while let Some(number) = crowd.free.first_from(from) {
            let port = self.stripe.port(number);
            if is_free(port) {
                return Ok(Some(port));
            }
            // A session that came in from outside has it.
            crowd.free.remove(number);
        }
        Err(Exhausted)
    }

    /// Another forward has this port now, or none: `is_free` says of each crowd, by its
    /// binding, whether the port is free toward it.
    pub(super) fn look_again(&mut self, port: u16, is_free: impl Fn(u32) -> bool) {
        let Some(number) = self.stripe.number(port) else {
            return;
        };
        for (binding, crowd) in &self.by_binding {
            let crowd = &mut self.sets[*crowd as usize];
            match (crowd.free.contains(number), number < crowd.known && is_free(*binding)) {
                (true, false) => crowd.free.remove(number),
                (false, true) => crowd.free.insert(number),
                _ => {}
            }
        }
    }

    /// A session to the destination began on this port; so many ports are `taken` now.
    pub(super) fn began(&mut self, binding: u32, port: u16, taken: u32) {
        if let Some(number) = self.by_binding.get(&binding) {
            let crowd = &mut self.sets[*number as usize];
            if let Some(port) = self.stripe.number(port).filter(|port| crowd.free.contains(*port)) {
                crowd.free.remove(port);
            }
        } else if taken >= self.threshold
            && let Some(number) = self.idle.pop()
        {
            let crowd = &mut self.sets[number as usize];
            crowd.free.clear();
            crowd.known = 0;
            self.by_binding.insert(binding, number);
        }
    }

    /// The session on this port ended; so many ports are `taken` now, and by `last` the
    /// binding is gone.
    pub(super) fn ended(&mut self, binding: u32, port: u16, taken: u32, last: bool) {
        if self.sets.is_empty() {
            return;
        }
        let Some(number) = self.by_binding.get(&binding).copied() else {
            return;
        };
        if last || taken < self.threshold / 2 {
            self.by_binding.remove(&binding);
            self.idle.push(number);
            return;
        }
        let crowd = &mut self.sets[number as usize];
        if let Some(port) = self.stripe.number(port).filter(|port| *port < crowd.known) {
            crowd.free.insert(port);
        }
    }
}

/// Every port is in use toward the destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;
