//! From bytes to layers, one packet at a time.

use std::hint::black_box;

use causeway_fastpath::address::Address;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::parse::{self, IpHeader, Layers};
use causeway_fastpath::verdict::DropReason;
use causeway_testkit::packet::{ACK, Build, Network, eth};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parse");
    group.throughput(Throughput::Elements(1));
    let v4 = || eth().ipv4("10.1.1.10", "203.0.113.10");
    let v6 = || eth().ipv6("fd00:10::10", "2001:db8::10");
    for (name, frame) in [
        ("ipv4/udp", v4().udp(5000, 53).payload([0; 18]).build()),
        ("ipv4/tcp", v4().tcp(5000, 443).flags(ACK).payload([0; 6]).build()),
        ("ipv4/echo", v4().icmp_echo_request(7, 1).payload([0; 18]).build()),
        ("ipv4/udp with options", v4().options([1, 1, 1, 0]).udp(5000, 53).payload([0; 14]).build()),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| layers(parse::ipv4, black_box(&frame))));
    }
    for (name, frame) in [
        ("ipv6/udp", v6().udp(5000, 53).build()),
        ("ipv6/tcp", v6().tcp(5000, 443).flags(ACK).build()),
        ("ipv6/udp behind options", v6().dest_opts([1, 4, 0, 0, 0, 0]).udp(5000, 53).build()),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| layers(parse::ipv6, black_box(&frame))));
    }
    group.finish();
}

fn layers<A: Address>(
    header: impl FnOnce(&[u8]) -> Result<IpHeader<A>, DropReason>,
    frame: &[u8],
) -> Result<Layers<A>, DropReason> {
    header(frame).map(|header| parse::layers(frame, &header, VrfId::MAIN))
}

criterion_group!(benches, parse);
criterion_main!(benches);
