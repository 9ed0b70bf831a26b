//! Opening every port of a configuration.

use causeway_control::config::{Config, Driver};
use causeway_fastpath::frame::BufferOwner;
use causeway_fastpath::ids::{PortId, WorkerId};
use tracing::{info, warn};

use super::af_packet::AfPacketPort;
use super::af_xdp::{AfXdp, Umem};
use super::memif::MemifPort;
use super::pcap::PcapPort;
use super::tap::TapPort;
use super::{OpenError, Port, PortOptions, Share, auto};

/// Opens the ports of a configuration, in its order; `shares` says what each has in common
/// with the same port of other workers. Call it on the worker's own thread: rings are touched
/// first where they are used.
///
/// # Errors
/// The first port that cannot be opened; those before it are closed again.
pub fn open_ports(config: &Config, shares: &[Option<Share>]) -> Result<Vec<Box<dyn Port>>, OpenError> {
    let mut drivers = Vec::new();
    let options = shared_options(config, shares);
    for (port, options) in config.ports.iter().zip(&options) {
        drivers.push(match port.driver {
            Driver::Auto => {
                let choice = auto::choose(options)?;
                info!(port = port.name, driver = choice.driver.name(), "auto: {}", choice.reason);
                match choice.driver {
                    auto::Driver::AfXdp => Driver::AfXdp,
                    auto::Driver::AfPacket => Driver::AfPacket,
                }
            }
            driver => driver,
        });
    }
    match open_with(&options, &drivers) {
        Err(error) if error.driver == auto::Driver::AfXdp.name() && is_automatic(config, &error.port) => {
            warn!("{error}; using af-packet instead");
            for (driver, port) in drivers.iter_mut().zip(&config.ports) {
                if port.driver == Driver::Auto {
                    *driver = Driver::AfPacket;
                }
            }
            open_with(&options, &drivers)
        }
        result => result,
    }
}

fn is_automatic(config: &Config, name: &str) -> bool {
    config.ports.iter().any(|port| port.name == name && port.driver == Driver::Auto)
}

fn open_with(all: &[PortOptions], drivers: &[Driver]) -> Result<Vec<Box<dyn Port>>, OpenError> {
    let worker = all.iter().find_map(|options| options.share.as_ref()).map_or(WorkerId(0), Share::worker);
    let xdp: Vec<PortOptions> = all
        .iter()
        .zip(drivers)
        .filter(|(_, driver)| **driver == Driver::AfXdp)
        .map(|(options, _)| options.clone())
        .collect();
    let umem = if xdp.is_empty() { None } else { Some(Umem::for_ports(&xdp, BufferOwner::shared_by_ports(worker))?) };
    let mut ports: Vec<Box<dyn Port>> = Vec::new();
    for (options, driver) in all.iter().zip(drivers) {
        let owner = BufferOwner::of_port(worker, options.id);
        ports.push(match (driver, &umem) {
            (Driver::AfXdp, Some(umem)) => Box::new(AfXdp::open(options, umem)?),
            (Driver::AfPacket, _) => Box::new(AfPacketPort::open(options, owner)?),
            (Driver::Auto | Driver::AfXdp, _) => unreachable!("auto was settled, and AF_XDP ports have a UMEM"),
            (Driver::Memif, _) => Box::new(MemifPort::open(options, owner)?),
            (Driver::Tap, _) => Box::new(TapPort::open(options, owner)?),
            (Driver::Pcap | Driver::Memory, _) => {
                return Err(OpenError {
                    port: options.name.clone(),
                    driver: if *driver == Driver::Pcap { PcapPort::DRIVER } else { "memory" },
                    device: options.device.clone(),
                    what: "carries no live traffic".to_owned(),
                    hint: "replay captures with `causeway replay`, or give the port a device".to_owned(),
                    source: None,
                });
            }
        });
    }
    Ok(ports)
}

fn shared_options(config: &Config, shares: &[Option<Share>]) -> Vec<PortOptions> {
    let with = |(options, share): (PortOptions, &Option<Share>)| PortOptions { share: share.clone(), ..options };
    options(config).into_iter().zip(shares).map(with).collect()
}

/// How each port of a configuration is to be opened, in its order.
pub fn options(config: &Config) -> Vec<PortOptions> {
    let options = |(at, port): (usize, &causeway_control::config::Port)| PortOptions {
        id: PortId(at as u16),
        name: port.name.clone(),
        device: port.device.clone(),
        ring: port.ring,
        mtu: port.mtu,
        mac: port.mac,
        memif_id: port.memif_id,
        share: None,
    };
    config.ports.iter().enumerate().map(options).collect()
}
