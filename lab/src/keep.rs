//! What to type to play with a world that was left running.

use std::io;
use std::path::Path;

use crate::narrate::Narrator;
use crate::plan;
use crate::privilege::Privilege;
use crate::world::{Host, World};

/// Says how to get into each host, and what to try.
pub(crate) fn explain(
    narrator: &mut Narrator<'_>,
    world: &World,
    executable: &Path,
    config: &Path,
    api: &Path,
) -> io::Result<()> {
    let enter = Enter::current();
    narrator.heading("Left running until Ctrl-C. From another terminal:")?;
    let pod = enter.host(world.host("pod-a1"));
    let client = enter.host(world.host("client"));
    let server = world.host("server");
    let causeway = executable.display();
    let (config, api) = (config.display(), api.display());
    narrator.line(&format!(
        "
  # the gateway's own view: ports routes neighbors nodes egress pools hosts sessions counters
  {causeway} show sessions --api {api}
  {causeway} show counters --api {api}

  # other rules while packets flow: change {config}, then
  {causeway} plan {config} --api {api}
  {causeway} reload --api {api}

  # out through the pool, across the nodes, and what must not work
  {pod} ping -c 3 {}
  {pod} ping -c 3 {}
  {pod} ping -c 3 {}
  {client} ping -c 3 -W 1 {}

  # a shell on any host",
        server.v4(),
        server.v6(),
        world.host("pod-b1").v4(),
        plan::POOL.v4.addr(),
    ))?;
    for host in world.hosts() {
        narrator.line(&format!("  {:<8}  {}", host.name(), enter.host(host)))?;
    }
    Ok(())
}

/// How somebody outside this process gets into its namespaces.
struct Enter {
    process: u32,
    privilege: Privilege,
}

impl Enter {
    fn current() -> Self {
        Self { process: std::process::id(), privilege: Privilege::current() }
    }

    /// The command to put before another; alone it is a shell.
    fn host(&self, host: &Host) -> String {
        let (process, fd) = (self.process, host.namespace().raw_fd());
        match self.privilege {
            Privilege::Root => format!("nsenter --net=/proc/{process}/fd/{fd}"),
            // The namespace belongs to our user namespace: that one first.
            _ => format!("nsenter -t {process} --user --preserve-credentials --net=/proc/{process}/fd/{fd}"),
        }
    }
}
