//! Does the kernel forward what is for a port to forward?
//!
//! What an AF_PACKET port receives the kernel receives too, and what comes while no gateway
//! runs it has for itself. If it forwards, packets of pods leave past the gateway, untranslated.

use std::fs;

use causeway_control::config::{Config, Driver};

/// What to do about it, for each port on whose device the kernel of this namespace forwards, by
/// family. What cannot be read is taken for off.
pub fn warnings(config: &Config) -> Vec<String> {
    let owned =
        config.ports.iter().filter(|port| matches!(port.driver, Driver::Auto | Driver::AfPacket | Driver::AfXdp));
    let families = owned.flat_map(|port| [(port, "ipv4"), (port, "ipv6")]);
    let forwarding = families.filter(|(port, family)| is_on(&port.device, family));
    let words = |(port, family): (&causeway_control::config::Port, &str)| {
        let (name, device) = (&port.name, &port.device);
        format!(
            "port \"{name}\": the kernel forwards {family} from {device} too, past the gateway and untranslated; \
             sysctl -w net.{family}.conf.{device}.forwarding=0"
        )
    };
    forwarding.map(words).collect()
}

fn is_on(device: &str, family: &str) -> bool {
    let switch = fs::read_to_string(format!("/proc/sys/net/{family}/conf/{device}/forwarding"));
    let blind = family == "ipv6" && is_without_ipv6(device);
    switch.is_ok_and(|value| value.trim() != "0") && !blind
}

/// A device on which IPv6 is off forwards none.
fn is_without_ipv6(device: &str) -> bool {
    let switch = fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"));
    switch.is_ok_and(|value| value.trim() == "1")
}
