//! What each model of a cluster means to real programs.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::traffic::{self, Attempt};
use causeway_lab::{Host, World};
use causeway_tests::stage::Stage;
use ipnet::IpNet;

const SOON: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(30);
const MEGABYTE: u64 = 1_000_000;

/// The lab's configuration with another model, and other lines in the place of `egress`.
fn with_model(model: &str, egress: &str) -> String {
    let text = plan::CONFIG.replace("model = \"island\"", &format!("model = \"{model}\""));
    assert_eq!(text.matches("egress = \"egress\"\n").count(), 1);
    text.replace("egress = \"egress\"\n", egress)
}

/// Lets a host outside know the way to pods.
fn show_the_way(host: &Host, family: Family) {
    let mut netlink = host.netlink().expect("netlink");
    netlink.add_route(plan::PODS.network(family), plan::GATEWAY_UPLINK.address(family)).expect("a route");
}

/// Before the neighbours know each other, packets may be lost.
fn meet(from: &Host, to: IpAddr) {
    traffic::ping(from, to, 2, 56, SOON).expect("a raw socket");
}

fn tcp(from: &Host, to: &Host, address: IpAddr) -> IpAddr {
    let figures = traffic::tcp_exchange(from, to, address, MEGABYTE, MEGABYTE, LIMIT).expect("TCP");
    assert!(figures.up.intact() && figures.down.intact(), "{figures:?}");
    figures.seen.ip()
}

pub(crate) fn two_islands_with_the_same_addresses_talk_at_once_and_are_kept_apart(stage: &mut Stage) {
    let twin = |family| plan::GATEWAY_TWIN.interface(family).to_string();
    let address = |family| plan::TWIN_NODE.address(family).to_string();
    let [v4, v6] = Family::BOTH;
    let pods = Family::BOTH.map(|family| plan::node_towards_pods(0).network(family).to_string());
    stage.configure(&format!(
        "{}\n[[port]]\nname = \"twin\"\ndevice = \"eth2\"\naddresses = [\"{}\", \"{}\"]\n\
         [[cluster]]\nname = \"red\"\nmodel = \"island\"\negress = \"egress\"\npod-cidrs = [\"10.1.0.0/16\", \"fd00:10::/56\"]\n\
         [[cluster.node]]\nname = \"node-x\"\naddresses = [\"{}\", \"{}\"]\npod-cidrs = [\"{}\", \"{}\"]\n",
        plan::CONFIG, twin(v4), twin(v6), address(v4), address(v6), pods[0], pods[1],
    ));
    stage.start();
    let world = &stage.world;
    let server = world.host("server");
    let pods = [world.host("pod-a1"), world.host("pod-x1")];
    for family in Family::BOTH {
        let to = server.address(family);
        assert_eq!(pods[0].address(family), pods[1].address(family), "that is the point");
        pods.iter().for_each(|pod| meet(pod, to));
        // Both from the same address and port, to the same one, at the same time.
        let asks = pods.map(|pod| {
            let socket = pod.run(|| UdpSocket::bind((pod.address(family), 5_000))).expect("a free port");
            socket.connect((to, 7_000)).expect("a route");
            socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
            socket
        });
        let answers = server.run(|| UdpSocket::bind((to, 7_000))).expect("a free port");
        answers.set_read_timeout(Some(LIMIT)).expect("a timeout");
        for round in 0..50u8 {
            let mut names = Vec::new();
            for (socket, who) in asks.iter().zip([b'a', b'x']) {
                socket.send(&[who, round]).expect("a question");
            }
            let mut buffer = [0; 16];
            for _ in &asks {
                let (len, from) = answers.recv_from(&mut buffer).expect("a question arrives");
                names.push(from);
                answers.send_to(&buffer[..len], from).expect("an answer");
            }
            assert_ne!(names[0], names[1], "two pods, two names");
            for (socket, who) in asks.iter().zip([b'a', b'x']) {
                let len = socket.recv(&mut buffer).expect("an answer arrives");
                assert_eq!(buffer[..len], [who, round], "each gets its own");
            }
        }
        thread::scope(|scope| {
            let transfers = pods.map(|pod| scope.spawn(move || tcp(pod, server, to)));
            for transfer in transfers {
                let seen = transfer.join().expect("it does not panic");
                assert!(plan::POOL.contains(seen), "{seen}");
            }
        });
    }
    for domain in ["blue", "red"] {
        let filter = format!("domain={domain}");
        let rows = stage.gateway().show(&["sessions", "--filter", &filter, "--filter", "inside-port=5000"]);
        let rows = rows.expect("it shows sessions");
        assert!(rows.contains("10.1.1.10") && rows.contains(domain), "{rows}");
    }
}

pub(crate) fn isolated_pods_meet_each_other_and_what_is_forwarded(stage: &mut Stage) {
    let forward = |family| {
        format!(
            "[[forward]]\ncluster = \"blue\"\naddress = \"{}\"\nprotocol = \"udp\"\nport = 7000\nto = \"{}\"\n",
            plan::GATEWAY_UPLINK.address(family),
            plan::pod(0, 0).address(family),
        )
    };
    let pool = "[[pool]]\nname = \"egress\"\naddresses = [\"203.0.113.16/29\", \"2001:db8:1::100/125\"]\n";
    let config = with_model("isolated", "").replace(pool, "");
    stage.configure(&(config + &Family::BOTH.map(forward).concat()));
    stage.start();
    let world = &stage.world;
    let (pod, server, client) = (world.host("pod-a1"), world.host("server"), world.host("client"));
    for family in Family::BOTH {
        tcp(pod, world.host("pod-b1"), world.host("pod-b1").address(family));
        let node = world.host("node-a");
        meet(node, server.address(family));
        assert_eq!(tcp(node, server, server.address(family)), node.address(family), "nodes are routable");
        assert_eq!(tcp(client, node, node.address(family)), client.address(family));

        let attempt = traffic::connect_to(pod, server.socket(family, 80), SOON);
        // Linux says of "administratively prohibited" that the host is unreachable, and of
        // that of IPv6 that permission is denied.
        let refused = match &attempt {
            Ok(attempt) => *attempt == Attempt::Unreachable,
            Err(error) => error.kind() == ErrorKind::PermissionDenied,
        };
        assert!(refused, "{attempt:?}");
        show_the_way(client, family);
        let attempt = traffic::connect_to(client, pod.socket(family, 80), Duration::from_millis(300));
        assert_eq!(attempt.expect("an attempt"), Attempt::Silence);

        let service = pod.run(|| UdpSocket::bind((pod.address(family), 7_000))).expect("a free port");
        let public = SocketAddr::new(plan::GATEWAY_UPLINK.address(family), 7_000);
        assert_eq!(echo(client, family.unspecified(), &service, public), client.address(family));
    }
    let counters = stage.settled_counters();
    assert!(counters.get("drop", "model-isolated") >= 2, "{counters}");
}

pub(crate) fn flat_pods_are_met_under_their_own_addresses_and_hide_from_the_internet(stage: &mut Stage) {
    let routes = Family::BOTH.map(|family| {
        format!("[[route]]\nto = \"{}\"\nvia = \"{}\"\n", IpNet::from(internet(family)), plan::CLIENT.address(family))
    });
    stage.configure(&(with_model("flat", "egress = \"egress\"\n") + &routes.concat()));
    stage.start();
    let world = &stage.world;
    let (pod, server, client) = (world.host("pod-a1"), world.host("server"), world.host("client"));
    // Looking for the gateway, it shall ask by the address that it has on the link.
    client.namespace().set_sysctl("net.ipv4.conf.all.arp_announce", "2").expect("a switch");
    for family in Family::BOTH {
        let internet = internet(family);
        client.netlink().expect("netlink").add_address("lo", internet.into()).expect("an address");
        show_the_way(server, family);
        show_the_way(client, family);
        meet(pod, server.address(family));
        assert_eq!(tcp(pod, server, server.address(family)), pod.address(family), "a neighbour of the gateway");
        assert_eq!(tcp(server, pod, pod.address(family)), server.address(family));
        assert_eq!(tcp(pod, world.host("pod-b2"), world.host("pod-b2").address(family)), pod.address(family));
        meet(pod, internet);
        let seen = tcp(pod, client, internet);
        assert!(plan::POOL.contains(seen), "{seen}");
        // Who comes from the internet is let in, and answered by whom it asked.
        let service = pod.run(|| UdpSocket::bind((pod.address(family), 7_000))).expect("a free port");
        assert_eq!(echo(client, internet, &service, pod.socket(family, 7_000)), internet);
    }
}

/// An address of the client that is on no subnet of the gateway.
fn internet(family: Family) -> IpAddr {
    match family {
        Family::V4 => [198, 51, 100, 80].into(),
        Family::V6 => [0x2001, 0xdb8, 0x80, 0, 0, 0, 0, 0x80].into(),
    }
}

/// Has `from`, under this address, ask a service. Says whom that saw.
fn echo(from: &Host, own: IpAddr, service: &UdpSocket, at: SocketAddr) -> IpAddr {
    let asks = from.run(|| UdpSocket::bind((own, 0))).expect("a free port");
    asks.connect(at).expect("a route");
    for socket in [&asks, service] {
        socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
    }
    let mut buffer = [0; 16];
    asks.send(b"who?").expect("a question");
    let (len, seen) = service.recv_from(&mut buffer).expect("the question arrives");
    service.send_to(&buffer[..len], seen).expect("an answer");
    let len = asks.recv(&mut buffer).expect("the answer arrives");
    assert_eq!(&buffer[..len], b"who?");
    seen.ip()
}

pub(crate) fn exempted_destinations_see_pods_under_their_own_addresses(stage: &mut Stage) {
    let server = Family::BOTH.map(|family| format!("\"{}\"", IpNet::from(plan::SERVER.address(family)))).join(", ");
    stage.configure(&with_model("island", &format!("egress = \"egress\"\nnon-masquerade-cidrs = [{server}]\n")));
    stage.start();
    let world: &World = &stage.world;
    let (pod, server, client) = (world.host("pod-a1"), world.host("server"), world.host("client"));
    for family in Family::BOTH {
        let to = server.address(family);
        show_the_way(server, family);
        meet(pod, to);
        meet(pod, client.address(family));
        assert_eq!(tcp(pod, server, to), pod.address(family));
        let figures = traffic::udp_exchange(pod, server, to, 300).expect("UDP");
        assert_eq!((figures.answered, figures.damaged), (300, 0));
        assert_eq!(figures.seen.map(|seen| seen.ip()), Some(pod.address(family)));
        assert_eq!(traffic::ping(pod, to, 5, 4_000, SOON).expect("a raw socket").received(), 5, "in fragments");
        // Nobody listens there: the error of the server finds its way.
        let asks = pod.run(|| UdpSocket::bind((pod.address(family), 0))).expect("a free port");
        asks.connect((to, 9)).expect("a route");
        asks.set_read_timeout(Some(LIMIT)).expect("a timeout");
        asks.send(b"?").expect("a question");
        assert_eq!(asks.recv(&mut [0; 16]).expect_err("an error").kind(), ErrorKind::ConnectionRefused);
        // The server begins nothing, and others see what they always saw.
        let attempt = traffic::connect_to(server, pod.socket(family, 80), Duration::from_millis(300));
        assert_eq!(attempt.expect("an attempt"), Attempt::Silence);
        let seen = tcp(pod, client, client.address(family));
        assert!(plan::POOL.contains(seen), "{seen}");
    }
    assert!(stage.settled_counters().get("drop", "nat-unsolicited") >= 2);
}

pub(crate) fn a_policy_lets_one_host_begin_with_pods_and_no_other(stage: &mut Stage) {
    let policies = Family::BOTH.map(|family| {
        let client = IpNet::from(plan::CLIENT.address(family));
        format!("[[policy]]\nfrom = [\"{client}\"]\nto = [\"blue\"]\n")
    });
    stage.configure(&(plan::CONFIG.to_owned() + &policies.concat()));
    stage.start();
    let world = &stage.world;
    let (pod, server, client) = (world.host("pod-a1"), world.host("server"), world.host("client"));
    for family in Family::BOTH {
        show_the_way(server, family);
        show_the_way(client, family);
        meet(client, pod.address(family));
        assert_eq!(tcp(client, pod, pod.address(family)), client.address(family), "it is seen as it is");
        let attempt = traffic::connect_to(server, pod.socket(family, 80), Duration::from_millis(300));
        assert_eq!(attempt.expect("an attempt"), Attempt::Silence);
        // What the pod begins with it has a name, as ever.
        let seen = tcp(pod, client, client.address(family));
        assert!(plan::POOL.contains(seen), "{seen}");
    }
}
