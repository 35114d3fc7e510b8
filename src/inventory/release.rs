//! Kafka releases: the digests known here, where a release may be had, and Apache's four shapes of
//! checksum file.

use crate::inventory::source::Source;

/// A release whose tarball is known.
#[derive(Debug)]
pub struct Release {
    pub version: &'static str,
    pub scala: &'static str,
    /// 128 lower-case hex digits.
    pub sha512: &'static str,
    /// In bytes, where it is known.
    pub size: Option<u64>,
}

/// Digests as Apache published them and Strimzi pins them; the one of 3.3.1 also by Debezium.
pub const KNOWN: &[Release] = &[
    Release {
        version: "3.0.0",
        scala: "2.13",
        sha512: "86cdeb04af123399858d03431e9777948c1c40ec0d843966cf9bd90b8235b47e\
                 bbb5cb96d1f0660710b9286da86bbb5ee65e21e757606f5a1e67f970ae5cf57c",
        size: None,
    },
    Release {
        version: "3.0.1",
        scala: "2.13",
        sha512: "d949fa4be7b601a9b482ae1c7861135a5da007362c4c1c9c218bdca94c45e918\
                 527e56738361aedc6b6dfb7abf02b1aa8110c7bc622cc2379b8a2ee557e5756f",
        size: None,
    },
    Release {
        version: "3.1.0",
        scala: "2.13",
        sha512: "5954c1cf38187134a6e0a21520cbef5cd5320a3e9290e630c3895990e8922199\
                 17d911fabbc64da5db17bcaa940b8277c23344b50f2ff4256eaca78116e9fdc9",
        size: None,
    },
    Release {
        version: "3.1.1",
        scala: "2.13",
        sha512: "5ec72ee76ad14997763f2654ecef0390fd9628413c287619b734f44193252950\
                 d412deba684aae5147ac844a88d9ef10eefc0ffeb14435f2e00347ef946aa5d6",
        size: None,
    },
    Release {
        version: "3.1.2",
        scala: "2.13",
        sha512: "ec5955bd9be0ffe15adf84ef428f48d341b5393a1e4cbb9d7f80ec4062ff57a2\
                 8a38d575e19bc0b40af4143164bb5126721844f42dce8e70516fc30348c57f95",
        size: None,
    },
    Release {
        version: "3.2.0",
        scala: "2.13",
        sha512: "736a129823b058dc10788d0893bde47b6f39b9e4972f9eac2d5c9e85e51e4773\
                 44c6f1e1ebd126ce34d5fd430eb07e55fdd60d60cb541f1d48655c0ebc0a4778",
        size: None,
    },
    Release {
        version: "3.2.1",
        scala: "2.13",
        sha512: "9b7ee73c9c088e2b1d15685cd1330546054bcf1f025f4825fadccd5076763230\
                 229480d87900ca4a8317cd01a36bec1082fcadfab7d220a415787e1ba2e3c9cf",
        size: None,
    },
    Release {
        version: "3.2.3",
        scala: "2.13",
        sha512: "4a57d69f8d3b5158ddca9c64ac366c2975ca55f4c2ef02cd3b122e127016ad1a\
                 5aa1de92e7e2f392fdc3b57aabe75d4631373d77a3a5958c28d911f4034a136f",
        size: None,
    },
    Release {
        version: "3.3.1",
        scala: "2.13",
        sha512: "d14d9cc97d1702649b33378f38060c4a6220850a3d7182d1af20e905cb98728e\
                 51f2aeec63121f5773a389d6b66891b7508e5d23584dd1a4e424825e3d54e3e0",
        size: Some(105_053_134),
    },
    Release {
        version: "3.3.2",
        scala: "2.13",
        sha512: "f56657105a67f6195c1d4795b5fb4a00fc5e2f5cce061d7f7a504063778187b3\
                 25c6fbe51d7c59f57cd7ef323a37d4c2c780c27a5609a2008852cbfa944287b3",
        size: None,
    },
    Release {
        version: "3.4.0",
        scala: "2.13",
        sha512: "2c405149c065627ce2125088dfcce0a4dc23aebaa72c1157736d5829cb5cbef2\
                 73c0915ec55d2d8ba38e5e0524f0720f43e07d7d677439cd2ac7bea618caa65b",
        size: None,
    },
    Release {
        version: "3.4.1",
        scala: "2.13",
        sha512: "875308e9b0a3597ea4a1088788f4040f257c3b825730572b038ede0fee3bc533\
                 6559f7ef0ab4d78b9512ac71385f84698180a2026ca81f1221ef65811bed6bce",
        size: None,
    },
    Release {
        version: "3.5.0",
        scala: "2.13",
        sha512: "7b79bd0844db683c06c3491955bb183d48a47fa4639d2e241b9f4ff4060c4b70\
                 814dac7d96bea87dffca0c8ae038278c4fabf68d4ea1194228d67d9c3b1d247c",
        size: None,
    },
    Release {
        version: "3.5.1",
        scala: "2.13",
        sha512: "b6ceb010a5fe1791843cbc53d34d35993e97e03f9518344b4b5bdf7146d0a4e8\
                 66cd2d4760cab319d8b3323a5bf53037a78fed88c9384381aea2cd0366877763",
        size: None,
    },
    Release {
        version: "3.5.2",
        scala: "2.13",
        sha512: "229ccc5e3e6b3b9845f59f6e829d70711c5a5a2293f32b6bcabc37350666f874\
                 bc7d8f08130f712a1b32915205c10f2847f04908c20d5f7fdb4b62d058c9defe",
        size: None,
    },
    Release {
        version: "3.6.0",
        scala: "2.13",
        sha512: "98d20f475bccc11eb3cf05362112c788eea7bfc88abddba66cfcfb48880d3bb9\
                 7918a90d44eb7c1720527bebca93dd231002b5159876f6ee8b7fcd91cc1b0644",
        size: None,
    },
    Release {
        version: "3.6.1",
        scala: "2.13",
        sha512: "1f063cd67463dd3bb5a5e06e7a1c2278db84bfc836a634fac7c9a005de66a42a\
                 c00b32f5e9bbdd22086605f73659efd4ce5bd1185196b02a743be0898daac55d",
        size: None,
    },
    Release {
        version: "3.6.2",
        scala: "2.13",
        sha512: "e5d5935df6e687898e71e583e8ea376275c6fbac2e7872e78f7c55ab25284855\
                 82362e3778678600c5368384437c1da6b3d612a748917f4b294c06ea160173ee",
        size: None,
    },
    Release {
        version: "3.7.0",
        scala: "2.13",
        sha512: "b8679283a2d8dab86e7c636b2c688fe9d9e64ac437241f65ef7a1733f4d26a2b\
                 d415eefa04f09f1911373bcd2a5dbc3838c76347f68656425c09202cd290ce91",
        size: None,
    },
    Release {
        version: "3.7.1",
        scala: "2.13",
        sha512: "78e985235d245ba9e2951a82e723a62b8aba8b74a2c8376f7271906af715a36d\
                 e9142c446096f13fd4bff3a4c10f1d080eb924e91e2256ec2db779906fd6737d",
        size: None,
    },
    Release {
        version: "3.8.0",
        scala: "2.13",
        sha512: "0a33b7be7b6fa53249ba80f9d02cda71ed81927c160aa6ee9be1e3d3c1c4b504\
                 66ffc905293143fd88ceac7f5e7d8f5bec28ef972addd3c459cc8b1291e738aa",
        size: None,
    },
    Release {
        version: "3.8.1",
        scala: "2.13",
        sha512: "b43fada353b7dca51c0f90acf594ec1ce06b2344c046d4059d4deab0615e0e3e\
                 76e92eccdbdfa1adad1fbde76c5f25e71acd0db013fb4b1778827448b5285edf",
        size: None,
    },
    Release {
        version: "3.9.0",
        scala: "2.13",
        sha512: "5324c1f44d4c84ea469712c2cc3d2d15545c3716edbb5353722df9c661fcc78b\
                 031fcf07d1c4f0309c5fdb32686665dfb0cffe55210cd3a1fe2a370538cb4e6d",
        size: None,
    },
    Release {
        version: "3.9.1",
        scala: "2.13",
        sha512: "1ea204ba73411737a275429ca976d440f007ff0957b90b19be41dc5a4bae5261\
                 7267769be9f0b5791714d0b3c4c760605bd426faea39edd90763585523fa2cfe",
        size: None,
    },
];

/// What is known of a release.
pub fn known(version: &str, scala: &str) -> Option<&'static Release> {
    KNOWN.iter().find(|release| release.version == version && release.scala == scala)
}

/// The versions that are known, for people.
pub fn known_names() -> String {
    let names: Vec<&str> = KNOWN.iter().map(|release| release.version).collect();
    format!("{} for Scala {}", names.join(", "), KNOWN.first().map_or("", |release| release.scala))
}

/// Where a release is when the inventory does not say. `downloads.apache.org` and `dlcdn` carry
/// the newest releases only; the archive carries all of them.
pub fn default_sources(version: &str, scala: &str) -> Vec<Source> {
    let url =
        format!("https://archive.apache.org/dist/kafka/{version}/kafka_{scala}-{version}.tgz");
    vec![Source::Url(url)]
}

/// A checksum file of a few names has a few hundred bytes.
pub const CHECKSUM_FILE_BYTES_MAX: usize = 64 * 1024;

/// The SHA-512 that a checksum file gives for `file_name`, as 128 lower-case hex digits.
///
/// Read are the shapes of coreutils (`HEX  NAME`, `HEX *NAME`), BSD (`SHA512 (NAME) = HEX`), gpg
/// (`NAME: ` and groups of hex over several lines) and the digest alone. Where names are given, the
/// digest counts for its own name only.
pub fn digest_in(text: &str, file_name: &str) -> Result<String, String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('<') {
        return Err("it is a page, not a checksum file".to_owned());
    }
    // Some projects head their files with `# SHA-512`.
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let bare: String = lines.clone().flat_map(str::split_whitespace).collect();
    if is_hex(&bare) {
        return sha512(&bare);
    }
    let mut named: Vec<(String, String)> = Vec::new();
    let mut lines = lines.filter(|line| !line.trim().is_empty()).peekable();
    while let Some(line) = lines.next() {
        let (name, digest) = if let Some(named) = bsd(line).or_else(|| coreutils(line)) {
            named
        } else if let Some((name, first)) = gpg(line) {
            // The name ends at the first `: `: it may well hold hex digits itself.
            let mut digest = first;
            while let Some(more) = lines.next_if(|next| next.starts_with([' ', '\t'])) {
                digest.extend(more.split_whitespace());
            }
            (name, digest)
        } else {
            return Err(format!("it has a line of no known shape: `{}`", shorten(line)));
        };
        named.push((name, digest));
    }
    let mut digests: Vec<&str> = named
        .iter()
        .filter(|(name, _)| name.rsplit('/').next() == Some(file_name))
        .map(|(_, digest)| digest.as_str())
        .collect();
    digests.dedup_by(|left, right| left.eq_ignore_ascii_case(right));
    match digests.as_slice() {
        [digest] => sha512(digest),
        [] => {
            let names: Vec<&str> = named.iter().map(|(name, _)| name.as_str()).take(3).collect();
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            Err(format!("it is about {}, not {file_name}", shorten(&names)))
        }
        _ => Err(format!("it has several digests for {file_name}")),
    }
}

/// `SHA512 (NAME) = HEX`
fn bsd(line: &str) -> Option<(String, String)> {
    let rest = line.trim().strip_prefix("SHA512")?.trim_start().strip_prefix('(')?;
    let (name, digest) = rest.rsplit_once(')')?;
    Some((name.to_owned(), digest.trim_start().strip_prefix('=')?.trim().to_owned()))
}

/// `HEX  NAME`, or `HEX *NAME` for binary mode.
fn coreutils(line: &str) -> Option<(String, String)> {
    let (digest, name) = line.trim_end().split_once([' ', '\t'])?;
    let name = name.trim_start().trim_start_matches('*');
    // Shorter words may be hex by accident; a digest of another kind is reported as such later.
    (digest.len() >= 32 && is_hex(digest) && !name.is_empty())
        .then(|| (name.to_owned(), digest.to_owned()))
}

/// `NAME: HEXHEXHE HEXHEXHE …`, where all of it may also begin on the next line.
fn gpg(line: &str) -> Option<(String, String)> {
    let (name, groups) = match line.split_once(": ") {
        Some(parts) => parts,
        None => (line.trim_end().strip_suffix(':')?, ""),
    };
    let digest: String = groups.split_whitespace().collect();
    ((is_hex(&digest) || digest.is_empty()) && !name.starts_with([' ', '\t']))
        .then(|| (name.to_owned(), digest))
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn sha512(digest: &str) -> Result<String, String> {
    if is_hex(digest) && digest.len() == 128 {
        return Ok(digest.to_ascii_lowercase());
    }
    Err(format!("its digest has {} hex digits where a SHA-512 has 128", digest.len()))
}

fn shorten(text: &str) -> String {
    let short: String = text.trim().chars().take(60).collect();
    short.escape_debug().to_string()
}
