//! The table of commands, and words matched against it.

use std::collections::BTreeMap;

/// What a command does; [`super::run`] has an arm for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    AddAuth,
    AddWatch,
    Close,
    Config,
    Connect,
    Create,
    Delete,
    DeleteAll,
    DelQuota,
    Get,
    GetAcl,
    GetAllChildrenNumber,
    GetEphemerals,
    Help,
    History,
    ListQuota,
    Ls,
    PrintWatches,
    Quit,
    Reconfig,
    Redo,
    RemoveWatches,
    Set,
    SetAcl,
    SetQuota,
    Stat,
    Sync,
    Version,
    WhoAmI,
}

/// One line of the table.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) name: &'static str,
    pub(super) alias: Option<&'static str>,
    pub(super) kind: Kind,
    /// Letters of options without and with a value.
    flags: &'static str,
    valued: &'static str,
    /// How many arguments, at least and at most.
    arguments: (usize, usize),
    pub(super) usage: &'static str,
    pub(super) about: &'static str,
}

macro_rules! table {
    ($($name:literal $(or $alias:literal)?, $kind:ident, $flags:literal, $valued:literal,
       $min:literal..$max:expr, $usage:literal, $about:literal;)*) => {
        &[$(Spec {
            name: $name,
            alias: table!(@alias $($alias)?),
            kind: Kind::$kind,
            flags: $flags,
            valued: $valued,
            arguments: ($min, $max),
            usage: $usage,
            about: $about,
        }),*]
    };
    (@alias $alias:literal) => { Some($alias) };
    (@alias) => { None };
}

pub(super) const TABLE: &[Spec] = table! {
    "addWatch", AddWatch, "", "m", 1..1, "[-m PERSISTENT|PERSISTENT_RECURSIVE] path",
        "watch a znode, or it and all below it (the default), until the session ends";
    "addauth", AddAuth, "", "", 2..2, "scheme auth",
        "be someone: `addauth digest user:password`";
    "close", Close, "", "", 0..0, "",
        "end the session, and stay here";
    "config", Config, "csw", "", 0..0, "[-c] [-w] [-s]",
        "print the members of the ensemble, or where clients connect";
    "connect", Connect, "", "", 1..1, "host:port",
        "start a session with other servers";
    "create", Create, "sec", "t", 1..3, "[-s] [-e] [-c] [-t ttl] path [data] [acl]",
        "create a znode: sequential, ephemeral, container, with a time to live in ms";
    "delete", Delete, "", "v", 1..1, "[-v version] path",
        "delete a znode without children";
    "deleteall" or "rmr", DeleteAll, "", "b", 1..1, "path [-b batch size]",
        "delete a znode and all below it";
    "delquota", DelQuota, "nbNB", "", 1..1, "[-n|-b|-N|-B] path",
        "delete a quota, or one limit of it";
    "get", Get, "sw", "", 1..1, "[-s] [-w] path",
        "print the data of a znode";
    "getAcl", GetAcl, "s", "", 1..1, "[-s] path",
        "print who may do what";
    "getAllChildrenNumber", GetAllChildrenNumber, "", "", 1..1, "path",
        "count all znodes below";
    "getEphemerals", GetEphemerals, "", "", 0..1, "[path]",
        "list the ephemerals of this session";
    "help", Help, "", "", 0..1, "[command]",
        "print this list";
    "history", History, "", "", 0..0, "",
        "print the last commands";
    "listquota", ListQuota, "", "", 1..1, "path",
        "print a quota and what is used of it";
    "ls", Ls, "swR", "", 1..1, "[-s] [-w] [-R] path",
        "list the children of a znode, or all znodes below it";
    "printwatches", PrintWatches, "", "", 0..1, "on|off",
        "whether events are printed";
    "quit" or "exit", Quit, "", "", 0..0, "",
        "end the session";
    "reconfig", Reconfig, "", "", 0..MANY,
        "[-s] [-v version] [[-file path] | [-members serverID=host:port1:port2;port3[,...]*]] | \
         [-add serverId=host:port1:port2;port3[,...]]* [-remove serverId[,...]*]",
        "change the members of the ensemble (`reconfigEnabled`)";
    "redo", Redo, "", "", 1..1, "cmdno",
        "do again what `history` shows under that number";
    "removewatches", RemoveWatches, "cda", "", 1..1, "[-c|-d|-a] path",
        "remove watches on children, data, or any";
    "set", Set, "s", "v", 2..2, "[-s] [-v version] path data",
        "replace the data of a znode";
    "setAcl", SetAcl, "sR", "v", 2..2, "[-s] [-v version] [-R] path acl",
        "replace who may do what: `scheme:id:cdrwa,...`";
    "setquota", SetQuota, "", "nbNB", 1..1, "-n|-b|-N|-B val path",
        "limit the number of znodes or of bytes below a path, softly or hard";
    "stat", Stat, "w", "", 1..1, "[-w] path",
        "print what is known of a znode besides its data";
    "sync", Sync, "", "", 1..1, "path",
        "see from now on all that was committed until now";
    "version", Version, "", "", 0..0, "",
        "print the version of this shell";
    "whoami", WhoAmI, "", "", 0..0, "",
        "print who this session is to the server";
};

impl Spec {
    /// As `zkCli.sh` prints it.
    pub(super) fn usage_line(&self) -> String {
        format!("{} {}", self.name, self.usage).trim_end().to_owned()
    }

    pub(super) fn find(name: &str) -> Option<&'static Self> {
        TABLE
            .iter()
            .find(|spec| spec.name == name || spec.alias == Some(name))
            .or_else(|| TABLE.iter().find(|spec| spec.name.eq_ignore_ascii_case(name)))
    }
}

/// Not told apart further.
const MANY: usize = usize::MAX;

/// A command with its options and arguments told apart.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) spec: &'static Spec,
    flags: Vec<char>,
    values: BTreeMap<char, String>,
    pub(super) arguments: Vec<String>,
}

impl Command {
    pub(super) fn parse(words: &[String]) -> Result<Self, String> {
        let Some((name, rest)) = words.split_first() else {
            return Err("no command entered".to_owned());
        };
        let spec = Spec::find(name)
            .ok_or_else(|| format!("Command not found: {name}\n\n`help` lists the commands"))?;
        let mut command =
            Self { spec, flags: Vec::new(), values: BTreeMap::new(), arguments: Vec::new() };
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            if spec.arguments.1 == MANY {
                command.arguments.push(word.clone());
            } else if word == "--" {
                command.arguments.extend(rest.by_ref().cloned());
            } else if !is_option(word) {
                command.arguments.push(word.clone());
            } else if let Some(letter) = command.take_options(&word[1..])? {
                let value = rest
                    .next()
                    .ok_or_else(|| format!("-{letter} needs a value\n\n{}", spec.usage_line()))?;
                command.values.insert(letter, value.clone());
            }
        }
        let (min, max) = spec.arguments;
        if (min..=max).contains(&command.arguments.len()) {
            Ok(command)
        } else {
            Err(spec.usage_line())
        }
    }

    /// Letters of one word; returns the last one if its value is the next word.
    fn take_options(&mut self, letters: &str) -> Result<Option<char>, String> {
        for (at, letter) in letters.char_indices() {
            if self.spec.flags.contains(letter) {
                self.flags.push(letter);
            } else if self.spec.valued.contains(letter) {
                let value = &letters[at + letter.len_utf8()..];
                if value.is_empty() {
                    return Ok(Some(letter));
                }
                self.values.insert(letter, value.to_owned());
                return Ok(None);
            } else {
                let usage = self.spec.usage_line();
                return Err(format!("Unrecognized option: -{letter}\n\n{usage}"));
            }
        }
        Ok(None)
    }

    pub(super) fn has(&self, letter: char) -> bool {
        self.flags.contains(&letter)
    }

    pub(super) fn value(&self, letter: char) -> Option<&str> {
        self.values.get(&letter).map(String::as_str)
    }

    /// The value of an option as a number; `None` if it is not given.
    pub(super) fn number<N: std::str::FromStr>(&self, letter: char) -> Result<Option<N>, String> {
        self.value(letter)
            .map(|text| text.parse().map_err(|_| format!("-{letter} `{text}` is not a number")))
            .transpose()
    }
}

/// A number below zero is an argument, not an option.
fn is_option(word: &str) -> bool {
    word.strip_prefix('-')
        .and_then(|rest| rest.chars().next())
        .is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        Command::parse(&super::super::words::split(line)?)
    }

    #[test]
    fn options_stand_anywhere() {
        for line in ["ls -s -R /a", "ls -sR /a", "ls /a -R -s"] {
            let command = parse(line).unwrap();
            assert!(command.has('s') && command.has('R') && !command.has('w'), "{line}");
            assert_eq!(command.arguments, ["/a"], "{line}");
        }
        for line in ["set -v 3 /a x", "set /a x -v3", "set /a -v 3 x"] {
            let command = parse(line).unwrap();
            assert_eq!(command.number('v'), Ok(Some(3)), "{line}");
            assert_eq!(command.arguments, ["/a", "x"], "{line}");
        }
        assert_eq!(parse("set /a -1").unwrap().arguments, ["/a", "-1"]);
        assert_eq!(parse("set /a -- -x").unwrap().arguments, ["/a", "-x"]);
    }

    #[test]
    fn mistakes_are_told() {
        let cases = [
            ("", "no command entered"),
            ("nonsense", "Command not found: nonsense\n\n`help` lists the commands"),
            ("ls", "ls [-s] [-w] [-R] path"),
            ("get -x /a", "Unrecognized option: -x\n\nget [-s] [-w] path"),
            ("set /a x -v", "-v needs a value\n\nset [-s] [-v version] path data"),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line).unwrap_err(), expected, "of `{line}`");
        }
        let command = parse("set -v x /a b").unwrap();
        assert_eq!(command.number::<i32>('v'), Err("-v `x` is not a number".to_owned()));
    }

    #[test]
    fn names_are_forgiving() {
        assert_eq!(Spec::find("rmr").unwrap().kind, Kind::DeleteAll);
        assert_eq!(Spec::find("getacl").unwrap().kind, Kind::GetAcl);
        assert!(Spec::find("lsx").is_none());
    }
}
