//! What `causeway show counters --json` says.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// Counters by group and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<(String, String), u64>);

impl Counters {
    /// Reads the JSON.
    ///
    /// # Panics
    /// It has another shape.
    pub fn parse(json: &Value) -> Counters {
        let row = |row: &Value| -> Option<((String, String), u64)> {
            let text = |key: &str| row.get(key)?.as_str().map(str::to_owned);
            Some(((text("group")?, text("name")?), row.get("value")?.as_u64()?))
        };
        let rows = json.get("counters").and_then(Value::as_array).map(|rows| rows.iter().map(row).collect());
        Counters(rows.flatten().unwrap_or_else(|| panic!("no counters: {json}")))
    }

    /// One counter.
    ///
    /// # Panics
    /// There is none of this name.
    #[track_caller]
    pub fn get(&self, group: &str, name: &str) -> u64 {
        let found = self.0.get(&(group.to_owned(), name.to_owned()));
        *found.unwrap_or_else(|| panic!("no counter {group} {name}:\n{self}"))
    }

    /// All of a group together.
    pub fn sum(&self, group: &str) -> u64 {
        self.0.iter().filter(|((of, _), _)| of == group).map(|(_, value)| value).sum()
    }

    /// The law: every packet that came in met exactly one end.
    pub fn conserve(&self) -> bool {
        self.sum("rx") == self.sum("end") + self.sum("punt") + self.sum("drop")
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = self.0.iter().filter(|(_, value)| **value > 0);
        for ((group, name), value) in counted {
            writeln!(f, "{group:>9} {name:<26} {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_law_is_a_sum_on_each_side() {
        let row = |group, name, value| serde_json::json!({ "group": group, "name": name, "value": value });
        let rows = [
            row("rx", "received", 7),
            row("rx", "injected", 1),
            row("end", "forwarded", 3),
            row("punt", "arp", 4),
            row("drop", "no-route", 1),
            row("nat", "translated-out", 9),
        ];
        let counters = Counters::parse(&serde_json::json!({ "counters": rows }));
        assert!(counters.conserve() && counters.get("punt", "arp") == 4);
        let lost = Counters::parse(&serde_json::json!({ "counters": rows[1..] }));
        assert!(!lost.conserve());
    }
}
