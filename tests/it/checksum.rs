//! Apache's four shapes of checksum file, and what only looks like one.

use crate::cases;

#[test]
fn each_shape_is_read_or_refused() {
    cases("checksum", |_, input| {
        match zkprov::inventory::release::digest_in(input, "kafka_2.13-3.3.1.tgz") {
            Ok(digest) => format!("{digest}\n"),
            Err(why) => format!("refused: {why}\n"),
        }
    });
}

#[test]
fn line_ends_of_windows_change_nothing() {
    let digest = "0123456789abcdef".repeat(8);
    for text in [format!("{digest}  kafka_2.13-3.3.1.tgz\r\n"), format!("{digest}\r\n")] {
        assert_eq!(
            zkprov::inventory::release::digest_in(&text, "kafka_2.13-3.3.1.tgz").as_deref(),
            Ok(digest.as_str())
        );
    }
}

#[test]
fn the_known_digests_are_digests() {
    let release = zkprov::inventory::release::known("3.3.1", "2.13")
        .expect("the release the tutorials install");
    assert_eq!(release.size, Some(105_053_134));
    assert!(
        release.sha512.starts_with("d14d9cc97d170264")
            && release.sha512.ends_with("1a4e424825e3d54e3e0")
    );
    // Another Scala version is another file.
    assert!(zkprov::inventory::release::known("3.3.1", "2.12").is_none());
    for release in zkprov::inventory::release::KNOWN {
        assert_eq!(release.sha512.len(), 128, "{}", release.version);
        assert!(
            release.sha512.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "{}",
            release.version
        );
    }
}
