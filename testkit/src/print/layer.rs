//! What the decoder finds: layers of named fields.

use std::fmt;

/// One header, or the payload, of a decoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// How many ICMP quotes it lies within.
    pub depth: usize,
    /// "Ethernet", "IPv4", "TCP", "Payload" and so on.
    pub name: &'static str,
    /// What one line says of it.
    pub summary: String,
    /// Names and values in wire order.
    pub fields: Vec<(&'static str, String)>,
    /// What is wrong with its checksums and lengths.
    pub faults: Vec<Fault>,
}

/// Something wrong with a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A checksum does not fit the bytes.
    Checksum(String),
    /// A transport checksum holds the pseudo-header's sum alone.
    Partial(String),
    /// The bytes end before the lengths say so, or a length cannot be.
    Length(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Checksum(words) | Fault::Partial(words) | Fault::Length(words) => out.write_str(words),
        }
    }
}

impl Layer {
    pub(super) fn new(depth: usize, name: &'static str) -> Self {
        let (summary, fields, faults) = (name.to_string(), Vec::new(), Vec::new());
        Layer { depth, name, summary, fields, faults }
    }

    pub(super) fn field(&mut self, name: &'static str, value: impl fmt::Display) {
        self.fields.push((name, value.to_string()));
    }

    /// Notes a checksum field and judges it: `found` in the packet, `right`
    /// computed, `partial` the pseudo-header's sum where there is one.
    pub(super) fn checksum(&mut self, found: u16, right: u16, partial: Option<u16>) {
        let verdict = if found == right {
            "good".to_string()
        } else if partial == Some(found) {
            self.faults.push(Fault::Partial(format!("partial checksum {found:#06x}")));
            "partial".to_string()
        } else {
            let words = format!("bad checksum {found:#06x}, right is {right:#06x}");
            self.faults.push(Fault::Checksum(words));
            format!("bad, right is {right:#06x}")
        };
        self.field("checksum", format!("{found:#06x} {verdict}"));
    }

    pub(super) fn length_fault(&mut self, words: impl Into<String>) {
        self.faults.push(Fault::Length(words.into()));
    }
}

/// Big-endian reading that answers `None` past the end.
pub(super) trait Bytes {
    fn u8_at(&self, at: usize) -> Option<u8>;
    fn u16_at(&self, at: usize) -> Option<u16>;
    fn u32_at(&self, at: usize) -> Option<u32>;
}

impl Bytes for [u8] {
    fn u8_at(&self, at: usize) -> Option<u8> {
        self.get(at).copied()
    }

    fn u16_at(&self, at: usize) -> Option<u16> {
        let bytes = self.get(at..at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    }

    fn u32_at(&self, at: usize) -> Option<u32> {
        let bytes = self.get(at..at + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// Short bytes as they are, long ones with their length; printable ones as text.
pub(super) fn bytes_in_brief(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let more = if bytes.len() > SHOWN { "..." } else { "" };
    if !shown.is_empty() && shown.iter().all(|byte| (0x20..0x7f).contains(byte)) {
        let text = String::from_utf8_lossy(shown);
        format!("{text:?}{more}")
    } else {
        let text: String = shown.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{text}{more}")
    }
}
