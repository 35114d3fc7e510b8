//! One value at a time: text to what it strictly says, or why it says nothing.

use crate::inventory::source::{Sha512, Source};

/// Why a value is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub message: String,
    pub hint: Option<String>,
}

fn wrong<T>(message: impl Into<String>, hint: impl Into<String>) -> Result<T, Wrong> {
    Err(Wrong { message: message.into(), hint: Some(hint.into()) })
}

/// Plain decimal digits, nothing else: no sign, no leading zero, no `0x`, no `1_000`, no quotes.
pub fn number(text: &str, plain: bool, min: u64, max: u64) -> Result<u64, Wrong> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !plain {
        let hint = if digits { "take the quotes away" } else { "write it in plain decimal digits" };
        return wrong(format!("`{text}` is text, not a number"), hint);
    }
    if !digits {
        let hint = match text.strip_suffix(".0").or_else(|| text.strip_prefix('+')) {
            Some(rest) if rest.bytes().all(|b| b.is_ascii_digit()) => format!("write {rest}"),
            _ => "write it in plain decimal digits".to_owned(),
        };
        return wrong(format!("`{text}` is not a plain decimal number"), hint);
    }
    if text.len() > 1 && text.starts_with('0') {
        let decimal = text.trim_start_matches('0');
        return wrong(
            format!("`{text}` begins with a zero, which some read as octal"),
            format!("write {}", if decimal.is_empty() { "0" } else { decimal }),
        );
    }
    match text.parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(number),
        _ => wrong(format!("{text} is out of range"), format!("from {min} to {max}")),
    }
}

/// `true` or `false`; the other words some YAML readers take for them are refused.
pub fn boolean(text: &str, plain: bool) -> Result<bool, Wrong> {
    match (text, plain) {
        ("true", true) => Ok(true),
        ("false", true) => Ok(false),
        _ => {
            let hint = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "true" | "1" => "write true",
                "no" | "off" | "n" | "false" | "0" => "write false",
                _ => "write true or false",
            };
            wrong(format!("`{text}` is neither true nor false"), hint)
        }
    }
}

pub fn choice(text: &str, choices: &[&str]) -> Result<(), Wrong> {
    if choices.contains(&text) {
        return Ok(());
    }
    let hint = match text.to_ascii_lowercase().as_str() {
        "no" | "off" | "false" if choices.contains(&"none") => "write none".to_owned(),
        _ => format!("one of: {}", choices.join(", ")),
    };
    wrong(format!("`{text}` is not one of its values"), hint)
}

/// Names of hosts and of the ensemble go into file names, reports and commands.
pub fn name(text: &str) -> Result<(), Wrong> {
    let good = text.len() <= 63
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if good {
        return Ok(());
    }
    wrong(
        format!("`{}` cannot be a name", text.escape_debug()),
        "up to 63 letters, digits, `.`, `_` and `-`, beginning with a letter or digit",
    )
}

pub fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Anything ssh takes for a destination, but never an option.
pub fn ssh_host(text: &str) -> Result<(), Wrong> {
    if text.is_empty()
        || text.starts_with('-')
        || !text.chars().all(|c| in_destination(c) || c == '@')
    {
        return wrong(
            format!("`{}` is no host", text.escape_debug()),
            "an address, a name, or a `Host` of the ssh configuration: letters, digits, `.`, `_`, `-`, `:` and `%`",
        );
    }
    if text.contains('@') {
        return wrong(format!("`{text}` has a user in it"), "write `ssh: { user: …, host: … }`");
    }
    if let Some((host, port)) = text.rsplit_once(':')
        && !host.contains(':')
        && port.bytes().all(|b| b.is_ascii_digit())
    {
        return wrong(
            format!("`{text}` has a port in it"),
            format!("write `ssh: {{ host: {host}, port: {port} }}`"),
        );
    }
    Ok(())
}

/// What a destination is made of. A `ProxyCommand` of the user's hands it to a shell as `%h` and `%r`, and
/// OpenSSH before 9.6 lets everything through: what means something to a shell is none of it. The brackets
/// are an IPv6 address's, the percent sign its zone's.
fn in_destination(c: char) -> bool {
    c.is_alphanumeric() || "._-:[]%/+=,".contains(c)
}

pub fn user(text: &str) -> Result<(), Wrong> {
    // `DOMAIN\\user` is no danger by itself, and a shell would eat its backslash.
    if text.is_empty()
        || text.starts_with('-')
        || !text.chars().all(|c| c.is_alphanumeric() || "._-+@%=".contains(c))
    {
        return wrong(
            format!("`{}` is no user name", text.escape_debug()),
            "a login name: letters, digits, `.`, `_`, `-`, `+` and `@`",
        );
    }
    Ok(())
}

/// `3.3.1`, `2.13`.
pub fn version(text: &str) -> Result<(), Wrong> {
    let part = |part: &str| {
        !part.is_empty() && part.len() <= 4 && part.bytes().all(|b| b.is_ascii_digit())
    };
    let parts = text.split('.').count();
    if (2..=4).contains(&parts) && text.split('.').all(part) {
        return Ok(());
    }
    wrong(format!("`{text}` is not a version"), "such as 3.3.1 (Kafka) or 2.13 (Scala)")
}

/// `10s`, `500ms`, `1m`: from one millisecond to an hour.
pub fn duration_ms(text: &str) -> Result<u64, Wrong> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "" => {
            return wrong(
                format!("`{text}` has no unit"),
                format!("write {text}s for seconds, or {text}ms"),
            );
        }
        _ => return wrong(format!("`{text}` is no duration"), "such as 10s, 500ms or 1m"),
    };
    let number = number(digits, true, 1, 3_600_000)?;
    let duration_ms = number * factor;
    if duration_ms > 3_600_000 {
        return wrong(format!("{text} is too long"), "an hour at most");
    }
    Ok(duration_ms)
}

/// A path on this machine.
pub fn path(text: &str) -> Result<(), Wrong> {
    if text.is_empty() || text.chars().any(char::is_control) {
        return wrong(
            format!("`{}` is no path", text.escape_debug()),
            "relative paths start at the inventory's folder",
        );
    }
    if text.starts_with('~') && !text.starts_with("~/") {
        return wrong(
            format!("`{text}` cannot be resolved"),
            "only `~/` is known: your own home folder",
        );
    }
    if text.contains("://") {
        return wrong(format!("`{text}` is a URL"), "a path on this machine is needed here");
    }
    Ok(())
}

/// Folders a service must not be given, themselves: ownership is changed there, and `destroy
/// --purge-data` deletes them. What lies below may be its own.
const SHARED_FOLDERS: [&str; 8] =
    ["/", "/media", "/mnt", "/opt", "/srv", "/usr/local", "/var/lib", "/var/log"];

/// Folders of the system and of people, with everything below. `/home`, `/root` and the two for temporary
/// files are hidden from the service by its unit.
const SYSTEM_TREES: [&str; 22] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/home",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/lost+found",
    "/nix",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/snap",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/opt/containerd",
    "/efi",
];

/// Where a folder of one's own is usual inside of [`SYSTEM_TREES`], below a name that is none of these.
const OWN_PLACES: [(&str, &[&str]); 3] = [
    (
        "/usr/local",
        &[
            "bin", "etc", "games", "include", "lib", "lib64", "libexec", "man", "sbin", "share",
            "src",
        ],
    ),
    (
        "/var/lib",
        &[
            "NetworkManager",
            "apt",
            "cloud",
            "containerd",
            "containers",
            "dbus",
            "dhcp",
            "dnf",
            "docker",
            "dpkg",
            "etcd",
            "flatpak",
            "git",
            "kubelet",
            "libvirt",
            "lxc",
            "lxd",
            "misc",
            "mysql",
            "pam",
            "polkit-1",
            "postgresql",
            "private",
            "python",
            "rpm",
            "selinux",
            "snapd",
            "sudo",
            "systemd",
            "ucf",
            "update-notifier",
            "usbutils",
            "xfsdump",
            "zkprov",
        ],
    ),
    ("/var/log", &["apt", "audit", "installer", "journal", "private", "sa", "sysstat"]),
];

/// An absolute path on a host, in its shortest spelling, safe in a properties file, a unit and a script.
pub fn remote_path(text: &str) -> Result<(), Wrong> {
    if !text.starts_with('/') {
        return wrong(
            format!("`{}` is not absolute", text.escape_debug()),
            "a path on the hosts begins with `/`",
        );
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@".contains(&b)) {
        return wrong(
            format!(
                "`{}` has characters that do not survive a unit or a properties file",
                text.escape_debug()
            ),
            "letters, digits, `.`, `_`, `-`, `+` and `@`",
        );
    }
    if text.len() > 1 && text[1..].split('/').any(|part| matches!(part, "" | "." | "..")) {
        return wrong(
            format!("`{text}` is not in its shortest spelling"),
            "without `//`, `.`, `..` and a final `/`",
        );
    }
    Ok(())
}

/// A data directory: a remote path of the service's own.
pub fn own_folder(text: &str) -> Result<(), Wrong> {
    let below = |top: &str| text.strip_prefix(top).and_then(|rest| rest.strip_prefix('/'));
    let own = OWN_PLACES.iter().any(|(place, taken)| {
        below(place)
            .is_some_and(|rest| !taken.contains(&rest.split('/').next().unwrap_or_default()))
    });
    let system = SYSTEM_TREES.iter().any(|top| text == *top || below(top).is_some());
    if SHARED_FOLDERS.contains(&text) || (system && !own) {
        return wrong(
            format!("`{text}` belongs to the system"),
            "the service gets this folder for its own; take one such as /data/zookeeper",
        );
    }
    Ok(())
}

/// A URL or a path.
pub fn source(text: &str) -> Result<(), Wrong> {
    match text.split_once("://") {
        Some(("http" | "https", rest))
            if !rest.is_empty() && !text.chars().any(char::is_whitespace) =>
        {
            Ok(())
        }
        Some(("file", rest)) if rest.starts_with('/') => Ok(()),
        Some(("file", _)) => wrong(format!("`{text}` names a host"), "write file:///absolute/path"),
        Some(("http" | "https", _)) => wrong(
            format!("`{}` is no URL", text.escape_debug()),
            "such as https://mirror.example/kafka.tgz",
        ),
        Some((scheme, _)) => wrong(
            format!("`{scheme}://` is not supported"),
            "https://, http://, file:/// or a path",
        ),
        None => path(text),
    }
}

/// A digest as such, or where a checksum file is. Paths are left as written.
pub fn sha512(text: &str) -> Result<Sha512, Wrong> {
    let hex = text.len() >= 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if hex && text.len() == 128 {
        return Ok(Sha512::Digest(text.to_ascii_lowercase()));
    }
    if hex {
        let what = match text.len() {
            32 => " (an MD5 has 32)",
            40 => " (a SHA-1 has 40)",
            64 => " (a SHA-256 has 64)",
            _ => "",
        };
        return wrong(
            format!("{} hex digits are not a SHA-512{what}", text.len()),
            "a SHA-512 has 128; Apache publishes it beside the tarball as `….tgz.sha512`",
        );
    }
    source(text)?;
    Ok(Sha512::File(located(text)))
}

/// A source as written; `file://` is a path.
pub fn located(text: &str) -> Source {
    match text.strip_prefix("file://") {
        Some(path) => Source::File(path.into()),
        None if text.contains("://") => Source::Url(text.to_owned()),
        None => Source::File(text.into()),
    }
}

/// Java's own way to write a size.
pub fn heap(text: &str) -> Result<(), Wrong> {
    let digits = text.strip_suffix(['k', 'm', 'g', 'K', 'M', 'G']);
    match digits {
        Some(digits) if number(digits, true, 1, 1_048_576).is_ok() => Ok(()),
        _ => wrong(format!("`{text}` is no size of a heap"), "such as 512M or 2G"),
    }
}
