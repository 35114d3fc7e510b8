//! `zkprov certs issue`: what a client gets for its own key, and what is refused.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use coordinator::tls::request;
use zkprov::certificates::{due, issue};

use crate::watched::zkprov;

const INVENTORY: &str = "ensemble: t\nhosts:\n  kafka1: { address: 10.0.0.1, myid: 1 }\n\
                         security: { tls: { clients: required }, days: 30 }\n";

/// The exit code, stdout, stderr.
fn issued(folder: &Path, name: &str, request: &str) -> (i32, String, String) {
    fs::write(folder.join("app.csr"), request).expect("written");
    let words = ["certs", "issue", "app.csr", "--name", name];
    let output = zkprov().current_dir(folder).args(words).output().expect("zkprov runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn refused(folder: &Path, name: &str, request: &str, code: i32, why: &str) {
    let (ended, stdout, stderr) = issued(folder, name, request);
    assert!(ended == code && stdout.is_empty() && stderr.contains(why), "{ended}: {stderr}");
}

#[test]
fn a_client_gets_a_certificate_for_its_own_key_and_its_own_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::write(folder.join("inventory.yaml"), INVENTORY).expect("written");
    let made = request::make("whatever").expect("this machine can");
    refused(folder, "app", &made.request, 3, "there is no authority yet");
    assert!(!folder.join(".zkprov").exists(), "nothing is made by asking");

    let kept = folder.join(".zkprov/t.security");
    DirBuilder::new().mode(0o700).recursive(true).create(&kept).expect("the folder");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now");
    let authority = issue::authority("t", now.as_secs()).expect("random numbers");
    let path = kept.join("ca.pem");
    fs::write(&path, &authority).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("changed");
    refused(folder, "app", &made.request, 3, "others may read");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("changed");

    let (code, stdout, stderr) = issued(folder, "app", &made.request);
    assert_eq!(code, 0, "{stderr}");
    let facts = due::first(&stdout).expect("a certificate");
    assert_eq!((facts.subject.as_str(), facts.names.len()), ("CN=app,O=t", 0));
    assert!(!facts.may_issue && !stdout.contains("PRIVATE"));
    for taken in ["kafka1", "broker", "operator"] {
        refused(folder, taken, &made.request, 4, "is the name of a host, of the brokers");
    }
    refused(folder, "a b", &made.request, 3, "cannot be a name");
    refused(folder, "app", "no request", 1, "no request in PEM");
    refused(folder, "app", &"x".repeat(100_000), 1, "too long");
}
