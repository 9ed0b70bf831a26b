//! Small numbers that name things, each of its own type.

use core::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($int:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $int);

        impl $name {
            /// As an index into the table of these.
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// A port of the gateway, in the order of the configuration.
    PortId(u16)
);
id!(
    /// A routing domain. [`VrfId::MAIN`] is the outside world; each island has its own.
    VrfId(u16)
);
id!(
    /// A neighbour that packets are handed to: an entry of the snapshot's adjacency table.
    AdjacencyId(u32)
);
id!(
    /// Next hops that share a route: an entry of the snapshot's table of groups.
    GroupId(u32)
);
id!(
    /// A pool of outside addresses.
    PoolId(u16)
);
id!(
    /// A worker, one a core.
    WorkerId(u16)
);
id!(
    /// The version of the tables a worker forwards by; it only grows.
    Epoch(u64)
);

id!(
    /// How often a worker has begun anew: names that were lent by or to an earlier incarnation
    /// are void.
    Incarnation(u32)
);

impl VrfId {
    /// The routing domain of the outside world.
    pub const MAIN: VrfId = VrfId(0);
}
