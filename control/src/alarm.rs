//! Something that fills up, and when somebody should hear of it.

/// Raised at this share of what there is, in percent.
const RAISE: u64 = 90;
/// Cleared below this one.
const CLEAR: u64 = 80;

/// Raised when nearly all is in use, and cleared when that is well over: what goes up and
/// down around one mark is told once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alarm {
    raised: bool,
}

/// What became of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It was raised.
    Raised,
    /// It was cleared.
    Cleared,
}

impl Alarm {
    /// So much is in use of all there is. Says if that changes anything.
    pub fn update(&mut self, used: u64, all: u64) -> Option<Turn> {
        let (share, raised) = (used.saturating_mul(100), self.raised);
        self.raised = all > 0 && share >= all.saturating_mul(if raised { CLEAR } else { RAISE });
        match (raised, self.raised) {
            (false, true) => Some(Turn::Raised),
            (true, false) => Some(Turn::Cleared),
            _ => None,
        }
    }

    /// Is it raised?
    pub fn is_raised(&self) -> bool {
        self.raised
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_raised_at_ninety_percent_and_cleared_below_eighty() {
        let mut alarm = Alarm::default();
        for (used, turn, raised) in [
            (0, None, false),
            (899, None, false),
            (900, Some(Turn::Raised), true),
            (1_000, None, true),
            (800, None, true),
            (899, None, true),
            (799, Some(Turn::Cleared), false),
            (899, None, false),
            (900, Some(Turn::Raised), true),
        ] {
            assert_eq!((alarm.update(used, 1_000), alarm.is_raised()), (turn, raised), "{used}");
        }
        assert_eq!(Alarm::default().update(0, 0), None, "where there is nothing, nothing fills up");
    }
}
