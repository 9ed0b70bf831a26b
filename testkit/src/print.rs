//! Frames as text, and where two frames differ.
//!
//! The decoder here reads bytes on its own terms: it never panics, and a frame
//! that lies or ends early prints as far as it goes, with what is wrong said.

mod decode;
mod diff;
mod ip;
mod layer;
mod transport;

pub use decode::decode;
pub use diff::{assert_frame_lists_eq, assert_frames_eq, diff, diff_lists};
pub use layer::{Fault, Layer};

use std::fmt::Write as _;

/// The frame on one line: addresses, ports, flags, TTL, quotes in brackets, and
/// every fault after an exclamation mark.
pub fn line(frame: &[u8]) -> String {
    let layers = decode(frame);
    let mut line = String::new();
    let mut depth = 0;
    for layer in &layers {
        while depth < layer.depth {
            line.push_str(" [");
            depth += 1;
        }
        if !line.is_empty() && !line.ends_with('[') {
            line.push(' ');
        }
        line.push_str(&layer.summary);
        for fault in &layer.faults {
            let _ = write!(line, " !{fault}");
        }
    }
    line.push_str(&"]".repeat(depth));
    line
}

/// The frame on many lines: each layer with all its fields, quoted packets indented.
pub fn text(frame: &[u8]) -> String {
    let mut text = String::new();
    for layer in decode(frame) {
        let indent = "    ".repeat(layer.depth);
        let _ = writeln!(text, "{indent}{}", layer.name);
        for (name, value) in &layer.fields {
            let _ = writeln!(text, "{indent}  {name:<16} {value}");
        }
        for fault in &layer.faults {
            let _ = writeln!(text, "{indent}  !{fault}");
        }
    }
    text
}

/// The bytes, sixteen a line, each line led by its offset in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for index in 0..bytes.len().div_ceil(16) {
        let _ = writeln!(text, "{}", hex_line(bytes, index));
    }
    text
}

/// Line `index` of [`hex`], without its line end; only the offset where no bytes are.
fn hex_line(bytes: &[u8], index: usize) -> String {
    let mut line = format!("{:04x} ", index * 16);
    for (column, byte) in bytes.iter().skip(index * 16).take(16).enumerate() {
        let gap = if column == 8 { "  " } else { " " };
        let _ = write!(line, "{gap}{byte:02x}");
    }
    line
}
