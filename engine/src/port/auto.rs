//! `driver = "auto"`: which driver suits a device best, and why.

use super::af_xdp;
use super::device::{Device, Kind};
use super::netdev::{self, XdpFeatures};
use super::{OpenError, PortOptions};

/// A driver that `auto` picks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// AF_XDP, in native mode.
    AfXdp,
    /// AF_PACKET, which works everywhere.
    AfPacket,
}

impl Driver {
    /// As it is called in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Driver::AfXdp => "af-xdp",
            Driver::AfPacket => "af-packet",
        }
    }
}

/// The driver for a device, and the reason for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The driver.
    pub driver: Driver,
    /// Why, as a sentence without a full stop, for the log and `show ports`.
    pub reason: String,
}

/// Chooses the driver for the device of `options`.
///
/// Asks the kernel what the device's driver can do and whether this process may;
/// changes nothing. That opening then succeeds is likely and not certain: a
/// driver may refuse XDP for reasons of its own, and another program may be there.
///
/// # Errors
/// There is no such device, or it is not Ethernet.
pub fn choose(options: &PortOptions) -> Result<Choice, OpenError> {
    let device = Device::for_port(options, "auto")?;
    let found = Found {
        mtu: device.mtu.max(options.mtu.unwrap_or(0).into()),
        features: netdev::xdp_features(device.index).map_err(|error| error.to_string()),
        privilege: af_xdp::privileged(),
        kind: device.kind,
    };
    Ok(decide(&found))
}

/// What was found out about a device.
struct Found {
    kind: Kind,
    mtu: u32,
    features: Result<XdpFeatures, String>,
    privilege: Result<(), String>,
}

/// The decision, in the order of what matters most.
fn decide(found: &Found) -> Choice {
    let af_packet = |reason: String| Choice { driver: Driver::AfPacket, reason };
    let virtual_device = match &found.kind {
        Kind::Veth => Some("veth"),
        Kind::Tun => Some("tun or tap"),
        Kind::Bridge => Some("bridge"),
        Kind::VirtioNet | Kind::Other(_) => None,
    };
    if let Some(kind) = virtual_device {
        return af_packet(format!(
            "a {kind} hands over frames of up to 64 KiB whole, which beats XDP's 1500-byte ones"
        ));
    }
    let features = match &found.features {
        Ok(features) if features.redirects() => *features,
        Ok(_) => return af_packet(format!("{} has no native XDP", driver_of(&found.kind))),
        Err(error) => return af_packet(format!("the kernel does not tell of XDP features ({error})")),
    };
    if found.mtu > af_xdp::LARGEST_MTU {
        let largest = af_xdp::LARGEST_MTU;
        return af_packet(format!("an MTU of {} does not fit one XDP buffer, which holds {largest}", found.mtu));
    }
    if let Err(missing) = &found.privilege {
        return af_packet(format!("AF_XDP would do, but {missing}"));
    }
    let copying = if features.zero_copy() { "zero-copy AF_XDP" } else { "native XDP, AF_XDP in copy mode" };
    Choice { driver: Driver::AfXdp, reason: format!("{} has {copying}", driver_of(&found.kind)) }
}

fn driver_of(kind: &Kind) -> String {
    match kind {
        Kind::VirtioNet => "the driver virtio_net".into(),
        Kind::Other(name) if !name.is_empty() => format!("the driver {name}"),
        _ => "the device".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_choice_follows_what_was_found() {
        let nic = || Kind::Other("ice".into());
        let may = || Ok(());
        let may_not = || Err("the kernel refuses the XDP program (EPERM)".to_owned());
        let (all, copy, none) = (0x7f, 0x23, 0);
        let table = [
            ("a NIC with zero-copy", nic(), 1500, Ok(all), may(), Driver::AfXdp, "the driver ice has zero-copy AF_XDP"),
            ("a NIC without", nic(), 1500, Ok(copy), may(), Driver::AfXdp, "AF_XDP in copy mode"),
            (
                "virtio with zero-copy",
                Kind::VirtioNet,
                1500,
                Ok(0x2b),
                may(),
                Driver::AfXdp,
                "virtio_net has zero-copy",
            ),
            (
                "virtio without XDP",
                Kind::VirtioNet,
                1500,
                Ok(none),
                may(),
                Driver::AfPacket,
                "virtio_net has no native XDP",
            ),
            (
                "loopback",
                Kind::Other("".into()),
                65536,
                Ok(none),
                may(),
                Driver::AfPacket,
                "the device has no native XDP",
            ),
            ("jumbo frames", nic(), 9000, Ok(all), may(), Driver::AfPacket, "an MTU of 9000"),
            (
                "no privilege",
                nic(),
                1500,
                Ok(all),
                may_not(),
                Driver::AfPacket,
                "AF_XDP would do, but the kernel refuses",
            ),
            (
                "an old kernel",
                nic(),
                1500,
                Err("ENOENT"),
                may(),
                Driver::AfPacket,
                "does not tell of XDP features (ENOENT)",
            ),
            ("veth", Kind::Veth, 1500, Ok(copy), may(), Driver::AfPacket, "a veth hands over"),
            ("tap", Kind::Tun, 1500, Ok(copy), may(), Driver::AfPacket, "a tun or tap hands over"),
            ("bridge", Kind::Bridge, 1500, Ok(none), may(), Driver::AfPacket, "a bridge hands over"),
        ];
        for (what, kind, mtu, features, privilege, driver, reason) in table {
            let features = features.map(XdpFeatures).map_err(str::to_owned);
            let choice = decide(&Found { kind, mtu, features, privilege });
            assert_eq!(choice.driver, driver, "{what}");
            assert!(choice.reason.contains(reason), "{what}: {}", choice.reason);
        }
    }

    #[test]
    fn loopback_is_for_af_packet() {
        let options = PortOptions {
            id: causeway_fastpath::ids::PortId(0),
            name: "loop".into(),
            device: "lo".into(),
            ring: 1024,
            mtu: None,
            mac: None,
            memif_id: 0,
            share: None,
        };
        assert_eq!(choose(&options).expect("lo is there").driver, Driver::AfPacket);
        let error = choose(&PortOptions { device: "nosuchdev0".into(), ..options }).expect_err("there is none");
        assert!(error.to_string().contains("there is no such device"), "{error}");
    }
}
