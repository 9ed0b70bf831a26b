//! Where two frames differ, as text.

use std::fmt::Write as _;

use super::layer::Layer;
use super::{decode, hex_line, line};

/// How `actual` differs from `expected`: both on one line each, then the fields
/// that differ by layer, then the hexadecimal lines that differ; `-` is expected,
/// `+` is actual. Empty if the frames are equal.
pub fn diff(expected: &[u8], actual: &[u8]) -> String {
    if expected == actual {
        return String::new();
    }
    let mut text = format!("- {}\n+ {}\n", line(expected), line(actual));
    fields(&decode(expected), &decode(actual), &mut text);
    bytes(expected, actual, &mut text);
    text
}

/// How two lists of frames differ: each pair that differs under its index, frames
/// that only one side has on a line each. Empty if the lists are equal.
pub fn diff_lists(expected: &[impl AsRef<[u8]>], actual: &[impl AsRef<[u8]>]) -> String {
    let mut text = String::new();
    for index in 0..expected.len().max(actual.len()) {
        match (expected.get(index), actual.get(index)) {
            (Some(expected), Some(actual)) if expected.as_ref() != actual.as_ref() => {
                let _ = write!(text, "frame {index}\n{}", diff(expected.as_ref(), actual.as_ref()));
            }
            (Some(missing), None) => {
                let _ = writeln!(text, "frame {index} is missing\n- {}", line(missing.as_ref()));
            }
            (None, Some(surplus)) => {
                let _ = writeln!(text, "frame {index} is too many\n+ {}", line(surplus.as_ref()));
            }
            _ => {}
        }
    }
    text
}

/// Asserts that two frames are equal to the byte.
///
/// # Panics
/// They are not; the message is [`diff`].
#[track_caller]
pub fn assert_frames_eq(expected: impl AsRef<[u8]>, actual: impl AsRef<[u8]>) {
    let text = diff(expected.as_ref(), actual.as_ref());
    assert!(text.is_empty(), "frames differ (- expected, + actual)\n{text}");
}

/// Asserts that two lists of frames are equal, in order and to the byte.
///
/// # Panics
/// They are not; the message is [`diff_lists`].
#[track_caller]
pub fn assert_frame_lists_eq(expected: &[impl AsRef<[u8]>], actual: &[impl AsRef<[u8]>]) {
    let text = diff_lists(expected, actual);
    assert!(text.is_empty(), "frames differ (- expected, + actual)\n{text}");
}

fn fields(expected: &[Layer], actual: &[Layer], text: &mut String) {
    for index in 0..expected.len().max(actual.len()) {
        match (expected.get(index), actual.get(index)) {
            (Some(left), Some(right)) if left.name == right.name && left.depth == right.depth => {
                layer(left, right, text);
            }
            (left, right) => {
                for (sign, layer) in [('-', left), ('+', right)] {
                    if let Some(layer) = layer {
                        let _ = writeln!(text, "{sign} {}", layer.summary);
                    }
                }
            }
        }
    }
}

fn layer(expected: &Layer, actual: &Layer, text: &mut String) {
    if expected.fields == actual.fields {
        return;
    }
    let _ = writeln!(text, "{}{}", "quoted ".repeat(actual.depth), actual.name);
    for (name, left) in &expected.fields {
        let right = actual.fields.iter().find(|(other, _)| other == name);
        match right {
            Some((_, right)) if right == left => {}
            Some((_, right)) => {
                let _ = writeln!(text, "  - {name:<16} {left}\n  + {name:<16} {right}");
            }
            None => {
                let _ = writeln!(text, "  - {name:<16} {left}");
            }
        }
    }
    for (name, right) in &actual.fields {
        if expected.fields.iter().all(|(other, _)| other != name) {
            let _ = writeln!(text, "  + {name:<16} {right}");
        }
    }
}

fn bytes(expected: &[u8], actual: &[u8], text: &mut String) {
    let _ = writeln!(text, "bytes ({} expected, {} actual)", expected.len(), actual.len());
    for index in 0..expected.len().max(actual.len()).div_ceil(16) {
        let (left, right) = (hex_line(expected, index), hex_line(actual, index));
        if left != right {
            let _ = writeln!(text, "  - {left}\n  + {right}");
        }
    }
}
