//! Hosts on which Apache ZooKeeper runs as somebody else has set it up.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::watched::{ended, says, zkprov};

const NAME: &str = "zkmig";
pub(super) const NETWORK: &str = "10.74.63";
pub(super) const JAR: &str = "/usr/share/java/zookeeper.jar";

/// As Debian's package has it, but for the log that goes to the journal.
const UNIT: &str = "[Unit]
Description=Coordination service for distributed applications
After=network.target

[Service]
User=zookeeper
ExecStart=/usr/bin/java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j.configuration=none \
-Dzookeeper.extendedTypesEnabled=true -cp /usr/share/java/zookeeper.jar \
org.apache.zookeeper.server.quorum.QuorumPeerMain /etc/zookeeper/conf/zoo.cfg
Restart=on-failure
RestartSec=1
SuccessExitStatus=143

[Install]
WantedBy=multi-user.target
";

/// What an ensemble is like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Three voters with one folder each.
    Plain,
    /// Three voters and an observer, whose logs have a folder of their own.
    Observed,
}

pub(super) struct Lab {
    pub(super) folder: tempfile::TempDir,
    pub(super) hosts: &'static [&'static str],
    shape: Shape,
}

impl Lab {
    pub(super) fn up(shape: Shape) -> Self {
        let hosts: &[&str] = match shape {
            Shape::Plain => &["kafka1", "kafka2", "kafka3"],
            Shape::Observed => &["kafka1", "kafka2", "kafka3", "kafka4"],
        };
        let lab = Self { folder: tempfile::tempdir().expect("a folder"), hosts, shape };
        let path = lab.folder.path().join("lab.yaml");
        lab.lab(&[
            "up",
            &hosts.len().to_string(),
            "--java",
            "--network",
            NETWORK,
            "--inventory",
            path.to_str().expect("a path"),
        ]);
        lab.install();
        lab
    }

    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    pub(super) fn lab(&self, words: &[&str]) -> String {
        let output = zkprov().args(["lab", "--name", NAME]).args(words).output();
        ended(&output.expect("zkprov runs"), 0)
    }

    pub(super) fn on(&self, host: &str, line: &str) -> String {
        self.lab(&["exec", host, "--", "sh", "-c", line])
    }

    /// Unpacks a tar in a folder of a host.
    #[expect(clippy::unused_self, reason = "the hosts must be up: the receiver says so")]
    pub(super) fn unpack(&self, host: &str, tar: &Path, options: &[&str]) {
        let output = zkprov()
            .args(["lab", "--name", NAME, "exec", host, "--", "tar"])
            .args(options)
            .stdin(Stdio::from(std::fs::File::open(tar).expect("the tar")))
            .output();
        ended(&output.expect("zkprov runs"), 0);
    }

    pub(super) fn servers(&self) -> Vec<String> {
        (1..=self.hosts.len()).map(|id| format!("{NETWORK}.1{id}:2181")).collect()
    }

    /// Every name on a host's disk, but for what a living server writes.
    pub(super) fn disk(&self, host: &str) -> BTreeMap<String, String> {
        let besides = ["'/tmp/hsperfdata_*'", "/var/lib/zookeeper/version-2"];
        crate::lab::disk(|line| self.on(host, line), &besides)
    }

    /// Apache ZooKeeper on each host, as a package would put it there.
    fn install(&self) {
        let tar = self.folder.path().join("java.tar");
        let manifest = Command::new("unzip")
            .args(["-p", JAR, "META-INF/MANIFEST.MF"])
            .output()
            .expect("unzip");
        let manifest =
            String::from_utf8_lossy(&manifest.stdout).replace("\r\n ", "").replace("\n ", "");
        let line = manifest
            .lines()
            .find_map(|line| line.strip_prefix("Class-Path: "))
            .expect("a class path");
        let mut files = vec![JAR.to_owned()];
        files.extend(line.split_whitespace().map(str::to_owned));
        files.retain(|file| Path::new(file).exists());
        let real: Vec<String> = files
            .iter()
            .map(|file| std::fs::canonicalize(file).expect("a jar").display().to_string())
            .collect();
        files.extend(real);
        files.sort();
        files.dedup();
        let packed = Command::new("tar").arg("-cPf").arg(&tar).args(&files).status().expect("tar");
        assert!(packed.success());
        let (log, observer) = match self.shape {
            Shape::Plain => ("", ""),
            Shape::Observed => ("dataLogDir=/var/lib/zookeeper-log\n", ":observer"),
        };
        let members: Vec<String> = (1..=self.hosts.len())
            .map(|id| {
                let role = if id == 4 { observer } else { "" };
                format!("server.{id}={NETWORK}.1{id}:2888:3888{role}\n")
            })
            .collect();
        for (index, host) in self.hosts.iter().enumerate() {
            self.unpack(host, &tar, &["-C", "/", "-xPf", "-"]);
            let id = index + 1;
            let config = format!(
                "tickTime=2000\ninitLimit=10\nsyncLimit=5\ndataDir=/var/lib/zookeeper\nclientPort=2181\n\
                 admin.enableServer=false\n4lw.commands.whitelist=*\nautopurge.purgeInterval=1\n\
                 snapCount=1000\n{log}{}{}",
                if id == 4 { "peerType=observer\n" } else { "" },
                members.concat()
            );
            self.on(
                host,
                &format!(
                    "useradd -r -d /var/lib/zookeeper -s /usr/sbin/nologin zookeeper
                     install -d -o zookeeper -g zookeeper /var/lib/zookeeper /var/lib/zookeeper-log
                     install -d /etc/zookeeper/conf
                     echo {id} >/var/lib/zookeeper/myid && chown zookeeper: /var/lib/zookeeper/myid
                     printf '%s' '{config}' >/etc/zookeeper/conf/zoo.cfg
                     printf '%s' '{UNIT}' >/lib/systemd/system/zookeeper.service
                     systemctl daemon-reload && systemctl enable -q zookeeper && systemctl start zookeeper"
                ),
            );
        }
    }

    /// The inventory that `adopt` writes.
    pub(super) fn adopted(&self) -> PathBuf {
        let path = self.folder.path().join("inventory.yaml");
        let lab = std::fs::read_to_string(self.folder.path().join("lab.yaml")).expect("the lab's");
        let config = lab
            .lines()
            .find_map(|line| line.split("config: ").nth(1))
            .expect("an ssh configuration");
        let config = config.trim_matches(|c: char| " },\"".contains(c));
        let output = zkprov().args(["adopt", "--ssh-config", config, "--out"]).arg(&path).output();
        let said = ended(&output.expect("zkprov runs"), 0);
        says(&said, "describes what runs");
        path
    }

    /// What serves on each host: only Apache's, or only ours.
    #[track_caller]
    pub(super) fn only(&self, engine: &str) {
        let expected = if engine == "zookeeper" { "10" } else { "01" };
        for host in self.hosts {
            let java = self.on(host, "pgrep -fc '^/usr/bin/java.*QuorumPeerMain' || :");
            let ours = self.on(host, "pgrep -fc '^/usr/local/lib/zkprov/coordinator.* serve' || :");
            assert_eq!(format!("{}{}", java.trim(), ours.trim()), expected, "{host}");
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::env::var_os("ZKPROV_TEST_KEEP").is_none() {
            let _ = zkprov().args(["lab", "--name", NAME, "down"]).output();
        }
    }
}
