//! An authority and what it issues, judged by the server's own verifier.

use coordinator::tls::{Facts, request};

use super::*;
use crate::certificates::due::{self, Trust, Why};

/// 30 November 2026.
const NOW_S: u64 = 1_796_000_000;

fn authority() -> Authority {
    let made = super::authority("demo", NOW_S).expect("random numbers");
    Authority::read(&made, &made, "").expect("its own")
}

fn wanted() -> Wanted {
    Wanted {
        organization: "demo".into(),
        common_name: "zk1".into(),
        names: vec!["zk1".into(), "10.0.0.11".into(), "fd00::1".into()],
        serves: true,
    }
}

fn issued(authority: &Authority) -> String {
    let made = request::make("somebody else").expect("this machine can");
    wanted().issue(authority, &made.request, 90, NOW_S).expect("issued")
}

#[test]
fn a_certificate_says_what_the_inventory_says_and_nothing_of_the_request() {
    let authority = authority();
    let facts = due::first(&issued(&authority)).expect("a certificate");
    assert_eq!(facts.subject, "CN=zk1,O=demo");
    assert_eq!(facts.names, wanted().names);
    assert_eq!(facts.issuer, authority.facts.subject);
    assert_eq!((facts.not_before, facts.not_after), (NOW_S - 3600, NOW_S + 90 * 86_400));
    assert!(!facts.may_issue && authority.issued(&facts));
    assert!(!self::authority().issued(&facts), "another authority did not");
}

#[test]
fn requests_that_are_not_signed_by_their_key_are_refused() {
    let authority = authority();
    let (one, other) = (request::make("a").unwrap(), request::make("a").unwrap());
    let refused =
        |text: &str| wanted().issue(&authority, text, 90, NOW_S).expect_err("refused").cause;
    assert!(refused("").contains("no request"));
    assert!(refused(&"x".repeat(5000)).contains("too long"));
    // The other's key with this one's signature.
    let der = |text: &str| blocks(text, "CERTIFICATE REQUEST").remove(0);
    let (mut mixed, from) = (der(&one.request), der(&other.request));
    let (at, there) = (Request::parse(&mixed).unwrap(), Request::parse(&from).unwrap());
    let position = mixed.windows(65).position(|window| window == at.point).expect("its point");
    mixed.splice(position..position + 65, there.point.iter().copied());
    assert!(refused(&pem("CERTIFICATE REQUEST", &mixed)).contains("not signed by the key"));
}

#[test]
fn an_authority_is_read_back_and_others_keys_are_not_taken_for_its_own() {
    let halves = || {
        let made = super::authority("demo", NOW_S).expect("random numbers");
        let at = made.find("-----BEGIN CERTIFICATE").expect("its certificate");
        (made[..at].to_owned(), made[at..].to_owned())
    };
    let ((key, certificate), (foreign, other)) = (halves(), halves());
    let read =
        |key: &str, certificate: &str| Authority::read(key, certificate, "").map(|a| a.trusted);
    assert_eq!(read(&key, &certificate).as_deref(), Ok(certificate.as_str()));
    assert!(read(&foreign, &certificate).unwrap_err().contains("does not belong"));
    assert!(read(&key, "").unwrap_err().contains("no certificate"));
    assert!(read("", &certificate).unwrap_err().contains("no private key"));
    let made = request::make("x").unwrap();
    let authority = Authority::read(&key, &certificate, "").unwrap();
    let leaf = wanted().issue(&authority, &made.request, 90, NOW_S).unwrap();
    assert!(read(&made.key, &leaf).unwrap_err().contains("no authority's"));
    // While one follows another, both are trusted.
    let both = Authority::read(&key, &certificate, &format!("{other}{certificate}")).unwrap();
    assert_eq!(both.trusted, format!("{certificate}{other}"));
}

#[test]
fn a_certificate_is_due_when_it_is_not_as_wanted_or_a_third_is_left() {
    let authority = authority();
    let text = issued(&authority);
    let trust = |now_s| Trust {
        bundle: authority.trusted.clone(),
        issuer_name: authority.facts.subject_name.clone(),
        now_s,
        days: 90,
    };
    let due = |wanted: &Wanted, now_s| due::due(wanted, &trust(now_s), Some(&text));
    let (day, wanted) = (86_400, wanted());
    assert_eq!(due(&wanted, NOW_S), None);
    assert_eq!(due(&wanted, NOW_S + 59 * day), None);
    assert_eq!(due(&wanted, NOW_S + 61 * day), Some(Why::Ends { days_left: 29 }));
    assert_eq!(due(&wanted, NOW_S + 92 * day), Some(Why::Expired { days_ago: 2 }));
    assert_eq!(due(&wanted, NOW_S - 7200), Some(Why::Early));
    let moved = Wanted { names: vec!["zk1".into(), "10.0.0.12".into()], ..wanted.clone() };
    let why = due(&moved, NOW_S).expect("due").to_string();
    assert_eq!(why, "lacks 10.0.0.12; should not name 10.0.0.11, fd00::1");
    let renamed = Wanted { common_name: "zk2".into(), ..wanted.clone() };
    assert_eq!(due(&renamed, NOW_S), Some(Why::Subject { found: "CN=zk1,O=demo".into() }));
    let other = Trust { issuer_name: self::authority().facts.subject_name, ..trust(NOW_S) };
    assert!(matches!(due::due(&wanted, &other, Some(&text)), Some(Why::Issuer { .. })));
    assert_eq!(due::due(&wanted, &other, None), Some(Why::Missing));
    assert_eq!(due::due(&wanted, &other, Some("-----")), Some(Why::Unreadable));
}

#[test]
fn nothing_outlives_its_issuer() {
    let authority = authority();
    let late = authority.facts.not_after - 10 * 86_400;
    let made = request::make("x").unwrap();
    let leaf = wanted().issue(&authority, &made.request, 90, late).unwrap();
    assert_eq!(due::first(&leaf).map(|facts| facts.not_after), Some(authority.facts.not_after));
    assert!(wanted().issue(&authority, &made.request, 90, authority.facts.not_after).is_err());
}

/// OpenSSL, where it is installed, judges chains by rules of its own.
#[test]
fn openssl_takes_the_chain_as_strictly_as_it_can() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let made = super::authority("demo", now).unwrap();
    let authority = Authority::read(&made, &made, "").unwrap();
    let certificate = authority.trusted.clone();
    let made = request::make("x").unwrap();
    let leaf = wanted().issue(&authority, &made.request, 90, now).unwrap();
    assert!(Facts::of(&blocks(&leaf, "CERTIFICATE")[0]).is_some());
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (ca, leaf) = (file("ca.pem", &certificate), file("leaf.pem", &leaf));
    let csr = file("request.pem", &made.request);
    let run = |arguments: &[&std::ffi::OsStr]| {
        std::process::Command::new("openssl").args(arguments).output()
    };
    let words = |words: &[&str]| {
        words.iter().map(|w| (*w).to_owned().into()).collect::<Vec<std::ffi::OsString>>()
    };
    let mut verify = words(&[
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-verify_ip",
        "10.0.0.11",
        "-CAfile",
    ]);
    verify.extend([ca.into_os_string(), leaf.into_os_string()]);
    let verify: Vec<&std::ffi::OsStr> = verify.iter().map(AsRef::as_ref).collect();
    let Ok(judged) = run(&verify) else { return };
    let said = String::from_utf8_lossy(&judged.stderr).into_owned();
    assert!(judged.status.success(), "{said}");
    let mut request = words(&["req", "-verify", "-noout", "-in"]);
    request.push(csr.into_os_string());
    let request: Vec<&std::ffi::OsStr> = request.iter().map(AsRef::as_ref).collect();
    assert!(run(&request).unwrap().status.success());
}
