//! Where in the file: from byte offsets to lines and columns.

/// The text of a file, with the start of each line.
pub(super) struct Source<'a> {
    text: &'a str,
    /// Byte offset of the first character of each line, ascending; the first is 0.
    lines: Vec<usize>,
}

/// A place in a file, as editors count: both from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after_each_newline = text.match_indices('\n').map(|(offset, _)| offset + 1);
        Self { text, lines: std::iter::once(0).chain(after_each_newline).collect() }
    }

    /// The place of a byte offset; one past the end is the end.
    pub(super) fn position(&self, offset: usize) -> Position {
        let offset = self.text.floor_char_boundary(offset);
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = self.lines[line - 1];
        Position { line, column: self.text[start..offset].chars().count() + 1 }
    }

    /// What stands in the file there, on one line and short enough for a message.
    pub(super) fn excerpt(&self, span: std::ops::Range<usize>) -> String {
        let text = self.text.get(span).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let shown: String = line.chars().take(LONGEST_EXCERPT).collect();
        // A string may hold what would confuse a terminal.
        let shown: String = shown.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        if shown.len() < text.len() { format!("{shown}...") } else { shown }
    }
}

/// In characters.
const LONGEST_EXCERPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_columns_in_characters() {
        let source = Source::new("a\nöb\r\n\nc");
        let at = |offset| {
            let position = source.position(offset);
            (position.line, position.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(1), (1, 2));
        assert_eq!(at(2), (2, 1));
        assert_eq!(at(3), (2, 1), "within a character is its start");
        assert_eq!(at(4), (2, 2));
        assert_eq!(at(7), (3, 1));
        assert_eq!(at(8), (4, 1));
        assert_eq!(at(9), (4, 2));
        assert_eq!(at(1000), (4, 2), "past the end is the end");
    }

    #[test]
    fn an_empty_file_has_one_place() {
        let position = Source::new("").position(0);
        assert_eq!((position.line, position.column), (1, 1));
    }

    #[test]
    fn an_excerpt_is_one_short_line() {
        let long = "x".repeat(65);
        assert_eq!(Source::new(&long[1..]).excerpt(0..64), &long[1..]);
        assert_eq!(Source::new(&long).excerpt(0..65), format!("{}...", &long[1..]));
        assert_eq!(Source::new("[1,\n2]").excerpt(0..6), "[1,...");
        assert_eq!(Source::new("a\u{1b}b").excerpt(0..3), "a\u{fffd}b");
    }
}
