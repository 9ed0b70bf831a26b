//! Sessions that are ended while traffic flows.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use causeway_lab::plan::{self, Family};
use causeway_lab::{Host, traffic};
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;

/// How long what arrives at all may take.
const SOON: Duration = Duration::from_secs(5);

pub(crate) fn killed_sessions_end_while_others_go_on(stage: &mut Stage) {
    stage.start();
    let world = &stage.world;
    let server = world.host("server");
    for family in Family::BOTH {
        let mut doomed = connect(world.host("pod-a1"), server, family);
        let mut spared = connect(world.host("pod-a2"), server, family);
        assert!(arrives(&mut doomed) && arrives(&mut spared));
        let filter = format!("inside={}", plan::pod(0, 0).address(family));
        let kill = |more: &[&str]| {
            let words = [&["sessions", "kill", "--filter", "protocol=tcp", "--filter", &filter], more].concat();
            stage.gateway().ask(&words).expect("it is done")
        };
        let before = stage.counters().get("drop", "nat-tcp-not-syn");
        thread::scope(|scope| {
            let bystander = world.host("pod-b1");
            let busy = scope.spawn(move || {
                let size = 50_000_000;
                traffic::tcp_exchange(bystander, server, server.address(family), size, size, Duration::from_secs(60))
            });
            assert_eq!(kill(&["--dry-run"]), "1 session would end\n");
            assert!(arrives(&mut doomed), "that was only a question");
            assert_eq!(kill(&[]), "1 session ended\n");
            assert!(!arrives(&mut doomed), "what is left of it goes nowhere");
            assert!(arrives(&mut spared));
            assert_eq!(kill(&[]), "0 sessions ended\n");
            let figures = busy.join().expect("it does not panic").expect("an exchange");
            assert!(figures.up.intact() && figures.down.intact(), "{figures:?}");
        });
        assert!(wait_until(SOON, || stage.counters().get("drop", "nat-tcp-not-syn") > before), "strays are counted");
        let mut again = connect(world.host("pod-a1"), server, family);
        assert!(arrives(&mut again), "a new conversation is welcome");
    }
}

/// Both ends of a connection from one host to another.
pub(crate) fn connect(from: &Host, to: &Host, family: Family) -> (TcpStream, TcpStream) {
    let listener = to.run(|| TcpListener::bind(SocketAddr::new(family.unspecified(), 0))).expect("a socket");
    let target = SocketAddr::new(to.address(family), listener.local_addr().expect("an address").port());
    let near = from.run(|| TcpStream::connect_timeout(&target, SOON)).expect("a connection");
    let (far, _) = listener.accept().expect("a connection");
    far.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    near.set_nodelay(true).expect("a switch");
    (near, far)
}

/// Does a byte get from the one end to the other?
pub(crate) fn arrives((near, far): &mut (TcpStream, TcpStream)) -> bool {
    near.write_all(b"x").expect("room in the socket");
    match far.read(&mut [0; 16]) {
        Ok(count) => count == 1,
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
        Err(error) => panic!("the connection broke: {error}"),
    }
}
