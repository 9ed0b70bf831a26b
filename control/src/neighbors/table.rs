//! All neighbours of the gateway, and how they come and go.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_fastpath::frame::Frame;
use causeway_fastpath::snapshot::NeighborState;
use causeway_fastpath::time::Instant;
use ipnet::IpNet;

use super::entry::{Due, Entry, State};
use super::{arp, discovery};
use crate::compile::{NeighborFact, NeighborFacts, PortFacts};
use crate::config::{Config, PortIdx};

/// Neighbours that no route leads to, on one port, at most: whoever scans a
/// subnet finds this limit, not the end of memory (RFC 6583).
const LARGEST: usize = 8192;
/// Of these, being asked for at once.
const LARGEST_INCOMPLETE: usize = 512;

/// Every neighbour, by port and address.
pub struct Neighbors {
    links: Vec<Link>,
    entries: BTreeMap<(PortIdx, IpAddr), Entry>,
    /// Frames that served and are to be freed by whoever drops them.
    effects: Vec<Effect>,
    changed: bool,
}

/// What the gateway is on one link.
struct Link {
    mac: [u8; 6],
    link_local: Ipv6Addr,
    /// Own addresses, with their subnets.
    addresses: Vec<IpNet>,
    /// Pool prefixes inside these subnets: asked for on this link, answered by us.
    pools: Vec<IpNet>,
}

/// What the machine wants done.
#[derive(Debug)]
pub enum Effect {
    /// Send these bytes out of the port.
    Send(PortIdx, Vec<u8>),
    /// The neighbour this packet waited for is known: let it start again.
    Resume(Frame),
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
    /// The neighbours of a configuration: static ones, and the routers that routes
    /// need, which are asked for at once.
    pub fn new(config: &Config, facts: &[PortFacts], routers: &[(PortIdx, IpAddr)], now: Instant) -> Neighbors {
        let links = config
            .ports
            .iter()
            .zip(facts)
            .map(|(port, facts)| Link {
                mac: facts.mac,
                link_local: Ipv6Addr::from_bits(facts.link_local()),
                addresses: port.addresses.clone(),
                pools: (config.pools.iter().flat_map(|pool| &pool.addresses))
                    .filter(|pool| port.addresses.iter().any(|subnet| subnet.trunc().contains(*pool)))
                    .copied()
                    .collect(),
            })
            .collect();
        let mut entries: BTreeMap<_, _> = routers.iter().map(|router| (*router, Entry::wanted(true, now))).collect();
        for neighbor in &config.neighbors {
            let key = (neighbor.port, neighbor.address);
            let router = entries.contains_key(&key);
            entries.insert(key, Entry::new_static(neighbor.mac, router, now));
        }
        let mut neighbors = Neighbors { links, entries, effects: Vec::new(), changed: true };
        neighbors.announce();
        neighbors
    }

    /// A packet that concerns neighbours arrived on a port.
    pub fn handle_arp(&mut self, port: PortIdx, frame: &[u8], now: Instant) {
        let Some(message) = arp::parse(frame) else {
            return;
        };
        let Some(link) = self.links.get(port.0) else {
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
        if message.request && link.owns(IpAddr::V4(message.target)) && (on_link || message.sender.is_unspecified()) {
            let reply = arp::reply(link.mac, message.target, &message);
            self.effects.push(Effect::Send(port, reply));
            // Whoever asks us will be answered: knowing it saves a question.
            if on_link {
                self.learn(port, sender, message.sender_mac, true, now);
            }
        } else if on_link {
            self.learn(port, sender, message.sender_mac, false, now);
        }
    }

    /// As [`Neighbors::handle_arp`], for IPv6.
    pub fn handle_discovery(&mut self, port: PortIdx, frame: &[u8], now: Instant) {
        let Some(message) = discovery::parse(frame) else {
            return;
        };
        let Some(link) = self.links.get(port.0) else {
            return;
        };
        match message {
            discovery::Message::Solicit { sender, sender_mac, target } => {
                if !link.owns(IpAddr::V6(target)) || link.owns(IpAddr::V6(sender)) {
                    return;
                }
                let (on_link, mac) = (link.is_on_link(IpAddr::V6(sender)), link.mac);
                if sender.is_unspecified() {
                    self.effects.push(Effect::Send(port, discovery::advert(mac, target, None)));
                } else if let Some(sender_mac) = sender_mac.filter(|_| on_link) {
                    let advert = discovery::advert(mac, target, Some((sender, sender_mac)));
                    self.effects.push(Effect::Send(port, advert));
                    self.learn(port, IpAddr::V6(sender), sender_mac, true, now);
                } else if let Some(known) = self.entries.get(&(port, IpAddr::V6(sender))).filter(|known| known.usable())
                {
                    let advert = discovery::advert(mac, target, Some((sender, known.mac)));
                    self.effects.push(Effect::Send(port, advert));
                }
            }
            discovery::Message::Advert { target, mac, overrides } => {
                let target = IpAddr::V6(target);
                let known = self.entries.get(&(port, target));
                let keeps = known.is_some_and(|known| known.usable() && known.mac != mac) && !overrides;
                if !link.owns(target) && !keeps {
                    self.learn(port, target, mac, false, now);
                }
            }
        }
    }

    /// A packet waits for the neighbour `address` on `port`. Gives the packet back
    /// when it cannot wait.
    pub fn handle_unresolved(&mut self, port: PortIdx, address: IpAddr, frame: Frame, now: Instant) -> Option<Frame> {
        if let Some(entry) = self.entries.get_mut(&(port, address)) {
            if entry.usable() {
                // It answered meanwhile: the tables are on their way.
                self.effects.push(Effect::Resume(frame));
                return None;
            }
            if entry.state == State::Dead {
                return Some(frame);
            }
            return entry.wait(frame);
        }
        let link = self.links.get(port.0)?;
        if !link.is_on_link(address) || link.owns(address) || !self.has_room(port) {
            return Some(frame);
        }
        let mut entry = Entry::wanted(false, now);
        let spilled = entry.wait(frame);
        self.entries.insert((port, address), entry);
        self.changed = true;
        self.handle_timeout(now);
        spilled
    }

    /// Does what is due: asks, gives up, forgets.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.due.is_some_and(|due| due <= now))
            .map(|(key, _)| *key)
            .collect();
        for key @ (port, address) in due {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            match entry.timeout(now) {
                Due::Nothing => {}
                Due::Ask => {
                    let mac = (entry.state == State::Probing).then_some(entry.mac);
                    self.ask(port, address, mac);
                }
                Due::Died => {
                    // Who waited starts again, and is told that the host is unreachable.
                    let waiting = entry.take_waiting();
                    self.effects.extend(waiting.into_iter().map(Effect::Resume));
                    self.changed = true;
                }
                Due::Forget => {
                    self.entries.remove(&key);
                    self.changed = true;
                }
            }
        }
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.due).min()
    }

    /// Did anything change that the forwarding tables hold? Asking resets it.
    pub fn take_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    /// What is to be done, in order. Tables first, where [`Neighbors::take_changed`] says so.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// What the forwarding tables need to know.
    pub fn facts(&self) -> NeighborFacts {
        let fact = |entry: &Entry| NeighborFact {
            state: match entry.state {
                State::Static | State::Reachable | State::Probing => NeighborState::Reachable,
                State::Incomplete => NeighborState::Pending,
                State::Dead => NeighborState::Dead,
            },
            mac: entry.mac,
        };
        self.entries.iter().map(|(key, entry)| (*key, fact(entry))).collect()
    }

    /// Every neighbour, for people.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.entries.iter().map(|((port, address), entry)| Row {
            port: *port,
            address: *address,
            mac: (entry.usable() || entry.mac != [0; 6]).then_some(entry.mac),
            state: entry.state,
            router: entry.router,
            since: entry.since,
        })
    }

    /// Tells every link which addresses are ours (gratuitous ARP, RFC 5227 section
    /// 3; unsolicited advertisements, RFC 4861 7.2.6), so that nobody sends to a
    /// gateway that was here before.
    fn announce(&mut self) {
        for (at, link) in self.links.iter().enumerate() {
            for address in link.own_addresses() {
                let bytes = match address {
                    IpAddr::V4(address) => arp::request(link.mac, address, address, None),
                    IpAddr::V6(address) => discovery::advert(link.mac, address, None),
                };
                self.effects.push(Effect::Send(PortIdx(at), bytes));
            }
        }
    }

    /// `address` is at `mac`. Those not known yet are taken in only if `new` is.
    fn learn(&mut self, port: PortIdx, address: IpAddr, mac: [u8; 6], new: bool, now: Instant) {
        let key = (port, address);
        if !self.entries.contains_key(&key) {
            if !new || !self.has_room(port) {
                return;
            }
            self.entries.insert(key, Entry::wanted(false, now));
        }
        let Some(entry) = self.entries.get_mut(&key) else {
            return;
        };
        if entry.heard(mac, now) {
            self.changed = true;
            let waiting = entry.take_waiting();
            self.effects.extend(waiting.into_iter().map(Effect::Resume));
        }
    }

    /// May another neighbour of this port be taken in?
    fn has_room(&self, port: PortIdx) -> bool {
        let on_port = self.entries.range((port, IpAddr::V4(Ipv4Addr::UNSPECIFIED))..);
        let (mut all, mut incomplete) = (0, 0);
        for (_, entry) in on_port.take_while(|((other, _), _)| *other == port) {
            all += usize::from(!entry.router);
            incomplete += usize::from(entry.state == State::Incomplete && !entry.router);
        }
        all < LARGEST && incomplete < LARGEST_INCOMPLETE
    }

    /// Asks for a neighbour: everybody, or only the one whose MAC address is given.
    fn ask(&mut self, port: PortIdx, address: IpAddr, mac: Option<[u8; 6]>) {
        let link = &self.links[port.0];
        let question = match address {
            IpAddr::V4(target) => {
                let Some(IpAddr::V4(sender)) = link.source_for(address) else {
                    return;
                };
                arp::request(link.mac, sender, target, mac)
            }
            IpAddr::V6(target) => {
                let sender = match link.source_for(address) {
                    Some(IpAddr::V6(sender)) => sender,
                    _ => link.link_local,
                };
                discovery::solicit(link.mac, sender, target, mac)
            }
        };
        self.effects.push(Effect::Send(port, question));
    }
}

impl Link {
    /// Is it ours to answer for?
    fn owns(&self, address: IpAddr) -> bool {
        address == IpAddr::V6(self.link_local)
            || self.addresses.iter().any(|own| own.addr() == address)
            || self.pools.iter().any(|pool| pool.contains(&address))
    }

    /// Can it be a neighbour here?
    fn is_on_link(&self, address: IpAddr) -> bool {
        let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        link_local || self.addresses.iter().any(|subnet| subnet.contains(&address) && is_host(subnet, address))
    }

    /// The own address in the subnet of `address`.
    fn source_for(&self, address: IpAddr) -> Option<IpAddr> {
        self.addresses.iter().find(|subnet| subnet.contains(&address)).map(IpNet::addr)
    }

    /// Everything this link is to be told about.
    fn own_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        let own = self.addresses.iter().map(IpNet::addr);
        own.chain(self.pools.iter().flat_map(|pool| {
            // The checked configuration bounds how many addresses pools have.
            let first = pool.network();
            let count = 1u128 << (pool.max_prefix_len() - pool.prefix_len());
            (0..count).map(move |n| match first {
                IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() + n as u32)),
                IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() + n)),
            })
        }))
    }
}

/// Is it neither network nor broadcast address of its subnet?
fn is_host(subnet: &IpNet, address: IpAddr) -> bool {
    match (subnet, address) {
        (IpNet::V4(net), IpAddr::V4(v4)) if net.prefix_len() <= 30 => v4 != net.network() && v4 != net.broadcast(),
        _ => !address.is_unspecified() && !address.is_multicast(),
    }
}
