//! How much goes through, and whether it is what was sent.

use std::time::Duration;

use super::{Evidence, Failure, Scene, require};
use crate::plan::Family;
use crate::traffic::{self, TcpFigures, Transfer};

pub(super) fn download(scene: &Scene<'_>, family: Family) -> Result<Evidence, Failure> {
    let down = u64::from(scene.megabytes) * 1_000_000;
    let figures = exchange(scene, family, 0, down)?;
    require_whole(&figures.down, down)?;
    let rate = figures.down.bits_per_second();
    let detail = format!("{} MB, SHA-256 equal, {}", scene.megabytes, gigabits(rate));
    Ok(Evidence::new(detail).with("rate", rate, "bit/s"))
}

pub(super) fn both_ways(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    let megabytes = scene.megabytes.div_ceil(2);
    let bytes = u64::from(megabytes) * 1_000_000;
    let figures = exchange(scene, Family::V4, bytes, bytes)?;
    require_whole(&figures.up, bytes)?;
    require_whole(&figures.down, bytes)?;
    let (up, down) = (figures.up.bits_per_second(), figures.down.bits_per_second());
    let detail = format!("{megabytes} MB each way, SHA-256 equal, up {}, down {}", gigabits(up), gigabits(down));
    Ok(Evidence::new(detail).with("up", up, "bit/s").with("down", down, "bit/s"))
}

fn exchange(scene: &Scene<'_>, family: Family, up: u64, down: u64) -> Result<TcpFigures, Failure> {
    let server = scene.world.host("server");
    // 5 s, or 20 MB/s for a long one.
    let limit = Duration::from_secs(5.max(up.max(down) / 20_000_000));
    let figures = traffic::tcp_exchange(scene.world.host("pod-a1"), server, server.address(family), up, down, limit)?;
    scene.saw(figures.seen.ip())?;
    Ok(figures)
}

fn require_whole(transfer: &Transfer, bytes: u64) -> Result<(), Failure> {
    require(transfer.bytes == bytes, || format!("{} of {bytes} bytes arrived", transfer.bytes))?;
    require(transfer.intact(), || "all bytes arrived, but their SHA-256 differs".into())
}

pub(super) fn udp_questions(scene: &Scene<'_>, family: Family) -> Result<Evidence, Failure> {
    let server = scene.world.host("server");
    let figures = traffic::udp_exchange(scene.world.host("pod-b1"), server, server.address(family), 320)?;
    if let Some(seen) = figures.seen {
        scene.saw(seen.ip())?;
    }
    let (sent, answered) = (figures.sent, figures.answered);
    require(figures.damaged == 0, || format!("{} of {sent} answers were damaged", figures.damaged))?;
    require(answered == sent, || format!("{answered} of {sent} answered"))?;
    let detail = format!("{answered} of {sent} answered, 4 to 1400 bytes");
    Ok(Evidence::new(detail).with("answered", f64::from(answered), "datagrams"))
}

pub(super) fn udp_stream(scene: &Scene<'_>) -> Result<Evidence, Failure> {
    const RATE: u32 = 20_000;
    /// A receiver that waits for its turn on a busy machine loses some by itself.
    const TOLERATED_LOSS: f64 = 0.05;
    let server = scene.world.host("server");
    let duration = Duration::from_millis(500);
    let figures = traffic::udp_stream(scene.world.host("pod-a1"), server, server.v4().into(), RATE, 1200, duration)?;
    if let Some(seen) = figures.seen {
        scene.saw(seen.ip())?;
    }
    let (loss, rate) = (figures.loss(), figures.bits_per_second());
    let detail = format!("{} of {} datagrams, {}", figures.received, figures.sent, gigabits(rate));
    require(loss <= TOLERATED_LOSS, || format!("{detail}: {:.1} % lost", loss * 100.0))?;
    Ok(Evidence::new(detail).with("rate", rate, "bit/s").with("loss", loss, "of 1"))
}

fn gigabits(bits_per_second: f64) -> String {
    format!("{:.2} Gbit/s", bits_per_second / 1e9)
}
