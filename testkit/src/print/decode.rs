//! Ethernet, VLAN tags and ARP; the way into everything else.

use std::net::Ipv4Addr;

use super::ip;
use super::layer::{Bytes, Layer, bytes_in_brief};

/// The layers of an Ethernet frame, outermost first; quoted packets follow the
/// ICMP header that quotes them, one deeper. Never empty.
pub fn decode(frame: &[u8]) -> Vec<Layer> {
    let mut layers = Vec::new();
    ethernet(frame, &mut layers);
    layers
}

fn ethernet(frame: &[u8], out: &mut Vec<Layer>) {
    let mut layer = Layer::new(0, "Ethernet");
    let Some(mut ethertype) = frame.u16_at(12) else {
        layer.length_fault(format!("cut short: {} of 14 bytes", frame.len()));
        layer.field("bytes", bytes_in_brief(frame));
        return out.push(layer);
    };
    let (dst, src) = (mac(&frame[..6]), mac(&frame[6..12]));
    layer.summary = format!("{src} > {dst}");
    layer.field("destination", dst);
    layer.field("source", src);
    let mut start = 14;
    while matches!(ethertype, 0x8100 | 0x88a8) {
        let (Some(tci), Some(next)) = (frame.u16_at(start), frame.u16_at(start + 2)) else {
            layer.length_fault("cut short in a VLAN tag");
            return out.push(layer);
        };
        let (priority, id) = (tci >> 13, tci & 0x0fff);
        layer.summary += &format!(" vlan {id}");
        layer.field("tag", format!("{ethertype:#06x} vlan {id} priority {priority} dei {}", (tci >> 12) & 1));
        ethertype = next;
        start += 4;
    }
    layer.field("ethertype", format!("{ethertype:#06x}"));
    if !matches!(ethertype, 0x0800 | 0x0806 | 0x86dd) {
        layer.summary += &format!(" ethertype {ethertype:#06x}");
    }
    out.push(layer);

    let rest = &frame[start..];
    let used = match ethertype {
        0x0800 => ip::ipv4(rest, 0, out),
        0x86dd => ip::ipv6(rest, 0, out),
        0x0806 => arp(rest, out),
        _ => {
            payload(rest, 0, out);
            rest.len()
        }
    };
    trailer(&rest[used..], out);
}

fn arp(bytes: &[u8], out: &mut Vec<Layer>) -> usize {
    let mut layer = Layer::new(0, "ARP");
    let Some(body) = bytes.get(..28) else {
        layer.length_fault(format!("cut short: {} of 28 bytes", bytes.len()));
        layer.field("bytes", bytes_in_brief(bytes));
        out.push(layer);
        return bytes.len();
    };
    let word = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let address = |at: usize| Ipv4Addr::new(body[at], body[at + 1], body[at + 2], body[at + 3]);
    let (sender, target) = (address(14), address(24));
    let (sender_mac, target_mac) = (mac(&body[8..14]), mac(&body[18..24]));
    layer.summary = match word(6) {
        1 => format!("ARP who has {target}, asks {sender} at {sender_mac}"),
        2 => format!("ARP {sender} is at {sender_mac}, told to {target} at {target_mac}"),
        other => format!("ARP operation {other} {sender} > {target}"),
    };
    let kinds = format!("{}/{:#06x} lengths {}/{}", word(0), word(2), body[4], body[5]);
    if kinds != "1/0x0800 lengths 6/4" {
        layer.summary += &format!(" kinds {kinds}");
    }
    layer.field("kinds", kinds);
    layer.field("operation", word(6));
    layer.field("sender mac", sender_mac);
    layer.field("sender", sender);
    layer.field("target mac", target_mac);
    layer.field("target", target);
    out.push(layer);
    28
}

/// What no header explains.
pub(super) fn payload(bytes: &[u8], depth: usize, out: &mut Vec<Layer>) {
    if bytes.is_empty() {
        return;
    }
    let mut layer = Layer::new(depth, "Payload");
    layer.summary = format!("{} bytes", bytes.len());
    layer.field("length", bytes.len());
    layer.field("bytes", bytes_in_brief(bytes));
    out.push(layer);
}

/// What lies behind the packet that the lengths count.
fn trailer(bytes: &[u8], out: &mut Vec<Layer>) {
    if bytes.is_empty() {
        return;
    }
    let mut layer = Layer::new(0, "Trailer");
    let zeros = bytes.iter().all(|&byte| byte == 0);
    layer.summary = format!("+{} {}", bytes.len(), if zeros { "padding" } else { "trailing" });
    layer.field("length", bytes.len());
    layer.field("bytes", bytes_in_brief(bytes));
    out.push(layer);
}

fn mac(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(":")
}
