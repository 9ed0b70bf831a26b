//! Building the island world, wire by wire.

use crate::error::{During, SetupError};
use crate::netlink::{Mac, Netlink};
use crate::netns::Namespace;
use crate::plan::{self, Dual, Family};
use crate::world::{Host, World};

/// How many of what the world shall have; see [`World::island`].
#[derive(Clone, Copy, Debug)]
pub struct IslandBuilder {
    pods_per_node: u8,
    twin: bool,
}

impl IslandBuilder {
    pub(crate) fn new() -> Self {
        Self { pods_per_node: 2, twin: false }
    }

    /// Pods on each node; 2 unless told. At most [`plan::MOST_PODS_PER_NODE`].
    pub fn pods_per_node(mut self, pods: u8) -> Self {
        self.pods_per_node = pods;
        self
    }

    /// With a second cluster on a wire of its own, `eth2` of the gateway: `node-x` and its
    /// pods `pod-x1` ..., which have the addresses of those of `node-a`.
    pub fn with_twin(mut self) -> Self {
        self.twin = true;
        self
    }

    /// Builds it, in well under a second.
    ///
    /// # Errors
    /// Too little privilege, or a kernel without veth, bridges or IPv6.
    ///
    /// # Panics
    /// More pods than the plan has addresses for.
    pub fn build(self) -> Result<World, SetupError> {
        let mut world = World { hosts: Vec::new() };
        let fabric = Fabric::build(self.twin)?;

        world.hosts.push(gateway(&fabric, self.twin)?);
        for (name, address) in [("server", plan::SERVER), ("client", plan::CLIENT)] {
            world.hosts.push(outside(&fabric, name, address)?);
        }
        for (nth, letter) in (0u8..).zip(plan::NODES) {
            let place = Place { bridge: NODES, gateway: plan::GATEWAY_NODES, address: plan::node(nth), letter, nth };
            self.node(&fabric, &place, &mut world)?;
        }
        if self.twin {
            let (gateway, address) = (plan::GATEWAY_TWIN, plan::TWIN_NODE);
            self.node(&fabric, &Place { bridge: TWIN, gateway, address, letter: 'x', nth: 0 }, &mut world)?;
        }
        world.hosts.push(fabric.host);
        Ok(world)
    }

    /// A node with its pods.
    fn node(&self, fabric: &Fabric, place: &Place, world: &mut World) -> Result<(), SetupError> {
        let node = node(fabric, place)?;
        for index in 0..self.pods_per_node {
            world.hosts.push(pod(&node, place.letter, place.nth, index)?);
        }
        world.hosts.push(node);
        Ok(())
    }
}

/// Where a node is.
struct Place {
    bridge: &'static str,
    gateway: Dual,
    address: Dual,
    letter: char,
    /// It has the pod network of the `nth` node.
    nth: u8,
}

/// The switches between everybody.
struct Fabric {
    host: Host,
}

const NODES: &str = "br-nodes";
const TWIN: &str = "br-twin";
const UPLINK: &str = "br-uplink";

impl Fabric {
    fn build(twin: bool) -> Result<Self, SetupError> {
        let host = empty_host("fabric", None)?;
        // A switch has no IPv6 address, not even a link-local one.
        host.namespace().set_sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
        let mut netlink = host.netlink()?;
        for bridge in [NODES, UPLINK].into_iter().chain(twin.then_some(TWIN)) {
            netlink.create_bridge(bridge)?;
            netlink.set_up(bridge)?;
        }
        Ok(Self { host })
    }

    /// Lays a wire from `interface` of `host` to a port of one of the switches.
    fn plug(&self, bridge: &str, port: &str, host: &Host, interface: &str, mac: Mac) -> Result<(), SetupError> {
        let mut here = self.host.netlink()?;
        lay_wire(&mut here, port, host, interface, mac)?;
        here.set_bridge(port, bridge)
    }
}

fn gateway(fabric: &Fabric, twin: bool) -> Result<Host, SetupError> {
    let gateway = empty_host("gateway", None)?;
    // The kernel would answer neighbour discovery beside the gateway program.
    gateway.namespace().set_sysctl("net.ipv6.conf.default.disable_ipv6", "1")?;
    let second = twin.then_some((TWIN, "gw-twin", "eth2", plan::GATEWAY_TWIN));
    for (bridge, port, interface, address) in
        [(NODES, "gw-nodes", "eth1", plan::GATEWAY_NODES), (UPLINK, "gw-uplink", "eth0", plan::GATEWAY_UPLINK)]
            .into_iter()
            .chain(second)
    {
        fabric.plug(bridge, port, &gateway, interface, Mac::spelling(address.v4.addr()))?;
    }
    Ok(gateway)
}

fn outside(fabric: &Fabric, name: &str, address: Dual) -> Result<Host, SetupError> {
    let host = empty_host(name, Some(address))?;
    fabric.plug(UPLINK, name, &host, "eth0", Mac::spelling(address.v4.addr()))?;
    let mut netlink = host.netlink()?;
    for family in Family::BOTH {
        netlink.add_address("eth0", address.interface(family))?;
        let nodes = plan::GATEWAY_NODES.network(family);
        netlink.add_route(nodes, plan::GATEWAY_UPLINK.address(family))?;
    }
    Ok(host)
}

fn node(fabric: &Fabric, place: &Place) -> Result<Host, SetupError> {
    let Place { bridge, gateway, address, letter, nth } = place;
    let towards_pods = plan::node_towards_pods(*nth);
    let node = empty_host(format!("node-{letter}"), Some(*address))?;
    fabric.plug(bridge, node.name(), &node, "eth0", Mac::spelling(address.v4.addr()))?;

    let mut netlink = node.netlink()?;
    // Pods hang on a bridge, as the most common CNI plugin does it.
    netlink.create_bridge(PODS)?;
    netlink.set_mac(PODS, Mac::spelling(towards_pods.v4.addr()))?;
    netlink.set_up(PODS)?;
    for family in Family::BOTH {
        netlink.add_address("eth0", address.interface(family))?;
        netlink.add_address(PODS, towards_pods.interface(family))?;
        add_default_route(&mut netlink, family, gateway)?;
    }
    node.namespace().set_sysctls(&[("net.ipv4.ip_forward", "1"), ("net.ipv6.conf.all.forwarding", "1")])?;
    Ok(node)
}

/// A node's bridge towards its pods.
const PODS: &str = "cni0";

fn pod(node: &Host, letter: char, nth: u8, index: u8) -> Result<Host, SetupError> {
    let address = plan::pod(nth, index);
    let pod = empty_host(format!("pod-{letter}{}", index + 1), Some(address))?;
    let mut on_node = node.netlink()?;
    lay_wire(&mut on_node, pod.name(), &pod, "eth0", Mac::spelling(address.v4.addr()))?;
    on_node.set_bridge(pod.name(), PODS)?;

    let mut netlink = pod.netlink()?;
    for family in Family::BOTH {
        netlink.add_address("eth0", address.interface(family))?;
        add_default_route(&mut netlink, family, &plan::node_towards_pods(nth))?;
    }
    Ok(pod)
}

fn add_default_route(netlink: &mut Netlink, family: Family, via: &Dual) -> Result<(), SetupError> {
    let everywhere = ipnet::IpNet::new(family.unspecified(), 0).expect("0 is a prefix length");
    netlink.add_route(everywhere, via.address(family))
}

/// A veth pair, both ends up: `port` where `here` is, `interface` on `host`.
fn lay_wire(here: &mut Netlink, port: &str, host: &Host, interface: &str, mac: Mac) -> Result<(), SetupError> {
    here.create_veth(port, interface, host.namespace())?;
    here.set_up(port)?;
    let mut there = host.netlink()?;
    there.set_mac(interface, mac)?;
    there.set_up(interface)
}

/// A namespace with its loopback up and no habits taken over from the machine.
fn empty_host(name: impl Into<String>, address: Option<Dual>) -> Result<Host, SetupError> {
    let host = Host::new(name, Namespace::new().during(|| "creating a network namespace".into())?, address);
    host.namespace().set_sysctls(&[
        // A new namespace copies the IPv4 switches of the machine's first one.
        ("net.ipv4.ip_forward", "0"),
        ("net.ipv4.conf.all.rp_filter", "0"),
        ("net.ipv4.conf.default.rp_filter", "0"),
        // Between nodes the gateway sends packets back out where they came in.
        // Redirects would take it out of the path.
        ("net.ipv4.conf.all.accept_redirects", "0"),
        ("net.ipv4.conf.default.accept_redirects", "0"),
        ("net.ipv4.conf.all.send_redirects", "0"),
        ("net.ipv4.conf.default.send_redirects", "0"),
        ("net.ipv6.conf.all.accept_redirects", "0"),
        ("net.ipv6.conf.default.accept_redirects", "0"),
        // Addresses are ours to give, and usable at once.
        ("net.ipv6.conf.all.accept_dad", "0"),
        ("net.ipv6.conf.default.accept_dad", "0"),
        ("net.ipv6.conf.all.accept_ra", "0"),
        ("net.ipv6.conf.default.accept_ra", "0"),
        ("net.ipv6.conf.default.router_solicitations", "0"),
        // One ICMP error a second and destination would hide every other probe.
        ("net.ipv4.icmp_ratelimit", "0"),
        ("net.ipv6.icmp.ratelimit", "0"),
    ])?;
    host.netlink()?.set_up("lo")?;
    Ok(host)
}
