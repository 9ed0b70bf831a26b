//! `[[policy]]`: who may begin to speak with whom.

use ipnet::IpNet;

use super::apart;
use super::claims::overlap;
use super::clusters::Clusters;
use super::keys;
use super::model::{Cluster, ClusterIdx, Config, Egress, Model, Port};
use super::ports::link_local;
use super::report::{Report, Spanned};
use super::table::{Table, normalise};
use super::value;

/// A sentence about who may speak with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Who begins; at least one.
    pub from: Vec<Party>,
    /// With whom; at least one.
    pub to: Vec<Party>,
    /// May it?
    pub allow: bool,
}

/// One end of what a policy is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The pods of a cluster; as receivers, its nodes too.
    Cluster(ClusterIdx),
    /// Whoever has such an address; no host bits.
    Prefix(IpNet),
}

pub(super) fn policies(report: &mut Report<'_>, file: &Table<'_>, clusters: &Clusters) -> Vec<Policy> {
    let mut policies = Vec::new();
    let mut opened: Vec<ClusterIdx> = Vec::new();
    let mut pairs_left = Some(keys::MOST_POLICY_PAIRS);
    for table in file.tables(report, "policy", &keys::POLICY) {
        let (from, to) = (parties(report, &table, "from", clusters), parties(report, &table, "to", clusters));
        let allow = table.choice(report, "action").is_none_or(|word| word.value == "allow");
        for to in &to {
            for from in &from {
                if let (Party::Cluster(from), Party::Cluster(cluster)) = (from.value, to.value) {
                    check_pair(report, to, &clusters.list, from, cluster, allow);
                }
            }
            if let Party::Cluster(cluster) = to.value
                && allow
                && from.iter().any(|from| is_outside(&clusters.list, from.value))
            {
                check_opened(report, to, &clusters.list, cluster, &mut opened);
            }
        }
        if let Some(left) = pairs_left {
            pairs_left = left.checked_sub(from.len() * to.len());
            if pairs_left.is_none() {
                let what = format!("makes more than {} pairs in all policies together", keys::MOST_POLICY_PAIRS);
                report.error(&table.place(report, "from"), what, "write shorter prefixes instead of many long ones");
            }
        }
        for cluster in from.iter().chain(&to).filter_map(|party| alone(&clusters.list, party.value)) {
            let what = format!("is about cluster \"{cluster}\", which shares a port with another");
            report.error(&table.place(report, "from"), what, "give it a port (a NIC or a VLAN) of its own");
        }
        let values = |list: Vec<Spanned<Party>>| list.into_iter().map(|party| party.value).collect();
        policies.push(Policy { from: values(from), to: values(to), allow });
    }
    policies
}

fn parties(report: &mut Report<'_>, table: &Table<'_>, key: &str, clusters: &Clusters) -> Vec<Spanned<Party>> {
    if table.list_len(key) == Some(0) {
        report.error(&table.place(report, key), "names nobody", "name a cluster, or write a prefix");
    }
    let mut found = Vec::new();
    for Spanned { at, value: text } in table.parsed_list(report, key, Ok).unwrap_or_default() {
        // A name holds neither.
        let party = if text.contains(['/', '.', ':']) {
            report.accept(at, value::prefix_or_address(text)).map(|mut net| {
                normalise(report, &mut net);
                Spanned { at: net.at, value: Party::Prefix(net.value) }
            })
        } else {
            let name = Spanned { at, value: text };
            clusters.find(report, &name).map(|cluster| Spanned { at: name.at, value: Party::Cluster(cluster) })
        };
        found.extend(party);
    }
    found
}

/// Reports a pair of clusters of which nothing can be said, or not this.
fn check_pair(
    report: &mut Report<'_>,
    to: &Spanned<Party>,
    clusters: &[Cluster],
    from: ClusterIdx,
    cluster: ClusterIdx,
    allow: bool,
) {
    if from == cluster {
        report.error(&to.at, "is at both ends", "pods of one cluster always meet: name another");
        return;
    }
    let (from, to_cluster) = (&clusters[from.0], &clusters[cluster.0]);
    if !allow || !collide(clusters, from, to_cluster) {
        return;
    }
    let what = format!("shares pod addresses with cluster \"{}\", or one of the two with a flat cluster", from.name);
    if from.egress == Egress::None {
        report.error(&to.at, what, "reach them by [[forward]] or [[static-nat]]");
    } else {
        let done = "its nodes alone are reached, and pods by [[forward]] or [[static-nat]]";
        report.warn(&to.at, what, done);
    }
}

/// The name of the flat cluster that a policy is about and that no port tells apart.
fn alone(clusters: &[Cluster], party: Party) -> Option<&str> {
    let is_meant = |at: usize| match party {
        Party::Cluster(cluster) => cluster.0 == at,
        Party::Prefix(net) => clusters[at].pod_cidrs.iter().any(|pods| overlap(*pods, net)),
    };
    let shares = |at: usize| {
        let others = clusters.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
        others.flat_map(|other| &other.ports).any(|port| clusters[at].ports.contains(port))
    };
    let met = |at: &usize| clusters[*at].model == Model::Flat && is_meant(*at) && shares(*at);
    (0..clusters.len()).find(met).map(|at| clusters[at].name.as_str())
}

/// The subnets of ports, as far as anybody beyond a link can be there.
fn subnets<'a>(ports: impl Iterator<Item = &'a Port>) -> impl Iterator<Item = IpNet> {
    ports.flat_map(|port| &port.addresses).map(IpNet::trunc).filter(|net| !link_local(net.addr()))
}

/// Is it where islands are not?
fn is_outside(clusters: &[Cluster], party: Party) -> bool {
    match party {
        Party::Prefix(_) => true,
        Party::Cluster(cluster) => clusters[cluster.0].model == Model::Flat,
    }
}

/// Reports a cluster that is opened to the outside under addresses that another has there.
fn check_opened(
    report: &mut Report<'_>,
    to: &Spanned<Party>,
    clusters: &[Cluster],
    opened: ClusterIdx,
    others: &mut Vec<ClusterIdx>,
) {
    let cluster = &clusters[opened.0];
    let is_there = |at: usize| apart::is_known_outside(&clusters[at]) || others.contains(&ClusterIdx(at));
    let mut taken = (0..clusters.len()).filter(|at| *at != opened.0 && is_there(*at));
    if let Some(other) = taken.find(|at| have_same_addresses(cluster, &clusters[*at])) {
        let what =
            format!("is known outside by addresses that pods of cluster \"{}\" have there", clusters[other].name);
        report.error(&to.at, what, "reach them by [[forward]] or [[static-nat]]");
    }
    others.push(opened);
}

/// Would packets between pods of two clusters be taken for those of others? Flat
/// clusters know each other's pods.
fn collide(clusters: &[Cluster], from: &Cluster, to: &Cluster) -> bool {
    let is_flat = |cluster: &&Cluster| cluster.model == Model::Flat;
    let mut flat = clusters.iter().filter(is_flat);
    let stranger = match (from.model, to.model) {
        (Model::Flat, Model::Flat) => None,
        (Model::Flat, _) => flat.find(|flat| have_same_addresses(flat, to)),
        (_, Model::Flat) => flat.find(|flat| have_same_addresses(flat, from)),
        _ => None,
    };
    have_same_addresses(from, to) || stranger.is_some()
}

/// Have pods of two clusters the same addresses?
fn have_same_addresses(one: &Cluster, other: &Cluster) -> bool {
    one.pod_cidrs.iter().any(|net| other.pod_cidrs.iter().any(|other| overlap(*net, *other)))
}

impl Config {
    /// May pods of `to` be reached from pods of `from` under their own addresses, if a
    /// policy wants it?
    pub(crate) fn are_apart(&self, from: ClusterIdx, to: ClusterIdx) -> bool {
        !collide(&self.clusters, &self.clusters[from.0], &self.clusters[to.0])
    }

    /// Where all flat pods live.
    pub(crate) fn flat_pods(&self) -> impl Iterator<Item = IpNet> {
        self.clusters
            .iter()
            .filter(|cluster| cluster.model == Model::Flat)
            .flat_map(|cluster| &cluster.pod_cidrs)
            .copied()
    }

    /// Toward whom every flat pod has its own address, and is met without being tracked:
    /// other flat pods, and the subnets of ports.
    pub(crate) fn inside(&self) -> impl Iterator<Item = IpNet> {
        self.flat_pods().chain(subnets(self.ports.iter()))
    }

    /// Where the nodes of a cluster are.
    pub(crate) fn subnets_of(&self, cluster: ClusterIdx) -> impl Iterator<Item = IpNet> {
        subnets(self.clusters[cluster.0].ports.iter().map(|port| &self.ports[port.0]))
    }

    /// Is a policy about the pods of this cluster?
    pub(crate) fn is_policed(&self, cluster: ClusterIdx) -> bool {
        let mut parties = self.policies.iter().flat_map(|policy| policy.from.iter().chain(&policy.to));
        parties.any(|party| self.is_about(*party, cluster))
    }

    /// Are pods of this cluster among a party?
    pub(crate) fn is_about(&self, party: Party, cluster: ClusterIdx) -> bool {
        match party {
            Party::Cluster(named) => named == cluster,
            Party::Prefix(net) => self.clusters[cluster.0].pod_cidrs.iter().any(|pods| overlap(*pods, net)),
        }
    }

    /// Does a policy let somebody outside begin with pods of this island?
    pub(crate) fn is_opened_from_outside(&self, cluster: ClusterIdx) -> bool {
        let outside = |party: &Party| is_outside(&self.clusters, *party);
        let opens = |policy: &Policy| {
            policy.allow && policy.to.contains(&Party::Cluster(cluster)) && policy.from.iter().any(outside)
        };
        self.policies.iter().any(opens)
    }
}
