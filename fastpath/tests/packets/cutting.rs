//! IPv4 packets that do not fit and may be cut up (RFC 791, 3.2; RFC 1812, 5.2.6).

use causeway_fastpath::fragment::Cuttings;
use causeway_fastpath::ids::PortId;
use causeway_fastpath::offload::{ChecksumState, Gso, Offload};
use causeway_fastpath::verdict::{DropReason, Verdict};
use causeway_testkit::packet::*;
use causeway_testkit::print::assert_frames_eq;
use causeway_testkit::{checksum, print};
use pnet_packet::Packet;
use pnet_packet::ipv4::Ipv4Packet;

use crate::world::{
    Endpoint, NODE_A, NODE_B, NODES, Plan, ROUTER, Sent, UPLINK, V4, V6, World, from, numbered_as, source, to,
};

const MTU: usize = 1_400;

/// Links to node B and to the router that take 1400 bytes.
fn narrow() -> Plan {
    let mut plan = Plan::island();
    plan.adjacencies[NODE_B.index()].mtu = MTU as u16;
    plan.adjacencies[ROUTER.index()].mtu = MTU as u16;
    plan
}

fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// The frames that a packet became, first to last, all of which went out by this port.
#[track_caller]
fn pieces(world: &mut World, first: &Sent, port: PortId) -> Vec<Vec<u8>> {
    let mut pieces = vec![first.forwarded(port).to_vec()];
    for (to, piece) in world.cut_off.drain(..) {
        assert_eq!((to, piece.len() <= 14 + MTU), (port, true));
        pieces.push(piece);
    }
    for piece in &pieces {
        assert_eq!(checksum::verify(piece), Ok(()), "{}", print::line(piece));
    }
    pieces
}

/// The packet that the pieces are of, put together by pnet's idea of them: each follows the
/// one before and is as full as can be.
#[track_caller]
fn together(pieces: &[Vec<u8>]) -> Vec<u8> {
    let first = Ipv4Packet::new(&pieces[0][14..]).expect("an IPv4 packet");
    let start = usize::from(first.get_fragment_offset());
    let mut body: Vec<u8> = Vec::new();
    let mut more = true;
    for (at, piece) in pieces.iter().enumerate() {
        assert_eq!(piece[..14], pieces[0][..14], "they are for one neighbour");
        let packet = Ipv4Packet::new(&piece[14..]).expect("an IPv4 packet");
        assert_eq!(usize::from(packet.get_fragment_offset()), start + body.len() / 8);
        assert_eq!(packet.get_identification(), first.get_identification());
        assert_eq!((packet.get_source(), packet.get_destination()), (first.get_source(), first.get_destination()));
        assert_eq!((packet.get_ttl(), packet.get_dscp()), (first.get_ttl(), first.get_dscp()));
        let room = (MTU - usize::from(packet.get_header_length()) * 4) / 8 * 8;
        assert!(at + 1 == pieces.len() || packet.payload().len() == room, "as few as may be");
        assert!(more, "there is none behind the last");
        more = packet.get_flags() & 1 != 0;
        body.extend(packet.payload());
    }
    let header = usize::from(first.get_header_length()) * 4;
    let mut whole = pieces[0][..14 + header].to_vec();
    whole[16..18].copy_from_slice(&((header + body.len()) as u16).to_be_bytes());
    let flags = u16::from_be_bytes([whole[20], whole[21]]) & !0x2000 | if more { 0x2000 } else { 0 };
    whole[20..22].copy_from_slice(&flags.to_be_bytes());
    whole[24..26].fill(0);
    let sum = checksum::internet(&whole[14..]);
    whole[24..26].copy_from_slice(&sum.to_be_bytes());
    whole.extend(body);
    whole
}

#[test]
fn a_packet_that_may_be_cut_up_is_sent_in_as_few_pieces_as_may_be() {
    let mut world = World::with(&narrow());
    for (len, count) in [(1_373, 2), (2_748, 2), (2_749, 3), (4_000, 3), (8_972, 7)] {
        let whole = |link: Eth, ttl| {
            link.ipv4(V4.pod_a, V4.pod_b).ttl(ttl).may_fragment().tos(4).id(77).udp(1, 2).payload(payload(len))
        };
        let sent = world.send(NODES, whole(from(NODE_A), 64).build());
        let pieces = pieces(&mut world, &sent, NODES);
        assert_eq!(pieces.len(), count, "{len} bytes");
        assert_frames_eq(whole(to(NODE_B), 63).build(), together(&pieces));
    }
    world.expect_counted(&[("received", 5), ("cut", 12), ("forwarded", 17)]);
}

#[test]
fn a_translated_packet_is_cut_up_too_and_so_is_its_answer() {
    let mut plan = narrow();
    plan.adjacencies[NODE_A.index()].mtu = MTU as u16;
    let mut world = World::with(&plan);
    let ask = from(NODE_A).ipv4(V4.pod_a, V4.outside).may_fragment().id(9).udp(5_000, 53).payload(payload(3_000));
    let sent = world.send(NODES, ask.build());
    let name: Endpoint = source(sent.forwarded(UPLINK));
    let pieces_out = pieces(&mut world, &sent, UPLINK);
    let expected = to(ROUTER).ip(name.0, V4.outside.to_ip()).ttl(63).may_fragment();
    let left = together(&pieces_out);
    let expected = expected.udp(name.1, 53).payload(payload(3_000)).build();
    assert_frames_eq(numbered_as(&left, expected), left);

    let answer = |link: Eth, to: &str, port, ttl| {
        link.ipv4(V4.outside, to).ttl(ttl).may_fragment().id(7).udp(53, port).payload(payload(2_000)).build()
    };
    let sent = world.send(UPLINK, answer(from(ROUTER), &name.0.to_string(), name.1, 64));
    let pieces = pieces(&mut world, &sent, NODES);
    assert_frames_eq(answer(to(NODE_A), V4.pod_a, 5_000, 63), together(&pieces));
    world.expect_counted(&[
        ("received", 2),
        ("cut", 3),
        ("forwarded", 5),
        ("translated-out", 1),
        ("translated-in", 1),
        ("sessions-created", 1),
    ]);
}

#[test]
fn a_fragment_is_cut_into_fragments_of_its_datagram() {
    let mut world = World::with(&narrow());
    let whole = |link: Eth, ttl| link.ipv4(V4.pod_a, V4.pod_b).ttl(ttl).udp(1, 2).payload(payload(4_000));
    let came = whole(from(NODE_A), 64).fragments(5, 1_500);
    let expected = whole(to(NODE_B), 63).fragments(5, 1_500);
    for (came, expected) in came.iter().zip(&expected) {
        let sent = world.send(NODES, came);
        let pieces = pieces(&mut world, &sent, NODES);
        assert_frames_eq(expected, together(&pieces));
    }
    // Translated, each is known by what came, not by what it was cut into.
    let whole = from(NODE_A).ipv4(V4.pod_a, V4.outside).udp(5_000, 53).payload(payload(4_000)).fragments(6, 1_500);
    world.send(NODES, &whole[1]).held();
    let sent = world.send(NODES, &whole[0]);
    sent.forwarded(UPLINK);
    world.released[0].forwarded(UPLINK);
    world.send(NODES, &whole[2]).forwarded(UPLINK);
    assert_eq!((world.cut_off.len(), world.forwarder.datagrams()), (2, [(0, 0); 2]));
}

#[test]
fn options_go_where_they_belong() {
    let mut world = World::with(&narrow());
    // Router alert goes with every piece, an unknown option without the flag with the first.
    let options = [0x1e, 4, 1, 2, 148, 4, 0, 0];
    let ip = from(NODE_A).ipv4(V4.pod_a, V4.pod_b).may_fragment().options(options);
    let sent = world.send(NODES, ip.udp(1, 2).payload(payload(3_500)).build());
    let pieces = pieces(&mut world, &sent, NODES);
    assert_eq!(pieces.iter().map(|piece| piece[14]).collect::<Vec<_>>(), [0x47, 0x46, 0x46]);
    assert_eq!((&pieces[0][34..42], &pieces[1][34..38]), (&options[..], &options[4..]));
    let expected = to(NODE_B).ipv4(V4.pod_a, V4.pod_b).ttl(63).may_fragment().options(options);
    assert_frames_eq(expected.udp(1, 2).payload(payload(3_500)).build(), together(&pieces));
}

#[test]
fn a_partial_checksum_is_completed_before_a_packet_is_cut_up() {
    let mut world = World::with(&narrow());
    let offload = Offload { checksum: ChecksumState::Partial { start: 34, offset: 6 }, gso: Gso::None, gso_size: 0 };
    for (dst, port, neighbor) in [(V4.pod_b, NODES, NODE_B), (V4.outside, UPLINK, ROUTER)] {
        let ask = from(NODE_A).ipv4(V4.pod_a, dst).may_fragment().udp(5_000, 53).payload(payload(2_001));
        let pseudo = checksum::pseudo_header(V4.pod_a.to_ip(), dst.to_ip(), 17, 2_009);
        let sent = world.send_with(NODES, ask.checksum(checksum::sum(&pseudo)).build(), offload);
        assert_eq!(sent.offload, Offload::DONE);
        let whole = together(&pieces(&mut world, &sent, port));
        assert_eq!(checksum::verify(&whole), Ok(()));
        let (address, own) = source(&whole);
        let expected = to(neighbor).ip(address, dst.to_ip()).ttl(63).may_fragment();
        let expected = expected.udp(own, 53).payload(payload(2_001)).build();
        assert_frames_eq(numbered_as(&whole, expected), whole);
    }
}

#[test]
fn what_is_a_ports_to_cut_or_nobodys_is_left_alone() {
    let mut world = World::with(&narrow());
    let datagram = || from(NODE_A).ipv4(V4.pod_a, V4.pod_b).may_fragment().udp(1, 2).payload(payload(4_000));
    // Segments that fit are cut by the port, others by nobody.
    let super_frame = |gso_size| Offload { gso: Gso::Udp, gso_size, ..Offload::DONE };
    let sent = world.send_with(NODES, datagram().build(), super_frame(1_000));
    assert_eq!((sent.forwarded(NODES).len(), world.cut_off.len()), (14 + 4_028, 0));
    world.send_with(NODES, datagram().build(), super_frame(1_500)).dropped(DropReason::MtuExceeded);
    // What SCTP leaves undone is no sum that could be made good.
    let crc = Offload { checksum: ChecksumState::Partial { start: 34, offset: 8 }, ..Offload::DONE };
    let sctp = from(NODE_A).ipv4(V4.pod_a, V4.pod_b).may_fragment().sctp(1, 2, 3, payload(4_000)).build();
    world.send_with(NODES, sctp, crc).dropped(DropReason::MtuExceeded);
    // Beyond the longest datagram there is no offset.
    let far = from(NODE_A).ipv4(V4.pod_a, V4.pod_b).fragment(64_000, true).raw(17, payload(1_600)).build();
    world.send(NODES, far).dropped(DropReason::MtuExceeded);
    let six = from(NODE_A).ipv6(V6.pod_a, V6.pod_b).udp(1, 2).payload(payload(4_000)).build();
    assert_eq!(world.send(NODES, six).verdict, Verdict::Reply(NODES));
    assert_eq!(world.cut_off.len(), 0);
}

#[test]
fn what_finds_no_buffers_is_dropped_whole_and_the_next_burst_finds_them_again() {
    // Each of several has buffers of its own.
    if crate::WORKERS > 1 {
        return;
    }
    let mut plan = Plan::island();
    plan.adjacencies[NODE_B.index()].mtu = 68;
    let mut world = World::with(&plan);
    // 46 bytes and a header of 20: pieces of 48 bytes each.
    let large = |len: usize| {
        (NODES, from(NODE_A).ipv4(V4.pod_a, V4.pod_b).may_fragment().udp(1, 2).payload(payload(len)).build())
    };
    let burst: Vec<_> = [9_000, 9_000, 9_000, 100].map(|len| (large(len).0, large(len).1, Offload::DONE)).into();
    for _ in 0..3 {
        let sent = world.burst(&burst);
        sent[0].forwarded(NODES);
        sent[1].forwarded(NODES);
        sent[2].dropped(DropReason::CutBuffersFull);
        sent[3].forwarded(NODES);
        let cut_off = world.cut_off.drain(..).count();
        assert_eq!(cut_off, 2 * 187 + 2, "two and the small one");
        assert!(cut_off <= Cuttings::BUFFERS && cut_off + 187 > Cuttings::BUFFERS);
        world.expect_counted(&[
            ("received", 4),
            ("cut", cut_off as u64),
            ("forwarded", 3 + cut_off as u64),
            ("cut-buffers-full", 1),
        ]);
    }
}
