//! From the routes of one configuration to those of another.

use std::collections::BTreeMap;

use causeway_fastpath::ids::VrfId;
use ipnet::IpNet;

use super::{Change, Origin, Rib, Route, Via};

/// What turns the routes that a configuration asks for, `before`, into those `after`, where of
/// several of one origin to one destination the last one counts. What is there of others
/// stays, but in domains that are `gone`.
///
/// Routes come before others go, so that what both lead to is never without one.
pub(crate) fn follow(
    rib: &Rib,
    before: impl IntoIterator<Item = Route>,
    after: impl IntoIterator<Item = Route>,
    gone: impl Fn(VrfId) -> bool,
) -> Vec<Change> {
    let (before, after) = (by_origin(before), by_origin(after));
    let add = |((domain, to, origin), via): (&Key, &Via)| {
        Change::Add(Route { domain: *domain, to: *to, origin: origin.clone(), via: via.clone() })
    };
    let mut changes: Vec<_> = after.iter().filter(|(key, via)| before.get(*key) != Some(*via)).map(add).collect();
    let withdraw = |(domain, to, origin): &Key| Change::Withdraw { domain: *domain, to: *to, origin: origin.clone() };
    changes.extend(before.keys().filter(|key| !after.contains_key(*key)).map(withdraw));
    changes.extend(rib.keys().filter(|key| gone(key.0) && !before.contains_key(*key)).map(withdraw));
    changes
}

type Key = (VrfId, IpNet, Origin);

fn by_origin(routes: impl IntoIterator<Item = Route>) -> BTreeMap<Key, Via> {
    routes.into_iter().map(|route| ((route.domain, route.to, route.origin), route.via)).collect()
}
