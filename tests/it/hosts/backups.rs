//! A backup beside writes, and its restore on the same hosts and on empty ones.

use std::io::Write as _;
use std::process::Stdio;

use super::lab::{Lab, Ran};
use crate::watched::zkprov;

pub(super) fn backed_up(lab: &Lab) {
    let path = |name: &str| lab.folder.path().join(name).display().to_string();
    // What the summary of a restore says: digest and first zxid.
    let said = |ran: Ran| {
        let after = |word: &str| {
            let rest = ran.stdout.split_once(word).expect(word).1;
            rest.split([' ', ',']).next().expect("a value").to_owned()
        };
        (after("digest "), after("from zxid "))
    };
    lab.fresh();
    lab.run(&["apply", "--yes"]).ends(0);
    lab.run(&["shell", "create", "/here", "before"]).ends(0);
    let mut writer = zkprov()
        .arg("shell")
        .arg(&lab.inventory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("zkprov runs");
    let mut keys = writer.stdin.take().expect("piped");
    for number in 0..500 {
        writeln!(keys, "create /here/n{number} x").expect("the writer lives");
    }
    lab.run(&["backup", &path("first")]).ends(0).says("which leads");
    drop(keys);
    writer.wait().expect("ended");
    lab.run(&["backup", &path("first")]).ends(3).says("exists already");
    lab.run(&["restore", &path("first"), "--yes"]).ends(4).says("is not empty");
    let mut bytes = std::fs::read(path("first")).expect("the backup");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path("rotten"), bytes).expect("written");
    let rotten = lab.run(&["restore", &path("rotten"), "--yes", "--force"]);
    rotten.ends(4).says("is damaged at offset");
    let (first, zxid) = said(lab.run(&["restore", &path("first"), "--yes", "--force"]).ends(0));
    lab.run(&["backup", &path("second")]).ends(0);
    lab.run(&["destroy", "--yes", "--purge-data"]).ends(0);
    lab.run(&["apply", "--yes"]).ends(0);
    let (second, later) = said(lab.run(&["restore", &path("second"), "--yes"]).ends(0));
    assert_eq!(first, second, "the same tree elsewhere");
    assert!((later.len(), &later) > (zxid.len(), &zxid), "{later} is not above {zxid}");
    lab.run(&["apply"]).ends(0).says("0 changes");
    // What the restore has put aside stays with the data; the next scenario begins without it.
    lab.run(&["destroy", "--yes", "--purge-data"]).ends(0);
    lab.run(&["apply", "--yes"]).ends(0);
}
