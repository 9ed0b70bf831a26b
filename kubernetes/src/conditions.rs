//! The condition `NetworkUnavailable` of nodes, kept as route controllers of clouds do.
//!
//! The model is kube-controller-manager's route controller: the same status, reasons and
//! messages, and a node whose status is right already is left alone.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use crate::{Node, Pause, said};

/// By name: are all pod CIDRs of the node routed? Nodes that are not in it are left alone.
pub type Routed = BTreeMap<String, bool>;

/// Says what has become of nodes.
#[derive(Debug)]
pub struct Teller(watch::Sender<Arc<Routed>>);

/// Where that is heard.
#[derive(Clone, Debug)]
pub struct Told(watch::Receiver<Arc<Routed>>);

/// A pair of them.
pub fn conditions() -> (Teller, Told) {
    let (teller, told) = watch::channel(Arc::default());
    (Teller(teller), Told(told))
}

impl Teller {
    /// This is what counts now. Does not wait.
    pub fn tell(&self, routed: Routed) {
        self.0.send_replace(Arc::new(routed));
    }
}

/// What nodes' conditions are, as a watch has it.
#[derive(Default)]
pub(crate) struct Seen {
    /// A list that is not whole yet.
    listed: RefCell<Vec<(String, Option<bool>)>>,
    /// By name: is the condition "True", "False", or neither?
    nodes: RefCell<BTreeMap<String, Option<bool>>>,
    changed: Notify,
}

impl Seen {
    /// Takes note of what a watch hears. A list counts when it is whole.
    pub(crate) fn hear(&self, event: &Event<Node>) {
        match event {
            Event::Init => self.listed.borrow_mut().clear(),
            Event::InitApply(node) => {
                self.listed.borrow_mut().extend(node.metadata.name.clone().map(|name| (name, unavailable(node))));
            }
            Event::InitDone => self.replace(self.listed.take()),
            Event::Apply(node) => {
                if let Some(name) = &node.metadata.name {
                    self.set(name, unavailable(node));
                }
            }
            Event::Delete(node) => {
                if let Some(name) = &node.metadata.name {
                    self.remove(name);
                }
            }
        }
    }

    /// These are all nodes.
    fn replace(&self, nodes: impl IntoIterator<Item = (String, Option<bool>)>) {
        *self.nodes.borrow_mut() = nodes.into_iter().collect();
        self.changed.notify_one();
    }

    /// One has changed.
    fn set(&self, node: &str, unavailable: Option<bool>) {
        if self.nodes.borrow_mut().insert(node.to_owned(), unavailable) != Some(unavailable) {
            self.changed.notify_one();
        }
    }

    /// One has gone.
    fn remove(&self, node: &str) {
        self.nodes.borrow_mut().remove(node);
    }

    /// Nodes that are there and say something else than they should, and what they should.
    fn wrong(&self, routed: &Routed) -> Vec<(String, bool)> {
        let nodes = self.nodes.borrow();
        let is_wrong =
            |(node, unavailable): &(&String, bool)| nodes.get(*node).is_some_and(|seen| *seen != Some(*unavailable));
        let wanted = routed.iter().map(|(node, routed)| (node, !routed));
        wanted.filter(is_wrong).map(|(node, unavailable)| (node.clone(), unavailable)).collect()
    }
}

/// The condition in a node's status.
fn unavailable(node: &Node) -> Option<bool> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    match conditions.iter().find(|condition| condition.kind == TYPE)?.status.as_str() {
        "True" => Some(true),
        "False" => Some(false),
        _ => None,
    }
}

/// Mends conditions, for ever; of those that cannot be mended, some time later.
pub(crate) async fn keep(api: &Api<Node>, seen: &Seen, mut told: Told) -> Infallible {
    let mut pause = Pause::default();
    let mut refused = false;
    loop {
        let routed = Arc::clone(&told.0.borrow_and_update());
        let wrong = seen.wrong(&routed);
        let mended = wrong.len();
        match mend(api, seen, wrong).await {
            Ok(()) => {
                if mended > 0 {
                    info!(nodes = mended, "NetworkUnavailable was patched");
                }
                (pause, refused) = (Pause::default(), false);
                tokio::time::sleep(REST).await;
                match select(pin!(seen.changed.notified()), pin!(told.0.changed())).await {
                    // Nobody says any more what becomes of nodes.
                    Either::Right((Err(_), _)) => return std::future::pending().await,
                    Either::Left(_) | Either::Right((Ok(()), _)) => {}
                }
            }
            Err(why) => {
                if !std::mem::replace(&mut refused, true) {
                    warn!(
                        why,
                        "NetworkUnavailable cannot be patched; causeway kubernetes rbac --patch-network-unavailable grants it"
                    );
                }
                tokio::time::sleep(pause.after(Duration::ZERO)).await;
            }
        }
    }
}

/// Patches each; stops where the server takes none. One node's trouble does not keep it from
/// the others.
async fn mend(api: &Api<Node>, seen: &Seen, wrong: Vec<(String, bool)>) -> Result<(), String> {
    let mut trouble = Ok(());
    for (node, unavailable) in wrong {
        let patch = Patch::Strategic(patch(unavailable, Timestamp::now()));
        match api.patch_status(&node, &PatchParams::default(), &patch).await {
            Ok(_) => seen.set(&node, Some(unavailable)),
            Err(kube::Error::Api(status)) if status.code == 404 => seen.remove(&node),
            Err(kube::Error::Api(status)) if matches!(status.code, 409 | 422) => {
                trouble = Err(format!("node {node}: {}", status.message));
            }
            Err(error) => return Err(said(&error)),
        }
    }
    trouble
}

/// What the status of a node is patched with.
fn patch(unavailable: bool, now: Timestamp) -> Value {
    let (status, reason, message) = if unavailable {
        ("True", "NoRouteCreated", "RouteController failed to create a route")
    } else {
        ("False", "RouteCreated", "RouteController created a route")
    };
    let now = Time(now);
    json!({ "status": { "conditions": [{
        "type": TYPE, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": now, "lastHeartbeatTime": now,
    }] } })
}

const TYPE: &str = "NetworkUnavailable";
/// Between two rounds, so that who quarrels with another controller does not flood the server.
const REST: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::fake;

    #[test]
    fn what_is_right_already_and_who_is_not_there_is_left_alone() {
        let seen = Seen::default();
        let nodes = [("a", None), ("b", Some(true)), ("c", Some(false)), ("d", Some(false)), ("e", None)];
        seen.replace(nodes.map(|(node, unavailable)| (node.to_owned(), unavailable)));
        let wanted = [("a", true), ("b", true), ("c", true), ("d", false), ("gone", true)];
        let routed: Routed = wanted.map(|(node, routed)| (node.to_owned(), routed)).into();
        let wrong = |seen: &Seen| seen.wrong(&routed);
        assert_eq!(wrong(&seen), [("a".to_owned(), false), ("b".to_owned(), false), ("d".to_owned(), true)]);
        for (node, unavailable) in wrong(&seen) {
            seen.set(&node, Some(unavailable));
        }
        assert_eq!(wrong(&seen), []);
        seen.set("a", None);
        seen.remove("b");
        assert_eq!(wrong(&seen), [("a".to_owned(), false)], "somebody has taken it away");
    }

    #[test]
    fn a_list_counts_when_it_is_whole_and_changes_come_after_it() {
        let seen = Seen::default();
        let node = |name: &str, status: &str| -> Node {
            let condition = json!({ "type": TYPE, "status": status });
            let status = json!({ "conditions": [condition] });
            let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "spec": {}, "status": status });
            serde_json::from_value(node).expect("a node")
        };
        let hears = |event| {
            seen.hear(&event);
            let nodes = seen.nodes.borrow();
            nodes.iter().map(|(name, unavailable)| (name.clone(), *unavailable)).collect::<Vec<_>>()
        };
        let (a, b) = (|unavailable| ("a".to_owned(), unavailable), |unavailable| ("b".to_owned(), unavailable));
        hears(Event::InitApply(node("half", "True")));
        hears(Event::Init);
        assert_eq!(hears(Event::InitApply(node("a", "True"))), []);
        hears(Event::InitApply(node("b", "?")));
        assert_eq!(hears(Event::InitDone), [a(Some(true)), b(None)]);
        assert_eq!(hears(Event::Apply(node("a", "False"))), [a(Some(false)), b(None)]);
        assert_eq!(hears(Event::Delete(node("a", "False"))), [b(None)]);
    }

    #[test]
    fn the_patch_is_that_of_a_route_controller() {
        let of = |unavailable| patch(unavailable, Timestamp::UNIX_EPOCH)["status"]["conditions"][0].take();
        let routed = of(false);
        assert_eq!((&routed["type"], &routed["status"]), (&json!("NetworkUnavailable"), &json!("False")));
        assert_eq!((&routed["reason"], &of(true)["reason"]), (&json!("RouteCreated"), &json!("NoRouteCreated")));
        assert_eq!(of(true)["status"], "True");
        assert!(routed["lastTransitionTime"].as_str().is_some_and(|time| time.starts_with("1970-01-01T00:00:00")));
    }

    #[test]
    fn each_node_is_patched_once_and_again_only_where_it_was_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let refusals = Cell::new(1);
            let (client, requests) = fake::server(move |(what, _)| match (what.as_str(), refusals.get()) {
                ("PATCH /api/v1/nodes/a/status", 1) => {
                    refusals.set(0);
                    fake::refusal(403, "nodes \"a\" is forbidden")
                }
                ("PATCH /api/v1/nodes/gone/status", _) => fake::refusal(404, "nodes \"gone\" not found"),
                _ => (200, json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": "n" }, "spec": {} })),
            });
            let seen = Seen::default();
            seen.replace(["a", "b", "c", "gone"].map(|node| (node.to_owned(), None)));
            let (teller, told) = conditions();
            let wanted = |nodes: &[(&str, bool)]| -> Routed {
                nodes.iter().map(|(node, routed)| ((*node).to_owned(), *routed)).collect()
            };
            teller.tell(wanted(&[("a", true), ("b", false), ("gone", true)]));
            let api = crate::objects(client, "Node");
            let patched = async {
                let mut patched = Vec::new();
                while patched.len() < 5 {
                    match requests.try_recv() {
                        Ok((what, body)) => {
                            let condition = &body["status"]["conditions"][0];
                            patched.push(format!("{what} {} {}", condition["status"], condition["reason"]));
                            if patched.len() == 4 {
                                // What has been done is not done again.
                                teller.tell(wanted(&[("a", true), ("b", false), ("c", true), ("gone", true)]));
                            }
                        }
                        Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                    }
                }
                patched
            };
            let Either::Right((patched, _)) = select(pin!(keep(&api, &seen, told)), pin!(patched)).await;
            let expected = [
                ("a", "\"False\" \"RouteCreated\""),
                ("a", "\"False\" \"RouteCreated\""),
                ("b", "\"True\" \"NoRouteCreated\""),
                ("gone", "\"False\" \"RouteCreated\""),
                ("c", "\"False\" \"RouteCreated\""),
            ];
            assert_eq!(patched, expected.map(|(node, said)| format!("PATCH /api/v1/nodes/{node}/status {said}")));
        });
    }
}
