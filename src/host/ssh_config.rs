//! What ssh is told beside the user's own configuration, which always has the first word.

use std::io::Read as _;
use std::path::Path;

/// ssh's own default, with AES-GCM before the others: with instructions for it, it costs both ends of
/// a transfer a fraction of what the one takes that ssh prefers.
const AES_FIRST: &str = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,\
                         chacha20-poly1305@openssh.com,aes128-ctr,aes192-ctr,aes256-ctr";

/// A configuration that reads `extra` first, then what ssh would have read without it, and prefers
/// AES where none of them names ciphers and `aes` is quick.
pub(super) fn written(extra: Option<&Path>, aes: bool) -> String {
    let extra = extra.map(|extra| format!("Include \"{}\"\nMatch all\n", extra.display()));
    let theirs = "Include ~/.ssh/config\nMatch all\nInclude /etc/ssh/ssh_config\n";
    let ours = aes.then(|| format!("Match all\nCiphers {AES_FIRST}\n"));
    extra.unwrap_or_default() + theirs + &ours.unwrap_or_default()
}

/// Whether ssh does not know one of the ciphers it was told to prefer (a FIPS build has but those of AES).
pub(super) fn ciphers_refused(log: &str) -> bool {
    log.contains("Bad SSH2 cipher spec") && log.contains(AES_FIRST)
}

/// Whether this machine has instructions for AES. Its hosts will, then: who has none is slower by it,
/// and works.
pub(super) fn has_aes() -> bool {
    // The first processor's entry is within the first few KiB.
    let mut start = Vec::new();
    let read = std::fs::File::open("/proc/cpuinfo")
        .and_then(|file| file.take(8 << 10).read_to_end(&mut start));
    read.is_ok() && names_aes(&String::from_utf8_lossy(&start))
}

fn names_aes(cpuinfo: &str) -> bool {
    cpuinfo
        .lines()
        .find(|line| line.starts_with("flags") || line.starts_with("Features"))
        .is_some_and(|line| line.split_whitespace().any(|flag| flag == "aes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_words_come_before_ours() {
        let text = written(Some(Path::new("/x y/ssh_config")), true);
        let (theirs, ours) = text.split_once("Match all\nCiphers ").expect("a preference");
        assert_eq!(
            theirs,
            "Include \"/x y/ssh_config\"\nMatch all\nInclude ~/.ssh/config\nMatch all\n\
             Include /etc/ssh/ssh_config\n"
        );
        assert!(ours.starts_with("aes128-gcm@openssh.com,") && ours.contains("chacha20"), "{ours}");
        assert!(!written(None, false).contains("Ciphers"));
    }

    #[test]
    fn only_our_own_ciphers_are_given_up() {
        let line = |ciphers| format!("/tmp/zkp/0-1.conf line 4: Bad SSH2 cipher spec '{ciphers}'.");
        assert!(ciphers_refused(&line(AES_FIRST)));
        assert!(!ciphers_refused(&line("des-ede9")));
    }

    #[test]
    fn a_processor_says_whether_it_has_aes() {
        assert!(names_aes("processor : 0\nflags\t\t: fpu aes avx\n\nprocessor : 1\n"));
        assert!(names_aes("Features\t: fp asimd aes pmull\n"));
        assert!(!names_aes("flags\t\t: fpu vaes\n"));
        assert!(!names_aes(""));
    }
}
