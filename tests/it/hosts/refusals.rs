//! What is refused or told before anything is done, because a person has to decide.

use super::lab::Lab;

/// Makes a host as it should not be, looks at the refusal, and takes it back.
fn refused(lab: &Lab, host: &str, make: &str, says: &str, undo: &str) {
    lab.on(host, make);
    lab.run(&["apply", "--yes", "--limit", host]).ends(4).says(says);
    lab.on(host, undo);
}

pub(super) fn operators(lab: &Lab) {
    lab.fresh();
    let listen =
        "setsid nc -lk 2181 </dev/null >/dev/null 2>&1 & echo $! >/run/listener; sleep 0.2";
    refused(lab, "kafka1", listen, "port 2181 is taken by nc", "kill $(cat /run/listener)");
    refused(
        lab,
        "kafka2",
        "systemctl mask zookeeper.service",
        "zookeeper.service is masked",
        "systemctl unmask zookeeper.service",
    );
    refused(
        lab,
        "kafka3",
        "mkdir -p /data /elsewhere && ln -s /elsewhere /data/zookeeper",
        "is a symlink to /elsewhere",
        "rm /data/zookeeper",
    );
    refused(
        lab,
        "kafka1",
        "mkdir -p /data/zookeeper && echo 7 >/data/zookeeper/myid",
        "/data/zookeeper/myid says 7, the inventory says 1",
        "rm -r /data/zookeeper",
    );
    refused(
        lab,
        "kafka2",
        "mkdir /srv/own && ln -s /srv/own /usr/local/lib/zkprov && touch /etc/kafka",
        "/usr/local/lib/zkprov is a symlink to /srv/own",
        "rm /usr/local/lib/zkprov /etc/kafka",
    );
    // A distribution's package: in the way while it runs, and only noted when it does not.
    let package = "printf '[Service]\nExecStart=/bin/sleep 999\n[Install]\nWantedBy=multi-user.target\n' \
        >/usr/lib/systemd/system/zookeeper.service; systemctl daemon-reload; systemctl start zookeeper";
    refused(
        lab,
        "kafka3",
        package,
        "a foreign zookeeper.service is running, from /",
        "systemctl stop zookeeper",
    );
    let drop_in = "mkdir /etc/systemd/system/zookeeper.service.d && \
        printf '[Service]\nNice=3\n' >/etc/systemd/system/zookeeper.service.d/own.conf && systemctl daemon-reload";
    lab.on("kafka3", drop_in);
    let noted = lab.run(&["apply", "--yes"]).ends(0);
    noted.says("will stand before").says("has drop-ins that are kept");
    lab.run(&["apply"]).ends(0).says("0 changes");
    let nice = lab.on("kafka3", "systemctl show -p Nice --value zookeeper.service");
    assert_eq!(nice.trim(), "3", "the drop-in is the operator's and holds");
}

pub(super) fn facts(lab: &Lab) {
    refused(
        lab,
        "kafka1",
        "mount --bind /etc /etc && mount -o remount,ro,bind /etc",
        "root cannot write to /etc",
        "umount /etc",
    );
    // The clock, as the probe reads it; a host's own cannot be set, it is the machine's.
    let late = "printf '#!/bin/sh\nexec /usr/bin/date -d \"+1 hour\" \"$@\"\n' >/usr/local/bin/date && chmod +x /usr/local/bin/date";
    lab.on("kafka2", late);
    lab.run(&["plan"]).ends(0).says(" s ahead of this machine's");
    lab.on("kafka2", "rm /usr/local/bin/date");
    // An address that is every host's own, with a way in: the host says which it has.
    let address = format!("{}.12", lab.network);
    let way_in = format!("myid: 2, ssh: {{ host: {address} }}");
    for (wrong, says) in [("127.0.0.1", "is a loopback address"), ("0.0.0.0", "is every address")] {
        let path = lab.variant("myid: 2", &way_in);
        let text = std::fs::read_to_string(&path).expect("the variant");
        let text = text.replace(&format!("address: {address}"), &format!("address: {wrong}"));
        std::fs::write(&path, text).expect("written");
        let ran = lab.run_on(&path, "plan", &[]).ends(3).says(says);
        ran.says(&format!("kafka2 has {address}"));
    }
}
