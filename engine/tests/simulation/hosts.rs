//! Whole TCP/IP hosts (smoltcp) at the stations, whose connections must carry what they were
//! given, to the last byte and in order.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use causeway_fastpath::time::Instant;
use causeway_testkit::packet::Mac;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant as Time;
use smoltcp::wire::{EthernetAddress, IpCidr};

/// Bytes of a socket's buffers, each way.
const BUFFER: usize = 8_192;
/// Who opened a connection says no more than this at a time,
const SAYING: usize = 2_000;
/// and thinks for so long before it goes on, so that a connection sees all kinds of weather.
const PAUSE: Duration = Duration::from_millis(150);

/// A host at a station.
pub(crate) struct Host {
    wire: Wire,
    interface: Interface,
    sockets: SocketSet<'static>,
    ends: Vec<End>,
    due: Option<Instant>,
}

/// One end of a connection.
struct End {
    socket: SocketHandle,
    number: u16,
    bytes: usize,
    sent: usize,
    heard: usize,
    /// Who opened the connection says what there is to say, and hears it again.
    opened: bool,
    /// It has nothing to say before then.
    thinks_until: Instant,
}

/// Frames that came in, and that are to go out.
#[derive(Default)]
struct Wire {
    inward: VecDeque<Vec<u8>>,
    outward: Vec<Vec<u8>>,
}

impl Host {
    /// With its own address on the link, and that of a pod if it has one; its way out leads
    /// through `gateway`.
    pub(crate) fn new(mac: Mac, own: IpAddr, pod: Option<IpAddr>, gateway: IpAddr, seed: u64, now: Instant) -> Host {
        let mut wire = Wire::default();
        let mut config = Config::new(EthernetAddress(mac).into());
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut wire, time(now));
        let (link, alone) = if own.is_ipv4() { (24, 32) } else { (64, 128) };
        let mut addresses = vec![IpCidr::new(own.into(), link)];
        addresses.extend(pod.map(|pod| IpCidr::new(pod.into(), alone)));
        interface.update_ip_addrs(|own| own.extend(addresses));
        let routes = interface.routes_mut();
        match gateway {
            IpAddr::V4(gateway) => drop(routes.add_default_ipv4_route(gateway)),
            IpAddr::V6(gateway) => drop(routes.add_default_ipv6_route(gateway)),
        }
        Host { wire, interface, sockets: SocketSet::new(Vec::new()), ends: Vec::new(), due: None }
    }

    /// Waits for a connection at this port, and says back what it hears.
    pub(crate) fn serve(&mut self, port: u16, number: u16, bytes: usize) {
        let mut socket = socket();
        socket.listen(port).expect("a port");
        self.add(socket, number, bytes, false);
    }

    /// Opens a connection.
    pub(crate) fn open(&mut self, from: (IpAddr, u16), to: (IpAddr, u16), number: u16, bytes: usize, now: Instant) {
        let mut socket = socket();
        socket.connect(self.interface.context(), to, from).expect("two endpoints");
        self.add(socket, number, bytes, true);
        self.due = Some(now);
    }

    fn add(&mut self, socket: Socket<'static>, number: u16, bytes: usize, opened: bool) {
        let socket = self.sockets.add(socket);
        self.ends.push(End { socket, number, bytes, sent: 0, heard: 0, opened, thinks_until: Instant::ZERO });
    }

    /// A frame has come.
    pub(crate) fn hear(&mut self, frame: &[u8], now: Instant) {
        self.wire.inward.push_back(frame.to_vec());
        self.due = Some(now);
    }

    /// When it wants to do something.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.due
    }

    /// Does what is due, and says which frames follow.
    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        self.interface.poll(time(now), &mut self.wire, &mut self.sockets);
        self.ends.iter_mut().for_each(|end| end.go_on(self.sockets.get_mut(end.socket), now));
        self.interface.poll(time(now), &mut self.wire, &mut self.sockets);
        let next = self.interface.poll_at(time(now), &self.sockets);
        let next = next.map(|next| Instant::from_nanos((next.total_micros() as u64).saturating_mul(1_000)).max(now));
        let thinking = self.ends.iter().map(|end| end.thinks_until).filter(|until| *until > now);
        self.due = next.into_iter().chain(thinking).min();
        std::mem::take(&mut self.wire.outward)
    }

    /// A connection that has not carried all its bytes, if there is one.
    pub(crate) fn unfinished(&self) -> Option<String> {
        let end = self.ends.iter().find(|end| end.heard < end.bytes)?;
        let state = self.sockets.get::<Socket<'_>>(end.socket).state();
        let End { number, bytes, sent, heard, opened, .. } = end;
        Some(format!("connection {number} (opened here: {opened}): {sent} sent, {heard} heard of {bytes}, {state}"))
    }
}

impl End {
    /// Hears what has come, and says what there is room for.
    fn go_on(&mut self, socket: &mut Socket<'static>, now: Instant) {
        let mut room = [0; BUFFER];
        while socket.can_recv() {
            let heard = socket.recv_slice(&mut room).expect("there is something");
            for byte in &room[..heard] {
                assert_eq!(*byte, byte_of(self.number, self.heard), "connection {}, byte {}", self.number, self.heard);
                self.heard += 1;
            }
        }
        assert!(self.heard <= self.bytes, "connection {} says more than it was told", self.number);
        let most = if self.opened { self.bytes.min(self.sent + SAYING) } else { self.heard };
        if self.sent < most && self.thinks_until <= now && socket.can_send() {
            let bytes: Vec<u8> = (self.sent..most).map(|at| byte_of(self.number, at)).collect();
            self.sent += socket.send_slice(&bytes).expect("there is room");
            if self.opened {
                self.thinks_until = now + PAUSE;
            }
        }
        if self.heard == self.bytes && self.sent == self.bytes {
            socket.close();
        }
    }
}

/// What a connection says: never what a talk does.
fn byte_of(number: u16, at: usize) -> u8 {
    (at * 31 + (at >> 7) + usize::from(number) * 17) as u8 & 0x7f
}

fn socket() -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; BUFFER]);
    Socket::new(buffer(), buffer())
}

fn time(now: Instant) -> Time {
    Time::from_micros((now.as_nanos() / 1_000) as i64)
}

impl Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Time) -> Option<(Rx, Tx<'_>)> {
        let frame = self.inward.pop_front()?;
        Some((Rx(frame), Tx(&mut self.outward)))
    }

    fn transmit(&mut self, _: Time) -> Option<Tx<'_>> {
        Some(Tx(&mut self.outward))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ethernet, 1_514);
        capabilities
    }
}

struct Rx(Vec<u8>);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Tx<'a>(&'a mut Vec<Vec<u8>>);

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        self.0.push(frame);
        result
    }
}
