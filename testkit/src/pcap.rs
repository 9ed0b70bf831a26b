//! Classic pcap files of Ethernet frames.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Write};
use std::path::Path;

use pcap_file::pcap::{PcapHeader, PcapReader, PcapWriter, RawPcapPacket};
use pcap_file::{DataLink, PcapError, TsResolution};

/// Writes frames, each with its time in nanoseconds since 1970, as a pcap file
/// with nanosecond stamps. Little-endian on every machine, so that equal frames
/// make equal files.
///
/// # Errors
/// The file cannot be written, or a time is past the format's end in 2106; the
/// message names the file.
pub fn write_pcap<B: AsRef<[u8]>>(path: impl AsRef<Path>, frames: &[(u64, B)]) -> io::Result<()> {
    write(path.as_ref(), frames, TsResolution::NanoSecond)
}

/// As [`write_pcap`], with microsecond stamps: the older and commoner form. What
/// is under a microsecond is lost.
///
/// # Errors
/// As [`write_pcap`].
pub fn write_pcap_micros<B: AsRef<[u8]>>(path: impl AsRef<Path>, frames: &[(u64, B)]) -> io::Result<()> {
    write(path.as_ref(), frames, TsResolution::MicroSecond)
}

/// Reads a pcap file of either resolution and byte order: the frames in file
/// order, each with its time in nanoseconds since 1970. Frames that the capture
/// cut short come as they were kept.
///
/// # Errors
/// The file cannot be read, is not pcap, ends within a frame, or does not hold
/// Ethernet; the message names the file.
pub fn read_pcap(path: impl AsRef<Path>) -> io::Result<Vec<(u64, Vec<u8>)>> {
    let path = path.as_ref();
    let named = |error: PcapError| name_file(path, error);
    let file = File::open(path).map_err(|error| named(PcapError::IoError(error)))?;
    let mut reader = PcapReader::new(BufReader::new(file)).map_err(named)?;
    let header = reader.header();
    if header.datalink != DataLink::ETHERNET {
        return Err(named(PcapError::InvalidField("link type is not Ethernet")));
    }
    let unit_ns = match header.ts_resolution {
        TsResolution::MicroSecond => 1_000,
        TsResolution::NanoSecond => 1,
    };
    let mut frames = Vec::new();
    // Raw packets: the checked ones refuse every frame longer than the snap length,
    // and with it any capture made by `tcpdump -s`.
    while let Some(packet) = reader.next_raw_packet() {
        let packet = packet.map_err(named)?;
        let time_ns = u64::from(packet.ts_sec) * SECOND_NS + u64::from(packet.ts_frac) * unit_ns;
        frames.push((time_ns, packet.data.into_owned()));
    }
    Ok(frames)
}

fn write<B: AsRef<[u8]>>(path: &Path, frames: &[(u64, B)], ts_resolution: TsResolution) -> io::Result<()> {
    let named = |error: PcapError| name_file(path, error);
    let file = File::create(path).map_err(|error| named(PcapError::IoError(error)))?;
    let header = PcapHeader {
        snaplen: SNAP_LEN,
        datalink: DataLink::ETHERNET,
        ts_resolution,
        endianness: pcap_file::Endianness::Little,
        ..PcapHeader::default()
    };
    let mut writer = PcapWriter::with_header(BufWriter::new(file), header).map_err(named)?;
    let unit_ns = if ts_resolution == TsResolution::NanoSecond { 1 } else { 1_000 };
    for (time_ns, frame) in frames {
        let frame = frame.as_ref();
        let ts_sec =
            u32::try_from(time_ns / SECOND_NS).map_err(|_| named(PcapError::InvalidField("a time is past 2106")))?;
        let ts_frac = (time_ns % SECOND_NS / unit_ns) as u32;
        let length = frame.len() as u32;
        let packet = RawPcapPacket { ts_sec, ts_frac, incl_len: length, orig_len: length, data: Cow::Borrowed(frame) };
        writer.write_raw_packet(&packet).map_err(named)?;
    }
    // BufWriter forgets errors when it is dropped.
    writer.into_writer().flush().map_err(|error| named(PcapError::IoError(error)))
}

fn name_file(path: &Path, error: PcapError) -> io::Error {
    let path = path.display();
    match error {
        PcapError::IoError(error) => io::Error::new(error.kind(), format!("{path}: {error}")),
        other => io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {other}")),
    }
}

const SECOND_NS: u64 = 1_000_000_000;

/// Room for 64 KiB super-frames; what tcpdump writes.
const SNAP_LEN: u32 = 262_144;
