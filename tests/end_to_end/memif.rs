//! A memif server that goes and comes back, while the gateway runs on.

use causeway_lab::plan::Family;
use causeway_tests::program::wait_until;
use causeway_tests::stage::Stage;

use crate::devices::{SOON, await_answers, await_state, field};
use crate::kill::{arrives, connect};

pub(crate) fn a_server_that_is_started_anew_is_met_again(stage: &mut Stage) {
    stage.start();
    let mut connection = connect(stage.world.host("pod-a1"), stage.world.host("server"), Family::V4);
    assert!(arrives(&mut connection));
    let mode = field(stage, "uplink", "mode").to_string();
    assert!(mode.contains("of 1024 frames with DPDK ") && mode.contains("(net_memif0)"), "{mode}");
    for _ in 0..2 {
        stage.stop_memif_server();
        for port in ["uplink", "nodes"] {
            await_state(stage, port, false, true);
        }
        stage.start_memif_server();
        for port in ["uplink", "nodes"] {
            await_state(stage, port, true, false);
        }
        await_answers(stage);
        assert!(wait_until(SOON, || arrives(&mut connection)), "a session lives on");
    }
    let said = stage.stop().stderr;
    for line in ["device has gone", "the server has gone; it is tried again", "up again"] {
        for port in ["uplink", "nodes"] {
            let lines = said.lines().filter(|said| said.contains(line) && said.contains(port));
            // Once more when the server was ended for the gateway to end.
            assert!(lines.count() >= 2, "{line}: {said}");
        }
    }
    stage.start();
}
