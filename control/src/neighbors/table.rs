//! All neighbours of the gateway, and how they come and go.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_fastpath::frame::Frame;
use causeway_fastpath::handoff::Errand;
use causeway_fastpath::ids::WorkerId;
use causeway_fastpath::time::Instant;

use super::cache::Cache;
use super::entry::{Due, Entry, State};
use super::link::Link;
use super::{arp, discovery};
use crate::compile::{NeighborFacts, PortFacts};
use crate::config::{Config, PortIdx};
use crate::liveness::echo::{self, Station};

/// Every neighbour, by port and address.
#[derive(Debug)]
pub struct Neighbors {
    /// By port.
    links: Vec<Link>,
    /// By port.
    caches: Vec<Cache>,
    effects: Vec<Effect>,
    changed: bool,
}

/// What the machine wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send these bytes out of the port.
    Send(PortIdx, Vec<u8>),
    /// The neighbour this packet waited for is known, or dead: let it start again.
    Resume(Waiting),
}

/// A packet that waits for a neighbour.
#[derive(Debug)]
pub struct Waiting {
    /// As it arrived.
    pub frame: Frame,
    /// The worker that it came to.
    pub worker: WorkerId,
    /// From where, if not from a port.
    pub errand: Errand,
}

/// A neighbour, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The port it is on.
    pub port: PortIdx,
    /// Its address.
    pub address: IpAddr,
    /// Its MAC address, where it is known.
    pub mac: Option<[u8; 6]>,
    /// What is known about it.
    pub state: State,
    /// Does a route lead to it?
    pub router: bool,
    /// Since when it has been in this state.
    pub since: Instant,
}

impl Neighbors {
    /// The static neighbours of a configuration.
    pub fn new(config: &Config, facts: &[PortFacts], now: Instant) -> Neighbors {
        let ports = facts.iter().enumerate();
        let links: Vec<_> = ports.map(|(at, facts)| Link::new(config, PortIdx(at), facts)).collect();
        let mut caches: Vec<_> = links.iter().map(|_| Cache::default()).collect();
        for neighbor in &config.neighbors {
            caches[neighbor.port.0].insert(neighbor.address, Entry::new_static(neighbor.mac, false, now));
        }
        let mut neighbors = Neighbors { links, caches, effects: Vec::new(), changed: true };
        (0..neighbors.links.len()).for_each(|at| neighbors.announce(PortIdx(at)));
        neighbors
    }

    /// A port stands on another device: whoever is there hears who we are, and is asked for
    /// anew.
    pub fn replace_port(&mut self, port: PortIdx, facts: &PortFacts, now: Instant) {
        self.links[port.0].replace(facts);
        self.announce(port);
        self.forget(port, now);
    }

    /// Nothing that was learned on a port holds any more, and packets that wait there are lost.
    /// Whoever a route leads to is asked for the next time that something is due.
    pub fn forget(&mut self, port: PortIdx, now: Instant) {
        let cache = &mut self.caches[port.0];
        let learned = cache.iter().filter(|(_, entry)| entry.state != State::Static);
        let learned: Vec<_> = learned.map(|(address, entry)| (address, entry.router)).collect();
        for (address, router) in learned {
            cache.remove(address);
            if router {
                cache.insert(address, Entry::wanted(true, now));
            }
        }
        self.changed = true;
    }

    fn announce(&mut self, port: PortIdx) {
        let send = |bytes| Effect::Send(port, bytes);
        self.effects.extend(self.links[port.0].announcements(None).map(send));
    }

    /// Addresses and static neighbours are those of this configuration from now on. Who is
    /// no longer on the link of a port is forgotten; what is newly ours is announced.
    pub fn reconfigure(&mut self, config: &Config, facts: &[PortFacts], now: Instant) {
        for (at, link) in self.links.iter_mut().enumerate() {
            let before = std::mem::replace(link, Link::new(config, PortIdx(at), &facts[at]));
            self.effects.extend(link.announcements(Some(&before)).map(|bytes| Effect::Send(PortIdx(at), bytes)));
            let configured = config.neighbors.iter().filter(|neighbor| neighbor.port.0 == at);
            let configured: BTreeMap<_, _> = configured.map(|neighbor| (neighbor.address, neighbor.mac)).collect();
            let cache = &mut self.caches[at];
            let is_other = |(address, entry): &(IpAddr, &Entry)| match configured.get(address) {
                Some(mac) => entry.state != State::Static || entry.mac != *mac,
                None => entry.state == State::Static || !link.is_on_link(*address) || link.owns(*address),
            };
            let others: Vec<_> = cache.iter().filter(is_other).map(|(address, _)| address).collect();
            for address in others {
                let Some(mut entry) = cache.remove(address) else {
                    continue;
                };
                self.changed |= entry.fact().is_some();
                // Who waited starts again, and finds out by the new tables.
                self.effects.extend(entry.take_waiting().into_iter().map(Effect::Resume));
                if let Some(mac) = configured.get(&address) {
                    self.changed = true;
                    cache.insert(address, Entry::new_static(*mac, entry.router, now));
                } else if entry.router && link.is_on_link(address) && !link.owns(address) {
                    cache.insert(address, Entry::wanted(true, now));
                }
            }
            for (address, mac) in configured {
                if cache.get(address).is_none() {
                    cache.insert(address, Entry::new_static(mac, false, now));
                    self.changed = true;
                }
            }
        }
    }

    /// A route leads to this neighbour from now on, or none does any more. Whoever one
    /// leads to is asked for the next time that something is due, and never forgotten.
    pub fn set_router(&mut self, port: PortIdx, address: IpAddr, router: bool, now: Instant) {
        let cache = &mut self.caches[port.0];
        if cache.change(address, |entry| entry.set_router(router, now)).is_none() && router {
            cache.insert(address, Entry::wanted(true, now));
        }
    }

    /// What is known of a neighbour, if anything is.
    pub fn state(&self, (port, address): (PortIdx, IpAddr)) -> Option<State> {
        self.caches[port.0].get(address).map(|entry| entry.state)
    }

    /// Has a neighbour that was believed to be there asked whether it still is, the next time
    /// that something is due.
    pub fn verify(&mut self, (port, address): (PortIdx, IpAddr), now: Instant) {
        self.caches[port.0].change(address, |entry| entry.verify(now));
    }

    /// Pings a neighbour that is there, from the own address in its subnet.
    pub fn ping(&mut self, (port, address): (PortIdx, IpAddr), identifier: u16, sequence: u16) {
        let (link, entry) = (&self.links[port.0], self.caches[port.0].get(address));
        if let Some(entry) = entry.filter(|entry| entry.usable())
            && let Some(own) = link.address_toward(address)
        {
            let (from, to) = (Station { mac: link.mac, address: own }, Station { mac: entry.mac, address });
            let request = echo::request(from, to, identifier, sequence);
            self.effects.extend(request.map(|bytes| Effect::Send(port, bytes)));
        }
    }

    /// A packet that concerns neighbours arrived on a port.
    pub fn handle_arp(&mut self, port: PortIdx, frame: &[u8], now: Instant) {
        let (Some(message), Some(link)) = (arp::parse(frame), self.links.get(port.0)) else {
            return;
        };
        // An own address is never learned, nor a sender that is not on this link:
        // but one that is merely checking whether its address is free (RFC 5227)
        // has none yet.
        let sender = IpAddr::V4(message.sender);
        if link.owns(sender) {
            return;
        }
        let on_link = link.is_on_link(sender);
        let asks_us =
            message.request && link.owns(IpAddr::V4(message.target)) && (on_link || message.sender.is_unspecified());
        if asks_us {
            let reply = arp::reply(link.mac, message.target, &message);
            self.effects.push(Effect::Send(port, reply));
        }
        if on_link {
            // Whoever asks us will be answered: knowing it saves a question.
            self.learn(port, sender, message.sender_mac, asks_us, now);
        }
    }

    /// As [`Neighbors::handle_arp`], for IPv6.
    pub fn handle_discovery(&mut self, port: PortIdx, frame: &[u8], now: Instant) {
        let (Some(message), Some(link)) = (discovery::parse(frame), self.links.get(port.0)) else {
            return;
        };
        match message {
            discovery::Message::Solicit { sender, sender_mac, target } => {
                let (asker, mac) = (IpAddr::V6(sender), link.mac);
                if !link.owns(IpAddr::V6(target)) || link.owns(asker) {
                    return;
                }
                let sender_mac = sender_mac.filter(|_| link.is_on_link(asker));
                let known = self.caches[port.0].get(asker).filter(|known| known.usable()).map(|known| known.mac);
                let to = match sender_mac.or(known) {
                    Some(sender_mac) => Some((sender, sender_mac)),
                    None if sender.is_unspecified() => None,
                    None => return,
                };
                self.effects.push(Effect::Send(port, discovery::advert(mac, target, to)));
                if let Some(sender_mac) = sender_mac {
                    self.learn(port, asker, sender_mac, true, now);
                }
            }
            discovery::Message::Advert { target, mac, solicited, overrides } => {
                let target = IpAddr::V6(target);
                let known = self.caches[port.0].get(target).filter(|known| known.usable()).map(|known| known.mac);
                // RFC 4861, 7.2.5: an answer without an address confirms the one that
                // is known; another address counts only if it overrides; what nobody
                // asked for confirms nothing.
                let mac = match (known, mac.or(known)) {
                    (Some(known), Some(mac)) if known != mac && !overrides => None,
                    (Some(known), Some(mac)) if known == mac && !solicited => None,
                    (_, mac) => mac,
                };
                if let Some(mac) = mac {
                    self.learn(port, target, mac, false, now);
                }
            }
        }
    }

    /// A packet waits for the neighbour `address` on `port`. Gives back a packet
    /// that is not kept: this one, or one that waited longer.
    pub fn handle_unresolved(
        &mut self,
        port: PortIdx,
        address: IpAddr,
        packet: Waiting,
        now: Instant,
    ) -> Option<Waiting> {
        let (Some(link), Some(cache)) = (self.links.get(port.0), self.caches.get_mut(port.0)) else {
            return Some(packet);
        };
        match cache.get(address) {
            Some(entry) if entry.usable() => {
                // It answered meanwhile: the tables are on their way.
                self.effects.push(Effect::Resume(packet));
                return None;
            }
            Some(entry) if entry.state == State::Dead => return Some(packet),
            Some(_) => {}
            None => {
                if !link.is_on_link(address) || link.owns(address) {
                    return Some(packet);
                }
                let crowded_out = cache.make_room();
                self.changed |= crowded_out.is_some_and(|entry| entry.fact().is_some());
                cache.insert(address, Entry::wanted(false, now));
            }
        }
        let spilled = cache.change(address, |entry| entry.wait(packet)).flatten();
        self.handle_timeout(now);
        spilled
    }

    /// Does what is due: asks, gives up, forgets.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (at, (link, cache)) in self.links.iter().zip(&mut self.caches).enumerate() {
            while let Some((_, address)) = cache.next_due().filter(|(due, _)| *due <= now) {
                let handle = |entry: &mut Entry| {
                    let due = entry.timeout(now);
                    let waiting = if due == Due::Died { entry.take_waiting() } else { Default::default() };
                    (due, waiting)
                };
                let Some((due, waiting)) = cache.change(address, handle) else {
                    break;
                };
                // Who waited starts again, and is told that the host is unreachable.
                self.effects.extend(waiting.into_iter().map(Effect::Resume));
                match due {
                    Due::Ask(mac) => {
                        let question = link.question(address, mac);
                        self.effects.extend(question.map(|bytes| Effect::Send(PortIdx(at), bytes)));
                    }
                    Due::Died => self.changed = true,
                    Due::Forget => {
                        cache.remove(address);
                        self.changed = true;
                    }
                }
            }
        }
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.caches.iter().filter_map(Cache::next_due).map(|(due, _)| due).min()
    }

    /// Did anything change that the forwarding tables hold?
    pub fn has_changed(&self) -> bool {
        self.changed
    }

    /// What the forwarding tables need to know. Nothing has changed from here on.
    ///
    /// Who is being asked for is not among them: that is how tables take whoever
    /// they do not know.
    pub fn take_facts(&mut self) -> NeighborFacts {
        self.changed = false;
        let facts = |(at, cache): (usize, &Cache)| -> Vec<_> {
            cache.iter().filter_map(|(address, entry)| Some(((PortIdx(at), address), entry.fact()?))).collect()
        };
        self.caches.iter().enumerate().flat_map(facts).collect()
    }

    /// What is to be done, in order. Tables first, where [`Neighbors::has_changed`] says so.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Every neighbour, for people.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.caches.iter().enumerate().flat_map(|(at, cache)| {
            cache.iter().map(move |(address, entry)| Row {
                port: PortIdx(at),
                address,
                mac: (entry.mac != [0; 6]).then_some(entry.mac),
                state: entry.state,
                router: entry.router,
                since: entry.since,
            })
        })
    }

    /// `address` is at `mac`. Those not known yet are taken in only if `new` is.
    fn learn(&mut self, port: PortIdx, address: IpAddr, mac: [u8; 6], new: bool, now: Instant) {
        let cache = &mut self.caches[port.0];
        if new && cache.get(address).is_none() && cache.has_room() {
            cache.insert(address, Entry::wanted(false, now));
        }
        let heard = |entry: &mut Entry| (entry.heard(mac, now), entry.take_waiting());
        if let Some((changed, waiting)) = cache.change(address, heard) {
            self.changed |= changed;
            self.effects.extend(waiting.into_iter().map(Effect::Resume));
        }
    }
}
