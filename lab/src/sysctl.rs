//! The kernel's switches under `/proc/sys/net`, one set a namespace.

use std::fs;

use crate::error::{During, SetupError};
use crate::netns::Namespace;

impl Namespace {
    /// Writes a switch of this namespace: `set_sysctl("net.ipv4.ip_forward", "1")`.
    ///
    /// Dots separate; an interface name with a dot in it cannot be spelled.
    ///
    /// # Errors
    /// The kernel has no such switch, refuses the value, or `/proc/sys` is mounted
    /// read-only.
    pub fn set_sysctl(&self, key: &str, value: &str) -> Result<(), SetupError> {
        // The kernel shows each thread the switches of its own namespace.
        self.run(|| fs::write(path(key), value)).during(|| format!("setting {key} = {value}"))
    }

    /// Writes several switches, in order, on one thread.
    ///
    /// # Errors
    /// As [`set_sysctl`](Self::set_sysctl), for the first that fails.
    pub fn set_sysctls(&self, switches: &[(&str, &str)]) -> Result<(), SetupError> {
        self.run(|| {
            switches
                .iter()
                .try_for_each(|(key, value)| fs::write(path(key), value).during(|| format!("setting {key} = {value}")))
        })
    }

    /// Reads a switch of this namespace, without its newline.
    ///
    /// # Errors
    /// The kernel has no such switch.
    pub fn sysctl(&self, key: &str) -> Result<String, SetupError> {
        let text = self.run(|| fs::read_to_string(path(key))).during(|| format!("reading {key}"))?;
        Ok(text.trim_end().to_owned())
    }
}

fn path(key: &str) -> String {
    format!("/proc/sys/{}", key.replace('.', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privilege::require_for_test;

    #[test]
    fn a_switch_is_set_in_its_own_namespace_only() {
        if !require_for_test("a_switch_is_set_in_its_own_namespace_only") {
            return;
        }
        let (a, b) = (Namespace::new().unwrap(), Namespace::new().unwrap());
        a.set_sysctl("net.ipv4.ip_forward", "1").unwrap();
        b.set_sysctl("net.ipv4.ip_forward", "0").unwrap();
        assert_eq!(a.sysctl("net.ipv4.ip_forward").unwrap(), "1");
        assert_eq!(b.sysctl("net.ipv4.ip_forward").unwrap(), "0");
    }
}
