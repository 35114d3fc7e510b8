//! Log lines on stderr: time, level, text. `RUST_LOG` sets the level (`error`, `warn`, `info`,
//! `debug`).

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::node::Level;

/// What is worth a line.
#[derive(Debug, Clone, Copy)]
pub struct Logger {
    level: Level,
}

impl Logger {
    pub fn from_environment() -> Self {
        let level =
            match std::env::var("RUST_LOG").unwrap_or_default().to_ascii_lowercase().as_str() {
                "error" => Level::Error,
                "warn" => Level::Warn,
                "debug" | "trace" => Level::Debug,
                _ => Level::Info,
            };
        Logger { level }
    }

    pub fn log(self, level: Level, text: &str) {
        if level > self.level {
            return;
        }
        let name = match level {
            Level::Error => "ERROR",
            Level::Warn => "WARN ",
            Level::Info => "INFO ",
            Level::Debug => "DEBUG",
        };
        // One write a line: stderr has no buffer. A closed one must not end the server.
        let line = format!("{} {name} {text}\n", timestamp());
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    pub fn error(self, text: &str) {
        self.log(Level::Error, text);
    }

    pub fn warn(self, text: &str) {
        self.log(Level::Warn, text);
    }

    pub fn info(self, text: &str) {
        self.log(Level::Info, text);
    }
}

/// Now, as RFC 3339 in UTC with milliseconds.
fn timestamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    date_time(now.as_millis() as i64, 'T', '.') + "Z"
}

/// Milliseconds since 1970 as date and time in UTC, with these between them and before the
/// milliseconds.
pub(super) fn date_time(ms: i64, between: char, point: char) -> String {
    let (seconds, millis) = (ms.div_euclid(1000), ms.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!(
        "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}:{second:02}{point}{millis:03}"
    )
}

/// Days since 1970 to a date (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::civil;

    #[test]
    fn days_become_dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(19_782), (2024, 2, 29));
        assert_eq!(civil(20_089), (2025, 1, 1));
    }
}
