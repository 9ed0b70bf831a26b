//! Services of pods, reached by public addresses.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::traffic;
use causeway_tests::stage::Stage;

use crate::transfer::{HTTP, download, http_server};

/// A public address that is neither the gateway's nor in a pool.
fn own_address(family: Family) -> IpAddr {
    match family {
        Family::V4 => [203, 0, 113, 41].into(),
        Family::V6 => [0x2001, 0xdb8, 1, 0, 0, 0, 0, 0x141].into(),
    }
}

/// Starts a gateway with a section more for each family, whose keys `keys` says.
fn start(stage: &mut Stage, section: &str, keys: impl Fn(Family) -> String) {
    let more: String = Family::BOTH
        .into_iter()
        .map(|family| format!("[[{section}]]\ncluster = \"blue\"\n{}\n", keys(family)))
        .collect();
    stage.configure(&(plan::CONFIG.to_owned() + &more));
    stage.start();
}

pub(crate) fn the_outside_and_pods_reach_a_service_by_its_public_address(stage: &mut Stage) {
    // On an address of the pool, and on the gateway's own.
    let publics = |family| [plan::POOL.address(family), plan::GATEWAY_UPLINK.address(family)];
    start(stage, "forward", |family| {
        let [pool, own] = publics(family);
        let (to, key) = (plan::pod(1, 0).address(family), "protocol = \"tcp\"\nport = 80\nto");
        format!(
            "address = \"{pool}\"\n{key} = \"{to}\"\nto-port = {HTTP}\n\
             [[forward]]\ncluster = \"blue\"\naddress = \"{own}\"\n{key} = \"{to}\"\nto-port = {HTTP}"
        )
    });
    let world = &stage.world;
    let shop = stage.folder().path().join("shop");
    fs::create_dir(&shop).expect("a folder");
    fs::write(shop.join("ware"), vec![7; 3_000_000]).expect("a file");
    for family in Family::BOTH {
        let _http = http_server(world.host("pod-b1"), family, &shop);
        for public in publics(family) {
            // From outside, from pods of both nodes, and from the service itself.
            for buyer in ["client", "pod-a1", "pod-b2", "pod-b1"] {
                let bought = stage.folder().path().join("bought");
                download(world.host(buyer), SocketAddr::new(public, 80), "ware", &bought);
                assert_eq!(fs::metadata(&bought).expect("a file").len(), 3_000_000, "{buyer} from {public}");
                fs::remove_file(bought).expect("a file");
            }
            let closed = SocketAddr::new(public, 81);
            let attempt = traffic::connect_to(world.host("client"), closed, Duration::from_millis(300));
            assert_ne!(attempt.expect("an attempt"), traffic::Attempt::Connected);
        }
    }
    let shown = stage.show("sessions");
    let rows = shown["sessions"]["sessions"].as_array().expect("a list");
    assert!(rows.iter().any(|row| row["forwarded"] == true) && rows.iter().any(|row| row["forwarded"] == false));
}

pub(crate) fn an_address_of_its_own_takes_whatever_is_sent_to_it(stage: &mut Stage) {
    start(stage, "static-nat", |family| {
        format!("address = \"{}\"\nto = \"{}\"", own_address(family), plan::pod(0, 0).address(family))
    });
    let world = &stage.world;
    let (client, pod, server) = (world.host("client"), world.host("pod-a1"), world.host("server"));
    for family in Family::BOTH {
        let own = own_address(family);
        let figures = traffic::udp_exchange(client, pod, own, 500).expect("UDP");
        assert_eq!((figures.answered, figures.damaged), (500, 0), "over {}", family.name());
        assert_eq!(figures.seen.map(|seen| seen.ip()), Some(client.address(family)), "clients are seen as they are");
        let (size, limit) = (5_000_000, Duration::from_secs(30));
        let figures = traffic::tcp_exchange(client, pod, own, size, size, limit).expect("TCP");
        assert!(figures.up.intact() && figures.down.intact(), "{figures:?}");
        let pings = traffic::ping(client, own, 5, 56, Duration::from_secs(2)).expect("a raw socket");
        assert_eq!(pings.received(), 5);
        // What the pod begins has the same name. Before the server is known, packets are lost.
        traffic::ping(pod, server.address(family), 1, 56, Duration::from_secs(2)).expect("a raw socket");
        let figures = traffic::udp_exchange(pod, server, server.address(family), 100).expect("UDP");
        assert_eq!((figures.answered, figures.seen.map(|seen| seen.ip())), (100, Some(own)));
        // Other pods reach it so, too.
        let figures = traffic::udp_exchange(world.host("pod-b1"), pod, own, 100).expect("UDP");
        assert_eq!((figures.answered, figures.damaged), (100, 0));
        assert!(plan::POOL.contains(figures.seen.expect("somebody asked").ip()), "they come under their public name");
    }
}
