//! How the gateway was started, which holds for every configuration that it comes to.

use std::path::PathBuf;

use causeway_control::config::{Config, ConfigErrors, Driver, Warning};

/// What `causeway run` was told.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The configuration file.
    pub file: PathBuf,
    /// The driver of every network device, whatever a configuration says.
    pub driver: Option<Driver>,
    /// Where the API listens, whatever a configuration says.
    pub api: Option<PathBuf>,
    /// The folder of a state, whose newest configuration is used if the file cannot be.
    pub last_good: Option<PathBuf>,
}

impl Launch {
    /// Checks the text of a configuration; `name` is what messages call it.
    ///
    /// # Errors
    /// As [`Config::parse`].
    pub fn parse(&self, name: &str, text: &str) -> Result<(Config, Vec<Warning>), ConfigErrors> {
        let (mut config, warnings) = Config::parse(name, text)?;
        if let Some(driver) = self.driver {
            let is_nic = |driver| matches!(driver, Driver::Auto | Driver::AfPacket | Driver::AfXdp);
            config.ports.iter_mut().filter(|port| is_nic(port.driver)).for_each(|port| port.driver = driver);
        }
        if let Some(path) = &self.api {
            config.gateway.api.clone_from(path);
        }
        Ok((config, warnings))
    }
}
