//! The IPv6 header and its extension headers (RFC 8200).

use std::net::Ipv6Addr;

use super::{Eth, Icmp, Network, ToIpv6};

/// An IPv6 layer being described. Hop limit 64 by default, 255 for neighbour
/// discovery, which demands it.
#[derive(Clone, Debug)]
pub struct Ipv6 {
    pub(super) eth: Eth,
    pub(super) src: Ipv6Addr,
    pub(super) dst: Ipv6Addr,
    traffic_class: u8,
    flow_label: u32,
    hop_limit: Option<u8>,
    /// Protocol number and bytes of each; the next-header byte is filled in last.
    extensions: Vec<(u8, Vec<u8>)>,
    /// Those that go with every fragment, if not all do.
    per_fragment: Option<usize>,
    version: u8,
    payload_length: Option<u16>,
    next_header: Option<u8>,
}

impl Ipv6 {
    pub(super) fn new(eth: Eth, src: Ipv6Addr, dst: Ipv6Addr) -> Self {
        Ipv6 {
            eth,
            src,
            dst,
            traffic_class: 0,
            flow_label: 0,
            hop_limit: None,
            extensions: Vec::new(),
            per_fragment: None,
            version: 6,
            payload_length: None,
            next_header: None,
        }
    }

    /// Hop limit.
    pub fn hop_limit(mut self, hops: u8) -> Self {
        self.hop_limit = Some(hops);
        self
    }

    /// Hop limit, by the name that IPv4 gives it.
    pub fn ttl(self, hops: u8) -> Self {
        self.hop_limit(hops)
    }

    /// Traffic class: DSCP and ECN bits.
    pub fn traffic_class(mut self, class: u8) -> Self {
        self.traffic_class = class;
        self
    }

    /// Flow label, 20 bits.
    pub fn flow_label(mut self, label: u32) -> Self {
        self.flow_label = label & 0xf_ffff;
        self
    }

    /// Adds a hop-by-hop options header; options as bytes, padded by PadN.
    pub fn hop_by_hop(self, options: impl AsRef<[u8]>) -> Self {
        self.options_header(0, options.as_ref())
    }

    /// Adds a destination options header; options as bytes, padded by PadN.
    pub fn dest_opts(self, options: impl AsRef<[u8]>) -> Self {
        self.options_header(60, options.as_ref())
    }

    /// Adds a routing header with its type-specific data, padded with zeros.
    /// Checksums still count the destination of the IPv6 header: use 0 segments
    /// left where that matters (RFC 8200, 8.1).
    pub fn routing(self, kind: u8, segments_left: u8, data: impl AsRef<[u8]>) -> Self {
        let mut bytes = vec![0, 0, kind, segments_left];
        bytes.extend(data.as_ref());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        self.sized_extension(43, bytes)
    }

    /// Adds a fragment header: byte `offset` (a multiple of eight), `more` to follow.
    pub fn fragment(self, id: u32, offset: u16, more: bool) -> Self {
        assert_eq!(offset % 8, 0, "fragment offsets are multiples of eight bytes");
        let mut bytes = vec![0, 0];
        bytes.extend((offset | u16::from(more)).to_be_bytes());
        bytes.extend(id.to_be_bytes());
        self.extension(44, bytes)
    }

    /// Headers added so far go with every fragment; those that follow are cut up with what the
    /// packet carries (RFC 8200, 4.5). Otherwise all go with every fragment.
    pub fn per_fragment(mut self) -> Self {
        self.per_fragment = Some(self.extensions.len());
        self
    }

    /// Adds any extension header as bytes; the first becomes the next header's number.
    ///
    /// # Panics
    /// No bytes.
    pub fn extension(mut self, protocol: u8, bytes: impl AsRef<[u8]>) -> Self {
        assert!(!bytes.as_ref().is_empty(), "an extension header has a next-header byte");
        self.extensions.push((protocol, bytes.as_ref().to_vec()));
        self
    }

    /// Lies about the version.
    pub fn version(mut self, version: u8) -> Self {
        self.version = version;
        self
    }

    /// Lies about the length behind the fixed header, in bytes.
    pub fn payload_length(mut self, bytes: u16) -> Self {
        self.payload_length = Some(bytes);
        self
    }

    /// Lies about what follows the fixed header.
    pub fn next_header(mut self, protocol: u8) -> Self {
        self.next_header = Some(protocol);
        self
    }

    /// An ICMPv6 error: packet too big for a link of `mtu` bytes.
    pub fn packet_too_big(self, mtu: u32, quoted: &[u8]) -> Icmp {
        self.icmp_error(2, 0, mtu.to_be_bytes(), quoted)
    }

    /// Who has `target`? With this frame's source as source link-layer address;
    /// add none with [`Icmp::without_options`].
    pub fn neighbour_solicitation(self, target: impl ToIpv6) -> Icmp {
        let mac = self.eth.src;
        let target = target.to_ipv6().octets();
        self.discovery(135, [0; 4], &target).nd_option(1, mac)
    }

    /// `target` is at this frame's source address. `flags` is RSO: 4 router,
    /// 2 solicited, 1 override.
    pub fn neighbour_advertisement(self, target: impl ToIpv6, flags: u8) -> Icmp {
        let mac = self.eth.src;
        let target = target.to_ipv6().octets();
        self.discovery(136, [flags << 5, 0, 0, 0], &target).nd_option(2, mac)
    }

    /// Are there routers? With this frame's source as source link-layer address.
    pub fn router_solicitation(self) -> Icmp {
        let mac = self.eth.src;
        self.discovery(133, [0; 4], &[]).nd_option(1, mac)
    }

    fn discovery(mut self, kind: u8, rest: [u8; 4], body: &[u8]) -> Icmp {
        // RFC 4861 demands it of all five messages: what was forwarded is not believed.
        self.hop_limit.get_or_insert(255);
        self.icmp(kind, 0, rest, body)
    }

    /// The headers of every fragment of a packet, and protocol and bytes of what is cut up.
    pub(super) fn fragmentable(&self, protocol: u8, segment: Vec<u8>) -> (Ipv6, u8, Vec<u8>) {
        let mut headers = self.clone();
        let cut_up = headers.extensions.split_off(self.per_fragment.unwrap_or(self.extensions.len()));
        let Some((first, _)) = cut_up.first() else {
            return (headers, protocol, segment);
        };
        let first = *first;
        let bytes = Ipv6 { extensions: cut_up, ..headers.clone() }.encode(protocol, &segment).split_off(40);
        (headers, first, bytes)
    }

    fn options_header(self, protocol: u8, options: &[u8]) -> Self {
        let mut bytes = vec![0, 0];
        bytes.extend(options);
        match bytes.len().next_multiple_of(8) - bytes.len() {
            0 => {}
            1 => bytes.push(0),
            gap => {
                bytes.extend([1, gap as u8 - 2]);
                bytes.resize(bytes.len().next_multiple_of(8), 0);
            }
        }
        self.sized_extension(protocol, bytes)
    }

    fn sized_extension(self, protocol: u8, mut bytes: Vec<u8>) -> Self {
        bytes[1] = u8::try_from(bytes.len() / 8 - 1).expect("an extension has at most 2048 bytes");
        self.extension(protocol, bytes)
    }

    pub(super) fn header_len(&self) -> usize {
        40 + self.extensions.iter().map(|(_, bytes)| bytes.len()).sum::<usize>()
    }

    pub(super) fn encode(&self, protocol: u8, segment: &[u8]) -> Vec<u8> {
        let behind = self.header_len() - 40 + segment.len();
        let payload_length = self.payload_length.unwrap_or_else(|| {
            u16::try_from(behind).expect("an IPv6 payload is at most 65535 bytes; set payload_length to lie")
        });
        let follows = |index: usize| self.extensions.get(index).map_or(protocol, |next| next.0);
        let first_word =
            (u32::from(self.version & 0x0f) << 28) | (u32::from(self.traffic_class) << 20) | self.flow_label;
        let mut packet = Vec::with_capacity(40 + behind);
        packet.extend(first_word.to_be_bytes());
        packet.extend(payload_length.to_be_bytes());
        packet.push(self.next_header.unwrap_or_else(|| follows(0)));
        packet.push(self.hop_limit.unwrap_or(64));
        packet.extend(self.src.octets());
        packet.extend(self.dst.octets());
        for (index, (_, bytes)) in self.extensions.iter().enumerate() {
            packet.push(follows(index + 1));
            packet.extend(&bytes[1..]);
        }
        packet.extend(segment);
        packet
    }
}
