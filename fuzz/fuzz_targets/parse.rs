//! Any bytes through the parser: no panic, and every offset it promises holds.
#![no_main]

use causeway_fastpath::address::Address;
use causeway_fastpath::ids::VrfId;
use causeway_fastpath::parse::{self, L4Kind, Layers};
use causeway_fastpath::wire::tcp::window_scale;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    if let Ok(header) = parse::ipv4(frame) {
        keeps_its_promises(frame, &parse::layers(frame, &header, VrfId::MAIN));
    }
    if let Ok(header) = parse::ipv6(frame) {
        keeps_its_promises(frame, &parse::layers(frame, &header, VrfId::MAIN));
    }
    if let Some((header, at)) = parse::ipv4_with_bad_options(frame) {
        assert!(at >= 20 && 14 + u16::from(at) < header.l4, "the option is in the header");
    }
    if let Some(quote) = parse::quote::<u32>(frame) {
        assert!(quote.l4 + 8 <= frame.len(), "eight bytes of the quoted L4 header are there");
    }
    if let Some(quote) = parse::quote::<u128>(frame) {
        assert!(quote.l4 + 8 <= frame.len(), "eight bytes of the quoted L4 header are there");
    }
});

fn keeps_its_promises<A: Address>(frame: &[u8], layers: &Layers<A>) {
    assert!(layers.l4 <= layers.end && layers.end as usize <= frame.len(), "the layers lie in the frame");
    let least = match layers.kind {
        L4Kind::Tcp => 20,
        L4Kind::Fragment if A::BITS == 32 => 0,
        L4Kind::Other | L4Kind::AddressBound | L4Kind::Damaged => 0,
        _ => 8,
    };
    assert!(layers.end - layers.l4 >= least, "the header that the kind promises is there");
    if layers.kind == L4Kind::Fragment {
        parse::first_fragment(frame, layers);
        parse::may_be_of_icmp(frame, layers);
    }
    if layers.kind == L4Kind::Tcp {
        window_scale(&frame[layers.l4 as usize..]);
    }
}
