//! Slow: the coordinator for hosts of another architecture, and whether it runs there.

use std::process::{Command, Stdio};

use zkprov::artifacts::build;

use crate::skipped;

const EMULATOR: &str = "qemu-aarch64-static";

#[test]
fn the_arm64_coordinator_is_static_and_runs() {
    let name = "crossbuild::the_arm64_coordinator_is_static_and_runs";
    if std::env::var("ZKPROV_TEST_LAB").as_deref() != Ok("1") {
        skipped(name, "ZKPROV_TEST_LAB=1 is not set");
        return;
    }
    let emulated = |binary: &std::path::Path, words: &[&str]| {
        Command::new(EMULATOR).arg(binary).args(words).stdin(Stdio::null()).output()
    };
    let binary = match build::coordinator_for("aarch64", None, build::Builds::WhenStale) {
        Ok(binary) => binary,
        Err(failure) if failure.cause.contains("rustup") => {
            skipped(name, &failure.cause);
            return;
        }
        Err(failure) => panic!("{failure}"),
    };
    let head = std::fs::read(&binary).expect("the binary");
    // ELF header: 64 bit, little endian; machine 183 is aarch64.
    assert_eq!((&head[..6], head[18]), (&b"\x7fELF\x02\x01"[..], 183));
    let Ok(version) = emulated(&binary, &["version"]) else {
        skipped(name, &format!("{EMULATOR} is not installed"));
        return;
    };
    let text = String::from_utf8_lossy(&version.stdout);
    assert_eq!(text.trim(), format!("coordinator {}", env!("CARGO_PKG_VERSION")), "{version:?}");

    // And it serves: one member on loopback writes and reads, all of it emulated.
    let folder = std::env::temp_dir().join(format!("zkprov-arm64-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("data")).expect("a folder");
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port();
    let config = folder.join("zookeeper.properties");
    let text = format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
        folder.join("data").display()
    );
    std::fs::write(&config, text).expect("the configuration");
    let log = std::fs::File::create(folder.join("log")).expect("the log");
    let mut server = Command::new(EMULATOR)
        .arg(&binary)
        .arg("serve")
        .arg(&config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("starting the server");
    let address = format!("127.0.0.1:{port}");
    let wait = ["--connect-timeout-ms", "60000"];
    let shell = |words: &[&str]| {
        let start = ["shell", "--server", &address];
        emulated(&binary, &[&start[..], &wait, words].concat()).expect("running the shell")
    };
    let created = shell(&["create", "/there", "written on arm64"]);
    let read = shell(&["get", "/there"]);
    let _ = server.kill();
    let _ = server.wait();
    let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
    let _ = std::fs::remove_dir_all(&folder);
    assert!(created.status.success(), "{created:?}\n{log}");
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "written on arm64", "{log}");
}
