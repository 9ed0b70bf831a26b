//! From the events of a watch to updates.

use std::fmt::Debug;
use std::pin::pin;

use causeway_control::nodes::{NodeFact, Update};
use futures::{Stream, StreamExt};
use kube::runtime::watcher::Event;

use crate::conditions::{Seen, unavailable};
use crate::{Node, said};

/// Says what a watch hears, until something goes wrong; then what.
///
/// A list counts when it is whole. Nodes that went while nobody watched are missing in it,
/// and no event says so: that is why it is handed on as all nodes there are.
pub(crate) async fn follow<E: std::error::Error + Debug + 'static>(
    events: impl Stream<Item = Result<Event<Node>, E>>,
    seen: &Seen,
    heard: &mut impl FnMut(Update),
) -> String {
    let mut events = pin!(events);
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(node)) => listed.extend(fact(node)),
            Ok(Event::InitDone) => {
                let (facts, conditions): (Vec<_>, Vec<_>) = std::mem::take(&mut listed).into_iter().unzip();
                seen.replace(conditions);
                heard(Update::All(facts));
                heard(Update::InStep);
            }
            Ok(Event::Apply(node)) => {
                if let Some((fact, (name, unavailable))) = fact(node) {
                    seen.set(&name, unavailable);
                    heard(Update::One(fact));
                }
            }
            Ok(Event::Delete(node)) => {
                if let Some(name) = node.metadata.name {
                    seen.remove(&name);
                    heard(Update::Gone(name));
                }
            }
            Err(error) => return said(&error),
        }
    }
    "the watch has ended".to_owned()
}

/// An object without a name is none: the server would not have taken it.
fn fact(node: Node) -> Option<(NodeFact, (String, Option<bool>))> {
    let unavailable = unavailable(&node);
    let name = node.metadata.name?;
    Some((NodeFact::of(name.clone(), &node.spec, node.status.as_ref()), (name, unavailable)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_control::nodes::NodeSpec;
    use futures::stream;
    use kube::api::{ApiResource, GroupVersionKind};

    fn node(name: &str, cidr: &str) -> Node {
        let spec = NodeSpec { pod_cidr: None, pod_cidrs: Some(vec![cidr.to_owned()]) };
        Node::new(name, &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Node")), spec)
    }

    fn heard(events: Vec<Result<Event<Node>, std::io::Error>>) -> (Vec<Update>, String) {
        let mut updates = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let why = runtime.block_on(follow(stream::iter(events), &Seen::default(), &mut |update| updates.push(update)));
        (updates, why)
    }

    fn named(name: &str, cidr: &str) -> NodeFact {
        fact(node(name, cidr)).expect("it has a name").0
    }

    #[test]
    fn a_list_counts_when_it_is_whole_and_changes_come_after_it() {
        let (updates, why) = heard(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(node("a", "10.0.1.0/24"))),
            Ok(Event::InitApply(node("b", "10.0.2.0/24"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(node("c", "10.0.3.0/24"))),
            Ok(Event::Delete(node("a", "10.0.1.0/24"))),
        ]);
        let all = vec![named("a", "10.0.1.0/24"), named("b", "10.0.2.0/24")];
        let one = Update::One(named("c", "10.0.3.0/24"));
        assert_eq!(updates, [Update::All(all), Update::InStep, one, Update::Gone("a".into())]);
        assert_eq!(why, "the watch has ended");
    }

    #[test]
    fn half_a_list_says_nothing() {
        let (updates, why) = heard(vec![
            Ok(Event::Init),
            Ok(Event::InitApply(node("a", "10.0.1.0/24"))),
            Err(std::io::Error::other("410 Gone")),
            Ok(Event::InitDone),
        ]);
        assert_eq!((updates, why.as_str()), (Vec::new(), "410 Gone"));
        let again =
            vec![Ok(Event::Init), Ok(Event::InitApply(node("a", "10.0.1.0/24"))), Ok(Event::Init), Ok(Event::InitDone)];
        assert_eq!(heard(again).0[0], Update::All(Vec::new()), "a list that is begun anew forgets what it had");
    }
}
