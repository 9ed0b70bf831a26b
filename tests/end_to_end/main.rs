//! Real programs in namespaces, talking across the real gateway, over each driver.
//!
//! `over_memif` runs with DPDK's testpmd as server, which carries frames between it and the wires.
//! `af_packet` and `af_xdp_partial` run on veth pairs as they come, with partial
//! checksums, `two_workers` likewise, with two of them; `af_xdp` on frames as a physical wire
//! carries them. Tests that lack a
//! program or a privilege say SKIPPED, and fail where the environment has CI set.

mod devices;
mod ecmp;
mod egress;
mod forwards;
mod kill;
mod life;
mod liveness;
mod memif;
mod models;
mod nodes;
mod reach;
mod reload;
mod shore;
mod transfer;
mod workers;

use causeway_lab::{IslandBuilder, World};
use causeway_tests::needs;
use causeway_tests::stage::{Medium, Stage};

macro_rules! over_each_driver {
    ($($file:ident :: $test:ident needs [$($program:literal),*];)+) => {
        over_each_driver!(@ af_packet AfPacket $($file::$test [$($program),*])+);
        over_each_driver!(@ af_xdp AfXdp $($file::$test [$($program),*])+);
        over_each_driver!(@ af_xdp_partial AfXdpPartial $($file::$test [$($program),*])+);
        over_each_driver!(@ two_workers TwoWorkers $($file::$test [$($program),*])+);
    };
    (@ $module:ident $medium:ident $($file:ident :: $test:ident [$($program:literal),*])+) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    let name = concat!(stringify!($module), "::", stringify!($test));
                    crate::play(name, crate::Medium::$medium, &[$($program),*], crate::$file::$test);
                }
            )+
        }
    };
}

over_each_driver! {
    reach::ping_crosses_in_both_families needs ["ping"];
    reach::pings_of_several_fragments_cross_in_both_families needs ["ping"];
    reach::large_pings_are_cut_up_for_a_narrow_link needs ["ping"];
    reach::datagrams_of_several_fragments_cross_both_ways needs [];
    reach::a_real_dnsmasq_is_asked_with_dig needs ["dnsmasq", "dig"];
    reach::tracepath_and_traceroute_show_the_gateway needs ["tracepath", "traceroute"];
    transfer::a_download_of_100_mb_arrives_intact needs ["python3", "curl"];
    transfer::tcp_arrives_intact_in_both_directions_at_once needs [];
    transfer::iperf3_runs_tcp_in_both_directions_at_once needs ["iperf3"];
    transfer::iperf3_streams_udp_in_each_direction needs ["iperf3"];
    shore::only_the_pool_is_seen_outside_and_every_checksum_is_right
        needs ["tcpdump", "tshark", "python3", "curl", "ping", "traceroute"];
    shore::uninvited_packets_are_dropped_and_counted_one_by_one needs [];
    forwards::the_outside_and_pods_reach_a_service_by_its_public_address needs ["python3", "curl"];
    forwards::an_address_of_its_own_takes_whatever_is_sent_to_it needs [];
    kill::killed_sessions_end_while_others_go_on needs [];
    life::sigterm_leaves_nothing_behind needs ["ip", "ethtool"];
    life::the_socket_of_a_killed_gateway_is_taken_over needs ["ip", "ethtool"];
    devices::a_device_that_is_made_anew_is_taken_up_again needs [];
    devices::no_private_source_leaves_while_a_gateway_starts_and_ends needs [];
}

over_each_driver!(@ two_xdp_workers TwoXdpWorkers
    reach::ping_crosses_in_both_families ["ping", "ethtool"]
    reach::datagrams_of_several_fragments_cross_both_ways ["ethtool"]
    transfer::tcp_arrives_intact_in_both_directions_at_once ["ethtool"]
    forwards::the_outside_and_pods_reach_a_service_by_its_public_address ["python3", "curl", "ethtool"]
    workers::a_pod_gets_every_port_whosoever_it_is ["ethtool"]
    devices::no_private_source_leaves_while_a_gateway_starts_and_ends ["ethtool"]
    life::sigterm_leaves_nothing_behind ["ip", "ethtool"]);

// No fragments: testpmd has the kernel put them together, and cannot carry the whole.
over_each_driver!(@ over_memif Memif
    reach::ping_crosses_in_both_families ["ping", "dpdk-testpmd"]
    transfer::tcp_arrives_intact_in_both_directions_at_once ["dpdk-testpmd"]
    shore::uninvited_packets_are_dropped_and_counted_one_by_one ["dpdk-testpmd"]
    forwards::the_outside_and_pods_reach_a_service_by_its_public_address ["python3", "curl", "dpdk-testpmd"]
    memif::a_server_that_is_started_anew_is_met_again ["dpdk-testpmd"]);

over_each_driver!(@ two_memif_workers TwoMemifWorkers
    reach::ping_crosses_in_both_families ["ping", "dpdk-testpmd"]
    transfer::tcp_arrives_intact_in_both_directions_at_once ["dpdk-testpmd"]
    workers::a_pod_gets_every_port_whosoever_it_is ["dpdk-testpmd"]
    memif::a_server_that_is_started_anew_is_met_again ["dpdk-testpmd"]);

#[test]
fn a_pod_gets_every_port_whosoever_it_is() {
    let name = "a_pod_gets_every_port_whosoever_it_is";
    play(name, Medium::TwoWorkers, &[], workers::a_pod_gets_every_port_whosoever_it_is);
}

/// What one worker is told, all are.
#[test]
fn pods_of_one_cluster_leave_under_pools_of_their_own() {
    let name = "pods_of_one_cluster_leave_under_pools_of_their_own";
    play(name, Medium::TwoWorkers, &[], egress::pods_of_one_cluster_leave_under_pools_of_their_own);
}

/// Two workers: an answer may come to either.
#[test]
fn a_node_that_goes_down_is_withdrawn_until_it_is_back() {
    let name = "a_node_that_goes_down_is_withdrawn_until_it_is_back";
    play(name, Medium::TwoWorkers, &[], liveness::a_node_that_goes_down_is_withdrawn_until_it_is_back);
}

/// Neighbours die by their timers, whatever carries packets: over one driver is enough.
#[test]
fn a_next_hop_that_dies_loses_its_flows_and_has_them_again_when_it_is_back() {
    let name = "a_next_hop_that_dies_loses_its_flows_and_has_them_again_when_it_is_back";
    play(name, Medium::AfPacket, &[], ecmp::a_next_hop_that_dies_loses_its_flows_and_has_them_again_when_it_is_back);
}

#[test]
fn a_node_keeps_its_pod_cidr_over_restarts() {
    let name = "a_node_keeps_its_pod_cidr_over_restarts";
    play(name, Medium::AfPacket, &[], life::a_node_keeps_its_pod_cidr_over_restarts);
}

#[test]
fn a_kernel_that_forwards_beside_the_gateway_is_warned_of() {
    let name = "a_kernel_that_forwards_beside_the_gateway_is_warned_of";
    play(name, Medium::AfPacket, &[], devices::a_kernel_that_forwards_beside_the_gateway_is_warned_of);
}

#[test]
fn nodes_come_and_go_by_a_file() {
    play("nodes_come_and_go_by_a_file", Medium::AfPacket, &[], nodes::nodes_come_and_go_by_a_file);
}

#[test]
fn nodes_are_remembered_over_a_restart_while_their_source_is_away() {
    let name = "nodes_are_remembered_over_a_restart_while_their_source_is_away";
    play(name, Medium::AfPacket, &[], nodes::nodes_are_remembered_over_a_restart_while_their_source_is_away);
}

/// What packets notice of another configuration depends on how they are carried; what a configuration says is decided
/// before a driver sees it.
macro_rules! reloads {
    ($($test:ident over $($module:ident $medium:ident),+ needs $programs:tt;)+) => {
        mod reloads {
            $(
                mod $test {
                    $(
                        #[test]
                        fn $module() {
                            let name = concat!(stringify!($test), "::", stringify!($module));
                            crate::play(name, crate::Medium::$medium, &$programs, crate::reload::$test);
                        }
                    )+
                }
            )+
        }
    };
}

reloads! {
    legal_sessions_do_not_notice_that_the_configuration_changes
        over two_workers TwoWorkers, af_xdp AfXdp, two_xdp_workers TwoXdpWorkers needs ["iperf3", "ethtool"];
    what_cannot_be_applied_changes_nothing over af_packet AfPacket, af_xdp AfXdp needs [];
    a_configuration_on_trial_is_taken_back_unless_it_is_confirmed over af_packet AfPacket, af_xdp AfXdp needs [];
    a_watched_file_is_reloaded_once_it_rests over af_packet AfPacket needs [];
}

/// Who meets whom is decided before a driver sees it: over one driver is enough.
macro_rules! of_each_model {
    ($($test:ident in $world:expr;)+) => {
        mod models_of_clusters {
            $(
                #[test]
                fn $test() {
                    crate::play_in($world, stringify!($test), crate::Medium::AfPacket, &[], crate::models::$test);
                }
            )+
        }
    };
}

of_each_model! {
    two_islands_with_the_same_addresses_talk_at_once_and_are_kept_apart in causeway_lab::World::island().with_twin();
    isolated_pods_meet_each_other_and_what_is_forwarded in causeway_lab::World::island();
    flat_pods_are_met_under_their_own_addresses_and_hide_from_the_internet in causeway_lab::World::island();
    exempted_destinations_see_pods_under_their_own_addresses in causeway_lab::World::island();
    a_policy_lets_one_host_begin_with_pods_and_no_other in causeway_lab::World::island();
}

/// Plays a scene in the standard world; see [`play_in`].
fn play(test: &str, medium: Medium, programs: &[&str], scene: fn(&mut Stage)) {
    play_in(World::island(), test, medium, programs, scene);
}

/// Plays a scene, which starts the gateway itself. Requires of every one that the
/// kernel forwarded nothing and that each packet met exactly one end.
fn play_in(world: IslandBuilder, test: &str, medium: Medium, programs: &[&str], scene: fn(&mut Stage)) {
    if !needs::met(test, medium.privilege(), programs) {
        return;
    }
    let mut stage = Stage::of(medium, world);
    scene(&mut stage);
    stage.settled_counters();
    stage.assert_kernel_does_not_forward();
    stage.stop();
}
