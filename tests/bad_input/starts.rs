//! Gateways that cannot start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::Duration;

use causeway_lab::gateway::GatewayError;
use causeway_lab::plan::{self, Family};
use causeway_lab::privilege::Privilege;
use causeway_lab::traffic;
use causeway_tests::executable::executable;
use causeway_tests::folder::Folder;
use causeway_tests::needs;
use causeway_tests::program::run;
use causeway_tests::stage::{Medium, Stage};

const MEDIA: [Medium; 2] = [Medium::AfPacket, Medium::AfXdp];
const SOON: Duration = Duration::from_secs(10);

/// What a gateway said that ended before it was ready.
fn refused(stage: &Stage) -> String {
    match stage.try_start() {
        Err(GatewayError::Ended { status, stderr }) => {
            assert_eq!(status.code(), Some(1), "{stderr}");
            assert!(!stderr.contains("panicked"), "{stderr}");
            stderr
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    }
}

fn assert_still_works(stage: &Stage) {
    let (pod, server) = (stage.world.host("pod-a1"), stage.world.host("server"));
    for family in Family::BOTH {
        let figures = traffic::ping(pod, server.address(family), 3, 56, Duration::from_secs(2)).expect("a raw socket");
        assert_eq!(figures.received(), 3, "over {}", family.name());
    }
}

#[test]
fn a_device_that_does_not_exist_is_named_with_those_that_do() {
    for medium in MEDIA {
        if !needs::met("a_device_that_does_not_exist_is_named_with_those_that_do", medium.privilege(), &[]) {
            return;
        }
        let mut stage = Stage::new(medium);
        stage.configure(&plan::CONFIG.replace("device = \"eth0\"", "device = \"eth7\""));
        let said = refused(&stage);
        let expected = format!("port \"uplink\" ({} on eth7): there is no such device", medium.driver());
        assert!(said.contains(&expected), "{said}");
        assert!(said.contains("eth0") && said.contains("eth1"), "it does not say which there are: {said}");
        assert_eq!(stage.folder().names(), ["lab.toml"], "left behind");
    }
}

#[test]
fn a_second_gateway_on_the_same_devices_is_refused_and_the_first_goes_on() {
    if !needs::met("a_second_gateway_on_the_same_devices_is_refused_and_the_first_goes_on", Privilege::Root, &[]) {
        return;
    }
    let mut stage = Stage::new(Medium::AfXdp);
    stage.start();
    let second = stage.folder().path().join("second.sock");
    let mut command = stage.world.gateway().command(executable());
    command.args(["run", "--driver", "af-xdp", "--api"]).arg(&second).arg(stage.folder().path().join("lab.toml"));
    let said = run(&mut command, SOON).failure();
    assert!(said.contains("af-xdp on eth") && said.contains("another"), "{said}");
    assert!(!second.exists(), "a socket was left behind");
    assert_still_works(&stage);
    stage.stop();
}

#[test]
fn without_privilege_the_missing_capability_is_named() {
    let test = "without_privilege_the_missing_capability_is_named";
    if !needs::met(test, Privilege::Root, &["setpriv"]) {
        return;
    }
    for medium in MEDIA {
        let stage = Stage::new(medium);
        // Nobody may not read where cargo builds.
        let folder = Folder::new();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("a folder of ours");
        let program = folder.path().join("causeway");
        fs::copy(executable(), &program).expect("a copy");
        let config = folder.write("lab.toml", plan::CONFIG);
        let mut command = stage.world.gateway().command("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "--"]).arg(&program).arg("run");
        command.arg(config).args(["--driver", medium.driver().name(), "--api"]).arg(folder.path().join("api.sock"));
        let said = run(&mut command, SOON).failure();
        let capability = if medium == Medium::AfPacket { "NET_RAW" } else { "NET_ADMIN" };
        assert!(said.contains(capability), "{}: {said}", medium.driver());
        assert_eq!(folder.names(), ["causeway", "lab.toml"], "left behind");
    }
}

#[test]
fn a_file_at_the_place_of_the_api_socket_is_left_alone() {
    if !needs::met("a_file_at_the_place_of_the_api_socket_is_left_alone", Privilege::UserNamespace, &[]) {
        return;
    }
    let stage = Stage::new(Medium::AfPacket);
    fs::write(stage.api(), "precious").expect("a file");
    let said = refused(&stage);
    assert!(said.contains("api.sock: there is a file of another kind"), "{said}");
    assert_eq!(fs::read_to_string(stage.api()).expect("the file"), "precious");
    assert_eq!(stage.folder().names(), ["api.sock", "lab.toml"]);
}

#[test]
fn the_api_socket_of_a_live_gateway_is_left_alone() {
    if !needs::met("the_api_socket_of_a_live_gateway_is_left_alone", Privilege::UserNamespace, &[]) {
        return;
    }
    let mut stage = Stage::new(Medium::AfPacket);
    stage.start();
    let said = refused(&stage);
    assert!(said.contains("api.sock: another gateway listens there"), "{said}");
    assert!(stage.show("ports").get("ports").is_some(), "the first one's API is gone");
    assert_still_works(&stage);
    stage.stop();
}

#[test]
fn an_api_socket_whose_folder_cannot_be_made_is_named() {
    let folder = Folder::new();
    let config = folder.write("lab.toml", plan::CONFIG);
    let api = folder.write("file", "").join("below").join("api.sock");
    let said = run(Command::new(executable()).arg("run").arg(config).arg("--api").arg(&api), SOON).failure();
    assert!(said.contains(&api.display().to_string()), "{said}");
}

#[test]
fn a_socket_that_speaks_another_language_is_no_gateway() {
    let folder = Folder::new();
    let path = folder.path().join("api.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let stranger = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(&stream), &mut line).expect("a line");
        std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("a client");
    });
    let said = run(Command::new(executable()).args(["show", "routes", "--api"]).arg(&path), SOON).failure();
    stranger.join().expect("no panic");
    assert!(said.contains("another language"), "{said}");
}
