//! Real Vagrant, over its lxc provider: `vagrant up` alone ends with a serving ensemble, a machine goes
//! and comes back, and nothing is left. `.ci/demo-vagrant test` is the scenario; here it is bounded.
//! Two minutes of processor time, most of it Vagrant's own starts; `ZKPROV_TEST_VAGRANT=0` leaves it out.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::root;
use crate::skipped;

const NAME: &str = "vagrant::machines_of_vagrant_serve";
/// Three machines up, applied twice, one down and up, all destroyed: two minutes on two idle cores, 21
/// were seen at a load of 22.
const LIMIT_S: &str = "1800";

#[test]
fn machines_of_vagrant_serve() {
    if std::env::var("ZKPROV_TEST_VAGRANT").as_deref() == Ok("0") {
        skipped(NAME, "ZKPROV_TEST_VAGRANT=0 is set");
        return;
    }
    if !crate::lab::may_boot(NAME) {
        return;
    }
    if !["/usr/bin/vagrant", "/usr/bin/lxc-start", "/usr/share/doc/vagrant-lxc"]
        .iter()
        .all(|path| Path::new(path).exists())
    {
        skipped(NAME, "vagrant with its lxc provider is not installed (.ci/needs vagrant)");
        return;
    }
    let output = Command::new("timeout")
        .args(["--kill-after=30", LIMIT_S, ".ci/demo-vagrant", "test"])
        .current_dir(root())
        .env("ZKPROV", env!("CARGO_BIN_EXE_zkprov"))
        .stdin(Stdio::null())
        .output()
        .expect("the script runs");
    let talk = [output.stdout, output.stderr].concat();
    let talk = String::from_utf8_lossy(&talk);
    if !output.status.success() {
        let _ = Command::new(".ci/demo-vagrant").arg("stop").current_dir(root()).output();
    }
    assert!(output.status.success(), "{}:\n{talk}", output.status);
    let left = Command::new("lxc-ls").arg("-1").output().expect("lxc-ls").stdout;
    let left = String::from_utf8_lossy(&left);
    assert!(!left.contains("lab_kafka"), "left behind: {left}");
}
