//! What a fragment says about itself.

use crate::address::Address;
use crate::handoff::Name;
use crate::ids::VrfId;
use crate::session::{FlowKey, Seed};

/// Which datagram a fragment is a piece of: RFC 791, 3.2, and RFC 8200, 4.5.
///
/// The routing domain is part of it: islands may use the same addresses. The key of
/// IPv6 has no protocol, which here is that of the fragment header in each piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Datagram<A>(FlowKey<A>);

/// Which of a datagram's bytes a fragment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    start: u16,
    end: u16,
    last: bool,
}

/// No datagram has such a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadPiece;

impl<A: Address> Datagram<A> {
    /// The datagram of a fragment that was found in the routing domain `vrf`.
    pub fn new((src, dst): (A, A), identification: u32, protocol: u8, vrf: VrfId) -> Datagram<A> {
        // Where another packet has its ports.
        let (src_port, dst_port) = ((identification >> 16) as u16, identification as u16);
        Datagram(FlowKey { src, dst, src_port, dst_port, vrf, protocol, hairpin: 0 })
    }

    /// To be told to another worker.
    pub(crate) fn tell(&self) -> Name {
        Name::of(&self.0)
    }

    /// As another worker told of it; `None`: of the other family.
    pub(crate) fn told(name: &Name) -> Option<Datagram<A>> {
        name.key().map(Datagram)
    }

    /// Who sent it, and to whom.
    pub(crate) fn hosts(&self) -> (A, A) {
        (self.0.src, self.0.dst)
    }

    #[inline(always)]
    pub(super) fn is(&self, other: &Datagram<A>) -> bool {
        self.0.is(&other.0)
    }

    #[inline(always)]
    pub(super) fn hash(&self, seed: Seed) -> u64 {
        self.0.hash(seed)
    }

    /// Who sent it, hashed: an IPv4 address, or an IPv6 network of 64 bits, as one host
    /// may have all addresses of that.
    pub(super) fn source_hash(&self, seed: Seed) -> u64 {
        let src = if A::BITS == 32 { self.0.src } else { self.0.src.masked(64) };
        FlowKey { src, vrf: self.0.vrf, ..FlowKey::default() }.hash(seed)
    }
}

impl Piece {
    /// `len` bytes from byte `offset` on, with `more` of the datagram behind them.
    ///
    /// # Errors
    /// [`BadPiece`]: it is empty, ends beyond 64 KiB, or has more behind it and is no
    /// multiple of eight bytes long (RFC 8200, 4.5).
    pub fn new(offset: u16, len: usize, more: bool) -> Result<Piece, BadPiece> {
        let end = u16::try_from(usize::from(offset) + len).map_err(|_| BadPiece)?;
        if len == 0 || !offset.is_multiple_of(8) || (more && !len.is_multiple_of(8)) {
            return Err(BadPiece);
        }
        Ok(Piece { start: offset, end, last: !more })
    }

    /// The first of its bytes.
    pub fn start(self) -> u16 {
        self.start
    }

    /// One past the last of its bytes.
    pub fn end(self) -> u16 {
        self.end
    }

    /// Does the datagram end with it?
    pub fn is_last(self) -> bool {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_datagram_has_an_empty_an_uneven_or_an_endless_piece() {
        assert_eq!(Piece::new(0, 0, true), Err(BadPiece));
        assert_eq!(Piece::new(8, 9, true), Err(BadPiece));
        assert_eq!(Piece::new(4, 8, true), Err(BadPiece));
        assert_eq!(Piece::new(65_528, 8, false), Err(BadPiece));
        assert!(Piece::new(65_528, 7, false).is_ok());
        assert!(Piece::new(8, 9, false).is_ok());
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_an_ipv6_network_in_its_domain() {
        let seed = Seed([0x1234_5678_9abc_def1, 0x0fed_cba9_8765_4321]);
        let v4 = |src, vrf| Datagram::new((src, 9u32), 7, 17, VrfId(vrf)).source_hash(seed);
        assert_eq!(v4(1, 0), Datagram::new((1u32, 8), 6, 1, VrfId(0)).source_hash(seed));
        assert_ne!(v4(1, 0), v4(2, 0));
        assert_ne!(v4(1, 0), v4(1, 1));
        let v6 = |src| Datagram::new((src, 9u128), 7, 44, VrfId(0)).source_hash(seed);
        assert_eq!(v6(5 << 64), v6((5 << 64) + 77));
        assert_ne!(v6(5 << 64), v6(6 << 64));
    }
}
