//! A world: hosts in namespaces of their own, joined by a fabric.

use std::ffi::OsStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;

use crate::error::SetupError;
use crate::island::IslandBuilder;
use crate::netlink::{Netlink, Offload};
use crate::netns::Namespace;
use crate::plan::{self, Dual, Family};

/// A gateway, nodes with pods, and an outside. All of it goes when this is
/// dropped, or when the process ends however it ends.
#[derive(Debug)]
pub struct World {
    pub(crate) hosts: Vec<Host>,
}

impl World {
    /// The standard world, as `configs/lab.toml` draws it:
    ///
    /// - `gateway`: `eth1` towards the nodes, `eth0` towards the outside, both up
    ///   and without addresses, the kernel's forwarding and IPv6 off: they belong
    ///   to the gateway program.
    /// - `node-a`, `node-b`: forward between their pods and the gateway, which is
    ///   their default route.
    /// - `pod-a1`, `pod-a2` ... on `node-a`; `pod-b1` ... on `node-b`.
    /// - `server`, `client`: outside. They know the nodes' network, not the pods'.
    /// - `fabric`: the two switches between all of these.
    ///
    /// Addresses are in [`plan`].
    pub fn island() -> IslandBuilder {
        IslandBuilder::new()
    }

    /// The host `name`.
    ///
    /// # Panics
    /// There is none: the message lists those there are.
    pub fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.unwrap_or_else(|| {
            let names: Vec<_> = self.hosts.iter().map(Host::name).collect();
            panic!("no host {name:?} in this world, only {}", names.join(", "))
        })
    }

    /// Where the gateway program runs.
    pub fn gateway(&self) -> &Host {
        self.host("gateway")
    }

    /// All hosts, the fabric included, in the order in which they were made.
    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter()
    }

    /// The pods of all nodes.
    pub fn pods(&self) -> impl Iterator<Item = &Host> {
        self.hosts.iter().filter(|host| host.name.starts_with("pod-"))
    }

    /// Switches the offloads of the wires to the gateway, on its far side.
    ///
    /// On, as at first, the gateway receives what veth peers, VMs and containers
    /// send: frames of up to 64 KiB with partial checksums. Off, it receives what
    /// a physical wire carries: frames within the MTU, checksums complete.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn set_wire_offloads(&self, on: bool) -> Result<(), SetupError> {
        let mut netlink = self.host("fabric").netlink()?;
        for wire in ["gw-nodes", "gw-uplink"] {
            for offload in [Offload::TxChecksum, Offload::Tso, Offload::Gso] {
                netlink.set_offload(wire, offload, on)?;
            }
        }
        Ok(())
    }

    /// Makes the kernel of the gateway's namespace the router, without any NAT,
    /// and gives the outside a way back to the pods: to compare with, and to try
    /// the world itself.
    ///
    /// # Errors
    /// The kernel refuses; it was done before.
    pub fn route_with_kernel(&self) -> Result<(), SetupError> {
        let gateway = self.gateway();
        gateway.namespace().set_sysctls(&[
            ("net.ipv6.conf.eth0.disable_ipv6", "0"),
            ("net.ipv6.conf.eth1.disable_ipv6", "0"),
            ("net.ipv4.ip_forward", "1"),
            ("net.ipv6.conf.all.forwarding", "1"),
        ])?;
        let mut netlink = gateway.netlink()?;
        for family in Family::BOTH {
            netlink.add_address("eth1", plan::GATEWAY_NODES.interface(family))?;
            netlink.add_address("eth0", plan::GATEWAY_UPLINK.interface(family))?;
            for nth in 0..plan::NODES.len() as u8 {
                let pods = plan::node_towards_pods(nth).network(family);
                netlink.add_route(pods, plan::node(nth).address(family))?;
            }
            for outside in ["server", "client"] {
                let mut netlink = self.host(outside).netlink()?;
                netlink.add_route(plan::PODS.network(family), plan::GATEWAY_UPLINK.address(family))?;
            }
        }
        Ok(())
    }
}

/// One host of a world.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    namespace: Namespace,
    address: Option<Dual>,
}

impl Host {
    pub(crate) fn new(name: impl Into<String>, namespace: Namespace, address: Option<Dual>) -> Self {
        Self { name: name.into(), namespace, address }
    }

    /// Its name: "pod-a1".
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Its IPv4 address.
    ///
    /// # Panics
    /// It has none: the gateway's addresses belong to the program that runs there
    /// ([`plan::GATEWAY_NODES`], [`plan::GATEWAY_UPLINK`]), the fabric needs none.
    pub fn v4(&self) -> Ipv4Addr {
        self.dual().v4.addr()
    }

    /// Its IPv6 address.
    ///
    /// # Panics
    /// As [`v4`](Self::v4).
    pub fn v6(&self) -> Ipv6Addr {
        self.dual().v6.addr()
    }

    /// Its address in one family.
    ///
    /// # Panics
    /// As [`v4`](Self::v4).
    pub fn address(&self, family: Family) -> IpAddr {
        self.dual().address(family)
    }

    /// Its address in one family, with a port.
    ///
    /// # Panics
    /// As [`v4`](Self::v4).
    pub fn socket(&self, family: Family, port: u16) -> SocketAddr {
        SocketAddr::new(self.address(family), port)
    }

    /// Runs `inside` on a new thread on this host; see [`Namespace::run`].
    pub fn run<R: Send>(&self, inside: impl FnOnce() -> R + Send) -> R {
        self.namespace.run(inside)
    }

    /// A command that will run on this host; see [`Namespace::command`].
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.namespace.command(program)
    }

    /// A conversation with the kernel about this host's interfaces and routes.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn netlink(&self) -> Result<Netlink, SetupError> {
        Netlink::open(&self.namespace)
    }

    fn dual(&self) -> &Dual {
        let name = &self.name;
        self.address.as_ref().unwrap_or_else(|| panic!("the host {name} has no address of its own"))
    }
}
