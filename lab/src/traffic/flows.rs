//! Many UDP flows at once, each of which knows what became of its datagrams.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::socket::{self, PATIENCE, timed_out, uninterrupted};
use super::udp::bind;
use crate::world::Host;

/// What became of one flow of [`udp_flows`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Datagrams that its client sent.
    pub sent: u32,
    /// Those that the server received. It sends each back.
    pub there: Arrivals,
    /// Those that came back to the client.
    pub back: Arrivals,
    /// Who sent them, as the server saw it: one name, unless it changed.
    pub seen: BTreeSet<SocketAddr>,
}

/// What one end of a flow received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Datagrams.
    pub count: u32,
    /// Those of them that came after one that was sent later, or once more.
    pub out_of_order: u32,
    /// The first number that may still come in order.
    next: u32,
}

impl Arrivals {
    fn note(&mut self, sequence: u32) {
        self.count += 1;
        if sequence < self.next {
            self.out_of_order += 1;
        } else {
            self.next = sequence + 1;
        }
    }
}

/// Servers, and flows of one client socket, each to another of them.
const SERVERS: usize = 4;

/// Keeps `flows` UDP flows going between `from`, who share them evenly, and four echo servers on `address` of `to`,
/// until `stop` is set, and each has sent once: at most `rate` datagrams a second there, flow by flow in turn, and as many
/// back. Then waits for what is on its way, for 2 s at most.
///
/// Takes a file descriptor for four flows.
///
/// # Errors
/// The kernel refuses a socket, or has no route.
///
/// # Panics
/// `from` is empty.
pub fn udp_flows(
    from: &[&Host],
    to: &Host,
    address: IpAddr,
    flows: usize,
    rate: u32,
    stop: &AtomicBool,
) -> io::Result<Vec<Flow>> {
    let servers = (0..SERVERS).map(|_| server(to, address)).collect::<io::Result<Vec<_>>>()?;
    let port = |server: &UdpSocket| server.local_addr().map(|local| SocketAddr::new(address, local.port()));
    let targets = servers.iter().map(port).collect::<io::Result<Vec<_>>>()?;
    let client = |nth: usize| bind(from[nth % from.len()], address);
    let sockets = (0..flows.div_ceil(SERVERS)).map(client).collect::<io::Result<Vec<_>>>()?;
    sockets.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
    let mut clients = Clients { sockets, targets, flows: vec![Flow::default(); flows] };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let echoes: Vec<_> = servers.iter().map(|server| scope.spawn(|| echo_until(server, flows, &over))).collect();
        let talked = clients.talk_until(stop, rate).and_then(|()| clients.wait());
        over.store(true, Ordering::Relaxed);
        for echo in echoes {
            let heard = echo.join().expect("an echo server does not panic")?;
            for (flow, heard) in clients.flows.iter_mut().zip(heard).filter(|(_, heard)| heard.there.count > 0) {
                (flow.there, flow.seen) = (heard.there, heard.seen);
            }
        }
        talked.map(|()| clients.flows)
    })
}

/// The clients' ends.
struct Clients {
    sockets: Vec<UdpSocket>,
    targets: Vec<SocketAddr>,
    flows: Vec<Flow>,
}

impl Clients {
    fn talk_until(&mut self, stop: &AtomicBool, rate: u32) -> io::Result<()> {
        let turn = Duration::from_millis(1);
        let most = rate.div_ceil(1000);
        let mut next = (0..self.flows.len()).cycle();
        while !stop.load(Ordering::Relaxed) || self.flows.iter().any(|flow| flow.sent == 0) {
            // What was not sent while others had the core is not sent in a lump afterwards.
            for number in next.by_ref().take(most as usize) {
                let socket = number / SERVERS;
                self.receive(socket)?;
                let datagram = datagram(number as u32, self.flows[number].sent);
                match self.sockets[socket].send_to(&datagram, self.targets[number % SERVERS]) {
                    Ok(_) => self.flows[number].sent += 1,
                    Err(error) if timed_out(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            thread::sleep(turn);
        }
        Ok(())
    }

    /// Takes what has come to a socket.
    fn receive(&mut self, socket: usize) -> io::Result<()> {
        let mut bytes = [0; LENGTH];
        loop {
            match uninterrupted(|| self.sockets[socket].recv_from(&mut bytes)) {
                Ok((length, source)) => {
                    let Some((number, sequence)) = read(&bytes[..length]) else { continue };
                    let number = number as usize;
                    if number / SERVERS == socket && source == self.targets[number % SERVERS] {
                        self.flows[number].back.note(sequence);
                    }
                }
                Err(error) if timed_out(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes what is still to come.
    fn wait(&mut self) -> io::Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE && self.flows.iter().any(|flow| flow.back.count < flow.sent) {
            (0..self.sockets.len()).try_for_each(|socket| self.receive(socket))?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

fn server(to: &Host, address: IpAddr) -> io::Result<UdpSocket> {
    let socket = bind(to, address)?;
    // Room for what comes while others have the core.
    socket::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, 4 << 20)?;
    socket.set_read_timeout(Some(Duration::from_millis(20)))?;
    Ok(socket)
}

/// Answers with the same bytes; what arrived of each flow.
fn echo_until(server: &UdpSocket, flows: usize, over: &AtomicBool) -> io::Result<Vec<Flow>> {
    let mut heard = vec![Flow::default(); flows];
    let mut bytes = [0; LENGTH];
    while !over.load(Ordering::Relaxed) {
        match uninterrupted(|| server.recv_from(&mut bytes)) {
            Ok((length, source)) => {
                let Some((number, sequence)) = read(&bytes[..length]) else { continue };
                let Some(flow) = heard.get_mut(number as usize) else { continue };
                flow.there.note(sequence);
                flow.seen.insert(source);
                server.send_to(&bytes[..length], source)?;
            }
            Err(error) if timed_out(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(heard)
}

/// Bytes of a datagram.
const LENGTH: usize = 64;

/// A datagram of a flow: the flow's number, its own, and bytes that follow from both.
fn datagram(flow: u32, sequence: u32) -> [u8; LENGTH] {
    let mut bytes = [(flow ^ sequence) as u8; LENGTH];
    bytes[..4].copy_from_slice(&flow.to_be_bytes());
    bytes[4..8].copy_from_slice(&sequence.to_be_bytes());
    bytes
}

/// The numbers of a datagram's flow and its own, if it came as it was sent.
fn read(bytes: &[u8]) -> Option<(u32, u32)> {
    let flow = u32::from_be_bytes(*bytes.first_chunk()?);
    let sequence = u32::from_be_bytes(*bytes.get(4..)?.first_chunk()?);
    (bytes == datagram(flow, sequence)).then_some((flow, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netns::Namespace;
    use crate::privilege::require_for_test;

    #[test]
    fn what_comes_late_or_twice_is_out_of_order() {
        let mut arrivals = Arrivals::default();
        for sequence in [0, 1, 4, 2, 4, 5] {
            arrivals.note(sequence);
        }
        assert_eq!((arrivals.count, arrivals.out_of_order), (6, 2));
    }

    #[test]
    fn a_datagram_is_read_as_it_was_sent_or_not_at_all() {
        let mut bytes = datagram(999, 70_000);
        assert_eq!(read(&bytes), Some((999, 70_000)));
        bytes[LENGTH - 1] ^= 1;
        assert_eq!(read(&bytes), None);
        assert_eq!(read(&bytes[..6]), None);
    }

    #[test]
    fn every_flow_talks_and_is_answered() {
        if !require_for_test("every_flow_talks_and_is_answered") {
            return;
        }
        let namespace = Namespace::new().unwrap();
        crate::netlink::Netlink::open(&namespace).unwrap().set_up("lo").unwrap();
        let host = Host::new("alone", namespace, None);
        let loopback = "127.0.0.1".parse().unwrap();
        let flows = udp_flows(&[&host, &host], &host, loopback, 10, 2000, &AtomicBool::new(true)).unwrap();
        let names: BTreeSet<_> = flows.iter().flat_map(|flow| &flow.seen).collect();
        assert_eq!((flows.len(), names.len()), (10, 3), "a socket has four flows");
        for flow in flows {
            assert!(flow.sent > 0 && flow.seen.len() == 1, "{flow:?}");
            assert_eq!((flow.there.count, flow.back.count), (flow.sent, flow.sent), "{flow:?}");
            assert_eq!(flow.there.out_of_order + flow.back.out_of_order, 0, "{flow:?}");
        }
    }
}
