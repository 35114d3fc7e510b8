//! Ways in: keys, users, sudo and shells, and what is said where one fails.

use std::io::Write as _;
use std::process::Stdio;

use super::lab::{HOSTS, Lab, Ran};
use crate::watched::zkprov;

pub(super) fn ways_in(lab: &Lab) {
    let gone = lab.variant(&format!("{}.13", lab.network), &format!("{}.99", lab.network));
    let text = std::fs::read_to_string(&gone).expect("the variant");
    std::fs::write(&gone, text.replace("user: root,", "user: root, connect_timeout: 2s,"))
        .expect("written");
    lab.lab(&["cut", "kafka3"]).ends(0);
    lab.run_on(&gone, "status", &[]).ends(5).says("kafka3");
    lab.lab(&["join", "kafka3"]).ends(0);
    lab.lab(&["rekey", "kafka2"]).ends(0);
    lab.run(&["plan"]).ends(5).says("has CHANGED").says("SHA256:");
    lab.lab(&["reset", "kafka2"]).ends(0);
    unknown_key(lab);
    let nobody = lab.variant("user: root", "user: nobody");
    lab.run_on(&nobody, "plan", &[]).ends(5).says("login refused");
    let ops = lab.variant("user: root", "user: ops");
    lab.run_on(&ops, "plan", &["--limit", "kafka1"]).ends(5).says("--ask-become-pass");
    // kafka2 has a new disk: one member is replaced, the others stand.
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["status"]).ends(0);
}

/// A key that nobody has seen is refused, taken on when asked to, and known from then on.
fn unknown_key(lab: &Lab) {
    let inventory = std::fs::read_to_string(&lab.inventory).expect("the inventory");
    let config = inventory.split_once("config: ").expect("an ssh configuration").1;
    let config = config.split([' ', ',', '}']).next().expect("its path");
    let text = std::fs::read_to_string(config).expect("the ssh configuration");
    let known = lab.folder.path().join("known_hosts");
    let own = lab.folder.path().join("ssh_config");
    let line = |line: &str| {
        let names = line.trim_start().starts_with("UserKnownHostsFile");
        if names { format!("  UserKnownHostsFile {}", known.display()) } else { line.to_owned() }
    };
    let text: Vec<String> = text.lines().map(line).collect();
    std::fs::write(&own, text.join("\n") + "\n").expect("written");
    let variant = lab.variant(config, &own.display().to_string());
    lab.run_on(&variant, "plan", &[]).ends(5).says("is not known: it shows").says("SHA256:");
    let accepted = lab.run_on(&variant, "plan", &["--accept-new-host-keys"]).ends(0);
    accepted.says("SHA256:");
    lab.run_on(&variant, "plan", &[]).ends(0);
}

pub(super) fn other_logins(lab: &Lab) {
    lab.fresh();
    for host in HOSTS {
        lab.on(host, "echo 'echo WELCOME; echo noise >&2' >/home/vagrant/.bashrc; echo 'umask 077; PATH=/nowhere' >>/home/vagrant/.bashrc; usermod -s /bin/sh ops");
    }
    let vagrant = lab.variant("user: root", "user: vagrant");
    lab.run_on(&vagrant, "apply", &["--yes"]).ends(0);
    lab.run_on(&vagrant, "status", &[]).ends(0);
    lab.on("kafka2", "echo 'Defaults:vagrant requiretty' >/etc/sudoers.d/tty");
    lab.run_on(&vagrant, "plan", &[]).ends(5).says("requiretty");
    lab.on("kafka2", "rm /etc/sudoers.d/tty");
    let ops = lab.variant("user: root", "user: ops");
    for (password, code) in [("ops\n", 0), ("wrong\n", 5)] {
        let mut child = zkprov()
            .args(["apply", &ops, "--ask-become-pass"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("zkprov runs");
        child.stdin.take().expect("piped").write_all(password.as_bytes()).expect("written");
        Ran::of(&child.wait_with_output().expect("ended")).ends(code);
    }
}
