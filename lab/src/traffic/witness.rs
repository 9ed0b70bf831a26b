//! A witness that sees whatever reaches a host, and remembers who should not have.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use ipnet::IpNet;

use super::socket::{open, set_option, timed_out, uninterrupted};
use crate::netns::check;
use crate::world::Host;

/// Watches the IP packets of a host for sources outside some networks.
///
/// The kernel filters, so that it costs little beside a fast download.
#[derive(Debug)]
pub struct Witness {
    socket: UdpSocket,
}

impl Witness {
    /// Watches all interfaces of `host` from now on; sources in `expected` are not
    /// worth a word, nor are link-local and unspecified IPv6 sources.
    ///
    /// # Errors
    /// No privilege for packet sockets.
    ///
    /// # Panics
    /// Networks by the dozen: the filter's jumps reach 255 instructions far.
    pub fn watch(host: &Host, expected: &[IpNet]) -> io::Result<Self> {
        let filter = strangers_to(expected);
        let socket = host.run(|| {
            // Protocol 0 hears nothing: no packet comes in before the filter is there.
            let socket = open(libc::AF_PACKET, libc::SOCK_DGRAM | libc::SOCK_NONBLOCK, 0)?;
            attach(&socket, &filter)?;
            bind_to_all(&socket)?;
            Ok::<_, io::Error>(socket)
        })?;
        Ok(Self { socket: UdpSocket::from(socket) })
    }

    /// The sources seen since the last call that were not expected. Does not wait.
    ///
    /// # Errors
    /// The kernel gives up on the socket.
    pub fn strangers(&self) -> io::Result<BTreeSet<IpAddr>> {
        let mut seen = BTreeSet::new();
        let mut bytes = [0; SNAP as usize];
        loop {
            // `recv`, for the sender's address is not one of IP.
            match uninterrupted(|| self.socket.recv(&mut bytes)) {
                Ok(length) => seen.extend(source(&bytes[..length])),
                Err(error) if timed_out(&error) => return Ok(seen),
                // An interface went down: nothing more will come over it.
                Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The source address of an IP packet.
fn source(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => Some(Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?).into()),
        6 => Some(Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}

/// Bytes kept of each packet: an IPv6 header.
const SNAP: u32 = 40;

/// A classic BPF program, over packets that start at their IP header, which keeps
/// those whose source is in none of `expected`.
fn strangers_to(expected: &[IpNet]) -> Vec<libc::sock_filter> {
    let quiet = ["fe80::/10", "::/128"].map(|net| net.parse::<IpNet>().expect("a constant network"));
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for net in expected.iter().chain(&quiet) {
        match net {
            IpNet::V4(net) => v4.extend(unless_in(12, &net.addr().octets(), net.prefix_len())),
            IpNet::V6(net) => v6.extend(unless_in(8, &net.addr().octets(), net.prefix_len())),
        }
    }
    let mut program = vec![load(PROTOCOL)];
    for (protocol, mut tests) in [(libc::ETH_P_IP, v4), (libc::ETH_P_IPV6, v6)] {
        tests.push(give(SNAP));
        program.push(skip_unless_equal(protocol as u32, tests.len()));
        program.extend(tests);
    }
    program.push(give(0));
    program
}

/// Ends the program, keeping nothing, if the address at `offset` is in the network.
fn unless_in(offset: u32, network: &[u8], prefix_length: u8) -> Vec<libc::sock_filter> {
    let words = u32::from(prefix_length).div_ceil(32);
    let mut program = Vec::new();
    for word in 0..words {
        let at = word as usize * 4;
        let value = u32::from_be_bytes(*network[at..].first_chunk().expect("an address is whole words"));
        let bits = (u32::from(prefix_length) - word * 32).min(32);
        let mask = u32::MAX << (32 - bits);
        // On a mismatch over the rest of the words, three each, and the return.
        let rest = (words - word - 1) as usize * 3 + 1;
        program.extend([load(offset + word * 4), and(mask), skip_unless_equal(value & mask, rest)]);
    }
    program.push(give(0));
    program
}

/// `SKF_AD_OFF + SKF_AD_PROTOCOL` of `linux/filter.h`: the EtherType.
const PROTOCOL: u32 = 0xffff_f000;

fn load(offset: u32) -> libc::sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, offset)
}

fn and(mask: u32) -> libc::sock_filter {
    instruction(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, mask)
}

fn give(bytes: u32) -> libc::sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, 0, bytes)
}

fn skip_unless_equal(value: u32, skip: usize) -> libc::sock_filter {
    let skip = u8::try_from(skip).expect("a filter for a handful of networks");
    instruction(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, skip, value)
}

fn instruction(code: u32, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: 0, jf, k }
}

fn attach(socket: &OwnedFd, filter: &[libc::sock_filter]) -> io::Result<()> {
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // The kernel copies the program and does not write to it.
    set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, program)
}

fn bind_to_all(socket: &OwnedFd) -> io::Result<()> {
    // SAFETY: sockaddr_ll is plain data for which zero bytes are a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    let length = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
    // SAFETY: pointer and length are those of `address`.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slow twin: what the kernel does with such a program.
    fn run(program: &[libc::sock_filter], protocol: u16, packet: &[u8]) -> u32 {
        let (mut accumulator, mut at) = (0, 0);
        loop {
            let libc::sock_filter { code, jf, k, .. } = program[at];
            at += 1;
            match u32::from(code) {
                0x20 if k == PROTOCOL => accumulator = u32::from(protocol),
                0x20 => accumulator = u32::from_be_bytes(*packet[k as usize..].first_chunk().unwrap()),
                0x54 => accumulator &= k,
                0x15 if accumulator != k => at += usize::from(jf),
                0x15 => {}
                0x06 => return k,
                other => panic!("instruction {other:#x}"),
            }
        }
    }

    fn is_stranger(source: &str) -> bool {
        let expected = ["203.0.113.0/24", "192.168.0.0/28", "2001:db8:1::/64"];
        let program = strangers_to(&expected.map(|net| net.parse().unwrap()));
        let (protocol, packet) = match source.parse().unwrap() {
            IpAddr::V4(v4) => (0x0800, [&[0x45; 12][..], &v4.octets(), &[0; 4]].concat()),
            IpAddr::V6(v6) => (0x86dd, [&[0x60; 8][..], &v6.octets(), &[0; 16]].concat()),
        };
        assert_eq!(super::source(&packet).unwrap().to_string(), source);
        assert_eq!(run(&program, 0x0806, &packet), 0, "ARP is no IP packet");
        run(&program, protocol, &packet) > 0
    }

    #[test]
    fn sources_outside_the_networks_are_strangers() {
        for source in ["10.1.1.10", "203.0.114.1", "192.168.0.16", "fd00:10:0:1::10", "2001:db8:1:1::1"] {
            assert!(is_stranger(source), "{source}");
        }
    }

    #[test]
    fn sources_inside_the_networks_are_not() {
        for source in ["203.0.113.16", "192.168.0.11", "2001:db8:1::100", "fe80::1", "::"] {
            assert!(!is_stranger(source), "{source}");
        }
    }
}
