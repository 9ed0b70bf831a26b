//! Pods of a real cluster that leave under another pool, by their labels.

use std::net::IpAddr;
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::traffic;
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;

use crate::control_plane::ControlPlane;
use crate::routes::PATIENCE;

/// Behind the keys of a cluster.
pub(crate) const RULES: &str = "
[[cluster.egress-rule]]
namespace-selector = \"team=red\"
pod-selector = \"app=web\"
pool = \"partners\"
[[cluster.egress-rule]]
namespace = \"nowhere\"
pool = \"partners\"
[[pool]]
name = \"partners\"
addresses = [\"203.0.113.40\"]
";
const PARTNERS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 40));

pub(crate) fn pods_leave_as_their_labels_say(stage: &Stage, cluster: &ControlPlane<'_>) {
    let pod = stage.world.host("pod-a1").address(Family::V4).to_string();
    cluster.add_namespace("shop", "team=red");
    cluster.add_pod("shop", "a1", ("app", "web"), &pod);
    leaves_as(stage, 1);
    cluster.kubectl(&["label", "pod", "a1", "--namespace", "shop", "app=db", "--overwrite"]);
    leaves_as(stage, 0);
    cluster.kubectl(&["label", "pod", "a1", "--namespace", "shop", "app=web", "--overwrite"]);
    leaves_as(stage, 1);
    cluster.kubectl(&["label", "namespace", "shop", "team=blue", "--overwrite"]);
    leaves_as(stage, 0);
    cluster.kubectl(&["label", "namespace", "shop", "team=red", "--overwrite"]);
    leaves_as(stage, 1);
    cluster.kubectl(&["delete", "pod", "a1", "--namespace", "shop", "--force", "--grace-period=0"]);
    leaves_as(stage, 0);
}

/// Waits until the rule chooses so many pods, and looks under whose address the pod is seen.
#[track_caller]
fn leaves_as(stage: &Stage, chosen: u64) {
    let rules = || stage.show("egress")["egress"]["rules"].clone();
    let come = wait_until(PATIENCE, || rules()[0]["pods"] == chosen);
    assert!(come, "not {chosen}: {}", stage.show("egress"));
    assert_eq!(rules()[1]["pods"], 0, "a namespace that is not there");
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    let to = server.address(Family::V4);
    traffic::ping(pod, to, 2, 56, Duration::from_secs(2)).expect("a raw socket");
    let seen = traffic::udp_exchange(pod, server, to, 10).expect("UDP").seen.map(|seen| seen.ip());
    match chosen {
        0 => assert!(seen.is_some_and(|seen| plan::POOL.contains(seen)), "{seen:?}"),
        _ => assert_eq!(seen, Some(PARTNERS)),
    }
}
