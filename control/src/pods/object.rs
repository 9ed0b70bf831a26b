//! Pods and namespaces of Kubernetes, as far as they matter here.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::PodName;
use super::labels::Labels;
use crate::objects::{self, Expected, Item};

/// What is known about a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFact {
    /// Its name.
    pub name: PodName,
    /// Its labels.
    pub labels: Labels,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Does it have the addresses of its node?
    pub host_network: bool,
    /// Have all its containers ended for good? Its addresses may be somebody else's by now.
    pub finished: bool,
}

/// What is known about a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceFact {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
}

impl PodFact {
    /// From the parts of a Pod object.
    pub fn of(name: PodName, labels: Labels, spec: &PodSpec, status: Option<&PodStatus>) -> PodFact {
        let none = PodStatus::default();
        let status = status.unwrap_or(&none);
        let several = status.pod_ips.iter().flatten().map(|of| of.ip.as_str());
        let all = several.chain(status.pod_ip.as_deref()).take(MOST);
        let mut addresses: Vec<IpAddr> = all.filter_map(|address| address.parse().ok()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let finished = status.phase.as_deref().is_some_and(|phase| ["Succeeded", "Failed"].contains(&phase));
        PodFact { name, labels, addresses, host_network: spec.host_network.unwrap_or(false), finished }
    }

    /// Does it have addresses of its own, and live?
    pub(super) fn is_on_the_pod_network(&self) -> bool {
        !self.host_network && !self.finished && !self.addresses.is_empty()
    }
}

/// Addresses of a pod that are looked at. Kubernetes gives it two.
const MOST: usize = 8;

/// `spec` of a Pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Does it have the addresses of its node?
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_network: Option<bool>,
}

/// `status` of a Pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// "Pending", "Running", "Succeeded", "Failed" or "Unknown".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The first of `podIPs`.
    #[serde(rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// Its addresses: one of each family at most.
    #[serde(rename = "podIPs", skip_serializing_if = "Option::is_none")]
    pub pod_ips: Option<Vec<PodIp>>,
}

/// An address of a pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PodIp {
    /// The address.
    pub ip: String,
}

/// The pods and namespaces of a file: the output of `kubectl get pods,namespaces -A -o json`,
/// or of `kubectl get pods -A -o json`.
///
/// # Errors
/// It is not JSON, or holds other objects, or one has no name.
pub fn read_pods(json: &[u8]) -> Result<(Vec<PodFact>, Vec<NamespaceFact>), String> {
    const PODS: Expected = Expected {
        command: "kubectl get pods,namespaces -A -o json",
        nouns: "pods and namespaces",
        kinds: &["Pod", "Namespace"],
    };
    let (mut pods, mut namespaces) = (Vec::new(), Vec::new());
    for Item { of, metadata, spec, status, .. } in objects::read::<PodSpec, PodStatus>(json, &PODS)? {
        let name = metadata.name.filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| format!("holds a {} without a name", of.to_lowercase()))?;
        let labels = metadata.labels.unwrap_or_default();
        if of == "Namespace" {
            namespaces.push(NamespaceFact { name, labels });
        } else {
            let namespace = metadata.namespace.ok_or_else(|| format!("holds a pod without a namespace: {name:?}"))?;
            pods.push(PodFact::of(PodName { namespace, name }, labels, &spec, status.as_ref()));
        }
    }
    Ok((pods, namespaces))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &str = r#"{"apiVersion":"v1","kind":"List","metadata":{"resourceVersion":""},"items":[
        {"apiVersion":"v1","kind":"Pod","metadata":{"name":"a","namespace":"shop","labels":{"app":"web"}},
         "spec":{"containers":[{"name":"c"}],"nodeName":"n"},
         "status":{"phase":"Running","podIP":"10.1.0.5","podIPs":[{"ip":"10.1.0.5"},{"ip":"fd00:10::5"}]}},
        {"kind":"Pod","metadata":{"name":"b","namespace":"shop"},"spec":{"hostNetwork":true},"status":{"podIP":"10.1.0.6"}},
        {"kind":"Pod","metadata":{"name":"c","namespace":"bank","labels":null},"status":{"phase":"Failed","podIP":"?"}},
        {"kind":"Namespace","metadata":{"name":"shop","labels":{"team":"red"}},"spec":{"finalizers":["kubernetes"]},
         "status":{"phase":"Active"}}]}"#;

    #[test]
    fn what_kubectl_prints_is_read() {
        let (pods, namespaces) = read_pods(LIST.as_bytes()).expect("it is a list");
        let [a, b, c] = pods.as_slice() else { panic!("{pods:?}") };
        assert_eq!(a.addresses, ["10.1.0.5".parse::<IpAddr>().expect("v4"), "fd00:10::5".parse().expect("v6")]);
        assert_eq!((a.name.to_string().as_str(), a.labels["app"].as_str()), ("shop/a", "web"));
        assert!(a.is_on_the_pod_network());
        assert!(b.host_network && !b.is_on_the_pod_network());
        assert!(c.finished && c.addresses.is_empty() && c.labels.is_empty());
        let [shop] = namespaces.as_slice() else { panic!("{namespaces:?}") };
        assert_eq!((shop.name.as_str(), shop.labels["team"].as_str()), ("shop", "red"));
        let one = br#"{"kind":"Pod","metadata":{"name":"a","namespace":"x"},"spec":{},"status":{"podIP":"10.1.0.5"}}"#;
        assert_eq!(read_pods(one).expect("it is a pod").0[0].addresses.len(), 1);
        let list = br#"{"kind":"PodList","items":[{"metadata":{"name":"a","namespace":"x"}}]}"#;
        assert_eq!(read_pods(list).expect("it is a list").0.len(), 1);
    }

    #[test]
    fn what_is_no_list_of_pods_is_refused_with_the_reason() {
        for (json, reason) in [
            ("", "is not the output of \"kubectl get pods,namespaces -A -o json\""),
            (r#"{"kind":"Node","metadata":{"name":"a"}}"#, "of kind \"Node\", not pods and namespaces"),
            (r#"{"kind":"List","items":[{"kind":"Node"}]}"#, "of kind \"Node\" beside pods"),
            (r#"{"kind":"List","items":[{"metadata":{"name":"a"}}]}"#, "of kind \"\" beside pods"),
            (r#"{"kind":"List","items":[{"kind":"Pod","metadata":{}}]}"#, "a pod without a name"),
            (r#"{"kind":"List","items":[{"kind":"Pod","metadata":{"name":"a"}}]}"#, "without a namespace: \"a\""),
        ] {
            let error = read_pods(json.as_bytes()).expect_err(json);
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(cut in 0..LIST.len(), at in 0..LIST.len(), byte in any::<u8>()) {
            let mut bytes = LIST.as_bytes().to_vec();
            bytes[at] = byte;
            let _ = read_pods(&bytes);
            let _ = read_pods(&bytes[..cut]);
        }
    }
}
