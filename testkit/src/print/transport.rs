//! TCP, UDP, UDP-Lite, SCTP, ICMP and ICMPv6 with what ICMP errors quote.

use std::net::Ipv6Addr;

use super::decode::payload;
use super::ip::{self, Around, short};
use super::layer::{Bytes, Fault, Layer, bytes_in_brief};
use crate::checksum;

/// Decodes what an IP packet carries. A packet that is not whole keeps its
/// checksum unjudged.
pub(super) fn transport(protocol: u8, bytes: &[u8], around: Around, out: &mut Vec<Layer>) {
    match (protocol, around.src.is_ipv4()) {
        (1, true) => icmp(bytes, 1, around, out),
        (58, false) => icmp(bytes, 58, around, out),
        (6, _) => tcp(bytes, around, out),
        (17, _) => udp(bytes, around, out),
        (132, _) => sctp(bytes, around, out),
        (136, _) => udp_lite(bytes, around, out),
        _ => {
            let mut layer = Layer::new(around.depth, "Protocol");
            layer.summary = format!("protocol {protocol}");
            layer.field("number", protocol);
            out.push(layer);
            payload(bytes, around.depth, out);
        }
    }
}

fn tcp(bytes: &[u8], around: Around, out: &mut Vec<Layer>) {
    let mut layer = Layer::new(around.depth, "TCP");
    let Some(header) = bytes.get(..20) else {
        return ports_only(layer, 20, bytes, around, out);
    };
    let (src, dst) = (word(header, 0), word(header, 2));
    let (seq, ack) = (long(header, 4), long(header, 8));
    let (length, flags) = (usize::from(header[12] >> 4) * 4, flag_letters(header[13]));
    let carried = bytes.len().saturating_sub(length);
    layer.summary = format!("TCP {src} > {dst} {flags} seq {seq} ack {ack} len {carried}");
    layer.field("source port", src);
    layer.field("destination port", dst);
    layer.field("seq", seq);
    layer.field("ack", ack);
    layer.field("header length", length);
    layer.field("flags", flags);
    layer.field("window", word(header, 14));
    judge(&mut layer, 6, bytes, 16, around);
    layer.field("urgent", word(header, 18));
    if let Some(options) = bytes.get(20..length).filter(|options| !options.is_empty()) {
        layer.field("options", bytes_in_brief(options));
    }
    if length < 20 || length > bytes.len() && around.depth == 0 {
        layer.length_fault(format!("header of {length}, {} there", bytes.len()));
    }
    out.push(layer);
    payload(bytes.get(length.max(20)..).unwrap_or_default(), around.depth, out);
}

fn udp(bytes: &[u8], mut around: Around, out: &mut Vec<Layer>) {
    let mut layer = Layer::new(around.depth, "UDP");
    let Some(header) = bytes.get(..8) else {
        return ports_only(layer, 8, bytes, around, out);
    };
    let length = usize::from(word(header, 4));
    layer.summary = format!("UDP {} > {} len {}", word(header, 0), word(header, 2), length.saturating_sub(8));
    layer.field("source port", word(header, 0));
    layer.field("destination port", word(header, 2));
    layer.field("length", length);
    // A lying length leaves the checksum without a meaning.
    let sensible = (8..=bytes.len()).contains(&length);
    if around.whole && !sensible {
        layer.length_fault(format!("length {length}, {} there", bytes.len()));
        around.whole = false;
    }
    if word(header, 6) == 0 {
        if !around.src.is_ipv4() {
            let words = "bad checksum 0x0000, which IPv6 forbids".to_string();
            layer.faults.push(Fault::Checksum(words));
        }
        layer.field("checksum", "0x0000 none");
    } else {
        judge(&mut layer, 17, &bytes[..if sensible { length } else { bytes.len() }], 6, around);
    }
    out.push(layer);
    payload(&bytes[8..], around.depth, out);
}

fn udp_lite(bytes: &[u8], around: Around, out: &mut Vec<Layer>) {
    let mut layer = Layer::new(around.depth, "UDP-Lite");
    let Some(header) = bytes.get(..8) else {
        return ports_only(layer, 8, bytes, around, out);
    };
    let coverage = usize::from(word(header, 4));
    layer.summary = format!("UDP-Lite {} > {} coverage {coverage}", word(header, 0), word(header, 2));
    layer.field("source port", word(header, 0));
    layer.field("destination port", word(header, 2));
    layer.field("coverage", coverage);
    let covered = if coverage == 0 { bytes.len() } else { coverage };
    if !around.whole {
        layer.field("checksum", format!("{:#06x} unknown", word(header, 6)));
    } else if (8..=bytes.len()).contains(&covered) {
        let mut summed = checksum::pseudo_header(around.src, around.dst, 136, bytes.len());
        let checksum_at = summed.len() + 6;
        summed.extend(&bytes[..covered]);
        summed[checksum_at..checksum_at + 2].fill(0);
        let right = match checksum::internet(&summed) {
            0 => 0xffff,
            other => other,
        };
        layer.checksum(word(header, 6), right, None);
    } else {
        layer.length_fault(format!("coverage {coverage}, {} there", bytes.len()));
    }
    out.push(layer);
    payload(&bytes[8..], around.depth, out);
}

fn sctp(bytes: &[u8], around: Around, out: &mut Vec<Layer>) {
    let mut layer = Layer::new(around.depth, "SCTP");
    let Some(header) = bytes.get(..12) else {
        return ports_only(layer, 12, bytes, around, out);
    };
    let tag = long(header, 4);
    layer.summary = format!("SCTP {} > {} tag {tag:#010x}", word(header, 0), word(header, 2));
    layer.field("source port", word(header, 0));
    layer.field("destination port", word(header, 2));
    layer.field("tag", format!("{tag:#010x}"));
    let found = u32::from_le_bytes([header[8], header[9], header[10], header[11]]);
    let mut zeroed = bytes.to_vec();
    zeroed[8..12].fill(0);
    let right = checksum::crc32c(&zeroed);
    let verdict = match (around.whole, found == right) {
        (false, _) => "unknown".to_string(),
        (true, true) => "good".to_string(),
        (true, false) => {
            let words = format!("bad checksum {found:#010x}, right is {right:#010x}");
            layer.faults.push(Fault::Checksum(words));
            format!("bad, right is {right:#010x}")
        }
    };
    layer.field("checksum", format!("{found:#010x} {verdict}"));
    out.push(layer);
    payload(&bytes[12..], around.depth, out);
}

/// `protocol` is 1 or 58, and the addresses agree.
fn icmp(bytes: &[u8], protocol: u8, around: Around, out: &mut Vec<Layer>) {
    let name = if protocol == 1 { "ICMP" } else { "ICMPv6" };
    let mut layer = Layer::new(around.depth, name);
    let Some(header) = bytes.get(..8) else {
        short(layer, 8, bytes, out);
        return;
    };
    let (kind, code, rest) = (header[0], header[1], long(header, 4));
    let quotes = quotes(protocol, kind);
    layer.field("type", kind);
    layer.field("code", code);
    judge(&mut layer, protocol, bytes, 2, around);
    layer.summary = format!("{name} {}", title(protocol, kind, code));
    match (protocol, kind) {
        (1, 0 | 8) | (58, 128 | 129) => {
            let (id, sequence) = (word(header, 4), word(header, 6));
            layer.summary += &format!(" id {id} seq {sequence}");
            layer.field("id", id);
            layer.field("sequence", sequence);
        }
        (1, 3) if code == 4 => {
            layer.summary += &format!(" mtu {}", word(header, 6));
            layer.field("unused", word(header, 4));
            layer.field("mtu", word(header, 6));
        }
        (58, 2) => {
            layer.summary += &format!(" mtu {rest}");
            layer.field("mtu", rest);
        }
        _ => layer.field("rest", format!("{rest:#010x}")),
    }
    let mut behind = &bytes[8..];
    if let (58, 135 | 136, Some(target)) = (protocol, kind, bytes.get(8..24)) {
        let target: Ipv6Addr = <[u8; 16]>::try_from(target).expect("sixteen bytes").into();
        layer.summary += &format!(" {target}");
        layer.field("target", target);
        behind = &bytes[24..];
    }
    out.push(layer);
    if quotes && !behind.is_empty() {
        let used = match protocol {
            1 => ip::ipv4(behind, around.depth + 1, out),
            _ => ip::ipv6(behind, around.depth + 1, out),
        };
        behind = &behind[used..];
    }
    payload(behind, around.depth, out);
}

/// Notes and judges the checksum at `at` in `bytes`, where it can be judged.
fn judge(layer: &mut Layer, protocol: u8, bytes: &[u8], at: usize, around: Around) {
    let found = word(bytes, at);
    if !around.whole {
        return layer.field("checksum", format!("{found:#06x} unknown"));
    }
    let pseudo = match protocol {
        1 => Vec::new(),
        _ => checksum::pseudo_header(around.src, around.dst, protocol, bytes.len()),
    };
    let mut summed = [&pseudo[..], bytes].concat();
    summed[pseudo.len() + at..pseudo.len() + at + 2].fill(0);
    let right = match (protocol, checksum::internet(&summed)) {
        (17, 0) => 0xffff,
        // Both forms of zero make the receiver's sum come out right; Linux
        // completes a partial checksum to all ones for every protocol.
        (_, 0) if found == 0xffff => 0xffff,
        (_, right) => right,
    };
    let partial = matches!(protocol, 6 | 17).then(|| checksum::sum(&pseudo));
    layer.checksum(found, right, partial);
}

/// A transport header that is not all there, as in a quote: its ports if they are.
fn ports_only(mut layer: Layer, want: usize, bytes: &[u8], around: Around, out: &mut Vec<Layer>) {
    let (Some(src), Some(dst)) = (bytes.u16_at(0), bytes.u16_at(2)) else {
        short(layer, want, bytes, out);
        return;
    };
    layer.summary = format!("{} {src} > {dst} cut", layer.name);
    layer.field("source port", src);
    layer.field("destination port", dst);
    layer.field("bytes", bytes_in_brief(&bytes[4..]));
    if around.depth == 0 {
        layer.length_fault(format!("cut short: {} of {want} bytes", bytes.len()));
    }
    out.push(layer);
}

/// Whether this kind of message quotes the packet that it is about.
fn quotes(protocol: u8, kind: u8) -> bool {
    match protocol {
        1 => matches!(kind, 3 | 4 | 5 | 11 | 12),
        _ => (1..=4).contains(&kind),
    }
}

fn title(protocol: u8, kind: u8, code: u8) -> String {
    let name = match (protocol, kind) {
        (1, 0) | (58, 129) => return "echo reply".to_string(),
        (1, 8) | (58, 128) => return "echo request".to_string(),
        (58, 133) => return "router solicitation".to_string(),
        (58, 134) => return "router advertisement".to_string(),
        (58, 135) => return "neighbour solicitation".to_string(),
        (58, 136) => return "neighbour advertisement".to_string(),
        (58, 2) => return "packet too big".to_string(),
        (1, 3) if code == 4 => return "fragmentation needed".to_string(),
        (1, 3) | (58, 1) => "unreachable",
        (1, 5) => "redirect",
        (1, 11) | (58, 3) => "time exceeded",
        (1, 12) | (58, 4) => "parameter problem",
        _ => return format!("type {kind} code {code}"),
    };
    format!("{name} code {code}")
}

fn flag_letters(flags: u8) -> String {
    let names = ["FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"];
    let set: Vec<&str> = (0..8).filter(|bit| flags >> bit & 1 == 1).map(|bit| names[bit]).collect();
    if set.is_empty() { "none".to_string() } else { set.join(",") }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    bytes.u16_at(at).expect("the caller has the whole header")
}

fn long(bytes: &[u8], at: usize) -> u32 {
    bytes.u32_at(at).expect("the caller has the whole header")
}
