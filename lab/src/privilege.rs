//! What this process may do, and how to get enough without being root.

use std::ffi::CStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::netns::{Namespace, check};

/// What this process may do with network namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privilege {
    /// Root of the machine: every driver works.
    Root,
    /// Root of a user namespace only: AF_PACKET works, loading XDP does not.
    UserNamespace,
    /// Neither: see [`become_root_in_user_namespace`].
    None,
}

impl Privilege {
    /// What this process has now. Tries it out: capabilities alone do not say
    /// what seccomp and security modules think.
    pub fn current() -> Self {
        if Namespace::new().is_err() {
            return Self::None;
        }
        match fs::read_to_string("/proc/self/uid_map") {
            Ok(map) if is_initial(&map) => Self::Root,
            _ => Self::UserNamespace,
        }
    }
}

/// Makes `command` start as root of a new user namespace, with an empty network
/// namespace, mapped to the caller's own user outside. Needs no privilege.
///
/// Spawn it for a child, or replace this process with [`CommandExt::exec`], which
/// works only while the process has one thread (`EINVAL` otherwise).
///
/// Starting then fails with `EPERM`, `ENOSPC` or `EACCES` where the machine forbids
/// unprivileged user namespaces.
pub fn become_root_in_user_namespace(command: &mut Command) -> &mut Command {
    // SAFETY: the effective ids, no pointer, never fail.
    let (user, group) = unsafe { (libc::geteuid(), libc::getegid()) };
    let user_map = format!("0 {user} 1\n");
    let group_map = format!("0 {group} 1\n");
    // SAFETY: between fork and exec only unshare, open, write and close are
    // called, all async-signal-safe; the maps were formatted above.
    // Kept by `a_child_becomes_root_in_a_user_namespace`.
    unsafe {
        command.pre_exec(move || {
            check(libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET))?;
            // Without "deny" the kernel refuses a group map from the unprivileged.
            write_all(c"/proc/self/setgroups", b"deny")?;
            write_all(c"/proc/self/uid_map", user_map.as_bytes())?;
            write_all(c"/proc/self/gid_map", group_map.as_bytes())
        })
    }
}

/// Whether a test that needs namespaces may run; says loudly when it may not.
///
/// `name` is the test's. For tests of this crate and of the crates above it.
pub fn require_for_test(name: &str) -> bool {
    use io::Write;
    let able = Privilege::current() != Privilege::None;
    if !able {
        // Straight to the descriptor: the test harness would swallow `println!`.
        let line = format!("\nSKIPPED: {name}: no privilege to make network namespaces\n");
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
    able
}

/// One write of all of `bytes` without allocation, as pre-exec code needs it.
fn write_all(path: &CStr, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: `path` ends in NUL.
    let fd = unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) };
    check(fd)?;
    // SAFETY: pointer and length are those of a live slice.
    let written = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    let outcome = if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) };
    // SAFETY: `fd` was opened above and is not used again.
    unsafe { libc::close(fd) };
    outcome
}

/// Whether a `uid_map` is that of the machine's first user namespace, which maps
/// all ids onto themselves.
fn is_initial(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_identity_map_is_initial() {
        assert!(is_initial("         0          0 4294967295\n"));
        assert!(!is_initial("         0       1000          1\n"));
        assert!(!is_initial("         0     100000      65536\n"));
        assert!(!is_initial(""));
    }

    #[test]
    fn a_child_becomes_root_in_a_user_namespace() {
        let mut command = Command::new("cat");
        command.arg("/proc/self/uid_map");
        match become_root_in_user_namespace(&mut command).output() {
            Ok(output) => {
                let map = String::from_utf8(output.stdout).unwrap();
                assert_eq!(map.split_whitespace().next(), Some("0"));
                assert!(!is_initial(&map), "still in the first user namespace: {map}");
            }
            Err(error) => {
                use io::Write;
                let _ = writeln!(io::stderr().lock(), "\nSKIPPED: user namespaces are forbidden here: {error}");
            }
        }
    }
}
