//! Traceroute: UDP probes that die on the way, and who reports them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use super::socket::set_option;
use crate::netns::check;
use crate::plan::Family;
use crate::world::Host;

/// What became of the probe with one hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The hop limit (TTL) it was sent with, from 1.
    pub limit: u8,
    /// Who sent an ICMP error about it; `None`: nobody, in time.
    pub reporter: Option<IpAddr>,
    /// Whether the error says that the probe arrived: port unreachable.
    pub arrived: bool,
}

/// Sends UDP probes to `to` with hop limits 1, 2, ... until one arrives or `most` are
/// sent; waits up to `patience` for the report of each.
///
/// # Errors
/// No route from `from` to `to`.
pub fn trace(from: &Host, to: IpAddr, most: u8, patience: Duration) -> io::Result<Vec<Hop>> {
    let mut hops = Vec::new();
    for limit in 1..=most {
        let hop = probe(from, to, limit, patience)?;
        hops.push(hop);
        if hop.arrived {
            break;
        }
    }
    Ok(hops)
}

fn probe(from: &Host, to: IpAddr, limit: u8, patience: Duration) -> io::Result<Hop> {
    // A socket a probe: what waits in its error queue is about this one only.
    let family = Family::of(to);
    let socket = from.run(|| UdpSocket::bind((family.unspecified(), 0)))?;
    let (level, hop_limit, receive_errors) = match family {
        Family::V4 => (libc::IPPROTO_IP, libc::IP_TTL, libc::IP_RECVERR),
        Family::V6 => (libc::IPPROTO_IPV6, libc::IPV6_UNICAST_HOPS, libc::IPV6_RECVERR),
    };
    set_option(socket.as_fd(), level, hop_limit, libc::c_int::from(limit))?;
    set_option(socket.as_fd(), level, receive_errors, 1 as libc::c_int)?;
    // The ports that traceroute uses: nobody listens there.
    socket.send_to(b"causeway", SocketAddr::new(to, 33_433 + u16::from(limit)))?;
    let report = if await_error(&socket, patience)? { read_error(&socket)? } else { None };
    Ok(Hop {
        limit,
        reporter: report.and_then(|report| report.reporter),
        arrived: report.is_some_and(|report| report.port_unreachable),
    })
}

fn await_error(socket: &UdpSocket, patience: Duration) -> io::Result<bool> {
    // No events asked for: POLLERR comes unasked.
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one pollfd, alive across the call.
    let ready = unsafe { libc::poll(&raw mut poll, 1, patience.as_millis() as libc::c_int) };
    check(ready)?;
    Ok(ready > 0)
}

/// An ICMP error as the kernel queued it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Report {
    reporter: Option<IpAddr>,
    port_unreachable: bool,
}

/// Takes one entry from the error queue; `None` when none of its parts is an ICMP error.
fn read_error(socket: &UdpSocket) -> io::Result<Option<Report>> {
    // In u64, for the alignment of a cmsghdr.
    let mut control = [0u64; 64];
    // SAFETY: msghdr is plain data for which zero bytes are a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the message points to `control` with its length, and to nothing else.
    let received = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE) };
    if received < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel filled in `message`; the macro stays within it.
    let mut next = unsafe { libc::CMSG_FIRSTHDR(&raw const message) };
    while !next.is_null() {
        // SAFETY: a non-null answer of the macros points to a whole header with
        // its data, inside `control`, which outlives the slice.
        let (header, data) = unsafe {
            let header = *next;
            let length = (header.cmsg_len as usize).saturating_sub(libc::CMSG_LEN(0) as usize);
            (header, std::slice::from_raw_parts(libc::CMSG_DATA(next), length))
        };
        let is_error = matches!(
            (header.cmsg_level, header.cmsg_type),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
        );
        if is_error && let Some(report) = parse_extended_error(data) {
            return Ok(Some(report));
        }
        // SAFETY: both pointers are of this message.
        next = unsafe { libc::CMSG_NXTHDR(&raw const message, next) };
    }
    Ok(None)
}

/// Reads `struct sock_extended_err` and the sockaddr of the offender behind it
/// (`linux/errqueue.h`).
fn parse_extended_error(data: &[u8]) -> Option<Report> {
    const ORIGIN: usize = 4;
    const OFFENDER: usize = 16;
    let error: &[u8; OFFENDER] = data.first_chunk()?;
    let (origin, kind, code) = (error[ORIGIN], error[ORIGIN + 1], error[ORIGIN + 2]);
    let port_unreachable = match origin {
        libc::SO_EE_ORIGIN_ICMP => (kind, code) == (3, 3),
        libc::SO_EE_ORIGIN_ICMP6 => (kind, code) == (1, 4),
        _ => return None,
    };
    Some(Report { reporter: parse_sockaddr(&data[OFFENDER..]), port_unreachable })
}

fn parse_sockaddr(bytes: &[u8]) -> Option<IpAddr> {
    let family = libc::c_int::from(u16::from_ne_bytes(*bytes.first_chunk()?));
    match family {
        libc::AF_INET => Some(Ipv4Addr::from(*bytes.get(4..)?.first_chunk::<4>()?).into()),
        libc::AF_INET6 => Some(Ipv6Addr::from(*bytes.get(8..)?.first_chunk::<16>()?).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended_error(origin: u8, kind: u8, code: u8, offender: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes[4..7].copy_from_slice(&[origin, kind, code]);
        bytes.extend(offender);
        bytes
    }

    #[test]
    fn a_port_unreachable_has_arrived() {
        let mut offender = (libc::AF_INET as u16).to_ne_bytes().to_vec();
        offender.extend([0, 0, 203, 0, 113, 10]);
        let report = parse_extended_error(&extended_error(2, 3, 3, &offender)).unwrap();
        assert_eq!(report, Report { reporter: Some([203, 0, 113, 10].into()), port_unreachable: true });
    }

    #[test]
    fn a_time_exceeded_names_its_router() {
        let mut offender = (libc::AF_INET6 as u16).to_ne_bytes().to_vec();
        offender.extend([0; 6]);
        let router: Ipv6Addr = "fd00:a::1".parse().unwrap();
        offender.extend(router.octets());
        let report = parse_extended_error(&extended_error(3, 3, 0, &offender)).unwrap();
        assert_eq!(report, Report { reporter: Some(router.into()), port_unreachable: false });
    }

    #[test]
    fn local_and_short_errors_are_no_reports() {
        assert_eq!(parse_extended_error(&extended_error(1, 3, 3, &[])), None);
        assert_eq!(parse_extended_error(&[2; 15]), None);
        let without_offender = parse_extended_error(&extended_error(2, 11, 0, &[])).unwrap();
        assert_eq!(without_offender.reporter, None);
    }
}
