//! One configuration after the other: from a file or by the API, for good or on trial.
//!
//! A thread of its own makes them, one by one, and has control prepare and adopt them.
//! Whatever a step fails at, or the power with it, the file holds a whole configuration that
//! was sound: the one in force, or on trial the one before it.

mod clerk;
mod file;
mod plans;
mod start;
#[cfg(test)]
mod tests;
mod watch;

use std::time::Duration;

use causeway_control::api::{Answer, Ask, AwaitedView, ConfigText, Deed, PlanView, Refusal, Show, VersionView};
use causeway_control::config::Config;
use causeway_control::control::Control;
use causeway_control::reload::{Former, NeedsRestart, Prepared};
use causeway_fastpath::ids::Epoch;
use causeway_fastpath::time::Instant;
use tracing::{error, info, warn};

use crate::api::Asked;
use crate::clock;
use crate::history::History;
use crate::launch::Launch;
use crate::state::{Allocations, Settled};
pub(crate) use clerk::{Clerk, Note};
use clerk::{Floor, Wish, Wishes};
use file::Staged;
pub(crate) use plans::Plans;
pub(crate) use start::load;
use watch::Watch;

/// The longest that a configuration may be on trial, in seconds.
const LONGEST_TRIAL: u32 = 86_400;

/// The configuration in force, and those that were.
pub(crate) struct Changes {
    launch: Launch,
    /// What stands in the one that is in force.
    text: String,
    allocations: Allocations,
    history: History,
    trial: Option<Trial>,
    /// Is the file to be watched, by the one in force?
    watches: bool,
    watch: Watch,
}

/// A configuration that is in force until somebody confirms it, or nobody does.
struct Trial {
    by: String,
    until: Instant,
    /// To take the place of the file's once it is confirmed.
    staged: Staged,
    settled: Settled,
    /// The one before it, and what stands in it.
    before: (Former, String),
}

/// A configuration that is sound.
struct Checked {
    config: Config,
    settled: Settled,
    warnings: Vec<String>,
}

/// What came of one that has come into force.
struct Adopted {
    view: PlanView,
    /// The tables by which it is.
    epoch: Epoch,
    watches: bool,
    /// The one before it.
    former: Former,
}

/// An answer, and by which tables it is true, if it is only by those.
type Done = (Option<Epoch>, Answer);

impl Changes {
    /// Does what is wanted, one after the other, until it is over.
    fn serve(mut self, wishes: &Wishes, floor: &Floor) {
        loop {
            let wish = wishes.next(self.patience(clock::now()));
            // What is due goes first: nobody confirms what is to be taken back.
            if !matches!(wish, Wish::End) {
                self.handle_timeout(floor, clock::now());
            }
            match wish {
                Wish::Started => self.record("start").iter().for_each(|what| warn!("{what}")),
                Wish::Reload => self.reload_and_log(floor, "SIGHUP"),
                Wish::Asked(asked) => self.answer(floor, asked),
                Wish::Nothing => {}
                Wish::End => return,
            }
        }
    }

    fn answer(&mut self, floor: &Floor, asked: Asked) {
        if !asked.is_awaited() {
            // Whoever asked was told that nothing came of it in time.
            return;
        }
        let done = match &asked.ask {
            Ask::Show(Show::Plan { config }) => match self.check(config) {
                Ok(Checked { config, warnings, .. }) => {
                    return floor.note(Note::Plan(asked, Box::new(config), warnings));
                }
                Err(refusal) => Err(refusal),
            },
            Ask::Show(Show::History) => Ok((None, self.versions(clock::now()))),
            Ask::Do(Deed::Reload) => self.reload(floor, "reload"),
            Ask::Do(Deed::Apply { config, confirm }) => {
                self.apply(floor, config.clone(), format!("apply {}", config.name), *confirm)
            }
            Ask::Do(Deed::Confirm) => self.confirm(floor),
            Ask::Do(Deed::Rollback { to, confirm }) => self.rollback(floor, *to, *confirm),
            Ask::Show(_) | Ask::Do(Deed::KillSessions { .. }) => Err(Refusal::Not("asked of the wrong one".to_owned())),
        };
        match done {
            Ok((Some(epoch), answer)) => floor.note(Note::Promise(epoch, asked, answer)),
            Ok((None, answer)) => asked.answer(answer),
            Err(refusal) => asked.answer(Answer::Refused(refusal)),
        }
    }

    /// Is it sound? What nodes get by it is worked out.
    ///
    /// # Errors
    /// What is wrong with it.
    fn check(&self, config: &ConfigText) -> Result<Checked, Refusal> {
        let (mut config, warnings) =
            self.launch.parse(&config.name, &config.text).map_err(|errors| Refusal::from(&errors))?;
        let settled = self.allocations.settle(&mut config);
        Ok(Checked { config, settled, warnings: warnings.iter().map(ToString::to_string).collect() })
    }

    /// Applies a configuration, on trial if it is to be confirmed within some seconds.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    fn apply(&mut self, floor: &Floor, config: ConfigText, by: String, confirm: Option<u32>) -> Result<Done, Refusal> {
        self.is_on_trial()?;
        let checked = self.check(&config)?;
        // Nothing is written that cannot be adopted.
        let planned = checked.config.clone();
        floor.look(move |control, now| control.prepare(planned, now).map(drop))??;
        let unwritable = |error| {
            let path = self.launch.file.display();
            Refusal::Not(format!(
                "{path} cannot be replaced ({error}), and nothing has changed; let the gateway write there, or \
                 change the file and run causeway reload"
            ))
        };
        let mut staged = Staged::beside(&self.launch.file, &config.text).map_err(unwritable)?;
        let Some(seconds) = confirm.map(|seconds| seconds.clamp(1, LONGEST_TRIAL)) else {
            let unsure = staged.put().map_err(unwritable)?;
            let unsure = unsure.map(|error| self.unsure(&error));
            self.watch = Watch::wrote(&self.launch.file, &config.text);
            return self.adopt_for_good(floor, checked, config.text, &by, unsure);
        };
        let Checked { config: next, settled, warnings } = checked;
        floor.set_trial(true);
        let adopted = self.adopt(floor, move |control, now| control.prepare(next, now));
        let Adopted { view, epoch, former, .. } = adopted.inspect_err(|_| floor.set_trial(false))?;
        info!(by, seconds, "a configuration is in force on trial: causeway confirm keeps it");
        let until = clock::now() + Duration::from_secs(seconds.into());
        let before = (former, std::mem::replace(&mut self.text, config.text));
        self.trial = Some(Trial { by, until, staged, settled, before });
        let plan = Box::new(PlanView { warnings, ..view });
        Ok((Some(epoch), Answer::Applied { plan, confirm_within: Some(seconds), warnings: Vec::new() }))
    }

    /// Applies the file as it is now.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    fn reload(&mut self, floor: &Floor, by: &str) -> Result<Done, Refusal> {
        self.is_on_trial()?;
        let file = &self.launch.file;
        let watch = Watch::new(file);
        let text = Config::read(file).map_err(|errors| Refusal::from(&errors))?;
        let config = ConfigText { name: file.display().to_string(), text };
        let checked = self.check(&config)?;
        let done = self.adopt_for_good(floor, checked, config.text, by, None)?;
        self.watch = watch;
        Ok(done)
    }

    /// Keeps the configuration that is on trial.
    ///
    /// # Errors
    /// There is none, or the file cannot be replaced: then it stays on trial.
    fn confirm(&mut self, floor: &Floor) -> Result<Done, Refusal> {
        let Some(mut trial) = self.trial.take() else {
            return Err(Refusal::Not("no configuration waits to be confirmed".to_owned()));
        };
        let unsure = match trial.staged.put() {
            Ok(unsure) => unsure.map(|error| self.unsure(&error)),
            Err(error) => {
                self.trial = Some(trial);
                let path = self.launch.file.display();
                return Err(Refusal::Not(format!(
                    "{path} cannot be replaced ({error}): it still waits to be confirmed"
                )));
            }
        };
        floor.set_trial(false);
        info!(by = trial.by, "the configuration is confirmed");
        self.watch = Watch::wrote(&self.launch.file, &self.text);
        let warnings = self.keep(trial.settled, &trial.by, unsure);
        Ok((None, Answer::Confirmed { warnings }))
    }

    /// Takes back what is on trial, or applies a configuration that was in force before.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    fn rollback(&mut self, floor: &Floor, to: Option<u64>, confirm: Option<u32>) -> Result<Done, Refusal> {
        let Some(number) = to else {
            let Some(Adopted { view, epoch, .. }) = self.take_back(floor)? else {
                let what = "no configuration waits to be confirmed; name the one to go back to: causeway rollback N, \
                            see causeway history";
                return Err(Refusal::Not(what.to_owned()));
            };
            let plan = Box::new(view);
            return Ok((Some(epoch), Answer::Applied { plan, confirm_within: None, warnings: Vec::new() }));
        };
        let text = self.history.text(number).map_err(|error| Refusal::Not(format!("version {number}: {error}")))?;
        let Some(text) = text else {
            return Err(Refusal::Not(format!("there is no version {number}; see causeway history")));
        };
        let config = ConfigText { name: format!("version {number}"), text };
        self.apply(floor, config, format!("rollback to {number}"), confirm)
    }

    /// The configurations that were in force.
    fn versions(&self, now: Instant) -> Answer {
        let newest = self.history.versions().last().map(|version| version.number);
        let view = |version: &crate::history::Version| VersionView {
            version: version.number,
            time: version.time,
            by: version.by.clone(),
            current: self.trial.is_none() && newest == Some(version.number),
        };
        let left = |until: Instant| Duration::from_nanos(until.nanos_since(now)).as_secs();
        let awaited = self.trial.as_ref().map(|trial| AwaitedView { by: trial.by.clone(), seconds: left(trial.until) });
        Answer::History { versions: self.history.versions().iter().map(view).collect(), awaited }
    }

    /// Does what is due: takes back what nobody has confirmed, and looks at the file.
    fn handle_timeout(&mut self, floor: &Floor, now: Instant) {
        if let Some(trial) = &self.trial {
            if trial.until <= now {
                warn!(
                    by = trial.by,
                    "nobody has confirmed the configuration: the one before it comes into force again"
                );
                // A gateway that ends has nothing to take back.
                let _ = self.take_back(floor);
            }
        } else if self.watches && self.watch.has_changed(&self.launch.file, now) {
            self.reload_and_log(floor, "file watch");
        }
    }

    /// How long until there may be something due.
    fn patience(&self, now: Instant) -> Option<Duration> {
        let until = |due: Instant| Duration::from_nanos(due.nanos_since(now));
        let trial = self.trial.as_ref().map(|trial| until(trial.until));
        trial.or_else(|| self.watches.then_some(watch::LOOK))
    }

    /// As [`Changes::reload`], for nobody who waits for an answer.
    fn reload_and_log(&mut self, floor: &Floor, by: &str) {
        if let Err(refusal) = self.reload(floor, by) {
            refusal.to_string().lines().for_each(|line| error!(by, "{line}"));
        }
    }

    fn is_on_trial(&self) -> Result<(), Refusal> {
        match &self.trial {
            Some(trial) => Err(Refusal::Not(format!(
                "a configuration waits to be confirmed ({}): keep it with causeway confirm, or take it back with \
                 causeway rollback",
                trial.by
            ))),
            None => Ok(()),
        }
    }

    /// Another configuration comes into force.
    ///
    /// # Errors
    /// It cannot; nothing has changed.
    fn adopt(
        &mut self,
        floor: &Floor,
        prepare: impl FnOnce(&Control, Instant) -> Result<Prepared, NeedsRestart> + Send + 'static,
    ) -> Result<Adopted, Refusal> {
        let adopt = move |control: &mut Control, now| -> Result<Adopted, NeedsRestart> {
            let prepared = prepare(control, now)?;
            let view = PlanView::of(&prepared, Vec::new());
            let former = control.former();
            control.adopt(prepared, now);
            Ok(Adopted { view, former, epoch: control.next_epoch(), watches: control.config().gateway.watch })
        };
        let adopted = floor.change(adopt)??;
        self.watches = adopted.watches;
        Ok(adopted)
    }

    /// Another configuration comes into force, and nobody has to confirm it. What could not be
    /// kept is said beside `unsure`.
    fn adopt_for_good(
        &mut self,
        floor: &Floor,
        checked: Checked,
        text: String,
        by: &str,
        unsure: Option<String>,
    ) -> Result<Done, Refusal> {
        let Checked { config, settled, warnings } = checked;
        let Adopted { view, epoch, .. } = self.adopt(floor, move |control, now| control.prepare(config, now))?;
        self.text = text;
        info!(by, changes = view.changes.len(), "the configuration is in force");
        warnings.iter().for_each(|warning| warn!("{warning}"));
        let unkept = self.keep(settled, by, unsure);
        let plan = Box::new(PlanView { warnings, ..view });
        Ok((Some(epoch), Answer::Applied { plan, confirm_within: None, warnings: unkept }))
    }

    /// Remembers the configuration in force; says what could not be, with what is not sure.
    fn keep(&mut self, settled: Settled, by: &str, unsure: Option<String>) -> Vec<String> {
        let unkept = self.allocations.keep(settled).err().map(|error| error.to_string());
        let warnings: Vec<String> = unsure.into_iter().chain(unkept).chain(self.record(by)).collect();
        warnings.iter().for_each(|what| warn!("{what}"));
        warnings
    }

    fn record(&mut self, by: &str) -> Option<String> {
        let recorded = self.history.record(&self.text, clock::wall_s(), by);
        recorded.err().map(|error| format!("the configuration is not in the history: {error}"))
    }

    /// The file was replaced, and that may not last.
    fn unsure(&self, error: &std::io::Error) -> String {
        let path = self.launch.file.display();
        format!("{path} is replaced, but a power cut may bring back the one before ({error})")
    }

    /// The configuration before the one on trial is in force again; `None` if there is none.
    ///
    /// # Errors
    /// The gateway ends.
    fn take_back(&mut self, floor: &Floor) -> Result<Option<Adopted>, Refusal> {
        let Some(Trial { staged, before: (former, text), .. }) = self.trial.take() else {
            return Ok(None);
        };
        let adopted = self.adopt(floor, move |control, now| control.prepare_return(former, now))?;
        floor.set_trial(false);
        self.text = text;
        staged.discard();
        Ok(Some(adopted))
    }
}
