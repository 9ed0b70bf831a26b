//! IPv4 and IPv6 with its extension headers. Each function answers how many
//! bytes the packet takes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::decode::payload;
use super::layer::{Bytes, Layer, bytes_in_brief};
use super::transport;
use crate::checksum;

/// What the transport needs to know of the IP packet around it.
#[derive(Clone, Copy)]
pub(super) struct Around {
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) depth: usize,
    /// Every byte of the transport is there, so that its checksum can be judged.
    pub(super) whole: bool,
}

pub(super) fn ipv4(bytes: &[u8], depth: usize, out: &mut Vec<Layer>) -> usize {
    let mut layer = Layer::new(depth, "IPv4");
    let Some(header) = bytes.get(..20) else {
        return short(layer, 20, bytes, out);
    };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (version, ihl) = (header[0] >> 4, usize::from(header[0] & 0x0f) * 4);
    let total = usize::from(word(2));
    let (flags, offset) = (word(6) >> 13, usize::from(word(6) & 0x1fff) * 8);
    let src: Ipv4Addr = <[u8; 4]>::try_from(&header[12..16]).expect("four bytes").into();
    let dst: Ipv4Addr = <[u8; 4]>::try_from(&header[16..20]).expect("four bytes").into();
    let protocol = header[9];

    layer.summary = format!("IPv4 {src} > {dst} ttl {}", header[8]);
    if flags & 2 != 0 {
        layer.summary += " DF";
    }
    if flags & 1 != 0 || offset != 0 {
        let more = if flags & 1 != 0 { "+" } else { "" };
        layer.summary += &format!(" frag id {} at {offset}{more}", word(4));
    }
    layer.field("version", version);
    layer.field("header length", ihl);
    layer.field("tos", format!("{:#04x}", header[1]));
    layer.field("total length", total);
    layer.field("id", word(4));
    layer.field("flags", flag_names(flags));
    layer.field("fragment offset", offset);
    layer.field("ttl", header[8]);
    layer.field("protocol", protocol);
    let whole_header = bytes.get(..ihl).filter(|whole| whole.len() >= 20);
    match whole_header {
        Some(whole) => {
            let mut zeroed = whole.to_vec();
            zeroed[10..12].fill(0);
            layer.checksum(word(10), checksum::internet(&zeroed), None);
        }
        None => layer.field("checksum", format!("{:#06x} unknown", word(10))),
    }
    layer.field("source", src);
    layer.field("destination", dst);
    if let Some(options) = bytes.get(20..ihl).filter(|options| !options.is_empty()) {
        layer.summary += " options";
        layer.field("options", bytes_in_brief(options));
    }
    if version != 4 {
        layer.length_fault(format!("version {version}"));
    }
    if whole_header.is_none() || total < ihl {
        layer.length_fault(format!("header of {ihl}, total of {total}, {} there", bytes.len()));
        out.push(layer);
        payload(&bytes[20..], depth, out);
        return bytes.len();
    }
    let end = total.min(bytes.len());
    // A quote is cut as a rule: only the outermost packet has to be whole.
    if total > bytes.len() && depth == 0 {
        layer.length_fault(format!("total length {total}, {} there", bytes.len()));
    }
    out.push(layer);
    let segment = &bytes[ihl..end];
    if offset != 0 {
        payload(segment, depth, out);
    } else {
        let whole = total <= bytes.len() && flags & 1 == 0;
        let around = Around { src: src.into(), dst: dst.into(), depth, whole };
        transport::transport(protocol, segment, around, out);
    }
    end
}

pub(super) fn ipv6(bytes: &[u8], depth: usize, out: &mut Vec<Layer>) -> usize {
    let mut layer = Layer::new(depth, "IPv6");
    let Some(header) = bytes.get(..40) else {
        return short(layer, 40, bytes, out);
    };
    let first = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    let version = first >> 28;
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let src: Ipv6Addr = <[u8; 16]>::try_from(&header[8..24]).expect("sixteen bytes").into();
    let dst: Ipv6Addr = <[u8; 16]>::try_from(&header[24..40]).expect("sixteen bytes").into();
    layer.summary = format!("IPv6 {src} > {dst} ttl {}", header[7]);
    layer.field("version", version);
    layer.field("traffic class", format!("{:#04x}", (first >> 20) & 0xff));
    layer.field("flow label", format!("{:#07x}", first & 0xf_ffff));
    layer.field("payload length", length);
    layer.field("next header", header[6]);
    layer.field("hop limit", header[7]);
    layer.field("source", src);
    layer.field("destination", dst);
    if version != 6 {
        layer.length_fault(format!("version {version}"));
    }
    let end = (40 + length).min(bytes.len());
    let whole = 40 + length <= bytes.len();
    if !whole && depth == 0 {
        let there = bytes.len() - 40;
        layer.length_fault(format!("payload length {length}, {there} there"));
    }
    out.push(layer);
    let around = Around { src: src.into(), dst: dst.into(), depth, whole };
    extensions(header[6], &bytes[40..end], around, out);
    end
}

/// Walks the extension headers to the transport, if this fragment has one.
fn extensions(mut protocol: u8, mut bytes: &[u8], mut around: Around, out: &mut Vec<Layer>) {
    loop {
        let name = match protocol {
            0 => "Hop-by-hop",
            43 => "Routing",
            44 => "Fragment",
            60 => "Destination options",
            _ => return transport::transport(protocol, bytes, around, out),
        };
        let mut layer = Layer::new(around.depth, name);
        let units = if protocol == 44 { Some(0) } else { bytes.u8_at(1) };
        let length = units.map_or(8, |units| 8 + usize::from(units) * 8);
        let Some(header) = bytes.get(..length) else {
            short(layer, length, bytes, out);
            return;
        };
        layer.field("next header", header[0]);
        let mut later_fragment = false;
        if protocol == 44 {
            let word = u16::from_be_bytes([header[2], header[3]]);
            let (offset, more) = (word & !7, word & 1 == 1);
            let id = header.u32_at(4).unwrap_or_default();
            layer.summary = format!("frag id {id} at {offset}{}", if more { "+" } else { "" });
            layer.field("fragment offset", offset);
            layer.field("more", more);
            layer.field("id", id);
            around.whole &= offset == 0 && !more;
            later_fragment = offset != 0;
        } else {
            layer.summary = format!("{name} {length}");
            layer.field("length", length);
            layer.field("bytes", bytes_in_brief(&header[2..]));
        }
        out.push(layer);
        (protocol, bytes) = (header[0], &bytes[length..]);
        if later_fragment {
            return payload(bytes, around.depth, out);
        }
    }
}

/// A header that is not all there: says so and takes everything.
pub(super) fn short(mut layer: Layer, want: usize, bytes: &[u8], out: &mut Vec<Layer>) -> usize {
    layer.length_fault(format!("cut short: {} of {want} bytes", bytes.len()));
    layer.summary = format!("{} {} of {want} bytes", layer.name, bytes.len());
    layer.field("bytes", bytes_in_brief(bytes));
    out.push(layer);
    bytes.len()
}

fn flag_names(flags: u16) -> String {
    let names = [(4, "reserved"), (2, "DF"), (1, "MF")];
    let set: Vec<&str> = names.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    if set.is_empty() { "none".to_string() } else { set.join(" ") }
}
