//! The configuration that the gateway starts with.

use causeway_control::config::{Config, ConfigErrors};
use tracing::{error, warn};

use super::Changes;
use super::watch::Watch;
use crate::gateway::GatewayError;
use crate::history::History;
use crate::launch::Launch;
use crate::state::{Allocations, StateError};

/// A configuration that was loaded on start.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    text: String,
    watch: Watch,
}

/// The configuration to start with.
///
/// # Errors
/// The file cannot be used, and nothing is to be used in its place or can be.
pub(crate) fn load(launch: &Launch) -> Result<Loaded, GatewayError> {
    let name = launch.file.display().to_string();
    let read = || -> Result<(Config, String), ConfigErrors> {
        let text = Config::read(&launch.file)?;
        let (config, warnings) = launch.parse(&name, &text)?;
        warnings.iter().for_each(|warning| warn!("{warning}"));
        Ok((config, text))
    };
    let watch = Watch::new(&launch.file);
    let errors = match read() {
        Ok((config, text)) => return Ok(Loaded { config, text, watch }),
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
            return Ok(Loaded { config, text, watch });
        }
    }
    Err(errors.into())
}

impl Changes {
    /// Takes over what was loaded, and gives nodes the pod CIDRs that they had.
    ///
    /// # Errors
    /// What must survive a restart cannot be read or kept.
    pub(crate) fn begin(launch: Launch, loaded: Loaded) -> Result<(Changes, Config), StateError> {
        let Loaded { mut config, text, watch } = loaded;
        let state = config.gateway.state.clone();
        let mut allocations = Allocations::open(state.as_deref())?;
        let settled = allocations.settle(&mut config);
        allocations.keep(settled)?;
        let failed = |source| StateError::Io { path: state.clone().unwrap_or_default(), source };
        let history = History::open(state.as_deref()).map_err(failed)?;
        let watches = config.gateway.watch;
        Ok((Changes { launch, text, allocations, history, trial: None, watches, watch }, config))
    }
}
