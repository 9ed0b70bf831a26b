//! A gateway's control with a large routing table, and one worker that reads it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use causeway_control::compile::PortFacts;
use causeway_control::config::{Config, PortIdx};
use causeway_control::control::Control;
use causeway_control::rib::{Change, Origin, Route, Via};
use causeway_fastpath::command::{Command, Event};
use causeway_fastpath::fib::Prefix;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::snapshot::Snapshot;
use causeway_fastpath::time::Instant;
use ipnet::{IpNet, Ipv4Net};

const CONFIG: &str = r#"
gateway.name = "bench"
[[port]]
name = "uplink"
driver = "memory"
addresses = ["203.0.113.2/24"]
"#;

/// Control, and the tables that its worker has.
pub struct Routing {
    control: Control,
    peers: usize,
    installed: Arc<Snapshot>,
}

impl Routing {
    /// Routes to `prefixes` through `peers` routers in turn, 200 at most.
    pub fn new(prefixes: &[Prefix<u32>], peers: usize) -> Routing {
        let (config, _) = Config::parse("bench.toml", CONFIG).expect("it is sound");
        let facts = vec![PortFacts { mac: [2, 0, 0, 0, 0, 1], mtu: 1500 }];
        let control = Control::new(config, facts, 7, Instant::ZERO);
        let mut routing = Routing { control, peers, installed: Arc::new(Snapshot::closed()) };
        routing.newest_tables();
        let changes: Vec<_> = prefixes.iter().enumerate().map(|(at, to)| routing.route(*to, at)).collect();
        let tables = routing.change(changes);
        routing.install(tables);
        routing
    }

    /// A route through the `peer`th router.
    pub fn route(&self, to: Prefix<u32>, peer: usize) -> Change {
        let router = IpAddr::from([203, 0, 113, 10 + (peer % self.peers) as u8]);
        let via = Via::Neighbor(PortIdx(0), router);
        Change::Add(Route { domain: VrfId::MAIN, to: net(to), via, origin: Origin::Static })
    }

    /// There is none any more.
    pub fn withdrawal(&self, to: Prefix<u32>) -> Change {
        Change::Withdraw { domain: VrfId::MAIN, to: net(to), origin: Origin::Static }
    }

    /// Changes routes, and makes the tables that follow.
    ///
    /// # Panics
    /// None follow.
    pub fn change(&mut self, changes: impl IntoIterator<Item = Change>) -> Arc<Snapshot> {
        self.control.change_routes(changes, Instant::ZERO);
        self.newest_tables().expect("new tables follow a change")
    }

    /// Carries out every command; says which tables came with them.
    fn newest_tables(&mut self) -> Option<Arc<Snapshot>> {
        let mut newest = None;
        while let Some(command) = self.control.poll_command() {
            match command {
                Command::Install(snapshot) => newest = Some(snapshot),
                Command::Transmit(_, frame) | Command::Inject(frame) => {
                    self.control.handle_event(Event::Spent(frame), Instant::ZERO);
                }
                Command::Prepare(_)
                | Command::ListSessions(_)
                | Command::EndSessions(_)
                | Command::ListPools(_)
                | Command::ListRefused(_) => {}
            }
        }
        newest
    }

    /// The worker takes these tables, and control frees those before.
    pub fn install(&mut self, tables: Arc<Snapshot>) {
        let epoch = tables.epoch;
        let retired = std::mem::replace(&mut self.installed, tables);
        self.control.handle_event(Event::Installed { epoch, retired }, Instant::ZERO);
    }
}

fn net(prefix: Prefix<u32>) -> IpNet {
    Ipv4Net::new(Ipv4Addr::from_bits(prefix.address()), prefix.len()).expect("a prefix is sound").into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_fastpath::fib::NextHop;

    #[test]
    fn a_route_comes_and_goes() {
        let mut routing = Routing::new(&[Prefix::containing(0x0a00_0000, 8)], 4);
        let to = Prefix::containing(0x0b00_0000, 24);
        let tables = routing.change([routing.route(to, 1)]);
        assert_ne!(tables.v4.fib(VrfId::MAIN).lookup(0x0b00_0001), NextHop::NO_ROUTE);
        routing.install(tables);
        let tables = routing.change([routing.withdrawal(to)]);
        assert_eq!(tables.v4.fib(VrfId::MAIN).lookup(0x0b00_0001), NextHop::NO_ROUTE);
        assert_ne!(tables.v4.fib(VrfId::MAIN).lookup(0x0a00_0001), NextHop::NO_ROUTE);
    }
}
