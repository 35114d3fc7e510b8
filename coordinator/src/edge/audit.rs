//! The audit log's thread: adds the time to lines, writes them to a file that is kept within bounds,
//! or to stderr.
//!
//! Nobody waits for it. Lines that cannot be written, or that come faster than they are written,
//! are lost, counted, and told of in the server's log and, when writing works again, in their place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::event_loop::wall_ms;
use super::logging::{Logger, date_time};
use crate::config::AuditConfig;

/// Lines that are not written yet, in bytes: more than these are lost.
const QUEUE_BYTES_MAX: usize = 8 << 20;
/// So long the end of the process waits for the last lines.
const END_WAITS: Duration = Duration::from_secs(3);

/// What both ends see.
#[derive(Default)]
struct Shared {
    queued: AtomicUsize,
    lost: AtomicU64,
}

/// The end that the server's thread holds. Dropping it ends the thread.
pub(super) struct AuditLog {
    shared: Arc<Shared>,
    sender: Sender<(i64, String)>,
}

/// Tells when the thread has ended.
pub(super) struct AuditEnd(Receiver<()>);

impl AuditEnd {
    /// Waits for the last lines, for a while.
    pub(super) fn wait(self) {
        // An error is the end of the thread, which says nothing else.
        let _ = self.0.recv_timeout(END_WAITS);
    }
}

impl AuditLog {
    pub(super) fn start(
        config: &AuditConfig,
        account: &str,
        logger: Logger,
    ) -> Result<(Self, AuditEnd), String> {
        let sink = match &config.file {
            None => Sink::Stderr,
            Some(path) => Sink::File(
                LogFile::open(path, config.file_bytes_max, config.files_kept)
                    .map_err(|error| cannot(path, &error))?,
            ),
        };
        let shared = Arc::new(Shared::default());
        let (sender, lines) = channel();
        let (ending, ended) = channel();
        let mut writer = Writer { sink, shared: shared.clone(), told: 0, gap: 0, logger };
        let account = account.to_owned();
        std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || {
                let own = |operation, result| {
                    format!("Iuser={account}\toperation={operation}\tresult={result}\n")
                };
                writer.write(wall_ms(), &own("serverStart", "success"));
                for (time_ms, lines) in lines {
                    let lines: String = lines;
                    writer.shared.queued.fetch_sub(lines.len(), Ordering::Relaxed);
                    writer.write(time_ms, &lines);
                }
                writer.write(wall_ms(), &own("serverStop", "invoked"));
                drop(ending);
            })
            .map_err(|error| format!("cannot start the audit log's thread: {error}"))?;
        Ok((AuditLog { shared, sender }, AuditEnd(ended)))
    }

    /// Takes lines over, if there is room for them.
    pub(super) fn tell(&self, lines: String) {
        let bytes = lines.len();
        let before = self.shared.queued.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > QUEUE_BYTES_MAX && before > 0 {
            self.shared.queued.fetch_sub(bytes, Ordering::Relaxed);
            self.shared.lost.fetch_add(count(&lines), Ordering::Relaxed);
            return;
        }
        // The thread lives as long as this sender.
        let _ = self.sender.send((wall_ms(), lines));
    }

    /// Lines that were never written.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }
}

fn count(lines: &str) -> u64 {
    lines.bytes().filter(|&byte| byte == b'\n').count() as u64
}

fn cannot(path: &Path, error: &io::Error) -> String {
    format!(
        "cannot write the audit log {}: {error}; look at its folder's owner and space \
         (coordinator.auditFile)",
        path.display()
    )
}

struct Writer {
    sink: Sink,
    shared: Arc<Shared>,
    /// So many lost lines were told of in the server's log.
    told: u64,
    /// So many are told of in the audit log.
    gap: u64,
    logger: Logger,
}

enum Sink {
    Stderr,
    File(LogFile),
}

impl Writer {
    fn write(&mut self, time_ms: i64, lines: &str) {
        let mut text = String::with_capacity(lines.len() * 2);
        let time = date_time(time_ms, ' ', ',');
        let mut put = |line: &str| {
            let (level, line) = match line.strip_prefix('E') {
                Some(line) => ("ERROR", line),
                None => ("INFO", line.strip_prefix('I').unwrap_or(line)),
            };
            for part in [&time, " ", level, " audit.Slf4jAuditLogger: ", line, "\n"] {
                text.push_str(part);
            }
        };
        let lost = self.shared.lost.load(Ordering::Relaxed);
        if lost > self.gap {
            let missing = lost - self.gap;
            put(&format!("Eoperation=auditLinesLost\tcount={missing}\tresult=failure"));
        }
        lines.lines().for_each(&mut put);
        let written = match &mut self.sink {
            Sink::Stderr => io::stderr().lock().write_all(text.as_bytes()),
            Sink::File(file) => file.append(text.as_bytes()),
        };
        match written {
            Ok(()) => {
                if lost > self.told {
                    self.logger.error(&format!(
                        "the audit log has lost {lost} lines since the start: it is slow or was full"
                    ));
                    self.told = lost;
                }
                self.gap = lost;
            }
            Err(error) => self.failed(&error, count(lines)),
        }
    }

    /// Said at once, and again whenever twice as much is lost.
    fn failed(&mut self, error: &io::Error, lines: u64) {
        let lost = self.shared.lost.fetch_add(lines, Ordering::Relaxed) + lines;
        if lost < 2 * self.told {
            return;
        }
        self.told = lost;
        let why = match &self.sink {
            Sink::Stderr => format!("cannot write the audit log to stderr: {error}"),
            Sink::File(file) => cannot(&file.path, error),
        };
        self.logger.error(&format!("{why}; {lost} lines are lost since the start"));
    }
}

/// A file, and the full ones before it: `.1` is the newest of them.
struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
    kept: u32,
}

impl LogFile {
    fn open(path: &Path, bytes_max: u64, kept: u32) -> io::Result<Self> {
        let file = create(path)?;
        let bytes = file.metadata()?.len();
        Ok(LogFile { path: path.to_owned(), file, bytes, bytes_max, kept })
    }

    /// All of it or nothing, so that lines stay whole.
    fn append(&mut self, text: &[u8]) -> io::Result<()> {
        self.follow()?;
        if self.bytes > 0 && self.bytes + text.len() as u64 > self.bytes_max {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(text) {
            // Where even this fails the next line begins in the middle of one; it is still told.
            let _ = self.file.set_len(self.bytes);
            return Err(error);
        }
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Somebody may have moved the file away (`logrotate`): a new one is begun.
    fn follow(&mut self) -> io::Result<()> {
        let own = self.file.metadata()?;
        let same = fs::symlink_metadata(&self.path)
            .is_ok_and(|there| (there.dev(), there.ino()) == (own.dev(), own.ino()));
        if same { Ok(()) } else { self.begin() }
    }

    fn rotate(&mut self) -> io::Result<()> {
        for number in (1..self.kept).rev() {
            match fs::rename(self.numbered(number), self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.numbered(1))?;
        self.begin()
    }

    fn begin(&mut self) -> io::Result<()> {
        self.file = create(&self.path)?;
        self.bytes = self.file.metadata()?.len();
        Ok(())
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }
}

/// Who changed what is for the service's account and its group alone. A link is not followed.
fn create(path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits() as i32;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(no_follow)
        .open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// The name of the account that runs this process, or its number.
pub(super) fn account() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let accounts = fs::read("/etc/passwd").unwrap_or_default();
    let accounts = String::from_utf8_lossy(&accounts);
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, number) = (fields.next()?, fields.next()?, fields.next()?);
        (number.parse() == Ok(uid)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| uid.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("audit-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn files_stay_within_their_bounds() {
        let folder = folder("bounds");
        let path = folder.join("audit.log");
        let mut file = LogFile::open(&path, 100, 2).unwrap();
        for n in 0..10 {
            file.append(format!("{n}{}\n", "x".repeat(38)).as_bytes()).unwrap();
        }
        let first = |path: PathBuf| fs::read_to_string(path).unwrap()[..1].to_owned();
        assert_eq!(first(path.clone()), "8");
        assert_eq!(first(file.numbered(1)), "6");
        assert_eq!(first(file.numbered(2)), "4");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 3);
        // Moved away by somebody else.
        fs::rename(&path, folder.join("taken")).unwrap();
        file.append(b"next\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"next\n");
        // A link is not followed.
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(folder.join("taken"), &path).unwrap();
        assert!(file.append(b"next\n").is_err());
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_lost_is_counted_and_told_where_it_is_missing() {
        let folder = folder("lost");
        let path = folder.join("audit.log");
        let file = LogFile::open(&path, 1 << 20, 1).unwrap();
        let shared = Arc::new(Shared::default());
        let logger = Logger::from_environment();
        let mut writer =
            Writer { sink: Sink::File(file), shared: shared.clone(), told: 0, gap: 0, logger };
        writer.write(0, "Ifirst\n");
        let full = File::open("/dev/full").unwrap();
        let Sink::File(file) = &mut writer.sink else { unreachable!() };
        let sound = std::mem::replace(&mut file.file, full);
        // Its own name leads elsewhere now: the file is opened again, unless that fails.
        fs::rename(&path, folder.join("kept")).unwrap();
        fs::create_dir(&path).unwrap();
        writer.write(0, "Isecond\nIthird\n");
        assert_eq!(shared.lost.load(Ordering::Relaxed), 2);
        fs::remove_dir(&path).unwrap();
        fs::rename(folder.join("kept"), &path).unwrap();
        let Sink::File(file) = &mut writer.sink else { unreachable!() };
        file.file = sound;
        writer.write(0, "Efourth\n");
        let text = fs::read_to_string(&path).unwrap();
        let expected = "1970-01-01 00:00:00,000 INFO audit.Slf4jAuditLogger: first\n\
             1970-01-01 00:00:00,000 ERROR audit.Slf4jAuditLogger: \
             operation=auditLinesLost\tcount=2\tresult=failure\n\
             1970-01-01 00:00:00,000 ERROR audit.Slf4jAuditLogger: fourth\n";
        assert_eq!(text, expected);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn nobody_waits_for_a_log_that_is_not_read() {
        let (sender, _lines) = channel();
        let log = AuditLog { shared: Arc::default(), sender };
        let lines = "Ix\n".repeat(1 << 19);
        for _ in 0..20 {
            log.tell(lines.clone());
        }
        let room = QUEUE_BYTES_MAX / lines.len();
        assert_eq!(log.lost(), (20 - room as u64) << 19);
    }
}
