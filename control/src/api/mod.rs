//! The API on the unix socket: one JSON line asks, one JSON line answers.
//!
//! Everything that `causeway show` prints goes through here, as it would for any
//! other program. `VERSION` grows when an answer loses or changes a field.

mod table;
mod view;

use serde::{Deserialize, Serialize};

pub use table::render;
pub use view::{
    CounterView, LengthView, NeighborView, NextHopView, PortView, RouteView, SessionView, TableView, mac_text,
};

/// The version this program speaks.
pub const VERSION: u32 = 1;
/// Sessions that an answer holds at most.
pub const MOST_SESSIONS: usize = 100_000;
/// The longest request, in bytes.
pub const LONGEST_REQUEST: usize = 4096;

/// What is asked: one line of JSON, `{"version":1,"show":"routes"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The version the asker speaks.
    pub version: u32,
    /// What about.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "show", rename_all = "kebab-case")]
pub enum Ask {
    /// Ports and what they have counted.
    Ports,
    /// Every route.
    Routes,
    /// How large the forwarding tables are.
    RouteSummary,
    /// Every neighbour.
    Neighbors,
    /// Live sessions.
    Sessions {
        /// How many at most.
        #[serde(default = "a_few")]
        limit: usize,
    },
    /// What workers have counted.
    Counters,
}

fn a_few() -> usize {
    1000
}

/// What is answered: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Ask::Ports`].
    Ports(Vec<PortView>),
    /// To [`Ask::Routes`].
    Routes(Vec<RouteView>),
    /// To [`Ask::RouteSummary`].
    RouteSummary(Vec<TableView>),
    /// To [`Ask::Neighbors`].
    Neighbors(Vec<NeighborView>),
    /// To [`Ask::Sessions`].
    Sessions {
        /// Sessions alive when the answer was put together.
        alive: u64,
        /// Those that were asked for. A session that began or ended meanwhile may
        /// be there or not.
        sessions: Vec<SessionView>,
    },
    /// To [`Ask::Counters`].
    Counters(Vec<CounterView>),
    /// The request cannot be answered: why, and what would do.
    Error(String),
}

impl Request {
    /// A request in the version of this program.
    pub fn new(ask: Ask) -> Request {
        Request { version: VERSION, ask }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// The answer to send back.
    pub fn parse(line: &str) -> Result<Ask, Answer> {
        let request: Request = serde_json::from_str(line).map_err(|error| {
            Answer::Error(format!(
                "this is no request: {error}; ask like {{\"version\":{VERSION},\"show\":\"routes\"}}"
            ))
        })?;
        if request.version != VERSION {
            let asked = request.version;
            return Err(Answer::Error(format!("version {asked} is not spoken here; ask in version {VERSION}")));
        }
        Ok(request.ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_survives_the_wire() {
        for ask in
            [Ask::Ports, Ask::Routes, Ask::RouteSummary, Ask::Neighbors, Ask::Sessions { limit: 7 }, Ask::Counters]
        {
            let line = serde_json::to_string(&Request::new(ask.clone())).expect("a request is JSON");
            assert_eq!(Request::parse(&line), Ok(ask));
        }
    }

    #[test]
    fn a_bad_request_is_told_what_would_do() {
        let Err(Answer::Error(what)) = Request::parse("{\"version\":1,\"show\":\"weather\"}") else {
            panic!("there is no weather");
        };
        assert!(what.contains("weather") && what.contains("\"show\":\"routes\""), "{what}");
        let Err(Answer::Error(what)) = Request::parse("{\"version\":9,\"show\":\"ports\"}") else {
            panic!("version 9 is not spoken");
        };
        assert_eq!(what, "version 9 is not spoken here; ask in version 1");
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_parser(line in ".{0,200}") {
            let _ = Request::parse(&line);
        }
    }
}
