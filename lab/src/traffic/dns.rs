//! A DNS query and its answer, in the wire format of RFC 1035.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::socket::{timed_out, uninterrupted};
use crate::plan::Family;
use crate::world::Host;

/// What a name resolved to.
#[derive(Clone, Copy, Debug)]
pub struct DnsAnswer {
    /// The address in the first A record.
    pub address: Ipv4Addr,
    /// From the query that was answered to its answer.
    pub round_trip: Duration,
    /// Who asked, as the responder saw it.
    pub seen: SocketAddr,
}

/// Has `from` ask a responder on port 53 of `to` for the A record of `name`, which is
/// `address`. Three attempts of half a second.
///
/// # Errors
/// No answer, or one that is not a DNS answer to the query; port 53 of `to` is taken.
pub fn resolve(from: &Host, to: &Host, family: Family, name: &str, address: Ipv4Addr) -> io::Result<DnsAnswer> {
    let server = to.run(|| UdpSocket::bind((family.unspecified(), 53)))?;
    let client = from.run(|| UdpSocket::bind((family.unspecified(), 0)))?;
    client.connect(to.socket(family, 53))?;
    client.set_read_timeout(Some(Duration::from_millis(500)))?;
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let responder = scope.spawn(|| respond(&server, name, address, &stop));
        let asked = ask(&client, name);
        stop.store(true, Ordering::Relaxed);
        let seen = responder.join().expect("the responder does not panic")?;
        let (address, round_trip) = asked?;
        let seen = seen.ok_or_else(|| io::Error::other("an answer without a query"))?;
        Ok(DnsAnswer { address, round_trip, seen })
    })
}

fn ask(client: &UdpSocket, name: &str) -> io::Result<(Ipv4Addr, Duration)> {
    let mut bytes = [0; 512];
    for id in 1..=3u16 {
        let start = Instant::now();
        client.send(&query(id, name))?;
        match uninterrupted(|| client.recv(&mut bytes)) {
            Ok(length) => {
                let address = parse_answer(&bytes[..length], id, name)
                    .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not the answer to the query"))?;
                return Ok((address, start.elapsed()));
            }
            Err(error) if timed_out(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::Error::new(io::ErrorKind::TimedOut, "three queries without an answer"))
}

fn respond(server: &UdpSocket, name: &str, address: Ipv4Addr, stop: &AtomicBool) -> io::Result<Option<SocketAddr>> {
    server.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut bytes = [0; 512];
    let mut seen = None;
    while !stop.load(Ordering::Relaxed) {
        match uninterrupted(|| server.recv_from(&mut bytes)) {
            Ok((length, source)) => {
                seen = Some(source);
                if let Some(answer) = answer(&bytes[..length], name, address) {
                    // No way back is the asker's loss, and shows there.
                    let _ = server.send_to(&answer, source);
                }
            }
            Err(error) if timed_out(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(seen)
}

const HEADER: usize = 12;
/// QTYPE A, QCLASS IN.
const A_IN: [u8; 4] = [0, 1, 0, 1];

fn query(id: u16, name: &str) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0x01, 0x00]); // a query, recursion desired
    message.extend([0, 1, 0, 0, 0, 0, 0, 0]); // one question
    message.extend(question(name));
    message
}

/// The name as labels, with type and class.
fn question(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(A_IN);
    bytes
}

/// The answer to a query for the A record of `name`; silence to anything else.
fn answer(query: &[u8], name: &str, address: Ipv4Addr) -> Option<Vec<u8>> {
    let (header, asked) = query.split_at_checked(HEADER)?;
    let is_query = header[2] & 0x80 == 0 && header[4..6] == [0, 1];
    if !is_query || asked != question(name) {
        return None;
    }
    let mut message = header[..2].to_vec();
    message.extend([0x85, 0x80]); // a response, authoritative, recursion desired and available
    message.extend([0, 1, 0, 1, 0, 0, 0, 0]); // one question, one answer
    message.extend(asked);
    message.extend([0xc0, HEADER as u8]); // the name is the question's
    message.extend(A_IN);
    message.extend(60u32.to_be_bytes()); // seconds to live
    message.extend([0, 4]);
    message.extend(address.octets());
    Some(message)
}

fn parse_answer(message: &[u8], id: u16, name: &str) -> Option<Ipv4Addr> {
    let (header, rest) = message.split_at_checked(HEADER)?;
    let no_error = header[2] & 0x80 != 0 && header[3] & 0x0f == 0;
    if header[..2] != id.to_be_bytes() || !no_error || header[4..8] != [0, 1, 0, 1] {
        return None;
    }
    let record = rest.strip_prefix(question(name).as_slice())?;
    let record = record.strip_prefix(&[0xc0, HEADER as u8])?.strip_prefix(&A_IN)?;
    let (_seconds_to_live, data) = record.split_at_checked(4)?;
    let octets: [u8; 4] = data.strip_prefix(&[0, 4])?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "www.example.test";
    const ADDRESS: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

    #[test]
    fn a_query_gets_the_address_it_asked_for() {
        let answer = answer(&query(7, NAME), NAME, ADDRESS).unwrap();
        assert_eq!(parse_answer(&answer, 7, NAME), Some(ADDRESS));
    }

    #[test]
    fn an_answer_to_another_query_is_refused() {
        let answer = answer(&query(7, NAME), NAME, ADDRESS).unwrap();
        assert_eq!(parse_answer(&answer, 8, NAME), None);
        assert_eq!(parse_answer(&answer, 7, "other.test"), None);
        for cut in 0..answer.len() {
            assert_eq!(parse_answer(&answer[..cut], 7, NAME), None, "cut to {cut} bytes");
        }
    }

    #[test]
    fn only_queries_for_the_name_are_answered() {
        assert_eq!(answer(&query(7, "other.test"), NAME, ADDRESS), None);
        assert_eq!(answer(&[], NAME, ADDRESS), None);
        let response = answer(&query(7, NAME), NAME, ADDRESS).unwrap();
        assert_eq!(answer(&response, NAME, ADDRESS), None);
    }
}
