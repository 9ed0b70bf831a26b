//! Opening a port, and saying what is in the way.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;

use super::bpf::{Attachment, Program, Refused, SocketMap};
use super::membership::Membership;
use super::socket::{self, Failed, Socket, Step};
use super::umem::Umem;
use super::{AfXdp, DRIVER, Holders, LARGEST_MTU, refused};
use crate::port::device::{Device, Kind};
use crate::port::{OpenError, PortInfo, PortOptions, PortStats, Share};

pub(super) fn open(options: &PortOptions, umem: &Rc<Umem>) -> Result<AfXdp, OpenError> {
    let device = Device::for_port(options, DRIVER)?;
    let mtu = options.mtu.map_or(device.mtu, u32::from);
    if !umem.holds(mtu.max(device.mtu)) {
        let what = format!("the MTU of {} has just changed to {}", device.name, device.mtu);
        return Err(refused(options, what, "start Causeway again, which makes room for it", None));
    }
    device.bring_up().map_err(|error| {
        refused(options, format!("cannot set the device up: {error}"), NEEDS_CAPABILITIES, Some(error))
    })?;
    raise_memlock();

    let all = device.queues().rx;
    let own: Vec<u32> = match &options.share {
        Some(share) if share.workers() > all => return Err(too_few_queues(options, all, share.workers())),
        Some(share) => share.queues(all).collect(),
        None => (0..all).collect(),
    };
    let steering = steering(options, &device, all)?;

    let mut holders = Holders { umem: Rc::clone(umem), all: Vec::new(), keep: false };
    let at = |queue| move |failed| no_socket(options, umem, queue, failed);
    let first = Socket::first(umem, device.index, own[0], options.ring, holders.new_one());
    let (first, sender) = first.map_err(at(own[0]))?;
    let mut sockets = vec![first];
    for queue in own[1..].iter().copied() {
        let holder = holders.new_one();
        sockets.push(Socket::another(umem, &sockets[0], device.index, queue, holder).map_err(at(queue))?);
    }
    let other = |what: &str, error: io::Error| refused(options, format!("{what}: {error}"), "", Some(error));
    for (queue, socket) in own.iter().zip(&sockets) {
        steering.map.set(*queue, socket.as_fd()).map_err(|error| other("cannot send a queue to its socket", error))?;
    }
    let zero_copy = sockets[0].is_zero_copy().map_err(|error| other("cannot ask for the mode", error))?;
    holders.keep = zero_copy;
    let info = PortInfo {
        id: options.id,
        name: options.name.clone(),
        device: device.name.clone(),
        driver: DRIVER,
        mode: mode(zero_copy, all),
        mac: options.mac.unwrap_or(device.mac),
        mtu: mtu as u16,
    };
    Ok(AfXdp {
        options: options.clone(),
        info,
        is_lost: false,
        counted: PortStats { link: device.link(), ..PortStats::default() },
        checksums_hidden: device.kind == Kind::Veth,
        device,
        _steering: steering,
        sender,
        sockets,
        holders,
        umem: Rc::clone(umem),
        zero_copy,
        turn: 0,
    })
}

/// What sends a device's packets to its sockets, for as long as this lives: those of all
/// workers, of which the first one makes it.
#[derive(Debug)]
pub struct Steering {
    /// The index of the device.
    device: u32,
    map: SocketMap,
    _program: Attachment,
    _membership: Membership,
}

fn steering(options: &PortOptions, device: &Device, queues: u32) -> Result<Arc<Steering>, OpenError> {
    let mut common = options.share.as_ref().map(Share::common);
    // One of a device that has gone may live on until all workers have noticed.
    let made = common.as_ref().and_then(|common| common.steering.upgrade());
    if let Some(steering) = made.filter(|steering| steering.device == device.index) {
        return Ok(steering);
    }
    let map = SocketMap::new(queues).map_err(|error| no_map(options, error))?;
    let program = Program::load(&map).map_err(|refusal| no_program(options, refusal))?;
    let program = Attachment::new(&program, device.index).map_err(|error| not_attached(options, device, error))?;
    let foreign_mac = options.mac.is_some_and(|mac| mac != device.mac);
    let membership = Membership::join(device, foreign_mac).map_err(|error| {
        refused(options, format!("cannot receive multicast: {error}"), NEEDS_CAPABILITIES, Some(error))
    })?;
    let steering = Arc::new(Steering { device: device.index, map, _program: program, _membership: membership });
    if let Some(common) = &mut common {
        common.steering = Arc::downgrade(&steering);
    }
    Ok(steering)
}

fn too_few_queues(options: &PortOptions, queues: u32, workers: u32) -> OpenError {
    let name = &options.device;
    let plural = if queues == 1 { "" } else { "s" };
    let what = format!("{name} has {queues} receive queue{plural}, and {workers} workers need one each");
    let hint = format!("ethtool -L {name} combined {workers}, fewer gateway.cores, or {USE_AF_PACKET}");
    refused(options, what, &hint, None)
}

/// May this process use AF_XDP here? Found out by trying, since capabilities in
/// a user namespace do not count for `bpf`.
///
/// # Errors
/// What is missing, as a sentence without a full stop.
pub fn privileged() -> Result<(), String> {
    raise_memlock();
    SocketMap::new(1).map_err(|error| format!("the kernel refuses the XDP program ({error})"))?;
    socket::supported().map_err(|error| format!("the kernel refuses an AF_XDP socket ({error})"))
}

fn mode(zero_copy: bool, queues: u32) -> String {
    let copying = if zero_copy { "zero-copy" } else { "copy" };
    let plural = if queues == 1 { "" } else { "s" };
    format!("{copying}, {queues} queue{plural}")
}

fn no_map(options: &PortOptions, error: io::Error) -> OpenError {
    let (what, hint) = match error.raw_os_error() {
        Some(libc::EPERM) => ("no privilege to load an XDP program".to_owned(), NEEDS_CAPABILITIES),
        Some(libc::EINVAL | libc::ENOSYS) => ("this kernel has no AF_XDP".to_owned(), USE_AF_PACKET),
        _ => (format!("cannot make a socket map: {error}"), ""),
    };
    refused(options, what, hint, Some(error))
}

fn no_program(options: &PortOptions, Refused { error, log }: Refused) -> OpenError {
    if error.raw_os_error() == Some(libc::EPERM) {
        return refused(options, "no privilege to load an XDP program".into(), NEEDS_CAPABILITIES, Some(error));
    }
    let said = if log.is_empty() { String::new() } else { format!(", saying: {log}") };
    refused(options, format!("the kernel refuses the XDP program: {error}{said}"), USE_AF_PACKET, Some(error))
}

fn not_attached(options: &PortOptions, device: &Device, error: io::Error) -> OpenError {
    let name = &device.name;
    let (what, hint) = match error.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => (
            format!("another XDP program is attached to {name}"),
            format!(
                "`ip link show {name}` shows it; stop its owner, or another Causeway, or `ip link set {name} xdp off`"
            ),
        ),
        Some(libc::EPERM) => ("no privilege to attach an XDP program".into(), NEEDS_CAPABILITIES.into()),
        Some(libc::EOPNOTSUPP) => (
            "the driver of this device has no native XDP, and generic mode breaks TCP offloads".into(),
            USE_AF_PACKET.into(),
        ),
        Some(libc::ERANGE) => (
            "the MTU of the peer is too large for XDP".into(),
            format!("set the MTU of {name} and its peer to {LARGEST_MTU} or less, or {USE_AF_PACKET}"),
        ),
        Some(libc::ENOSPC) if device.kind == Kind::Veth => (
            format!("the peer of {name} has more transmit queues than {name} has receive queues"),
            format!("make the pair with equal numbers of queues, or {USE_AF_PACKET}"),
        ),
        Some(libc::ENOTCONN) => (format!("{name} has no peer"), "make the veth pair anew".into()),
        _ => (
            format!("the driver refuses an XDP program: {error}"),
            format!(
                "`dmesg` may say why; a smaller MTU, fewer queues (ethtool -L) or LRO off may help, or {USE_AF_PACKET}"
            ),
        ),
    };
    refused(options, what, &hint, Some(error))
}

fn no_socket(options: &PortOptions, umem: &Umem, queue: u32, Failed { step, error }: Failed) -> OpenError {
    let device = &options.device;
    let mebibytes = umem.registration().len >> 20;
    let (what, hint) = match (step, error.raw_os_error()) {
        (Step::Socket, Some(libc::EAFNOSUPPORT)) => ("this kernel has no AF_XDP".into(), USE_AF_PACKET.into()),
        (_, Some(libc::EPERM)) => ("no privilege for an AF_XDP socket".into(), NEEDS_CAPABILITIES.into()),
        (Step::Register, Some(libc::ENOBUFS)) => (
            format!("the limit of locked memory is too small for {mebibytes} MiB of packets a port"),
            "raise it (LimitMEMLOCK=infinity in the unit, or ulimit -l), add the capability IPC_LOCK, or lower ring"
                .into(),
        ),
        (Step::Bind, Some(libc::EBUSY)) => (
            format!("queue {queue} of {device} is taken by another AF_XDP socket"),
            "stop the process that holds it (`ss --xdp` shows AF_XDP sockets)".into(),
        ),
        (Step::Bind, Some(libc::EINVAL)) => (
            format!("cannot bind queue {queue} of {device}: {error}"),
            format!("the number of queues may have changed just now (ethtool -l {device})"),
        ),
        (Step::Socket, _) => (format!("cannot open an AF_XDP socket: {error}"), String::new()),
        (Step::Register, _) => (
            format!("cannot register {mebibytes} MiB of packet memory: {error}"),
            "lower ring, or the number of queues".into(),
        ),
        (Step::Rings, _) => (format!("cannot make the rings of queue {queue}: {error}"), "lower ring".into()),
        (Step::Bind, _) => (format!("cannot bind queue {queue} of {device}: {error}"), String::new()),
    };
    refused(options, what, &hint, Some(error))
}

/// Registered memory counts as locked. Raising the limit needs `CAP_SYS_RESOURCE`;
/// without it the limit stays, and registration tells if it is too small.
fn raise_memlock() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the pointer is to `limit`, which the call only reads.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) };
}

const NEEDS_CAPABILITIES: &str =
    "run as root, or with the capabilities NET_ADMIN, NET_RAW, BPF and IPC_LOCK; or use driver = \"af-packet\"";
const USE_AF_PACKET: &str = "use driver = \"af-packet\"";

#[cfg(test)]
mod tests {
    use super::*;
    use std::slice;

    use causeway_fastpath::frame::BufferOwner;

    use crate::port::af_xdp::test_hosts::able;
    use crate::port::test_world::{TestWorld, options};

    #[test]
    fn a_queue_that_is_taken_is_named() {
        if !able("a_queue_that_is_taken_is_named") {
            return;
        }
        TestWorld::new().middle.run(|| {
            let options = options(0, "port0");
            let umem = Umem::for_ports(slice::from_ref(&options), BufferOwner(1)).expect("memory");
            let device = Device::for_port(&options, DRIVER).expect("just made");
            // A socket without a program, as another program's would be.
            let holder = umem.ledger().new_holder();
            let taken = Socket::first(&umem, device.index, 0, options.ring, holder)
                .map_err(|failed| failed.error)
                .expect("free yet");
            let before = umem.account();
            let error = open(&options, &umem).err().expect("one socket a queue").to_string();
            let expected = "port \"p0\" (af-xdp on port0): queue 0 of port0 is taken by another AF_XDP socket; ";
            assert!(error.starts_with(expected), "{error}");
            assert_eq!(umem.account(), before, "what the failed port held came back");
            drop(taken);
            open(&options, &umem).map(drop).expect("opens when the queue is free");
        });
    }
}
