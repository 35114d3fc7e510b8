//! Facts about the process and its machine, asked of the system: nothing here is replicated.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::view::{DirectoriesView, ProcessView};

/// Clock ticks a second in `/proc`: Linux fixes it for user space.
const TICKS_PER_SECOND: u64 = 100;
/// Pages of all systems we build for; `/proc` counts memory in them.
const PAGE_BYTES: u64 = 4096;
/// Deep enough for any layout of ours; a link loop ends here.
const DIRECTORY_DEPTH_MAX: u32 = 8;

/// What `envi` shows beside the version, gathered once at the start.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    pub lines: Vec<(&'static str, String)>,
}

impl Environment {
    pub fn gather() -> Environment {
        let kernel = |name: &str| read_line(&format!("/proc/sys/kernel/{name}"));
        let directory = std::env::current_dir().unwrap_or_default();
        Environment {
            lines: vec![
                ("host.name", kernel("hostname")),
                ("coordinator.version", env!("CARGO_PKG_VERSION").to_owned()),
                ("os.name", kernel("ostype")),
                ("os.arch", std::env::consts::ARCH.to_owned()),
                ("os.version", kernel("osrelease")),
                ("user.name", user_name()),
                ("user.home", std::env::var("HOME").unwrap_or_default()),
                ("user.dir", directory.display().to_string()),
            ],
        }
    }
}

/// From the environment, else from the system's list of users: a unit's environment has no name.
fn user_name() -> String {
    let environment = ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    environment.unwrap_or_else(|| {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let uid =
            status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_whitespace().next());
        uid.and_then(|uid| user_of(uid, &passwd)).unwrap_or_default()
    })
}

/// `passwd` is in passwd(5)'s form.
fn user_of(uid: &str, passwd: &str) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

/// Reads what `/proc/self` knows; figures that are not there stay 0.
pub fn process() -> ProcessView {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold blanks: fields are counted from behind it.
    let fields: Vec<&str> =
        stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    // Numbers as in proc(5), where the state behind the name is field 3.
    let field = |number: usize| -> u64 {
        fields.get(number - 3).and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let resident_pages: u64 =
        statm.split(' ').nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let uptime_ms = read_line("/proc/uptime")
        .split(' ')
        .next()
        .and_then(|text| text.parse::<f64>().ok())
        .map_or(0, |seconds| (seconds * 1000.0) as i64);
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    let start_ms = now_ms - uptime_ms + (field(22) * 1000 / TICKS_PER_SECOND) as i64;
    ProcessView {
        open_files: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        max_files: max_files(),
        resident_bytes: resident_pages * PAGE_BYTES,
        cpu_ms: (field(14) + field(15)) * 1000 / TICKS_PER_SECOND,
        start_ms,
        threads: field(20),
    }
}

/// Bytes of all files under the two directories.
pub fn directories(data: &Path, log: &Path) -> DirectoriesView {
    DirectoriesView { data_bytes: size(data, 0), log_bytes: size(log, 0) }
}

fn size(path: &Path, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() && depth < DIRECTORY_DEPTH_MAX => {
            size(&entry.path(), depth + 1)
        }
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    });
    sizes.sum()
}

fn max_files() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn read_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n+\nkafka:x:998:997::/:/usr/sbin/nologin\n";
        assert_eq!(user_of("998", passwd).as_deref(), Some("kafka"));
        assert_eq!(user_of("997", passwd), None);
    }
}
