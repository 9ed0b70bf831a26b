//! Control against a real forwarder: packet bytes in, packet bytes and commands out.
//!
//! Both run in lockstep on a clock of the test's own, as the engine drives them:
//! what happened goes in, commands are carried out in order, events go back.

mod ageing;
mod announce;
mod any_changes;
mod any_config;
mod arp;
mod changes;
mod discovery;
mod domains;
mod ecmp;
mod egress;
mod egress_rules;
mod exempted;
mod flannel;
mod flat;
mod forwards;
mod holders;
mod hostile;
mod isolated;
mod lab;
mod liveness;
mod policies;
mod reload;
mod reload_kept;
mod replaced;
mod resolve;
mod routes;
mod scan;
mod sessions;
mod sites;
mod snapshots;
mod vacancies;
mod world;
