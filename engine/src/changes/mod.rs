//! One configuration after the other: from a file or by the API, for good or on trial.
//!
//! Whatever a step fails at, or the power with it, the file holds a whole configuration that
//! was sound: the one in force, or on trial the one before it.

mod file;
mod plans;
mod watch;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use causeway_control::api::{Answer, AwaitedView, ConfigText, PlanView, Refusal, VersionView};
use causeway_control::config::{Config, ConfigErrors};
use causeway_control::control::Control;
use causeway_control::reload::{Former, Prepared};
use causeway_fastpath::time::Instant;
use tracing::{error, info, warn};

use crate::gateway::GatewayError;
use crate::history::History;
use crate::launch::Launch;
use crate::state::{Allocations, Settled, StateError};
use file::Staged;
pub(crate) use plans::Plans;
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

/// A configuration, and what stands in it.
pub(crate) type Loaded = (Config, String);

/// The configuration to start with.
///
/// # Errors
/// The file cannot be used, and nothing is to be used in its place or can be.
pub(crate) fn load(launch: &Launch) -> Result<Loaded, GatewayError> {
    let name = launch.file.display().to_string();
    let read = || -> Result<Loaded, ConfigErrors> {
        let text = Config::read(&launch.file)?;
        let (config, warnings) = launch.parse(&name, &text)?;
        warnings.iter().for_each(|warning| warn!("{warning}"));
        Ok((config, text))
    };
    let errors = match read() {
        Ok(loaded) => return Ok(loaded),
        Err(errors) => errors,
    };
    let Some(state) = &launch.last_good else {
        return Err(errors.into());
    };
    let failed = |source| StateError::Io { path: state.clone(), source };
    let history = History::open(Some(state)).map_err(failed)?;
    for version in history.versions().iter().rev() {
        let text = history.text(version.number).map_err(failed)?.unwrap_or_default();
        if let Ok((config, _)) = launch.parse(&name, &text) {
            error!("{errors}");
            warn!(
                version = version.number,
                by = version.by,
                "the file cannot be used: the last good one is, in its place"
            );
            return Ok((config, text));
        }
    }
    Err(errors.into())
}

impl Changes {
    /// Takes over what was loaded, and gives nodes the pod CIDRs that they had.
    ///
    /// # Errors
    /// What must survive a restart cannot be read or kept.
    pub(crate) fn begin(launch: Launch, (config, text): &mut Loaded) -> Result<Changes, StateError> {
        let state = config.gateway.state.clone();
        let mut allocations = Allocations::open(state.as_deref())?;
        let settled = allocations.settle(config);
        allocations.keep(settled)?;
        let failed = |source| StateError::Io { path: state.clone().unwrap_or_default(), source };
        let history = History::open(state.as_deref()).map_err(failed)?;
        let watch = Watch::new(&launch.file);
        Ok(Changes { launch, text: std::mem::take(text), allocations, history, trial: None, watch })
    }

    /// The gateway has come up with what it was started with.
    pub(crate) fn started(&mut self) {
        self.record("start").iter().for_each(|what| warn!("{what}"));
    }

    /// What would change.
    ///
    /// # Errors
    /// Why that cannot be applied.
    fn plan(&self, control: &Control, config: &ConfigText, now: Instant) -> Result<Plan, Refusal> {
        let (mut config, warnings) =
            self.launch.parse(&config.name, &config.text).map_err(|errors| Refusal::from(&errors))?;
        let settled = self.allocations.settle(&mut config);
        let prepared = control.prepare(config, now)?;
        let warnings = warnings.iter().map(ToString::to_string).collect();
        let view = PlanView::of(&prepared, warnings);
        Ok(Plan { prepared, settled, view })
    }

    /// Applies a configuration, on trial if it is to be confirmed within some seconds.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    pub(crate) fn apply(
        &mut self,
        control: &mut Control,
        config: ConfigText,
        by: String,
        confirm: Option<u32>,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        self.is_on_trial()?;
        let plan = self.plan(control, &config, now)?;
        let confirm = confirm.map(|seconds| seconds.clamp(1, LONGEST_TRIAL));
        let unwritable = |error| {
            let path = self.launch.file.display();
            Refusal::Not(format!(
                "{path} cannot be replaced ({error}), and nothing has changed; let the gateway write there, or \
                 change the file and run causeway reload"
            ))
        };
        let mut staged = Staged::beside(&self.launch.file, &config.text).map_err(unwritable)?;
        let Some(seconds) = confirm else {
            staged.put().map_err(unwritable)?;
            return Ok(self.adopt(control, plan, config.text, &by, now));
        };
        let before = (control.former(), std::mem::replace(&mut self.text, config.text));
        control.adopt(plan.prepared, now);
        info!(by, seconds, "a configuration is in force on trial: causeway confirm keeps it");
        let until = now + Duration::from_secs(seconds.into());
        self.trial = Some(Trial { by, until, staged, settled: plan.settled, before });
        Ok(Answer::Applied { plan: Box::new(plan.view), confirm_within: confirm, warnings: Vec::new() })
    }

    /// Applies the file as it is now.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    pub(crate) fn reload(&mut self, control: &mut Control, by: &str, now: Instant) -> Result<Answer, Refusal> {
        self.is_on_trial()?;
        let file = &self.launch.file;
        let text = Config::read(file).map_err(|errors| Refusal::from(&errors))?;
        let config = ConfigText { name: file.display().to_string(), text };
        let plan = self.plan(control, &config, now)?;
        Ok(self.adopt(control, plan, config.text, by, now))
    }

    /// Is a configuration in force that may be taken back?
    pub(crate) fn has_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Keeps the configuration that is on trial.
    ///
    /// # Errors
    /// There is none, or the file cannot be replaced: then it stays on trial.
    pub(crate) fn confirm(&mut self) -> Result<Answer, Refusal> {
        let Some(mut trial) = self.trial.take() else {
            return Err(Refusal::Not("no configuration waits to be confirmed".to_owned()));
        };
        if let Err(error) = trial.staged.put() {
            self.trial = Some(trial);
            let path = self.launch.file.display();
            return Err(Refusal::Not(format!("{path} cannot be replaced ({error}): it still waits to be confirmed")));
        }
        info!(by = trial.by, "the configuration is confirmed");
        let warnings = self.keep(trial.settled, &trial.by);
        Ok(Answer::Confirmed { warnings })
    }

    /// Takes back what is on trial, or applies a configuration that was in force before.
    ///
    /// # Errors
    /// Why not; nothing has changed.
    pub(crate) fn rollback(
        &mut self,
        control: &mut Control,
        to: Option<u64>,
        confirm: Option<u32>,
        now: Instant,
    ) -> Result<Answer, Refusal> {
        let Some(number) = to else {
            let Some(plan) = self.take_back(control, now) else {
                let what = "no configuration waits to be confirmed; name the one to go back to: causeway rollback N, \
                            see causeway history";
                return Err(Refusal::Not(what.to_owned()));
            };
            return Ok(Answer::Applied { plan: Box::new(plan), confirm_within: None, warnings: Vec::new() });
        };
        let text = self.history.text(number).map_err(|error| Refusal::Not(format!("version {number}: {error}")))?;
        let Some(text) = text else {
            return Err(Refusal::Not(format!("there is no version {number}; see causeway history")));
        };
        let config = ConfigText { name: format!("version {number}"), text };
        self.apply(control, config, format!("rollback to {number}"), confirm, now)
    }

    /// The configurations that were in force.
    pub(crate) fn versions(&self, now: Instant) -> Answer {
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

    /// Does what is due: takes back what nobody has confirmed, and looks at the file. Says
    /// whether another configuration may be in force.
    pub(crate) fn handle_timeout(&mut self, control: &mut Control, now: Instant) -> bool {
        if let Some(trial) = &self.trial {
            let is_over = trial.until <= now;
            if is_over {
                warn!(by = trial.by, "nobody has confirmed the configuration: the one before it is in force again");
                self.take_back(control, now);
            }
            return is_over;
        }
        let has_changed = control.config().gateway.watch && self.watch.has_changed(&self.launch.file, now);
        if has_changed {
            self.reload_and_log(control, "file watch", now);
        }
        has_changed
    }

    /// When [`Changes::handle_timeout`] wants to be called at the latest, beside each second.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.trial.as_ref().map(|trial| trial.until)
    }

    /// As [`Changes::reload`], for nobody who waits for an answer.
    pub(crate) fn reload_and_log(&mut self, control: &mut Control, by: &str, now: Instant) {
        if let Err(refusal) = self.reload(control, by, now) {
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

    /// From here on nothing fails that would have to be taken back.
    fn adopt(&mut self, control: &mut Control, plan: Plan, text: String, by: &str, now: Instant) -> Answer {
        control.adopt(plan.prepared, now);
        self.text = text;
        info!(by, changes = plan.view.changes.len(), "the configuration is in force");
        plan.view.warnings.iter().for_each(|warning| warn!("{warning}"));
        let warnings = self.keep(plan.settled, by);
        Answer::Applied { plan: Box::new(plan.view), confirm_within: None, warnings }
    }

    /// Remembers the configuration in force; says what could not be.
    fn keep(&mut self, settled: Settled, by: &str) -> Vec<String> {
        self.watch = Watch::new(&self.launch.file);
        let unkept = self.allocations.keep(settled).err().map(|error| error.to_string());
        let warnings: Vec<String> = unkept.into_iter().chain(self.record(by)).collect();
        warnings.iter().for_each(|what| warn!("{what}"));
        warnings
    }

    fn record(&mut self, by: &str) -> Option<String> {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let recorded = self.history.record(&self.text, time, by);
        recorded.err().map(|error| format!("the configuration is not in the history: {error}"))
    }

    /// The configuration before the one on trial is in force again; says what that changed.
    fn take_back(&mut self, control: &mut Control, now: Instant) -> Option<PlanView> {
        let Trial { staged, before: (former, text), .. } = self.trial.take()?;
        staged.discard();
        let prepared = control.prepare_return(former, now).expect("what was in force can be again");
        let view = PlanView::of(&prepared, Vec::new());
        control.adopt(prepared, now);
        self.text = text;
        Some(view)
    }
}

/// A configuration that can be applied.
struct Plan {
    prepared: Prepared,
    settled: Settled,
    view: PlanView,
}
