//! Node objects of Kubernetes, as far as they matter here.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::feed::Named;
use crate::objects::{self, Expected, Item};

/// What is known about a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeFact {
    /// Its name.
    pub name: String,
    /// Its addresses of type InternalIP, as they are written.
    pub addresses: Vec<String>,
    /// Where its pods live, as it is written.
    pub pod_cidrs: Vec<String>,
    /// What the control plane thinks of it.
    pub ready: Ready,
    /// What makes no sense in what its source has of it; nothing of it is routed then.
    pub flaws: Vec<String>,
}

/// The condition Ready of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// "True".
    Ready,
    /// "False".
    NotReady,
    /// "Unknown": the control plane has not heard of it for a while.
    Unknown,
    /// Nobody has said anything yet.
    Unsaid,
}

impl Named for NodeFact {
    type Name = String;

    fn name(&self) -> &String {
        &self.name
    }
}

impl NodeFact {
    /// From the parts of a Node object.
    pub fn of(name: String, spec: &NodeSpec, status: Option<&NodeStatus>) -> NodeFact {
        let (given, status) = (spec.pod_cidrs.as_deref().unwrap_or_default(), status.cloned().unwrap_or_default());
        // `podCIDR` is the first of `podCIDRs`; very old objects have it alone.
        let pod_cidrs: Vec<_> = match given {
            [] => spec.pod_cidr.iter().filter(|cidr| !cidr.is_empty()).cloned().collect(),
            given => given.iter().take(MOST).cloned().collect(),
        };
        let addresses = status.addresses.unwrap_or_default().into_iter();
        let internal = addresses.filter(|address| address.kind == "InternalIP").map(|address| address.address);
        let conditions = status.conditions.unwrap_or_default();
        let ready = match conditions.iter().find(|condition| condition.kind == "Ready") {
            None => Ready::Unsaid,
            Some(condition) if condition.status == "True" => Ready::Ready,
            Some(condition) if condition.status == "False" => Ready::NotReady,
            Some(_) => Ready::Unknown,
        };
        NodeFact { name, addresses: internal.take(MOST).collect(), pod_cidrs, ready, flaws: Vec::new() }
    }

    /// Do both lead to the same routes?
    pub(super) fn routes_as(&self, other: &NodeFact) -> bool {
        self.addresses == other.addresses && self.pod_cidrs == other.pod_cidrs && self.flaws == other.flaws
    }

    /// Its addresses that are addresses.
    pub(super) fn usable_addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().filter_map(|address| address.parse().ok())
    }
}

/// Addresses and CIDRs of a node that are looked at. Kubernetes gives it two of each.
const MOST: usize = 16;

/// `spec` of a Node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeSpec {
    /// The first of `podCIDRs`.
    #[serde(rename = "podCIDR", skip_serializing_if = "Option::is_none")]
    pub pod_cidr: Option<String>,
    /// Where its pods live: one of each family at most.
    #[serde(rename = "podCIDRs", skip_serializing_if = "Option::is_none")]
    pub pod_cidrs: Option<Vec<String>>,
}

/// `status` of a Node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Its addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<NodeAddress>>,
    /// What the control plane thinks of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conditions: Option<Vec<NodeCondition>>,
}

/// An address of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeAddress {
    /// "InternalIP", "ExternalIP", "Hostname" and others.
    #[serde(rename = "type")]
    pub kind: String,
    /// The address or name.
    pub address: String,
}

/// A condition of a node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct NodeCondition {
    /// "Ready" and others.
    #[serde(rename = "type")]
    pub kind: String,
    /// "True", "False" or "Unknown".
    pub status: String,
}

/// The nodes of a file: the output of `kubectl get nodes -o json`, or of one node.
///
/// # Errors
/// It is not JSON, or no such object, or a node has no name or that of another one.
pub fn read_nodes(json: &[u8]) -> Result<Vec<NodeFact>, String> {
    const NODES: Expected = Expected { command: "kubectl get nodes -o json", nouns: "nodes", kinds: &["Node"] };
    let mut names = BTreeSet::new();
    let mut facts = Vec::new();
    for Item { metadata, spec, status, .. } in objects::read::<NodeSpec, NodeStatus>(json, &NODES)? {
        let name = metadata.name.filter(|name| !name.is_empty()).ok_or("holds a node without a name")?;
        if !names.insert(name.clone()) {
            return Err(format!("holds two nodes named {name:?}"));
        }
        facts.push(NodeFact::of(name, &spec, status.as_ref()));
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &str = r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":""},"items":[
        {"apiVersion":"v1","kind":"Node","metadata":{"name":"a","labels":{}},
         "spec":{"podCIDR":"10.1.0.0/24","podCIDRs":["10.1.0.0/24","fd00::/64"]},
         "status":{"addresses":[{"address":"192.168.0.11","type":"InternalIP"},{"address":"a","type":"Hostname"},
                   {"address":"198.51.100.1","type":"ExternalIP"},{"address":"fd00:a::11","type":"InternalIP"}],
                   "conditions":[{"type":"MemoryPressure","status":"False"},{"type":"Ready","status":"True"}]}},
        {"kind":"Node","metadata":{"name":"b"},"spec":{},"status":{"addresses":null}},
        {"kind":"Node","metadata":{"name":"c"},"spec":{"podCIDR":"10.1.2.0/24"}}]}"#;

    #[test]
    fn what_kubectl_prints_is_read() {
        let nodes = read_nodes(LIST.as_bytes()).expect("it is a list");
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        let [a, b, c] = nodes.as_slice() else { panic!("{nodes:?}") };
        assert_eq!(a.addresses, words(&["192.168.0.11", "fd00:a::11"]));
        assert_eq!((a.pod_cidrs.clone(), a.ready), (words(&["10.1.0.0/24", "fd00::/64"]), Ready::Ready));
        assert_eq!((b.name.as_str(), b.pod_cidrs.len(), b.ready), ("b", 0, Ready::Unsaid));
        assert_eq!(c.pod_cidrs, words(&["10.1.2.0/24"]));
        let one = read_nodes(br#"{"kind":"Node","metadata":{"name":"a"},"spec":{"podCIDRs":["10.1.0.0/24"]}}"#);
        assert_eq!(one.expect("it is a node")[0].pod_cidrs, words(&["10.1.0.0/24"]));
        assert_eq!(read_nodes(br#"{"kind":"NodeList","items":[{"metadata":{"name":"a"}}]}"#).expect("a list").len(), 1);
    }

    #[test]
    fn what_is_no_list_of_nodes_is_refused_with_the_reason() {
        for (json, reason) in [
            ("", "is not the output of"),
            ("[]", "is not the output of"),
            (r#"{"items":[]}"#, "missing field `kind`"),
            (r#"{"kind":"Pod","metadata":{"name":"a"}}"#, "of kind \"Pod\", not nodes"),
            (r#"{"kind":"List","items":[{"kind":"Pod","metadata":{"name":"a"}}]}"#, "of kind \"Pod\" beside nodes"),
            (r#"{"kind":"List","items":[{"kind":"Node","metadata":{}}]}"#, "without a name"),
            (r#"{"kind":"List"}"#, "of kind \"List\""),
            (
                r#"{"kind":"NodeList","items":[{"metadata":{"name":"a"}},{"metadata":{"name":"a"}}]}"#,
                "two nodes named \"a\"",
            ),
        ] {
            let error = read_nodes(json.as_bytes()).expect_err(json);
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn of_a_node_with_thousands_of_addresses_a_few_are_looked_at() {
        let address = NodeAddress { kind: "InternalIP".into(), address: "192.168.0.1".into() };
        let status = NodeStatus { addresses: Some(vec![address; 5000]), conditions: None };
        let spec = NodeSpec { pod_cidrs: Some(vec!["10.0.0.0/24".into(); 5000]), pod_cidr: None };
        let fact = NodeFact::of("a".into(), &spec, Some(&status));
        assert_eq!((fact.addresses.len(), fact.pod_cidrs.len()), (MOST, MOST));
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(cut in 0..LIST.len(), at in 0..LIST.len(), byte in any::<u8>()) {
            let mut bytes = LIST.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = read_nodes(&bytes);
            let _ = read_nodes(&bytes[..cut]);
        }
    }
}
