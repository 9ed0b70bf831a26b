//! The stages by name, for whoever wants to know where the time goes.

/// A stage of the packet's walk; a burst passes through all of them, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Ethernet and IP headers: is it for us, is it sound, may it travel?
    Parse,
    /// Longest-prefix match of the destinations.
    LookUp,
    /// What a neighbour takes as it is: TTL, Ethernet header, gone.
    Forward,
    /// What comes back to an island: session, second look-up, translation.
    Inbound,
    /// What leaves an island: session, second look-up, translation.
    Outbound,
    /// What the gateway answers: pings, ICMP errors.
    Answer,
    /// Verdicts into counters.
    Count,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Stage; 7] =
        [Stage::Parse, Stage::LookUp, Stage::Forward, Stage::Inbound, Stage::Outbound, Stage::Answer, Stage::Count];

    /// The word for it in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Parse => "parse",
            Stage::LookUp => "look-up",
            Stage::Forward => "forward",
            Stage::Inbound => "inbound",
            Stage::Outbound => "outbound",
            Stage::Answer => "answer",
            Stage::Count => "count",
        }
    }
}
