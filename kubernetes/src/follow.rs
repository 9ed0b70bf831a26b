//! From the events of a watch to updates.

use std::fmt::Debug;
use std::pin::pin;

use causeway_control::feed::{Named, Update};
use futures::{Stream, StreamExt};
use kube::runtime::watcher::Event;

use crate::said;

/// The name of an object, and what is to be said of it: nothing, if it is as good as gone.
/// `None`: it has no name; the server would not have taken it.
pub(crate) type Judged<T> = Option<(<T as Named>::Name, Option<T>)>;

/// Says what a watch hears, until something goes wrong; then what.
///
/// A list counts when it is whole. Objects that went while nobody watched are missing in it,
/// and no event says so: that is why it is handed on as all there are.
pub(crate) async fn follow<K, T: Named, E: std::error::Error + Debug + 'static>(
    events: impl Stream<Item = Result<Event<K>, E>>,
    judge: impl Fn(K) -> Judged<T>,
    heard: &mut dyn FnMut(Update<T>),
) -> String {
    let mut events = pin!(events);
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(object)) => listed.extend(judge(object).and_then(|(_, fact)| fact)),
            Ok(Event::InitDone) => {
                heard(Update::All(std::mem::take(&mut listed)));
                heard(Update::InStep);
            }
            Ok(Event::Apply(object)) => {
                if let Some((name, fact)) = judge(object) {
                    heard(fact.map_or(Update::Gone(name), Update::One));
                }
            }
            Ok(Event::Delete(object)) => {
                if let Some((name, _)) = judge(object) {
                    heard(Update::Gone(name));
                }
            }
            Err(error) => return said(&error),
        }
    }
    "the watch has ended".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Node, Pod, judge_node, judge_pod};
    use causeway_control::config::Config;
    use causeway_control::nodes::{NodeFact, NodeSpec};
    use causeway_control::pods::{PodSpec, PodStatus, Selectors};
    use futures::stream;
    use kube::api::{ApiResource, GroupVersionKind};

    fn node(name: &str, cidr: &str) -> Node {
        let spec = NodeSpec { pod_cidr: None, pod_cidrs: Some(vec![cidr.to_owned()]) };
        Node::new(name, &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Node")), spec)
    }

    fn heard(events: Vec<Result<Event<Node>, std::io::Error>>) -> (Vec<Update<NodeFact>>, String) {
        let mut updates = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let why = runtime.block_on(follow(stream::iter(events), judge_node, &mut |update| updates.push(update)));
        (updates, why)
    }

    fn named(name: &str, cidr: &str) -> NodeFact {
        judge_node(node(name, cidr)).and_then(|(_, fact)| fact).expect("it has a name")
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

    fn pod(name: &str, app: &str) -> Pod {
        let mut pod =
            Pod::new(name, &ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Pod")), PodSpec::default());
        pod.metadata.namespace = Some("shop".into());
        pod.metadata.labels = Some([("app".to_owned(), app.to_owned())].into());
        pod.status = Some(PodStatus { pod_ip: Some("10.1.0.1".into()), ..PodStatus::default() });
        pod
    }

    #[test]
    fn a_pod_that_no_rule_asks_for_any_more_is_as_good_as_gone() {
        let text = "gateway.name = \"g\"\n[[port]]\nname = \"nodes\"\ndriver = \"memory\"\naddresses = [\"192.168.0.1/24\"]\n\
                    [[port]]\nname = \"out\"\ndriver = \"memory\"\naddresses = [\"203.0.113.2/24\"]\n\
                    [[pool]]\nname = \"p\"\naddresses = [\"203.0.113.1\"]\n\
                    [[cluster]]\nname = \"c\"\nmodel = \"island\"\npod-cidrs = [\"10.1.0.0/16\"]\nports = [\"nodes\"]\n\
                    egress = \"p\"\nnodes-from = { in-cluster = true }\n\
                    [[cluster.egress-rule]]\npod-selector = \"app=web\"\npool = \"p\"\n";
        let (config, _) = Config::parse("t.toml", text).unwrap_or_else(|errors| panic!("{errors}"));
        let selectors = Selectors::of(&config.clusters[0]);
        let events = vec![
            Ok::<_, std::io::Error>(Event::Init),
            Ok(Event::InitApply(pod("a", "web"))),
            Ok(Event::InitApply(pod("b", "db"))),
            Ok(Event::InitDone),
            Ok(Event::Apply(pod("a", "db"))),
            Ok(Event::Apply(pod("b", "web"))),
            Ok(Event::Delete(pod("b", "web"))),
        ];
        let mut updates = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let judge = |pod| judge_pod(&selectors, pod);
        runtime.block_on(follow(stream::iter(events), judge, &mut |update| updates.push(update)));
        let chosen = |name: &str| judge(pod(name, "web")).and_then(|(_, chosen)| chosen).expect("it is chosen");
        let expected = [
            Update::All(vec![chosen("a")]),
            Update::InStep,
            Update::Gone(chosen("a").name),
            Update::One(chosen("b")),
            Update::Gone(chosen("b").name),
        ];
        assert_eq!(updates, expected);
    }
}
