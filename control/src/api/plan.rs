//! What another configuration changes, and those that were in force, as the API shows them.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

use causeway_fastpath::command::SessionRow;
use causeway_fastpath::nat::Outcome;
use serde::{Deserialize, Serialize};

use super::table::{Column, columns};
use super::view::SessionView;
use crate::config::ConfigErrors;
use crate::control::Control;
use crate::reload::{Difference, Fates, Judged, NeedsRestart, Owner, Prepared, outcome_word};

/// What a configuration changes that takes the place of the one in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PlanView {
    /// What of the file is other than before.
    pub changes: Vec<Difference>,
    /// How many routes are, by domain; learned ones among them.
    pub routes: Vec<RouteChangesView>,
    /// What of it is accepted, but hardly meant.
    pub warnings: Vec<String>,
    /// What becomes of live sessions; nothing, where nobody has looked.
    pub sessions: Option<FatesView>,
}

/// What becomes of live sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct FatesView {
    /// All of them.
    pub all: Fates,
    /// Those of each cluster and node.
    pub nodes: Vec<NodeFatesView>,
    /// Why sessions end that no other takes the place of: a counter that their packets are
    /// dropped by, or `no-forward`.
    pub ends: BTreeMap<String, u64>,
    /// The first thousand of those that do not survive.
    pub sessions: Vec<SessionFateView>,
}

/// What becomes of the sessions of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct NodeFatesView {
    /// The cluster; nothing, where none has the address.
    pub cluster: Option<String>,
    /// The node; nothing, where none has the address.
    pub node: Option<String>,
    /// What becomes of them.
    #[serde(flatten)]
    pub fates: Fates,
}

/// A session that does not survive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionFateView {
    /// The session.
    #[serde(flatten)]
    pub session: SessionView,
    /// `anew`, or why it ends.
    pub fate: String,
}

impl FatesView {
    /// What was found out.
    pub fn of(control: &Control, judged: &Judged) -> FatesView {
        let some = |name: &String| (!name.is_empty()).then(|| name.clone());
        let node = |(owner, fates): (&Owner, &Fates)| NodeFatesView {
            cluster: some(&owner.cluster),
            node: some(&owner.node),
            fates: *fates,
        };
        let session = |(row, outcome): &(SessionRow, Outcome)| SessionFateView {
            session: SessionView::of(control, row),
            fate: outcome_word(*outcome).to_owned(),
        };
        FatesView {
            all: judged.counts.values().fold(Fates::default(), |sum, own| sum.plus(*own)),
            nodes: judged.counts.iter().map(node).collect(),
            ends: judged.ends.iter().map(|(why, count)| ((*why).to_owned(), *count)).collect(),
            sessions: judged.named.iter().map(session).collect(),
        }
    }

    /// In lines, for people.
    fn text(&self) -> String {
        let Fates { survive, anew, end } = self.all;
        let mut text = format!("sessions: {survive} survive, {anew} translated anew, {end} end\n");
        let row = |of: &NodeFatesView| {
            let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "-".to_owned());
            let counts = [of.fates.survive, of.fates.anew, of.fates.end].map(|count| count.to_string());
            [vec![name(&of.cluster), name(&of.node)], counts.to_vec()].concat()
        };
        if !self.nodes.is_empty() {
            text += &columns(FATES, self.nodes.iter().map(row));
        }
        for (why, count) in &self.ends {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{count} end: {why}");
        }
        text
    }
}

const FATES: &[Column] = &[("CLUSTER", false), ("NODE", false), ("SURVIVE", true), ("ANEW", true), ("END", true)];

/// How many destinations have another route, in a routing domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RouteChangesView {
    /// The domain.
    pub domain: String,
    /// They had none.
    pub added: usize,
    /// They have none any more.
    pub removed: usize,
    /// Theirs leads elsewhere.
    pub changed: usize,
}

/// Why a configuration is not applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// What is wrong with it, each as `causeway check` says it.
    Errors(Vec<String>),
    /// What of it only counts from the next start on.
    NeedsRestart(Vec<String>),
    /// It cannot be applied now, and what would do.
    Not(String),
}

/// A configuration that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct VersionView {
    /// Its number: they are counted from 1 on.
    pub version: u64,
    /// When it came into force: seconds since 1970 (UTC).
    pub time: u64,
    /// By what: `start`, `reload` and so on.
    pub by: String,
    /// Is it in force?
    pub current: bool,
}

/// A configuration that is in force until somebody confirms it, or nobody does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct AwaitedView {
    /// By what it came into force.
    pub by: String,
    /// Seconds that are left.
    pub seconds: u64,
}

impl PlanView {
    /// What was prepared.
    pub fn of(prepared: &Prepared, warnings: Vec<String>) -> PlanView {
        let routes = prepared.routes().iter().map(|routes| RouteChangesView {
            domain: routes.domain.clone(),
            added: routes.added,
            removed: routes.removed,
            changed: routes.changed,
        });
        PlanView { changes: prepared.differences().to_vec(), routes: routes.collect(), warnings, sessions: None }
    }

    /// In lines, for people, once it has come to pass.
    pub(super) fn applied(&self, confirm_within: Option<u32>, warnings: &[String]) -> String {
        let outcome = match confirm_within {
            Some(seconds) => format!("in force for {seconds} s, unless you confirm it: causeway confirm\n"),
            None => "in force\n".to_owned(),
        };
        self.text() + &warned(warnings) + &outcome
    }

    /// In lines, for people.
    pub(super) fn text(&self) -> String {
        let mut text = warned(&self.warnings);
        if self.changes.is_empty() && self.routes.is_empty() {
            text += "nothing changes\n";
        }
        // Writing to a String does not fail.
        for change in &self.changes {
            let _ = writeln!(text, "{change}");
        }
        for RouteChangesView { domain, added, removed, changed } in &self.routes {
            let _ = writeln!(text, "routes of {domain}: {added} added, {removed} removed, {changed} changed");
        }
        text.extend(self.sessions.iter().map(FatesView::text));
        text
    }
}

/// Warnings, a line each.
pub(super) fn warned(warnings: &[String]) -> String {
    warnings.iter().map(|warning| format!("warning: {warning}\n")).collect()
}

impl VersionView {
    /// Its row.
    pub(super) fn line(&self) -> Vec<String> {
        let current = if self.current { "in force" } else { "" };
        vec![self.version.to_string(), date(self.time), self.by.clone(), current.to_owned()]
    }
}

impl AwaitedView {
    /// In a line, for people.
    pub(super) fn line(&self) -> String {
        format!("in force for {} s more, unless confirmed: {}\n", self.seconds, self.by)
    }
}

/// Seconds since 1970 as a date and a time of day (UTC), by the Gregorian calendar: the days
/// are turned into a year and a day of years that begin in March.
fn date(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) = (400 * era + year + u64::from(month >= 10), if month < 10 { month + 3 } else { month - 9 });
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

impl From<&ConfigErrors> for Refusal {
    fn from(errors: &ConfigErrors) -> Refusal {
        Refusal::Errors(errors.errors().iter().map(ToString::to_string).collect())
    }
}

impl From<NeedsRestart> for Refusal {
    fn from(NeedsRestart(what): NeedsRestart) -> Refusal {
        Refusal::NeedsRestart(what)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Errors(errors) => {
                errors.iter().try_for_each(|error| writeln!(f, "{error}"))?;
                write!(f, "the configuration is not sound, and nothing has changed")
            }
            Refusal::NeedsRestart(what) => {
                what.iter().try_for_each(|what| writeln!(f, "needs a restart: {what}"))?;
                write!(f, "nothing has changed: write the file and restart the gateway, or leave these as they are")
            }
            Refusal::Not(why) => f.write_str(why),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_applied_says_that_it_is_in_force_and_for_how_long() {
        let plan = PlanView::default();
        let warnings = ["hardly meant".to_owned()];
        assert_eq!(plan.applied(None, &warnings), "nothing changes\nwarning: hardly meant\nin force\n");
        let expected = "nothing changes\nin force for 60 s, unless you confirm it: causeway confirm\n";
        assert_eq!(plan.applied(Some(60), &[]), expected);
    }

    #[test]
    fn a_time_is_a_date_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_399, "2000-02-28 23:59:59Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_709_251_200, "2024-03-01 00:00:00Z"),
            (1_798_761_599, "2026-12-31 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
