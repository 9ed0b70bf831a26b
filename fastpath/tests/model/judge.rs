//! Is what became of a packet what should have?

use std::net::IpAddr;

use causeway_fastpath::verdict::{DropReason, PuntReason, Verdict};
use causeway_testkit::print;

use crate::reference::Fate;
use crate::run::TTL;
use crate::scene::Scene;
use crate::world::{Sent, UPLINK, is_private, is_sound, to};

/// Says what is wrong.
pub(crate) fn judge(scene: &Scene, fate: &Fate, sent: &Sent) -> Result<(), String> {
    if sent.verdict == Verdict::Forward(UPLINK) && shows_a_pod(scene, &sent.bytes[14..]) {
        return Err(format!("a pod shows outside: {}", sent.story()));
    }
    let replied = || sent.verdict == Verdict::Reply(sent.ingress) && is_sound(&sent.bytes, &sent.offload).is_ok();
    let mut difference = String::new();
    let right = match fate {
        Fate::Forward(neighbor, item) => {
            let frame = item.frame_on(scene.family, to(*neighbor), TTL - 1);
            difference = print::diff(&frame, &sent.bytes);
            sent.verdict == Verdict::Forward(scene.port(*neighbor)) && difference.is_empty()
        }
        Fate::Drop(reason) => sent.verdict == Verdict::Drop(*reason),
        Fate::Punt => {
            let limited = Verdict::Drop(DropReason::PuntRateLimited);
            [Verdict::Punt(PuntReason::Unresolved), limited].contains(&sent.verdict)
        }
        Fate::Pong => replied(),
        Fate::Refuse(reason) if sent.turned => tells_from_afar(scene, *reason, sent),
        Fate::Refuse(reason) => replied() && tells(scene, *reason, sent, &sent.came),
    };
    if right { Ok(()) } else { Err(format!("expected {fate:?}{}\n{difference}", sent.story())) }
}

/// Is the sender told by another worker than that which refused him? Who cannot be reached is
/// not.
fn tells_from_afar(scene: &Scene, reason: DropReason, sent: &Sent) -> bool {
    match sent.verdict {
        Verdict::Forward(port) => {
            // What left in between may have got another identification.
            let mut quoted = sent.first.clone();
            if scene.family.ip_header == 20 {
                let at = 14 + scene.family.ip_header + 8;
                for field in [4..6, 10..12] {
                    let told = sent.bytes[at + field.start..at + field.end].to_vec();
                    quoted[14 + field.start..14 + field.end].copy_from_slice(&told);
                }
            }
            port == sent.ingress && tells(scene, reason, sent, &quoted)
        }
        verdict => {
            let away = [DropReason::NeighborDead, DropReason::PuntRateLimited].map(Verdict::Drop);
            away.contains(&verdict) || verdict == Verdict::Punt(PuntReason::Unresolved)
        }
    }
}

/// Is the sender told the reason, with his packet quoted as it came?
fn tells(scene: &Scene, reason: DropReason, sent: &Sent, came: &[u8]) -> bool {
    let message = &sent.bytes[14 + scene.family.ip_header..];
    let told = match reason {
        DropReason::NeighborDead => scene.family.host_unreachable,
        DropReason::LocalUnwanted => scene.family.port_unreachable,
        _ => scene.family.admin_prohibited,
    };
    (message[0], message[1]) == told && message[8..] == came[14..]
}

/// Does a packet, or what it quotes, show the address of a pod to who may not see it?
fn shows_a_pod(scene: &Scene, packet: &[u8]) -> bool {
    let header = scene.family.ip_header;
    let length = if header == 20 { 4 } else { 16 };
    let address = |packet: &[u8], at: usize| -> IpAddr {
        let bytes = &packet[at..at + length];
        match <[u8; 4]>::try_from(bytes) {
            Ok(v4) => v4.into(),
            Err(_) => <[u8; 16]>::try_from(bytes).expect("sixteen bytes").into(),
        }
    };
    let (source, protocol) = if header == 20 { (12, packet[9]) } else { (8, packet[6]) };
    let shows = |packet: &[u8]| is_private(address(packet, source)) || is_private(address(packet, source + length));
    let is_error = match protocol {
        1 => packet[header] == 3,
        58 => packet[header] < 128,
        _ => false,
    };
    let may_see = scene.is_exempted(address(packet, source + length));
    !may_see && (shows(packet) || (is_error && shows(&packet[header + 8..])))
}
