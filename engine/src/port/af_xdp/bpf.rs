//! The XDP program that steers frames into our sockets, by `bpf(2)` itself.
//!
//! Six instructions need no compiler, no ELF file and no library. The program is
//! attached by a BPF link, which the kernel takes down with the last descriptor
//! to it: however the process ends, the device is left as it was found.

use std::ffi::c_long;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// From queue number to the AF_XDP socket that serves it.
#[derive(Debug)]
pub(super) struct SocketMap(OwnedFd);

impl SocketMap {
    /// A map for `queues` sockets.
    ///
    /// # Errors
    /// `EPERM` without `CAP_BPF` and `CAP_NET_ADMIN` in the initial user
    /// namespace; `EINVAL` from a kernel without AF_XDP.
    pub(super) fn new(queues: u32) -> io::Result<SocketMap> {
        let attr = MapCreate {
            map_type: MAP_TYPE_XSKMAP,
            key_size: 4,
            value_size: 4,
            max_entries: queues,
            name: NAME,
            ..MapCreate::default()
        };
        bpf_fd(MAP_CREATE, &attr).map(SocketMap)
    }

    /// Sends what arrives on `queue` to `socket`, which must be bound to it.
    ///
    /// # Errors
    /// `EOPNOTSUPP`: the socket is not bound; `E2BIG`: no such queue in the map.
    pub(super) fn set(&self, queue: u32, socket: BorrowedFd<'_>) -> io::Result<()> {
        let value = socket.as_raw_fd();
        let attr = MapUpdate {
            map_fd: self.0.as_raw_fd(),
            pad: 0,
            key: address_of(&queue),
            value: address_of(&value),
            flags: 0,
        };
        bpf(MAP_UPDATE_ELEM, &attr).map(drop)
    }
}

/// The program on a device, for as long as this lives.
#[derive(Debug)]
pub(super) struct Attachment {
    _link: OwnedFd,
}

impl Attachment {
    /// Puts `program` on the device with index `ifindex`, in native mode.
    ///
    /// Generic mode is never asked for: it runs behind the merging of segments,
    /// so it sees super-frames of which only the first buffer fits, and TCP dies.
    ///
    /// # Errors
    /// `EBUSY` or `EEXIST`: another program is there; `EOPNOTSUPP`: the driver
    /// has no native XDP; `EINVAL`, `ERANGE`, `ENOSPC`, `ENOMEM`: the driver does
    /// not like the MTU, the queues or other settings of the device.
    pub(super) fn new(program: &Program, ifindex: u32) -> io::Result<Attachment> {
        let attr = LinkCreate {
            program_fd: program.0.as_raw_fd(),
            ifindex,
            attach_type: ATTACH_TYPE_XDP,
            flags: XDP_FLAGS_DRV_MODE,
        };
        bpf_fd(LINK_CREATE, &attr).map(|link| Attachment { _link: link })
    }
}

/// A program that was verified by the kernel.
pub(super) struct Program(OwnedFd);

/// The kernel did not accept the program.
pub(super) struct Refused {
    /// What the system call said.
    pub(super) error: io::Error,
    /// What the verifier said; empty if it came not so far.
    pub(super) log: String,
}

impl Program {
    /// Loads the program that hands each frame to the socket of its receive
    /// queue, and leaves it to the kernel where there is none.
    pub(super) fn load(sockets: &SocketMap) -> Result<Program, Refused> {
        let code = redirect_to(sockets.0.as_raw_fd());
        let mut log = vec![0u8; 16 << 10];
        let mut attr = ProgramLoad {
            program_type: PROGRAM_TYPE_XDP,
            instructions: code.len() as u32,
            code: code.as_ptr() as u64,
            license: c"Dual MIT/GPL".as_ptr() as u64,
            name: NAME,
            expected_attach_type: ATTACH_TYPE_XDP,
            ..ProgramLoad::default()
        };
        bpf_fd(PROGRAM_LOAD, &attr).map(Program).or_else(|error| {
            // Once more with the verifier's log, which costs time when asked for.
            attr.log_level = 1;
            attr.log_size = log.len() as u32;
            attr.log = log.as_mut_ptr() as u64;
            bpf_fd(PROGRAM_LOAD, &attr).map(Program).map_err(|_| {
                let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
                Refused { error, log: String::from_utf8_lossy(&log[..end]).trim().to_owned() }
            })
        })
    }
}

/// `return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS);`
///
/// The fallback in the flags needs Linux 5.3.
fn redirect_to(map: RawFd) -> [u64; 6] {
    [
        instruction(LOAD_WORD, 2, 1, RX_QUEUE_INDEX, 0),
        // A 64-bit load takes two slots; source 1 says that the constant is a map.
        instruction(LOAD_CONSTANT, 1, 1, 0, map),
        instruction(0, 0, 0, 0, 0),
        instruction(MOVE_CONSTANT, 3, 0, 0, XDP_PASS),
        instruction(CALL, 0, 0, 0, HELPER_REDIRECT_MAP),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// `struct bpf_insn` as one number: code, two register nibbles, offset, constant.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, constant: i32) -> u64 {
    let registers = if cfg!(target_endian = "little") { source << 4 | destination } else { destination << 4 | source };
    let mut bytes = [0; 8];
    bytes[0] = code;
    bytes[1] = registers;
    bytes[2..4].copy_from_slice(&offset.to_ne_bytes());
    bytes[4..8].copy_from_slice(&constant.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn bpf_fd<T>(command: c_long, attr: &T) -> io::Result<OwnedFd> {
    let fd = bpf(command, attr)?;
    // SAFETY: these commands answer with a descriptor of their own, which nobody
    // else knows yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// One `bpf(2)` call. `T` is the part of `union bpf_attr` that `command` reads;
/// the kernel takes what is missing behind it as zeros.
fn bpf<T>(command: c_long, attr: &T) -> io::Result<RawFd> {
    // SAFETY: pointer and size are those of `attr`; the pointers inside it are
    // to memory that the callers above hold across the call.
    // Kept by the tests of this folder that load and attach.
    let answer = unsafe { libc::syscall(libc::SYS_bpf, command, attr as *const T, size_of::<T>()) };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(answer as RawFd) }
}

fn address_of<T>(value: &T) -> u64 {
    value as *const T as u64
}

/// The structs of `union bpf_attr` in `include/uapi/linux/bpf.h`, as far as used.
/// To the last field that valgrind expects.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
    numa_node: u32,
    name: [u8; 16],
    ifindex: u32,
}

#[repr(C)]
struct MapUpdate {
    map_fd: RawFd,
    pad: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    program_type: u32,
    instructions: u32,
    code: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    program_fd: RawFd,
    ifindex: u32,
    attach_type: u32,
    flags: u32,
}

/// As `bpftool` lists them.
const NAME: [u8; 16] = *b"causeway\0\0\0\0\0\0\0\0";
const MAP_CREATE: c_long = 0;
const MAP_UPDATE_ELEM: c_long = 2;
const PROGRAM_LOAD: c_long = 5;
const LINK_CREATE: c_long = 28;
const MAP_TYPE_XSKMAP: u32 = 17;
const PROGRAM_TYPE_XDP: u32 = 6;
const ATTACH_TYPE_XDP: u32 = 37;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const XDP_PASS: i32 = 2;
const HELPER_REDIRECT_MAP: i32 = 51;
/// Where `rx_queue_index` lies in `struct xdp_md`.
const RX_QUEUE_INDEX: i16 = 16;

/// `BPF_LDX | BPF_MEM | BPF_W`
const LOAD_WORD: u8 = 0x61;
/// `BPF_LD | BPF_IMM | BPF_DW`
const LOAD_CONSTANT: u8 = 0x18;
/// `BPF_ALU64 | BPF_MOV | BPF_K`
const MOVE_CONSTANT: u8 = 0xb7;
/// `BPF_JMP | BPF_CALL`
const CALL: u8 = 0x85;
/// `BPF_JMP | BPF_EXIT`
const EXIT: u8 = 0x95;
