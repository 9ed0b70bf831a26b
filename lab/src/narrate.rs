//! Telling a human what happens, line by line, while it happens.

use std::io::{self, IsTerminal, Write};

use crate::report::{CheckResult, Outcome, Shown};

/// How to write for whoever reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours, and lines that are written over: for a terminal.
    pub terminal: bool,
}

impl Style {
    /// For the standard output: a terminal's if it is one and `NO_COLOR` is unset or
    /// empty (<https://no-color.org>).
    pub fn of_stdout() -> Self {
        let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { terminal: io::stdout().is_terminal() && !no_color }
    }
}

/// Writes the table that grows. Each line is flushed: it is news.
pub(crate) struct Narrator<'a> {
    out: &'a mut dyn Write,
    style: Style,
}

/// The island world, as a newcomer should see it first.
const WORLD: &str = "
  pod-a1 10.1.1.10 ─┐
  pod-a2 10.1.1.11 ─┴ node-a 192.168.0.11 ─┐                     ┌ server 203.0.113.10
                                           ├ .0.1 GATEWAY .113.2 ┤
  pod-b1 10.1.2.10 ─┬ node-b 192.168.0.12 ─┘                     └ client 203.0.113.30
  pod-b2 10.1.2.11 ─┘
";

impl<'a> Narrator<'a> {
    pub(crate) fn new(out: &'a mut dyn Write, style: Style) -> Self {
        Self { out, style }
    }

    pub(crate) fn opening(&mut self, privilege: &str) -> io::Result<()> {
        let title = self.bold("Causeway lab");
        self.line(&format!("{title}: real traffic through a gateway, in network namespaces, {privilege}."))?;
        self.line(WORLD)
    }

    pub(crate) fn heading(&mut self, text: &str) -> io::Result<()> {
        let text = self.bold(text);
        self.line(&format!("\n{text}"))
    }

    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Says what is going on, on a line that [`result`](Self::result) writes over. On
    /// anything but a terminal it says nothing.
    pub(crate) fn doing(&mut self, name: &str) -> io::Result<()> {
        if self.style.terminal {
            write!(self.out, "  \x1b[2m..    {name}\x1b[0m")?;
            self.out.flush()?;
        }
        Ok(())
    }

    pub(crate) fn result(&mut self, check: &CheckResult) -> io::Result<()> {
        if self.style.terminal {
            write!(self.out, "\r\x1b[2K")?;
        }
        let (word, colour) = match check.outcome {
            Outcome::Pass => ("ok  ", "32"),
            Outcome::Fail => ("FAIL", "1;31"),
        };
        let word = self.painted(word, colour);
        let mut detail = check.detail.lines();
        let first = detail.next().unwrap_or_default();
        writeln!(self.out, "  {word}  {name:<25}  {first}", name = check.name)?;
        for more in detail {
            writeln!(self.out, "        {more}")?;
        }
        self.out.flush()
    }

    pub(crate) fn shown(&mut self, shown: &Shown) -> io::Result<()> {
        self.heading(&format!("causeway show {}", shown.what))?;
        for line in shown.output.as_str().unwrap_or_default().lines() {
            writeln!(self.out, "  {line}")?;
        }
        self.out.flush()
    }

    pub(crate) fn verdict(&mut self, passed: usize, all: usize, seconds: f64) -> io::Result<()> {
        let good = passed == all;
        let text =
            if good { format!("All {all} checks passed") } else { format!("{} of {all} checks FAILED", all - passed) };
        let text = self.painted(&text, if good { "1;32" } else { "1;31" });
        self.line(&format!("\n{text}, in {seconds:.1} s."))
    }

    fn bold(&self, text: &str) -> String {
        self.painted(text, "1")
    }

    fn painted(&self, text: &str, colour: &str) -> String {
        if self.style.terminal { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(terminal: bool) -> String {
        let mut out = Vec::new();
        let mut narrator = Narrator::new(&mut out, Style { terminal });
        narrator.doing("DNS lookup").unwrap();
        let check = CheckResult {
            name: "DNS lookup",
            outcome: Outcome::Fail,
            detail: "three queries without an answer\nand more".into(),
            figures: vec![],
            seconds: 1.5,
        };
        narrator.result(&check).unwrap();
        narrator.verdict(0, 1, 1.5).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_file_gets_plain_lines() {
        let expected = "  FAIL  DNS lookup                 three queries without an answer\n        and more\n\n\
                        1 of 1 checks FAILED, in 1.5 s.\n";
        assert_eq!(told(false), expected);
    }

    #[test]
    fn a_terminal_gets_colours_and_a_line_written_over() {
        let told = told(true);
        assert!(told.starts_with("  \x1b[2m..    DNS lookup\x1b[0m\r\x1b[2K  \x1b[1;31mFAIL\x1b[0m"), "{told:?}");
    }

    #[test]
    fn the_picture_of_the_world_is_that_of_the_plan() {
        use crate::plan;
        let addresses = [plan::node(0), plan::node(1), plan::pod(0, 0), plan::pod(1, 1), plan::SERVER, plan::CLIENT];
        for address in addresses {
            assert!(WORLD.contains(&address.v4.addr().to_string()), "{address:?}");
        }
    }
}
