//! TLS from nothing: bare hosts make their keys, get certificates, and serve nobody in the open.

use super::lab::{HOSTS, Lab};

/// Bare hosts become an ensemble that speaks TLS alone, by one apply.
pub(super) fn from_nothing(lab: &Lab) {
    lab.fresh();
    let secured = lab
        .variant("kafka:", "security: { tls: { clients: required, members: required } }\nkafka:");
    lab.run_on(&secured, "plan", &["--show-scripts"]).ends(0).says("do_request");
    lab.run_on(&secured, "apply", &["--yes"]).ends(0).says("are kept in");
    lab.run_on(&secured, "status", &[]).ends(0).says("healthy; configuration matches");
    lab.run_on(&secured, "apply", &[]).ends(0).says("0 changes").says("ends in 89 days");
    lab.run_on(&secured, "certs", &[]).ends(0).says("CN=kafka1,O=").says("127.0.0.1");
    for host in HOSTS {
        let told = lab.on(
            host,
            "stat -c '%U:%G %a' /etc/kafka/coordinator.pem; ls /etc/kafka; \
             /usr/local/lib/zkprov/coordinator status --server 127.0.0.1:2181 --timeout-ms 2000 >/dev/null || echo closed",
        );
        assert!(
            told.starts_with("coordinator:coordinator 600\n") && told.ends_with("closed\n"),
            "{told}"
        );
        assert!(!told.contains(".next"), "a key was left: {told}");
    }
    keys_stay(lab);
    renewed(lab, &secured);
    elsewhere(lab);
}

/// No key of a host is on this machine, and none is another's.
fn keys_stay(lab: &Lab) {
    let key = |host: &str| {
        lab.on(
            host,
            "sed -n '/BEGIN PRIVATE/,/END PRIVATE/p' /etc/kafka/coordinator.pem | sed -n 2p",
        )
    };
    let keys = HOSTS.map(key);
    assert!(keys.iter().all(|key| key.len() > 40));
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    let kept = lab.folder.path().join(".zkprov");
    let mut folders = vec![kept];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("what is kept") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("text");
            let known = keys.iter().any(|key| text.contains(key.trim()));
            assert!(!known, "{} has a host's key", path.display());
        }
    }
}

/// A certificate that is lost is issued anew, for another key, and nothing is restarted.
fn renewed(lab: &Lab, secured: &str) {
    let pid = || lab.on("kafka2", "systemctl show -p MainPID --value zookeeper.service");
    let key = || lab.on("kafka2", "sha256sum </etc/kafka/coordinator.pem");
    let before = (pid(), key());
    lab.on("kafka2", "chmod 644 /etc/kafka/coordinator.pem");
    lab.run_on(secured, "status", &[]).ends(1).says("1 host differs");
    lab.run_on(secured, "apply", &["--yes"]).ends(0).says("coordinator:coordinator 644 -> ");
    assert_eq!(pid(), before.0, "not restarted");
    assert_ne!(key(), before.1, "a key that others could read is not kept");
    lab.run_on(secured, "status", &[]).ends(0);
}

/// A machine without the authority takes nothing away from the hosts.
fn elsewhere(lab: &Lab) {
    let folder = lab.folder.path().join("elsewhere");
    std::fs::create_dir_all(&folder).expect("a folder");
    let text = std::fs::read_to_string(lab.folder.path().join("variant.yaml")).expect("written");
    let inventory = folder.join("inventory.yaml");
    std::fs::write(&inventory, text).expect("written");
    let inventory = inventory.display().to_string();
    lab.run_on(&inventory, "apply", &["--yes"])
        .ends(4)
        .says("names an authority whose key is not on this machine");
}
