//! The properties that hold, judged by their names, read as numbers, switches and paths.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::{ConfigError, Warning};
use super::keys::{self, Treatment};
use super::properties::{self, Property};
use super::server::is_wildcard;

pub(super) type Result<T> = std::result::Result<T, Box<ConfigError>>;

struct Entry {
    value: String,
    /// `None`: from the command line.
    line: Option<usize>,
    /// Where that line stands, when not in the configuration itself.
    file: Option<PathBuf>,
}

/// The properties that hold, and what has been said about them so far.
pub(super) struct Entries {
    pub(super) file: PathBuf,
    by_key: BTreeMap<String, Entry>,
    pub(super) warnings: Vec<Warning>,
}

impl Entries {
    /// Reads the text, lays the overrides over it, and judges every key by its name.
    pub(super) fn new(file: &Path, text: &[u8], overrides: &[String]) -> Result<Entries> {
        let mut all = Self::of_client(file, text)?;
        for pair in overrides {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let key = name.strip_prefix("zookeeper.").unwrap_or(name).to_owned();
            let entry = Entry { value: value.trim().to_owned(), line: None, file: None };
            all.by_key.insert(key, entry);
        }
        all.judge_names()?;
        Ok(all)
    }

    /// Reads the text of a client's properties, whose keys nobody has judged.
    pub(super) fn of_client(file: &Path, text: &[u8]) -> Result<Entries> {
        let mut all =
            Entries { file: file.to_owned(), by_key: BTreeMap::new(), warnings: Vec::new() };
        let read = properties::parse(text).map_err(|malformed| ConfigError {
            file: file.to_owned(),
            line: Some(malformed.line),
            key: None,
            message: "`\\u` without four hexadecimal digits".to_owned(),
            hint: "write `\\\\` for a backslash".to_owned(),
        })?;
        for property in read {
            let entry = Entry { value: property.value, line: Some(property.line), file: None };
            if let Some(earlier) = all.by_key.insert(property.key.clone(), entry) {
                let said = if is_secret(&property.key) {
                    "given twice: the first value is lost".to_owned()
                } else {
                    format!("given twice: the value `{}` is lost", earlier.value)
                };
                all.warn(&property.key, said);
            }
        }
        Ok(all)
    }

    fn judge_names(&mut self) -> Result<()> {
        let names: Vec<String> = self.by_key.keys().cloned().collect();
        for key in names {
            let value = self.by_key[&key].value.to_ascii_lowercase();
            match keys::treatment(&key) {
                Some(Treatment::Used) => {}
                Some(Treatment::NoEffect(why)) => self.warn(&key, format!("has no effect: {why}")),
                Some(Treatment::Refused { unless, hint }) => {
                    if unless.contains(&value.as_str()) {
                        continue;
                    }
                    let error = if value.is_empty() || is_secret(&key) {
                        self.error(&key, "is not supported", hint)
                    } else {
                        self.error_value(&key, "is not supported", hint)
                    };
                    return Err(error);
                }
                None if key.starts_with("coordinator.") => {
                    let known = format!("known are {}", keys::own_keys().join(", "));
                    return Err(self.error(&key, "is not a key of the coordinator", &known));
                }
                None => self.warn(&key, "unknown key, it has no effect".to_owned()),
            }
        }
        Ok(())
    }

    /// A line of another file.
    pub(super) fn put(&mut self, property: Property, file: &Path) {
        let Property { key, value, line } = property;
        let entry = Entry { value, line: Some(line), file: Some(file.to_owned()) };
        if let Some(earlier) = self.by_key.insert(key.clone(), entry) {
            self.warn(&key, format!("given twice: the value `{}` is lost", earlier.value));
        }
    }

    /// The file and the line where a key stands.
    fn place(&self, key: &str) -> (PathBuf, Option<usize>) {
        let entry = self.by_key.get(key);
        let file = entry.and_then(|entry| entry.file.as_ref()).unwrap_or(&self.file);
        (file.clone(), entry.and_then(|entry| entry.line))
    }

    pub(super) fn number<T>(
        &self,
        key: &str,
        default: T,
        allowed: RangeInclusive<impl TryInto<T> + Copy>,
    ) -> Result<T>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let hint = format!("remove the key for the default, {default}");
        Ok(self.number_if_given(key, allowed, &hint)?.unwrap_or(default))
    }

    /// `hint` says what to do with a value that is no number of that range.
    pub(super) fn number_if_given<T>(
        &self,
        key: &str,
        allowed: RangeInclusive<impl TryInto<T> + Copy>,
        hint: &str,
    ) -> Result<Option<T>>
    where
        T: FromStr + PartialOrd + Display + Copy,
    {
        let Some(value) = self.text(key) else { return Ok(None) };
        let (Ok(least), Ok(greatest)) =
            ((*allowed.start()).try_into(), (*allowed.end()).try_into())
        else {
            unreachable!("the bounds of `{key}` are of its type");
        };
        match value.parse() {
            Ok(number) if least <= number && number <= greatest => Ok(Some(number)),
            _ => Err(self.error_value(
                key,
                format!("is not a number from {least} to {greatest}"),
                hint,
            )),
        }
    }

    pub(super) fn switch(&self, key: &str, default: bool) -> Result<bool> {
        match self.text(key).map(|text| text.to_ascii_lowercase()).as_deref() {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(self.error_value(key, "is neither true nor false", "write one of them")),
        }
    }

    /// ZooKeeper takes every other word for the default, in silence.
    pub(super) fn yes_no(&self, key: &str, default: bool) -> Result<bool> {
        match self.text(key).map(|text| text.to_ascii_lowercase()).as_deref() {
            None => Ok(default),
            Some("yes") => Ok(true),
            Some("no") => Ok(false),
            Some(_) => Err(self.error_value(key, "is neither yes nor no", "write one of them")),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.by_key.iter().map(|(key, entry)| (key.as_str(), entry.value.as_str()))
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.by_key.get(key).map(|entry| entry.value.clone())
    }

    pub(super) fn path(&self, key: &str) -> Option<PathBuf> {
        self.text(key).filter(|text| !text.is_empty()).map(PathBuf::from)
    }

    pub(super) fn required_path(&mut self, key: &str) -> Result<PathBuf> {
        let Some(path) = self.path(key) else {
            return Err(self.error(key, "is missing", "name the directory that holds the data"));
        };
        if path.is_relative() {
            self.warn(key, "is relative to where the server is started".to_owned());
        }
        Ok(path)
    }

    /// A host to listen on; wildcard addresses are the same as none.
    pub(super) fn host(&self, key: &str) -> Option<String> {
        self.text(key)
            .map(|host| host.trim_matches(['[', ']']).to_owned())
            .filter(|host| !host.is_empty() && !is_wildcard(host))
    }

    // Saying so.

    pub(super) fn warn(&mut self, key: &str, message: String) {
        let (file, line) = self.place(key);
        let key = Some(key.to_owned());
        self.warnings.push(Warning { file, line, key, message });
    }

    pub(super) fn warn_file(&mut self, message: &str) {
        let (file, message) = (self.file.clone(), message.to_owned());
        self.warnings.push(Warning { file, line: None, key: None, message });
    }

    #[expect(clippy::unnecessary_box_returns, reason = "the error of `Result` is boxed")]
    pub(super) fn error(
        &self,
        key: &str,
        message: impl Into<String>,
        hint: &str,
    ) -> Box<ConfigError> {
        let (file, line) = self.place(key);
        Box::new(ConfigError {
            file,
            line,
            key: Some(key.to_owned()),
            message: message.into(),
            hint: hint.to_owned(),
        })
    }

    /// An error that shows the value, which must not be a secret.
    #[expect(clippy::unnecessary_box_returns, reason = "the error of `Result` is boxed")]
    pub(super) fn error_value(
        &self,
        key: &str,
        message: impl Into<String>,
        hint: &str,
    ) -> Box<ConfigError> {
        let value = self.by_key.get(key).map(|entry| entry.value.as_str()).unwrap_or_default();
        let mut error = self.error(key, message, hint);
        error.message = format!("`{value}`: {}", error.message);
        error
    }
}

/// Values of such keys stand in no message.
fn is_secret(key: &str) -> bool {
    key.contains("assword") || key.ends_with("superDigest")
}
