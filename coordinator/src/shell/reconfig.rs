//! `reconfig` and `config -c`, as `zkCli.sh` takes and prints them.

use std::fs::File;
use std::io::Read as _;

use super::command::Command;
use super::outcome::{Outcome, Trouble};
use crate::client::Client;
use crate::wire::request::Reconfig;

/// A list of members is a line for each of them.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the words ask for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    joining: Option<String>,
    leaving: Option<String>,
    members: Option<String>,
    /// Only from this version of the list.
    version: Option<i64>,
    file: Option<String>,
    stat: bool,
}

impl Asked {
    /// Options are words here, not letters.
    fn parse(words: &[String], usage: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
            let place = match name {
                Some("s") => {
                    asked.stat = true;
                    continue;
                }
                Some("add") => &mut asked.joining,
                Some("remove") => &mut asked.leaving,
                Some("members") => &mut asked.members,
                Some("file") => &mut asked.file,
                Some("v") => {
                    let version = words.next().map(|text| i64::from_str_radix(text, 16));
                    asked.version = Some(version.and_then(Result::ok).ok_or(
                        "-v must be followed by a long (configuration version)".to_owned(),
                    )?);
                    continue;
                }
                Some(_) => return Err(format!("Unrecognized option: {word}\n\n{usage}")),
                None => return Err(usage.to_owned()),
            };
            let value = words.next().ok_or_else(|| format!("{word} needs a value\n\n{usage}"))?;
            *place = Some(value.clone());
        }
        let whole = asked.members.is_some() || asked.file.is_some();
        let parts = asked.joining.is_some() || asked.leaving.is_some();
        if !whole && !parts {
            return Err(usage.to_owned());
        }
        if whole && parts {
            return Err("Can't use -file or -members together with -add or -remove (mixing \
                        incremental and non-incremental modes is not allowed)"
                .to_owned());
        }
        if asked.members.is_some() && asked.file.is_some() {
            return Err(
                "Can't use -file and -members together (conflicting non-incremental modes)"
                    .to_owned(),
            );
        }
        Ok(asked)
    }
}

pub(super) fn reconfig(zk: &mut Client, command: &Command) -> Result<Outcome, Trouble> {
    let usage = command.spec.usage_line();
    let mut asked = Asked::parse(&command.arguments, &usage).map_err(Trouble::Usage)?;
    if let Some(file) = &asked.file {
        let why = |why: String| Trouble::Usage(format!("Error processing {file}: {why}"));
        asked.members = Some(members_of(&read(file).map_err(why)?));
    }
    let (list, stat) = zk
        .reconfig(Reconfig {
            joining: asked.joining.as_deref(),
            leaving: asked.leaving.as_deref(),
            new_members: asked.members.as_deref(),
            config_id: asked.version.unwrap_or(-1),
        })
        .map_err(Trouble::on(""))?;
    let mut text = b"Committed new configuration:\n".to_vec();
    text.extend(list.unwrap_or_default());
    Ok(Outcome::Data(Some(text), asked.stat.then_some(stat)))
}

fn read(file: &str) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(file).map_err(|error| error.to_string())?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

/// The lines of a file without its comments; the leader judges them.
fn members_of(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let told = lines.filter(|line| !line.is_empty() && !line.starts_with(['#', '!']));
    told.collect::<Vec<_>>().join("\n")
}

/// `ConfigUtils.getClientConfigStr`: the version, and where clients connect.
pub(super) fn clients(list: &[u8]) -> String {
    let list = String::from_utf8_lossy(list);
    let mut version = "";
    let mut addresses = Vec::new();
    for line in list.lines() {
        match line.split_once('=') {
            Some(("version", number)) => version = number,
            Some((key, value)) if key.starts_with("server.") => {
                addresses.push(value.split_once(';').map_or("", |(_, client)| client));
            }
            _ => {}
        }
    }
    format!("{version} {}", addresses.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_as_zkcli_takes_them() {
        let parse = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Asked::parse(&words, "usage")
        };
        let some = |text: &str| Some(text.to_owned());
        let asked = parse("-s -v 100000003 -add 4=a:1:2;3 -remove 1,2").unwrap();
        let expected = Asked {
            joining: some("4=a:1:2;3"),
            leaving: some("1,2"),
            version: Some(0x1_0000_0003),
            stat: true,
            ..Asked::default()
        };
        assert_eq!(asked, expected);
        for (line, expected) in [
            ("", "usage"),
            ("-s", "usage"),
            ("4=a:1:2;3", "usage"),
            ("-add", "-add needs a value\n\nusage"),
            ("-x", "Unrecognized option: -x\n\nusage"),
            ("-v zz", "-v must be followed by a long (configuration version)"),
        ] {
            assert_eq!(parse(line).unwrap_err(), expected, "of `{line}`");
        }
        assert!(parse("-members a -remove 1").unwrap_err().contains("incremental"));
        assert!(parse("-members a -file b").unwrap_err().contains("conflicting"));
    }

    #[test]
    fn lists_become_what_clients_connect_to() {
        let list = b"server.1=a:1:2:participant;0.0.0.0:3\nserver.2=b:1:2:observer\nversion=1f";
        assert_eq!(clients(list), "1f 0.0.0.0:3,");
        assert_eq!(clients(b""), " ");
        assert_eq!(
            members_of("# ours\n\nserver.1=a:1:2;3\n version=5\n"),
            "server.1=a:1:2;3\nversion=5"
        );
    }
}
