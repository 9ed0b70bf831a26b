//! What the names of a pool are good for (RFC 4787, sections 4.1 and 5).

/// Which flows of an endpoint leave under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// All of them: the name is the endpoint's alone.
    EndpointIndependent,
    /// Those to one destination: a port of the pool serves many.
    AddressAndPortDependent,
}

/// How the names of a protocol are given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// Which flows of an endpoint share a name.
    pub mapping: Mapping,
}

impl Behavior {
    /// Of UDP unless told otherwise, and of echo identifiers always.
    pub const UDP: Behavior = Behavior { mapping: Mapping::EndpointIndependent };
    /// Of TCP unless told otherwise.
    pub const TCP: Behavior = Behavior { mapping: Mapping::AddressAndPortDependent };
}
