//! Single values: from strings to addresses, prefixes, names and ranges.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

/// Why a value will not do, and what would.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    pub(crate) what: String,
    pub(crate) remedy: String,
}

fn complain<T>(what: impl Into<String>, remedy: impl Into<String>) -> Result<T, Complaint> {
    Err(Complaint { what: what.into(), remedy: remedy.into() })
}

/// `10.1.0.0/16`, host bits and all.
pub(crate) fn prefix(text: &str) -> Result<IpNet, Complaint> {
    if text == "default" {
        return complain("is short for two prefixes", "write \"0.0.0.0/0\" for IPv4, \"::/0\" for IPv6");
    }
    let Some((address_text, length_text)) = text.split_once('/') else {
        let net = IpNet::from(address(text)?);
        return complain("has no prefix length", format!("for this one address write \"{net}\""));
    };
    let address = match address(address_text) {
        Ok(address) => address,
        Err(complaint) => {
            // "10.1.0.0./16" is printed in a popular text; say what it means.
            let mended = format!("{}/{length_text}", address_text.trim_end_matches('.'));
            if mended != text && prefix(&mended).is_ok() {
                return complain("has a dot too many before the slash", format!("write \"{mended}\""));
            }
            return Err(complaint);
        }
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let digits = length_text.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = length_text == "0" || !length_text.starts_with('0');
    match length_text.parse::<u8>() {
        Ok(length) if length <= most && digits && canonical => {
            Ok(IpNet::new(address, length).expect("the length was checked"))
        }
        _ => complain(format!("/{length_text} is not a prefix length"), format!("a prefix length is 0 to {most}")),
    }
}

/// `10.1.0.1`, or `10.1.0.0/24`.
pub(crate) fn prefix_or_address(text: &str) -> Result<IpNet, Complaint> {
    if text.contains('/') { prefix(text) } else { address(text).map(IpNet::from) }
}

/// `10.1.0.1` or `fd00::1`; not an IPv4 address in IPv6 clothes.
pub(crate) fn address(text: &str) -> Result<IpAddr, Complaint> {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => complain("is an IPv4 address written as IPv6", format!("write \"{v4}\"")),
            None => Ok(IpAddr::V6(v6)),
        },
        Ok(v4) => Ok(v4),
        Err(_) => complain(format!("\"{}\" is not an address", text.escape_debug()), hint(text)),
    }
}

/// What probably went wrong with an address.
fn hint(text: &str) -> &'static str {
    if text.contains('%') {
        "write it without the zone after %"
    } else if text.contains('/') {
        "write it without a prefix length"
    } else if text.contains(':') {
        "an IPv6 address is up to eight groups of hexadecimal digits, as \"fd00:a::1\""
    } else {
        "an IPv4 address is four numbers of 0 to 255 without leading zeros, as \"192.168.0.1\""
    }
}

/// Fails unless one host can have the address.
pub(crate) fn host(address: IpAddr) -> Result<IpAddr, Complaint> {
    let kind = if address.is_unspecified() {
        "the unspecified address"
    } else if address.is_multicast() {
        "a multicast address"
    } else if address.is_loopback() {
        "a loopback address"
    } else if address == IpAddr::V4(Ipv4Addr::BROADCAST) {
        "the broadcast address"
    } else {
        return Ok(address);
    };
    complain(format!("is {kind}"), "write the address of one host")
}

/// `02:00:00:00:00:01`; unicast.
pub(super) fn mac(text: &str) -> Result<[u8; 6], Complaint> {
    const REMEDY: &str = "write six pairs of hexadecimal digits, as \"02:00:00:00:00:01\"";
    let mut mac = [0; 6];
    let mut pairs = text.split(':');
    for byte in &mut mac {
        let pair = pairs.next().unwrap_or_default();
        // `from_str_radix` alone would take a sign.
        let digits = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        match u8::from_str_radix(pair, 16) {
            Ok(value) if digits => *byte = value,
            _ => return complain("is not an Ethernet address", REMEDY),
        }
    }
    if pairs.next().is_some() {
        return complain("is not an Ethernet address", REMEDY);
    }
    if mac[0] & 1 != 0 {
        return complain("is a group address", "the first byte of a station's own address is even");
    }
    if mac == [0; 6] {
        return complain("is all zeros", "write the address of a station");
    }
    Ok(mac)
}

/// `1024-65535`.
pub(super) fn port_range(text: &str) -> Result<RangeInclusive<u16>, Complaint> {
    const REMEDY: &str = "write the first and the last port, as \"1024-65535\"";
    let number = |text: &str| {
        let text = text.trim();
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u16>().ok() } else { None }
    };
    let Some((first, last)) = text.split_once('-') else {
        return complain("is not a range", REMEDY);
    };
    match (number(first), number(last)) {
        (Some(0), Some(_)) => complain("begins at port 0", "ports are 1 to 65535"),
        (Some(first), Some(last)) if first > last => {
            complain("begins after its end", format!("write \"{last}-{first}\""))
        }
        (Some(first), Some(last)) => Ok(first..=last),
        _ => complain("is not a range of ports 1 to 65535", REMEDY),
    }
}

/// A name of ours: a-z, 0-9 and -, 1 to 63 characters.
pub(super) fn name(text: &str) -> Result<&str, Complaint> {
    checked_name(text, 63, "", "a to z, 0 to 9 and -")
}

/// A Node's name: a DNS subdomain, 1 to 253 characters.
pub(crate) fn node_name(text: &str) -> Result<&str, Complaint> {
    checked_name(text, 253, ".", "a to z, 0 to 9, - and .")
}

fn checked_name<'a>(text: &'a str, most: usize, also: &str, allowed: &str) -> Result<&'a str, Complaint> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || also.contains(c);
    if text.is_empty() {
        complain("is empty", "give it a name")
    } else if let Some(stranger) = text.chars().find(|&c| !fits(c)) {
        complain(
            format!("\"{}\" cannot stand in a name", stranger.escape_debug()),
            format!("a name is made of {allowed}"),
        )
    } else if text.len() > most {
        complain("is too long", format!("a name has at most {most} characters"))
    } else {
        Ok(text)
    }
}

/// The name of a network interface, as the kernel checks it (`dev_valid_name`).
pub(super) fn interface(text: &str) -> Result<&str, Complaint> {
    /// `IFNAMSIZ` without the closing zero.
    const LONGEST: usize = 15;
    if text.is_empty() {
        complain("is empty", "name a network interface, as \"eth1\"")
    } else if text.len() > LONGEST {
        complain("is too long for an interface", format!("a name has at most {LONGEST} bytes"))
    } else if text == "." || text == ".." || text.contains(unfit_for_interface) {
        complain("cannot be the name of an interface", "write one without blanks, slashes and colons, as \"eth1\"")
    } else {
        Ok(text)
    }
}

fn unfit_for_interface(c: char) -> bool {
    c == '/' || c == ':' || c.is_whitespace() || c.is_control()
}

/// The path of a file, not empty and without a zero byte, at most `most` bytes.
pub(super) fn path(text: &str, most: usize) -> Result<&str, Complaint> {
    if text.is_empty() {
        complain("is empty", "write the path of a file")
    } else if text.contains('\0') {
        complain("holds a zero byte", "write the path of a file")
    } else if text.len() > most {
        complain("is too long", format!("a path has at most {most} bytes here"))
    } else {
        Ok(text)
    }
}

/// `PATH_MAX` without its closing zero.
pub(super) const LONGEST_PATH: usize = 4_095;

/// `sun_path` of `unix(7)` without its closing zero.
pub(super) const LONGEST_SOCKET_PATH: usize = 107;
