//! Where a release comes from, and what may be in it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread;

use super::lab::{HOSTS, Lab};

/// As much of wget as a host needs: what hosts are booted from has neither it nor curl.
const WGET: &str = r#"#!/usr/bin/python3
import sys
import urllib.request
data = urllib.request.urlopen(sys.argv[-1], timeout=10).read()
open(sys.argv[sys.argv.index("-O") + 1], "wb").write(data)
"#;

/// Serves each name to whoever asks, until the test ends: no more of HTTP than a download needs.
fn serve(lab: &Lab, files: Vec<(&'static str, Vec<u8>)>) -> u16 {
    let listener =
        TcpListener::bind(format!("{}.1:0", lab.network)).expect("the lab's own address");
    let port = listener.local_addr().expect("bound").port();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut lines = BufReader::new(stream.try_clone().expect("a handle")).lines();
            let sessions = lines.next().and_then(Result::ok).unwrap_or_default();
            lines.map_while(Result::ok).find(String::is_empty);
            let found = files.iter().find(|(name, _)| sessions.contains(&format!("/{name} ")));
            let (status, body) = found.map_or(("404 Not Found", &[][..]), |(_, b)| ("200 OK", b));
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    port
}

pub(super) fn host_fetches(lab: &Lab) {
    lab.fresh();
    let tarball = std::fs::read(lab.folder.path().join("kafka_2.13-3.3.1.tgz")).expect("ours");
    let cut = tarball[..tarball.len() / 2].to_vec();
    let port = serve(lab, vec![("whole.tgz", tarball), ("cut.tgz", cut)]);
    let at = |name: &str| format!("\"http://{}.1:{port}/{name}\"", lab.network);
    let own = format!("[ \"{}/kafka_2.13-3.3.1.tgz\" ]", lab.folder.path().display());
    let bad = format!("[ {}, {} ], fetch: host", at("missing.tgz"), at("cut.tgz"));
    let inventory = lab.variant(&own, &bad);
    let said = lab.run_on(&inventory, "apply", &["--yes"]).ends(4);
    said.says("needs curl or wget, and this host has neither");
    for host in HOSTS {
        lab.on(
            host,
            &format!("printf '{WGET}' >/usr/local/bin/wget; chmod +x /usr/local/bin/wget"),
        );
    }
    let said = lab.run_on(&inventory, "apply", &["--yes"]).ends(1);
    said.says("404").says("has the digest").says("no source gave the release");
    let good =
        format!("[ {}, {}, {} ], fetch: host", at("missing.tgz"), at("cut.tgz"), at("whole.tgz"));
    let inventory = lab.variant(&own, &good);
    lab.run_on(&inventory, "apply", &["--yes"]).ends(0);
    lab.run_on(&inventory, "apply", &[]).ends(0).says("0 changes");
    // Who carried it makes no difference to what is there.
    lab.run(&["apply"]).ends(0).says("0 changes");
}

/// Makes an archive by a shell line, in a folder that holds a small release.
fn archive(lab: &Lab, line: &str) -> String {
    let folder = lab.folder.path().join("hostile");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("kafka_2.13-3.3.1/libs")).expect("a folder");
    let script = format!("echo evil >evil; ln -s /etc way; {line}");
    let made = Command::new("sh").args(["-ec", &script]).current_dir(&folder).status();
    assert!(made.expect("sh").success(), "{line}");
    let tarball = folder.join("t.tgz");
    let sum = Command::new("sha512sum").arg(&tarball).output().expect("sha512sum").stdout;
    let sum = String::from_utf8_lossy(&sum).split(' ').next().unwrap_or_default().to_owned();
    inventory(lab, &tarball, &sum)
}

fn inventory(lab: &Lab, tarball: &Path, sum: &str) -> String {
    let text = std::fs::read_to_string(&lab.inventory).expect("the inventory");
    let text: Vec<_> = text.lines().filter(|line| !line.starts_with("kafka:")).collect();
    let kafka = format!("kafka: {{ sources: [ \"{}\" ], sha512: \"{sum}\" }}\n", tarball.display());
    let path = lab.folder.path().join("hostile.yaml");
    std::fs::write(&path, text.join("\n") + "\n" + &kafka).expect("written");
    path.display().to_string()
}

pub(super) fn hostile(lab: &Lab) {
    lab.fresh();
    let top = "kafka_2.13-3.3.1";
    let tar = "tar -czPf t.tgz";
    let cases = [
        (format!("{tar} --transform 's,^evil,/srv/evil,' {top} evil"), "not one folder"),
        (format!("{tar} --transform 's,^evil,{top}/../../srv/evil,' {top} evil"), "contains '..'"),
        (format!("ln -s ../../srv {top}/way; {tar} {top}"), "links that may lead out"),
        (
            format!("mv way {top}/way; {tar} --transform 's,^evil,{top}/way/evil,' {top} evil"),
            "Cannot open",
        ),
        (format!("mkdir other; {tar} {top} other"), "not one folder"),
        (format!("mv {top} other; {tar} other"), "not one folder"),
        (format!("ln -s /srv x; mv {top} y; {tar} --transform 's,^x,{top},' x"), "not one folder"),
        (format!("mknod {top}/zero c 1 5; {tar} {top}"), "Cannot mknod"),
        (format!("{tar} {top}; head -c 60 t.tgz >u; mv u t.tgz"), "unexpected end"),
        ("head -c 4096 /dev/urandom >t.tgz".to_owned(), "not in gzip format"),
    ];
    for (line, says) in cases {
        let inventory = archive(lab, &line);
        let words = ["--yes", "--limit", "kafka2", "--only", "group,user,archive"];
        lab.run_on(&inventory, "apply", &words).ends(1).says(says);
        let left = lab.on("kafka2", "ls -A /opt /srv; find / -xdev -name 'evil*' 2>/dev/null");
        assert_eq!(left, "/opt:\n\n/srv:\n", "after {line}");
    }
    lab.run(&["apply", "--yes"]).ends(0);
}
