//! The API on the unix socket: one JSON line asks, one JSON line answers.
//!
//! Everything that `causeway show` prints goes through here, as it would for any
//! other program. `VERSION` grows when an answer loses or changes a field.

mod egress;
mod filter;
mod nodes;
mod plan;
mod pools;
mod table;
mod view;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::config::LARGEST_FILE;

pub use egress::{EgressView, PodSourceView};
pub(crate) use filter::read as read_filter;
pub use nodes::{CutOffView, NodeNeighborView, NodeView, SourceView};
pub use plan::{
    AwaitedView, FatesView, NodeFatesView, PlanView, Refusal, RouteChangesView, SessionFateView, VersionView,
};
pub use pools::{HostView, PoolView};
pub use table::render;
pub use view::{
    CounterView, ForwardView, LengthView, NeighborView, NextHopView, PortView, RouteView, SessionView, TableView,
    mac_text,
};

/// The version this program speaks.
pub const VERSION: u32 = 1;
/// Sessions that an answer holds at most.
pub const MOST_SESSIONS: usize = 100_000;
/// The longest request, in bytes: it may hold a configuration, of which JSON writes many a
/// character as two.
pub const LONGEST_REQUEST: usize = 2 * LARGEST_FILE + 4096;

/// What is asked: one line of JSON, `{"version":1,"show":"routes"}` or
/// `{"version":1,"do":"kill-sessions","filter":["inside=10.1.2.0/24"]}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<A = Ask> {
    /// The version the asker speaks.
    pub version: u32,
    /// What about.
    #[serde(flatten)]
    pub ask: A,
}

/// What a request is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Ask {
    /// To see something.
    Show(Show),
    /// That something be done.
    Do(Deed),
}

/// What can be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Deed {
    /// End sessions.
    #[serde(rename_all = "kebab-case")]
    KillSessions {
        /// Those that meet all of these, each as `inside=10.1.2.0/24`. Without one, all.
        filter: Vec<String>,
        /// Are they only to be counted?
        #[serde(default)]
        dry_run: bool,
    },
    /// Apply the file that the gateway was started with, as it is now.
    Reload,
    /// Apply a configuration, and write it to the file that the gateway was started with.
    #[serde(rename_all = "kebab-case")]
    Apply {
        /// The configuration.
        config: ConfigText,
        /// Seconds after which it is taken back, unless [`Deed::Confirm`] comes before; until
        /// then it is not written.
        #[serde(default)]
        confirm: Option<u32>,
    },
    /// Keep what was applied with `confirm`.
    Confirm,
    /// Apply a configuration that was in force before.
    #[serde(rename_all = "kebab-case")]
    Rollback {
        /// Its number; `None`: that which waits to be confirmed is taken back.
        #[serde(default)]
        to: Option<u64>,
        /// As in [`Deed::Apply`].
        #[serde(default)]
        confirm: Option<u32>,
    },
}

/// A configuration on its way to the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigText {
    /// What messages and the history call it: [`LONGEST_NAME`] bytes at most.
    #[serde(deserialize_with = "short_name")]
    pub name: String,
    /// What stands in it.
    pub text: String,
}

/// The longest name of a configuration, in bytes: no path is longer.
pub const LONGEST_NAME: usize = 4096;

fn short_name<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let name = String::deserialize(from)?;
    if name.len() > LONGEST_NAME {
        return Err(D::Error::custom(format!("the name of a configuration has at most {LONGEST_NAME} bytes")));
    }
    Ok(name)
}

/// What can be seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "show", rename_all = "kebab-case")]
pub enum Show {
    /// Ports and what they have counted.
    Ports,
    /// Every route.
    Routes,
    /// How large the forwarding tables are.
    RouteSummary,
    /// Every neighbour.
    Neighbors,
    /// Every node.
    Nodes,
    /// How pods leave.
    Egress,
    /// Every forward and static NAT.
    Forwards,
    /// What is in use of pools.
    Pools {
        /// A row for each address?
        #[serde(default)]
        addresses: bool,
    },
    /// Who holds most sessions.
    Hosts {
        /// How many at most.
        #[serde(default = "a_few")]
        limit: usize,
    },
    /// Live sessions.
    Sessions {
        /// How many at most.
        #[serde(default = "a_few")]
        limit: usize,
        /// Those that meet all of these, each as `inside=10.1.2.0/24`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        filter: Vec<String>,
    },
    /// What workers have counted.
    Counters,
    /// What would change if a configuration were applied.
    Plan {
        /// The configuration.
        config: ConfigText,
    },
    /// Configurations that were in force.
    History,
}

fn a_few() -> usize {
    1000
}

/// What is answered: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// To [`Show::Ports`].
    Ports(Vec<PortView>),
    /// To [`Show::Routes`].
    Routes(Vec<RouteView>),
    /// To [`Show::RouteSummary`].
    RouteSummary(Vec<TableView>),
    /// To [`Show::Neighbors`].
    Neighbors(Vec<NeighborView>),
    /// To [`Show::Nodes`].
    Nodes {
        /// By cluster and name.
        nodes: Vec<NodeView>,
        /// Who knows them, where it is not the configuration.
        sources: Vec<SourceView>,
        /// Clusters of which most nodes do not answer, where dead ones are withdrawn.
        #[serde(default)]
        cut_off: Vec<CutOffView>,
    },
    /// To [`Show::Egress`].
    Egress {
        /// By cluster, in the order in which they count.
        rules: Vec<EgressView>,
        /// Who knows the pods, where rules select some.
        sources: Vec<PodSourceView>,
    },
    /// To [`Show::Forwards`].
    Forwards(Vec<ForwardView>),
    /// To [`Show::Pools`].
    Pools(Vec<PoolView>),
    /// To [`Show::Hosts`].
    Hosts {
        /// How many hosts have sessions or were refused some.
        known: u64,
        /// Those that were asked for; who has most sessions comes first.
        hosts: Vec<HostView>,
    },
    /// To [`Show::Sessions`].
    Sessions {
        /// Sessions alive when the answer was put together.
        alive: u64,
        /// Those that were asked for. A session that began or ended meanwhile may
        /// be there or not.
        sessions: Vec<SessionView>,
    },
    /// To [`Show::Counters`].
    Counters(Vec<CounterView>),
    /// To [`Deed::KillSessions`].
    #[serde(rename_all = "kebab-case")]
    SessionsKilled {
        /// How many were meant.
        killed: u64,
        /// Were they only counted?
        dry_run: bool,
    },
    /// To [`Show::Plan`].
    Plan(Box<PlanView>),
    /// To [`Deed::Reload`], [`Deed::Apply`] and [`Deed::Rollback`].
    #[serde(rename_all = "kebab-case")]
    Applied {
        /// What has changed.
        plan: Box<PlanView>,
        /// Seconds within which it must be confirmed, or is taken back.
        confirm_within: Option<u32>,
        /// What did not go well, though the configuration is in force.
        warnings: Vec<String>,
    },
    /// To [`Deed::Reload`], [`Deed::Apply`], [`Deed::Rollback`] and [`Show::Plan`].
    Refused(Refusal),
    /// To [`Deed::Confirm`].
    Confirmed {
        /// What did not go well.
        warnings: Vec<String>,
    },
    /// To [`Show::History`].
    History {
        /// The newest last.
        versions: Vec<VersionView>,
        /// That which waits to be confirmed.
        awaited: Option<AwaitedView>,
    },
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
        /// Is it that something be done?
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "do")]
            deed: Option<serde::de::IgnoredAny>,
        }
        let is_deed = serde_json::from_str(line).is_ok_and(|kind: Kind| kind.deed.is_some());
        let read = if is_deed {
            serde_json::from_str(line).map(|Request { version, ask }| (version, Ask::Do(ask)))
        } else {
            serde_json::from_str(line).map(|Request { version, ask }| (version, Ask::Show(ask)))
        };
        let (version, ask) = read.map_err(|error| {
            Answer::Error(format!(
                "this is no request: {error}; ask like {{\"version\":{VERSION},\"show\":\"routes\"}}"
            ))
        })?;
        if version != VERSION {
            return Err(Answer::Error(format!("version {version} is not spoken here; ask in version {VERSION}")));
        }
        Ok(ask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_request_survives_the_wire() {
        let filter = vec!["inside=10.1.2.0/24".to_owned(), "protocol=tcp".to_owned()];
        let config = ConfigText { name: "new.toml".to_owned(), text: "[gateway]\nname = \"g\"\n".to_owned() };
        for ask in [
            Ask::Show(Show::Ports),
            Ask::Show(Show::Routes),
            Ask::Show(Show::RouteSummary),
            Ask::Show(Show::Neighbors),
            Ask::Show(Show::Nodes),
            Ask::Show(Show::Egress),
            Ask::Show(Show::Forwards),
            Ask::Show(Show::Pools { addresses: true }),
            Ask::Show(Show::Hosts { limit: 7 }),
            Ask::Show(Show::Sessions { limit: 7, filter: Vec::new() }),
            Ask::Show(Show::Sessions { limit: 7, filter: filter.clone() }),
            Ask::Show(Show::Counters),
            Ask::Do(Deed::KillSessions { filter, dry_run: true }),
            Ask::Show(Show::Plan { config: config.clone() }),
            Ask::Show(Show::History),
            Ask::Do(Deed::Reload),
            Ask::Do(Deed::Apply { config, confirm: Some(60) }),
            Ask::Do(Deed::Confirm),
            Ask::Do(Deed::Rollback { to: Some(3), confirm: None }),
        ] {
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
        let Err(Answer::Error(what)) = Request::parse("{\"version\":1,\"do\":\"dance\"}") else {
            panic!("there is no dancing");
        };
        assert!(what.contains("dance") && what.contains("kill-sessions"), "{what}");
        let kill = "{\"version\":1,\"do\":\"kill-sessions\"}";
        assert!(Request::parse(kill).is_err(), "who forgets the filter does not end every session");
        let Err(Answer::Error(what)) = Request::parse("{\"version\":9,\"show\":\"ports\"}") else {
            panic!("version 9 is not spoken");
        };
        assert_eq!(what, "version 9 is not spoken here; ask in version 1");
    }

    #[test]
    fn the_name_of_a_configuration_is_no_longer_than_a_path() {
        let named = |length| {
            let config = ConfigText { name: "n".repeat(length), text: String::new() };
            let apply = Request::new(Ask::Do(Deed::Apply { config, confirm: None }));
            Request::parse(&serde_json::to_string(&apply).expect("a request is JSON"))
        };
        assert!(named(LONGEST_NAME).is_ok());
        assert!(matches!(named(LONGEST_NAME + 1), Err(Answer::Error(what)) if what.contains("4096 bytes")));
    }

    proptest! {
        #[test]
        fn no_line_breaks_the_parser(line in ".{0,200}") {
            let _ = Request::parse(&line);
        }
    }
}
