//! Why there was no login: what OpenSSH logs, and what the other side or a host on the way says of its own
//! accord, in words that tell what to do.

use std::path::Path;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::inventory::SshTarget;

/// Banners are a few lines; what is longer is not read to its end.
const WORDS_BYTES_MAX: u64 = 8 << 10;
const WORDS_LINES_MAX: usize = 8;

/// Why there was no login.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) failure: Failure,
    /// May pass by itself: worth another attempt.
    pub(super) passing: bool,
    /// The other side was silent while it let somebody in: it may only be slow.
    pub(super) slow: bool,
}

impl Refused {
    pub(super) fn for_good(cause: String) -> Self {
        Self { failure: Failure::new(Exit::Unreachable, cause), passing: false, slow: false }
    }

    /// With what the other side, or a host on the way, has said of its own accord.
    pub(super) fn with_words(mut self, words: &str, log: &str) -> Self {
        let told = &self.failure.cause;
        let lines = words.lines().chain(log.lines()).map(str::trim);
        let mut said: Vec<&str> = Vec::new();
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with("debug")) {
            if !said.contains(&line) && !told.contains(line) && said.len() < WORDS_LINES_MAX {
                said.push(line);
            }
        }
        if !said.is_empty() {
            self.failure.cause =
                format!("{told}\n    the other side said:\n    {}", said.join("\n    "));
        }
        self
    }

    /// What ssh's log says, in words that tell what to do.
    pub(super) fn understand(target: &SshTarget, log: &str) -> Self {
        let said: Vec<&str> = log
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with("debug"))
            .collect();
        let last = said.last().copied().unwrap_or("ssh ended without a word");
        let key = host_key(log).unwrap_or("unknown");
        let at = &target.host;
        let has = |text: &str| said.iter().any(|line| line.contains(text));
        if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            let file = said.iter().find_map(|line| line.strip_prefix("Offending "));
            let file = file.map(|line| format!(" ({line})")).unwrap_or_default();
            let mut refused = Self::for_good(format!(
                "the host key of `{at}` has CHANGED, it now shows {key}{file}; nothing was sent"
            ));
            refused.failure = refused.failure.hint(format!(
                "if the host was really reinstalled, compare the fingerprint on its console, \
                 then `ssh-keygen -R {at}`"
            ));
            return refused;
        }
        if has("Host key verification failed") || has("host key is known") {
            let mut refused =
                Self::for_good(format!("the host key of `{at}` is not known: it shows {key}"));
            refused.failure = refused.failure.hint(
                "compare the fingerprint with the host's console, then log in once with `ssh`, or \
                 use --accept-new-host-keys",
            );
            return refused;
        }
        if has("Permission denied (") {
            let mut refused = Self::for_good(format!("login refused: {last}"));
            refused.failure = refused.failure.hint(
                "is this the right user, and is the key in the agent or named as \
                 `ssh.identity_file`? keys that need a passphrase must be in the agent",
            );
            return refused;
        }
        let passing = [
            "kex_exchange_identification",
            "Connection closed by",
            "Connection reset by",
            "banner exchange",
        ]
        .iter()
        .any(|text| has(text));
        let slow = has(" timed out") && log.contains("SSH2_MSG_SERVICE_ACCEPT received");
        Self { passing: passing || slow, slow, ..Self::for_good(format!("cannot connect: {last}")) }
    }
}

/// What ssh said to a person, up to its first page.
pub(super) fn read_words(path: &Path) -> String {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.take(WORDS_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The end of a log.
pub(super) fn read_words_end(path: &Path) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut bytes = Vec::new();
    if let Ok(mut file) = std::fs::File::open(path) {
        let length = file.metadata().map_or(0, |data| data.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(WORDS_BYTES_MAX)));
        let _ = file.take(WORDS_BYTES_MAX).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `TYPE SHA256:…` of the key the server showed.
pub(super) fn host_key(log: &str) -> Option<&str> {
    log.lines().find_map(|line| line.split_once("Server host key: ")).map(|(_, key)| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> SshTarget {
        SshTarget {
            host: "10.9.9.9".into(),
            port: None,
            user: None,
            identity_file: None,
            config: None,
            connect_timeout_ms: 1000,
        }
    }

    #[test]
    fn what_ssh_logs_becomes_what_to_do() {
        let say = |log: &str| {
            let refused = Refused::understand(&target(), log);
            (refused.failure.to_string(), refused.passing)
        };
        let changed = "debug1: Server host key: ssh-ed25519 SHA256:new\n\
            @ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\n\
            Offending ED25519 key in /root/.ssh/known_hosts:3\n\
            Host key verification failed.\r\n";
        let (text, passing) = say(changed);
        assert!(text.contains("CHANGED, it now shows ssh-ed25519 SHA256:new"), "{text}");
        assert!(text.contains("ED25519 key in /root/.ssh/known_hosts:3"), "{text}");
        assert!(!passing);

        let unknown = "debug1: Server host key: ssh-ed25519 SHA256:abc\n\
            No ED25519 host key is known for 10.9.9.9 and you have requested strict checking.\n\
            Host key verification failed.\n";
        assert!(say(unknown).0.contains("is not known: it shows ssh-ed25519 SHA256:abc"));

        let dropped = "kex_exchange_identification: Connection closed by remote host\n\
            Connection closed by 10.9.9.9 port 22\n";
        assert!(say(dropped).1, "the server may have had too many at once");

        let silent =
            "debug1: SSH2_MSG_SERVICE_ACCEPT received\nConnection to 10.9.9.9 port 22 timed out\n";
        assert!(Refused::understand(&target(), silent).slow, "a directory may take its time");
        assert!(!Refused::understand(&target(), "Connection timed out\n").slow, "nobody is there");

        let banner = "ops only\nSystem is going down. Unprivileged users are not permitted to log in anymore.\n";
        let log = "debug1: x\nPermission denied (publickey).\n";
        let told = Refused::understand(&target(), log).with_words(banner, log).failure.to_string();
        assert!(
            told.contains("the other side said:\n    ops only\n    System is going down."),
            "{told}"
        );
        assert_eq!(told.matches("Permission denied").count(), 1, "{told}");

        let (text, passing) = say("ssh: connect to host 10.9.9.9 port 22: No route to host\r\n");
        assert!(text.contains("No route to host") && !passing, "{text}");
    }
}
