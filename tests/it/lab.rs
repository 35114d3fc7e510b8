//! Slow: real hosts. What a lab promises, and that nothing of it is left behind.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Command;

use zkprov::lab::{Condition, Lab, Options};

use crate::skipped;

/// Whether this run may boot hosts; if not, the test says so by name.
pub(crate) fn may_boot(test: &str) -> bool {
    if std::env::var("ZKPROV_TEST_LAB").as_deref() != Ok("1") {
        return !skipped(test, "ZKPROV_TEST_LAB=1 is not set");
    }
    match zkprov::lab::check_machine() {
        Ok(()) => true,
        Err(failure) => !skipped(test, &failure.cause),
    }
}

/// Whether a test of minutes may boot them: asked for as a whole, or a scenario of it was `chosen`.
pub(crate) fn may_boot_long(test: &str, chosen: bool) -> bool {
    may_boot(test) && long(test, chosen)
}

/// Whether what takes minutes runs; says that it was skipped where it does not.
pub(crate) fn long(test: &str, chosen: bool) -> bool {
    let long = chosen || std::env::var("ZKPROV_TEST_LONG").as_deref() == Ok("1");
    if !long {
        crate::skipped(test, "long, `make e2e` runs it");
    }
    long
}

/// Every name on a host's disk with owner, mode, size, times and target, but for what a system writes by itself
/// and what is below `besides`. `on` runs a line on that host.
pub(crate) fn disk(on: impl Fn(&str) -> String, besides: &[&str]) -> BTreeMap<String, String> {
    let mut pruned =
        String::from("-path /var/log -o -path /proc -o -path /sys -o -path /dev -o -path /run");
    for path in besides {
        let _ = write!(pruned, " -o -path {path}");
    }
    let find = format!(
        "find / -xdev \\( {pruned} \\) -prune \
         -o -printf '%p\\t%y %m %U %G %s %T@ %C@ %l\\n'; ls -d /run/zkprov* 2>/dev/null; true"
    );
    let text = on(&find);
    text.lines()
        .map(|line| line.split_once('\t').unwrap_or((line, "")))
        .map(|(path, rest)| (path.to_owned(), rest.to_owned()))
        .collect()
}

/// A lab of a test's own, taken away at its end however that comes.
pub(crate) struct TestLab {
    pub lab: Lab,
}

impl TestLab {
    /// Boots fresh hosts; whatever a crashed run of the same test left is cleared first.
    pub(crate) fn up(name: &str, hosts: u8, options: Options) -> Self {
        Lab::down(name).expect("clearing what an earlier run left");
        Self { lab: Lab::up(name, hosts, options).expect("booting hosts") }
    }
}

impl Drop for TestLab {
    fn drop(&mut self) {
        let down = Lab::down(self.lab.name());
        if !std::thread::panicking() {
            down.expect("taking the lab away");
        }
    }
}

/// Runs a command on a host over ssh, as a user of the lab; its exit code and what it said.
fn ssh(lab: &Lab, user: &str, host: &str, command: &str) -> (Option<i32>, String) {
    let output = Command::new("ssh")
        .arg("-F")
        .arg(lab.ssh_config(user))
        .args([host, command])
        .output()
        .expect("running ssh");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).trim().to_owned())
}

#[test]
fn hosts_are_real_apart_and_gone_afterwards() {
    if !may_boot("lab::hosts_are_real_apart_and_gone_afterwards") {
        return;
    }
    let test = TestLab::up("tlab", 3, Options::default());
    let lab = &test.lab;
    let [first, second, third] = lab.hosts() else { panic!("three hosts") };

    // Three ways in, each to a full system whose boot is through.
    for user in zkprov::lab::USERS {
        let (code, text) = ssh(lab, user, "kafka1", "id -un; systemctl is-system-running");
        assert_eq!((code, text.as_str()), (Some(0), format!("{user}\nrunning").as_str()));
    }
    assert_eq!(ssh(lab, "vagrant", "kafka1", "sudo -n id -u"), (Some(0), "0".to_owned()));
    let (code, text) = ssh(lab, "ops", "kafka1", "sudo -n true");
    assert!(code == Some(1) && text.contains("password"), "{text}");
    assert_eq!(lab.sessions(first).expect("the journal"), (5, 5));
    assert_eq!(lab.sessions(second).expect("the journal"), (0, 0));

    // No way out, and no way round the bridge.
    let (code, text) = ssh(lab, "root", "kafka1", "ping -c 1 -W 1 198.51.100.1");
    assert!(code != Some(0) && text.contains("unreachable"), "{text}");

    // Kernel settings are a host's own, and come back with its sysctl.d after a reboot.
    let before = std::fs::read_to_string("/proc/sys/vm/swappiness").expect("the machine's own");
    let set = "echo vm.swappiness=3 >/etc/sysctl.d/9.conf; /usr/sbin/sysctl -qw vm.swappiness=7";
    assert_eq!(ssh(lab, "root", "kafka1", set).0, Some(0));
    let read = |host: &str| ssh(lab, "root", host, "cat /proc/sys/vm/swappiness").1;
    assert_eq!(read("kafka1"), "7");
    assert_eq!(read("kafka2"), before.trim());
    lab.reboot(first).expect("a reboot");
    assert_eq!(read("kafka1"), "3");
    assert_eq!(std::fs::read_to_string("/proc/sys/vm/swappiness").expect("ditto"), before);

    // Faults, and back.
    let reaches = |from: &_, to: &str| lab.exec(from, &["ping", "-c", "1", "-W", "1", to]).is_ok();
    lab.drop_between(first, Some(second)).expect("dropping");
    assert!(!reaches(first, &second.address) && !reaches(second, &first.address));
    assert!(reaches(first, &third.address));
    lab.drop_nothing();
    assert!(reaches(first, &second.address));
    lab.cut(third).expect("cutting");
    assert!(!reaches(first, &third.address));
    lab.join(third).expect("joining");
    assert!(reaches(first, &third.address));
    // The relay of a slow wire is a zkprov of its own, which this test is not.
    let wire = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_zkprov"));
        command.args(["lab", "--name", "tlab", "delay", "kafka1"]).args(words);
        assert!(command.status().expect("zkprov runs").success(), "{words:?}");
    };
    wire(&["--ms", "100"]);
    let started = std::time::Instant::now();
    assert!(reaches(first, &third.address));
    assert!(started.elapsed() >= std::time::Duration::from_millis(100));
    wire(&["--loss", "1000"]);
    assert!(!reaches(first, &third.address));
    wire(&[]);
    assert!(reaches(first, &third.address));
    lab.freeze(second).expect("freezing");
    assert_eq!(lab.condition(second), Condition::Frozen);
    lab.thaw(second).expect("thawing");
    assert_eq!(lab.condition(second), Condition::Running);

    // A power cut keeps the disk; a reset does not.
    let marked = "touch /root/mark; sync";
    assert_eq!(ssh(lab, "root", "kafka3", marked).0, Some(0));
    lab.kill(third).expect("a power cut");
    assert_eq!(lab.condition(third), Condition::Stopped);
    lab.start(third).expect("power on");
    assert_eq!(ssh(lab, "root", "kafka3", "ls /root").1, "mark");
    lab.reset(&["kafka3".to_owned()]).expect("a reset");
    assert_eq!(ssh(lab, "root", "kafka3", "ls /root").1, "");

    // Up means up: nobody boots over a running lab.
    let refused = Lab::up("tlab", 3, Options::default()).expect_err("the lab is up");
    assert!(refused.cause.contains("3 of 3 hosts run"), "{refused}");

    drop(test);
    assert_eq!(traces("tlab"), "");
}

#[test]
fn what_a_crashed_run_left_is_cleared_by_name() {
    if !may_boot("lab::what_a_crashed_run_left_is_cleared_by_name") {
        return;
    }
    let test = TestLab::up("tcrash", 1, Options::default());
    // A run that died before it wrote anything down leaves all but the record.
    std::fs::remove_file(test.lab.directory().join("lab.json")).expect("the record");
    assert!(Lab::open("tcrash").is_err());
    let again = TestLab::up("tcrash", 2, Options::default());
    assert_eq!(ssh(&again.lab, "root", "kafka2", "hostname"), (Some(0), "kafka2".to_owned()));
    std::mem::forget(test); // the same lab: `again` takes it away
    drop(again);
    assert_eq!(traces("tcrash"), "");
}

/// Whatever on this machine still bears the lab's name.
fn traces(name: &str) -> String {
    let says = |program: &str, words: &[&str]| {
        let output = Command::new(program).args(words).output().expect("running it");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let folder = zkprov::lab::home().join(name).display().to_string();
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the mounts");
    let all = [says("ip", &["-o", "link"]), says("ip", &["netns"]), mounts].concat();
    all.lines()
        .filter(|line| {
            line.contains(&format!(" {name}:"))
                || ["v", "w", "a", "b"].iter().any(|kind| line.contains(&format!(" {name}{kind}")))
                || line.starts_with(&format!("{name}-"))
                || line.contains(&folder)
        })
        .collect()
}
