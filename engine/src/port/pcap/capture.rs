//! Reading a capture file: classic pcap and pcapng, either byte order, any
//! resolution of time.

use std::fmt;

use causeway_fastpath::time::Instant;
use pcap_file::pcap::PcapParser;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgParser};
use pcap_file::{DataLink, PcapError, TsResolution};

/// A whole capture in memory, checked from the first byte to the last.
pub(super) struct Capture {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// One frame of a capture.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// When it was captured, in nanoseconds since 1970; never before the one
    /// before it.
    pub(super) time: Instant,
    at: usize,
    len: u32,
    /// Its length on the wire, which may be more than was kept.
    pub(super) wire_len: u32,
}

/// What is wrong with a capture, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Bytes from the start of the file to the record that is damaged.
    pub(super) offset: usize,
    pub(super) what: String,
}

impl Capture {
    /// Reads the whole of a capture file; an empty file is an empty capture.
    ///
    /// # Errors
    /// Where it stops making sense.
    pub(super) fn parse(bytes: Vec<u8>) -> Result<Capture, Damage> {
        let mut index = Index { file: &bytes, records: Vec::new(), latest: Instant::ZERO };
        match bytes.get(..4) {
            None if bytes.is_empty() => {}
            Some([0x0a, 0x0d, 0x0d, 0x0a]) => index.read_pcapng()?,
            _ => index.read_pcap()?,
        }
        let records = index.records;
        Ok(Capture { bytes, records })
    }

    /// How many frames there are.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// A frame's record and bytes; `None` past the last.
    pub(super) fn get(&self, index: usize) -> Option<(Record, &[u8])> {
        let record = *self.records.get(index)?;
        Some((record, &self.bytes[record.at..record.at + record.len as usize]))
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "damaged at byte {}: {}", self.offset, self.what)
    }
}

/// A capture while it is read.
struct Index<'a> {
    file: &'a [u8],
    records: Vec<Record>,
    latest: Instant,
}

impl<'a> Index<'a> {
    fn read_pcap(&mut self) -> Result<(), Damage> {
        let (mut rest, parser) = PcapParser::new(self.file).map_err(|error| self.damage(self.file, &error))?;
        let header = parser.header();
        if header.datalink != DataLink::ETHERNET {
            return Err(self.link_type(self.file, header.datalink));
        }
        let unit_ns = match header.ts_resolution {
            TsResolution::MicroSecond => 1_000,
            TsResolution::NanoSecond => 1,
        };
        while !rest.is_empty() {
            // The raw form: the checked one refuses frames longer than the
            // snap length, of which captures by `tcpdump -s` are full.
            let (after, packet) = parser.next_raw_packet(rest).map_err(|error| self.damage(rest, &error))?;
            let time_ns = u64::from(packet.ts_sec) * 1_000_000_000 + u64::from(packet.ts_frac) * unit_ns;
            self.add(rest, 16, packet.data.len(), packet.orig_len, Some(time_ns));
            rest = after;
        }
        Ok(())
    }

    fn read_pcapng(&mut self) -> Result<(), Damage> {
        let (mut rest, mut parser) = PcapNgParser::new(self.file).map_err(|error| self.damage(self.file, &error))?;
        // What a time stamp means, an interface of the section each.
        let mut clocks: Vec<Clock> = Vec::new();
        while !rest.is_empty() {
            let (after, block) = parser.next_block(rest).map_err(|error| self.damage(rest, &error))?;
            match block {
                Block::SectionHeader(_) => clocks.clear(),
                Block::InterfaceDescription(interface) => {
                    if interface.linktype != DataLink::ETHERNET {
                        return Err(self.link_type(rest, interface.linktype));
                    }
                    clocks.push(Clock::of(&interface.options));
                }
                Block::EnhancedPacket(packet) => {
                    let Some(clock) = clocks.get(packet.interface_id as usize) else {
                        return Err(self.damage(rest, &PcapError::InvalidInterfaceId(packet.interface_id)));
                    };
                    // The crate takes any unit for nanoseconds: it is the raw value.
                    let time_ns = clock.nanoseconds(packet.timestamp.as_nanos() as u64);
                    // Type and length of the block, and five words of its own.
                    self.add(rest, 28, packet.data.len(), packet.original_len, Some(time_ns));
                }
                Block::SimplePacket(packet) => {
                    // The crate leaves the padding at the end of the frame.
                    let len = packet.data.len().min(packet.original_len as usize);
                    self.add(rest, 12, len, packet.original_len, None);
                }
                Block::Packet(_) => {
                    let what = PcapError::InvalidField("a packet block, obsolete since 2004: convert the file");
                    return Err(self.damage(rest, &what));
                }
                _ => {}
            }
            rest = after;
        }
        Ok(())
    }

    /// A frame of `len` bytes, `header` bytes into the record at `record`.
    fn add(&mut self, record: &[u8], header: usize, len: usize, wire_len: u32, time_ns: Option<u64>) {
        // Time never goes back; a block without a stamp has that before it.
        self.latest = self.latest.max(Instant::from_nanos(time_ns.unwrap_or(0)));
        let at = self.offset(record) + header;
        self.records.push(Record { time: self.latest, at, len: len as u32, wire_len });
    }

    fn offset(&self, rest: &[u8]) -> usize {
        self.file.len() - rest.len()
    }

    fn damage(&self, rest: &[u8], error: &PcapError) -> Damage {
        let what = match error {
            PcapError::IncompleteBuffer => "the file ends within a record".into(),
            error => error.to_string(),
        };
        Damage { offset: self.offset(rest), what }
    }

    fn link_type(&self, rest: &[u8], found: DataLink) -> Damage {
        Damage {
            offset: self.offset(rest),
            what: format!("frames of link type {found:?}; only ETHERNET can be replayed"),
        }
    }
}

/// What the time stamps of an interface count.
struct Clock {
    /// `if_tsresol`: a power of ten, or of two with the top bit set.
    resolution: u8,
    offset_s: i64,
}

impl Clock {
    fn of(options: &[InterfaceDescriptionOption<'_>]) -> Clock {
        let mut clock = Clock { resolution: 6, offset_s: 0 };
        for option in options {
            match option {
                InterfaceDescriptionOption::IfTsResol(resolution) => clock.resolution = *resolution,
                InterfaceDescriptionOption::IfTsOffset(offset) => clock.offset_s = *offset as i64,
                _ => {}
            }
        }
        clock
    }

    /// Nanoseconds since 1970; what lies outside 1970 to 2554 becomes an end of it.
    fn nanoseconds(&self, stamp: u64) -> u64 {
        let exponent = u32::from(self.resolution & 0x7f);
        let billionths = i128::from(stamp) * 1_000_000_000;
        let ns = if self.resolution & 0x80 != 0 {
            billionths >> exponent.min(127)
        } else {
            10i128.checked_pow(exponent).map_or(0, |unit| billionths / unit)
        };
        let offset = i128::from(self.offset_s) * 1_000_000_000;
        (ns + offset).clamp(0, i128::from(u64::MAX)) as u64
    }
}

#[cfg(test)]
#[path = "capture_tests.rs"]
mod tests;
