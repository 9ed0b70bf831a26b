//! Every route that anybody says is to be there, and which of them counts.

use std::collections::BTreeMap;

use causeway_fastpath::ids::VrfId;
use ipnet::IpNet;

use super::{Origin, Route, Via};

/// The routes of all domains, those that count and those in their shadow.
///
/// An origin has one route to a destination. Of several origins the strongest
/// counts, and when it withdraws its route, the next one does. A change is
/// logarithmic in the routes.
#[derive(Clone, Debug, Default)]
pub struct Rib {
    /// The last one of a destination is the one that counts.
    routes: BTreeMap<(VrfId, IpNet, Origin), Via>,
}

impl Rib {
    /// Adds a route; says what its origin had in its place.
    pub fn add(&mut self, route: Route) -> Option<Via> {
        self.routes.insert((route.domain, route.to, route.origin), route.via)
    }

    /// Takes away the route that the origin has; says which one that was.
    pub fn withdraw(&mut self, domain: VrfId, to: IpNet, origin: Origin) -> Option<Via> {
        self.routes.remove(&(domain, to, origin))
    }

    /// What the route to exactly this destination leads to.
    pub fn best(&self, domain: VrfId, to: IpNet) -> Option<&Via> {
        let said = (domain, to, Origin::WEAKEST)..=(domain, to, Origin::STRONGEST);
        self.routes.range(said).next_back().map(|(_, via)| via)
    }

    /// The best route to each destination, by domain and destination, shortest first
    /// where one contains the other.
    pub fn routes(&self) -> impl Iterator<Item = Route> + '_ {
        self.best_routes().map(|((domain, to, origin), via)| Route {
            domain: *domain,
            to: *to,
            via: via.clone(),
            origin: origin.clone(),
        })
    }

    /// How many routes there are by domain, family (IPv6?) and prefix length. Looks at
    /// every route, once.
    pub fn lengths(&self) -> BTreeMap<(VrfId, bool), BTreeMap<u8, usize>> {
        let mut tables: BTreeMap<_, BTreeMap<_, _>> = BTreeMap::new();
        for ((domain, to, _), _) in self.best_routes() {
            let lengths = tables.entry((*domain, to.addr().is_ipv6())).or_default();
            *lengths.entry(to.prefix_len()).or_default() += 1;
        }
        tables
    }

    /// Every route that anybody says is to be there.
    pub(super) fn keys(&self) -> impl Iterator<Item = &(VrfId, IpNet, Origin)> {
        self.routes.keys()
    }

    fn best_routes(&self) -> impl Iterator<Item = (&(VrfId, IpNet, Origin), &Via)> {
        let mut routes = self.routes.iter().peekable();
        std::iter::from_fn(move || {
            let mut best = routes.next()?;
            let (domain, to, _) = best.0;
            while let Some(stronger) = routes.next_if(|((of, other, _), _)| (of, other) == (domain, to)) {
                best = stronger;
            }
            Some(best)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ClusterIdx, PortIdx};

    fn route(to: &str, origin: Origin, via: Via) -> Route {
        Route { domain: VrfId::MAIN, to: to.parse().expect("a prefix"), via, origin }
    }

    fn node(name: &str) -> Origin {
        Origin::Node(ClusterIdx(0), name.to_owned())
    }

    #[test]
    fn the_strongest_origin_counts_and_the_next_when_it_withdraws() {
        let mut rib = Rib::default();
        let to = "10.0.0.0/8".parse().expect("a prefix");
        rib.add(route("10.0.0.0/8", Origin::Static, Via::Blackhole));
        rib.add(route("10.0.0.0/8", Origin::Connected, Via::Connected(PortIdx(1))));
        rib.add(route("10.0.0.0/8", Origin::Island, Via::Unreachable));
        assert_eq!(rib.best(VrfId::MAIN, to), Some(&Via::Connected(PortIdx(1))));
        assert_eq!(rib.routes().count(), 1);
        assert_eq!(rib.withdraw(VrfId::MAIN, to, Origin::Connected), Some(Via::Connected(PortIdx(1))));
        assert_eq!(rib.best(VrfId::MAIN, to), Some(&Via::Blackhole));
        assert_eq!(rib.withdraw(VrfId::MAIN, to, Origin::Connected), None);
    }

    #[test]
    fn of_two_owners_each_withdraws_its_own() {
        let mut rib = Rib::default();
        let to = "10.1.0.0/24".parse().expect("a prefix");
        rib.add(route("10.1.0.0/24", node("b"), Via::Connected(PortIdx(1))));
        rib.add(route("10.1.0.0/24", node("a"), Via::Connected(PortIdx(0))));
        assert_eq!(rib.best(VrfId::MAIN, to), Some(&Via::Connected(PortIdx(1))), "by name, whoever came first");
        rib.withdraw(VrfId::MAIN, to, node("b"));
        assert_eq!(rib.best(VrfId::MAIN, to), Some(&Via::Connected(PortIdx(0))));
        rib.withdraw(VrfId::MAIN, to, node("a"));
        assert_eq!(rib.best(VrfId::MAIN, to), None);
        assert_eq!(rib.routes().count(), 0);
    }

    #[test]
    fn an_origin_replaces_its_own_route() {
        let mut rib = Rib::default();
        assert_eq!(rib.add(route("::/0", Origin::Static, Via::Blackhole)), None);
        assert_eq!(rib.add(route("::/0", Origin::Static, Via::Prohibit)), Some(Via::Blackhole));
        assert_eq!(rib.routes().collect::<Vec<_>>(), [route("::/0", Origin::Static, Via::Prohibit)]);
    }

    #[test]
    fn lengths_are_counted_by_domain_and_family() {
        let mut rib = Rib::default();
        for to in ["0.0.0.0/0", "10.1.0.0/24", "10.2.0.0/24", "::/0", "fd00::/24"] {
            rib.add(route(to, Origin::Static, Via::Blackhole));
            rib.add(route(to, Origin::Island, Via::Blackhole));
            rib.add(Route { domain: VrfId(1), ..route(to, Origin::Static, Via::Blackhole) });
        }
        rib.add(Route { domain: VrfId(1), ..route("10.3.0.0/24", Origin::Static, Via::Blackhole) });
        let expected = [
            ((VrfId::MAIN, false), BTreeMap::from([(0, 1), (24, 2)])),
            ((VrfId::MAIN, true), BTreeMap::from([(0, 1), (24, 1)])),
            ((VrfId(1), false), BTreeMap::from([(0, 1), (24, 3)])),
            ((VrfId(1), true), BTreeMap::from([(0, 1), (24, 1)])),
        ];
        assert_eq!(rib.lengths(), BTreeMap::from(expected));
    }
}
