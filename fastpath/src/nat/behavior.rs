//! What the names of a pool are good for (RFC 4787, sections 4.1 and 5).

/// Which flows of an endpoint leave under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mapping {
    /// All of them: the name is the endpoint's alone.
    EndpointIndependent,
    /// Those to one address outside, whatever its port: the name is theirs alone (RFC 4787
    /// REQ-3; whoever would share ports has the next one).
    AddressDependent,
    /// Those to one destination: a port of the pool serves many.
    AddressAndPortDependent,
}

impl Mapping {
    /// Does a port of the pool serve many destinations? Otherwise it is one name's alone.
    pub fn shares_ports(self) -> bool {
        self == Mapping::AddressAndPortDependent
    }
}

/// From whom outside an endpoint is reached under its name, beside those it talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filtering {
    /// From anybody.
    EndpointIndependent,
    /// From any port of an address that it talks to.
    AddressDependent,
    /// From nobody.
    AddressAndPortDependent,
}

/// How the names of a protocol are given out, and to whom they are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// Which flows of an endpoint share a name.
    pub mapping: Mapping,
    /// Who reaches an endpoint by its name.
    pub filtering: Filtering,
}

impl Behavior {
    /// Of UDP unless told otherwise, and of echo identifiers always.
    pub const UDP: Behavior =
        Behavior { mapping: Mapping::EndpointIndependent, filtering: Filtering::AddressAndPortDependent };
    /// Of TCP unless told otherwise.
    pub const TCP: Behavior =
        Behavior { mapping: Mapping::AddressAndPortDependent, filtering: Filtering::AddressAndPortDependent };

    /// Do names let strangers in?
    pub fn is_open(self) -> bool {
        self.filtering != Filtering::AddressAndPortDependent
    }

    /// Whoever is let in is answered under the name by which he came: the names of other
    /// flows to him must be the same.
    pub fn is_sound(self) -> bool {
        match self.mapping {
            Mapping::EndpointIndependent => true,
            Mapping::AddressDependent => self.filtering != Filtering::EndpointIndependent,
            Mapping::AddressAndPortDependent => !self.is_open(),
        }
    }
}
