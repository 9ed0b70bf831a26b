//! The port drivers that the lab can run the gateway on.

use std::fmt;
use std::str::FromStr;

/// Which port driver the gateway shall use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// Each that the lab's privilege allows, one after the other.
    #[default]
    Auto,
    /// AF_PACKET rings, with super-frames and partial checksums.
    AfPacket,
    /// AF_XDP sockets, with frames as a physical wire carries them.
    AfXdp,
}

impl Driver {
    /// All, in the order in which help texts list them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::AfPacket, Self::AfXdp];

    /// As it is written on the command line and in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::AfPacket => "af-packet",
            Self::AfXdp => "af-xdp",
        }
    }
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no [`Driver`] of the lab has.
#[derive(Debug, thiserror::Error)]
#[error("no driver {0:?} in the lab: auto, af-packet or af-xdp")]
pub struct UnknownDriver(pub String);

impl FromStr for Driver {
    type Err = UnknownDriver;

    fn from_str(name: &str) -> Result<Self, UnknownDriver> {
        let found = Self::ALL.into_iter().find(|driver| driver.name() == name);
        found.ok_or_else(|| UnknownDriver(name.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_is_read_as_it_is_written() {
        for driver in Driver::ALL {
            assert_eq!(driver.to_string().parse::<Driver>().unwrap(), driver);
        }
        assert!("dpdk".parse::<Driver>().unwrap_err().to_string().contains("\"dpdk\""));
    }
}
