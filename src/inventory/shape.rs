//! Does each value look as its key demands? Goes by the table of keys and reports all that do not.

use crate::inventory::address::Address;
use crate::inventory::finding::{Finding, Place};
use crate::inventory::keys::{self, Key, Kind};
use crate::inventory::listener::Listener;
use crate::inventory::scalar;
use crate::inventory::yaml::{self, Node, Value};

/// Checks the entries of a section whose keys are `known`.
pub fn section(node: &Node, known: &'static [Key], what: &str, findings: &mut Vec<Finding>) {
    if node.is_null() {
        return missing(node.place, node, known, what, findings);
    }
    let Value::Mapping(entries) = &node.value else {
        findings.push(
            Finding::error(node.place, format!("{what} is a mapping, not {}", describe(node)))
                .hint(format!("such as `{}: …`", known.first().map_or("key", |key| key.name))),
        );
        return;
    };
    for (key, value) in entries {
        match known.iter().find(|known| known.name == key.text) {
            Some(known) => self::value(value, key, known, what, findings),
            None => findings.push(unknown(key, known, what)),
        }
    }
    missing(node.place, node, known, what, findings);
}

fn missing(
    place: Place,
    node: &Node,
    known: &'static [Key],
    what: &str,
    findings: &mut Vec<Finding>,
) {
    for key in known.iter().filter(|key| key.required && node.get(key.name).is_none()) {
        findings.push(
            Finding::error(place, format!("{what} has no `{}`", key.name))
                .hint(key.about.to_owned()),
        );
    }
}

fn value(
    node: &Node,
    name: &yaml::Key,
    key: &'static Key,
    what: &str,
    findings: &mut Vec<Finding>,
) {
    let inside = || {
        if what == "the inventory" { key.name.to_owned() } else { format!("{what}: {}", key.name) }
    };
    match key.kind {
        Kind::Section(known) => {
            return section(node, known, &format!("`{}`", inside().replace('`', "")), findings);
        }
        Kind::Hosts(_) | Kind::Brokers(_) => return hosts(node, key, findings),
        Kind::Properties => return properties(node, &COORDINATORS, findings),
        Kind::BrokerProperties => return properties(node, &BROKERS, findings),
        Kind::RemotePaths => return remote_paths(node, key, findings),
        Kind::Secret => return secret(node, key.name, findings),
        Kind::Users => return users(node, findings),
        Kind::Sources => return sources(node, key, findings),
        _ => {}
    }
    if node.is_null() {
        let hint = if key.required {
            key.about.to_owned()
        } else if key.default.is_empty() {
            "take the line away, or give it a value".to_owned()
        } else {
            format!("take the line away for the default ({}), or give it a value", key.default)
        };
        findings
            .push(Finding::error(name.place, format!("`{}` has no value", key.name)).hint(hint));
        return;
    }
    let Value::Scalar { text, plain } = &node.value else {
        findings.push(Finding::error(
            node.place,
            format!("`{}` takes one value, not {}", key.name, describe(node)),
        ));
        return;
    };
    if let Err(wrong) = scalar(&key.kind, text, *plain) {
        let finding = Finding::error(node.place, format!("`{}`: {}", key.name, wrong.message));
        findings.push(match wrong.hint {
            Some(hint) => finding.hint(hint),
            None => finding,
        });
    }
}

fn scalar(kind: &Kind, text: &str, plain: bool) -> Result<(), scalar::Wrong> {
    match kind {
        Kind::Name => scalar::name(text),
        Kind::Address => Address::parse(text).map(|_| ()).map_err(|wrong| scalar::Wrong {
            message: wrong.message,
            hint: Some(wrong.hint.to_owned()),
        }),
        Kind::SshHost => scalar::ssh_host(text),
        Kind::User => scalar::user(text),
        Kind::Version => scalar::version(text),
        Kind::Number { min, max } => scalar::number(text, plain, *min, *max).map(|_| ()),
        Kind::Duration => scalar::duration_ms(text).map(|_| ()),
        Kind::Bool => scalar::boolean(text, plain).map(|_| ()),
        Kind::Choice(choices) => scalar::choice(text, choices),
        Kind::Path => scalar::path(text),
        Kind::RemotePath => scalar::remote_path(text),
        Kind::Sha512 => scalar::sha512(text).map(|_| ()),
        Kind::Heap => scalar::heap(text),
        Kind::Listeners => Listener::parse_all(text).map(|_| ()),
        Kind::Section(_)
        | Kind::Hosts(_)
        | Kind::Brokers(_)
        | Kind::Properties
        | Kind::BrokerProperties
        | Kind::RemotePaths
        | Kind::Secret
        | Kind::Users
        | Kind::Sources => Ok(()),
    }
}

/// The hosts themselves are read after their ranges are expanded; here only that there are some.
fn hosts(node: &Node, key: &Key, findings: &mut Vec<Finding>) {
    let (what, example) = match key.kind {
        Kind::Brokers(_) => (
            "brokers",
            "such as `kafka1: { broker_id: 1, listeners: \"PLAINTEXT://10.0.0.11:9092\" }`",
        ),
        _ => ("hosts", "such as `kafka1: { address: 10.0.0.11, myid: 1 }`"),
    };
    let finding = match &node.value {
        Value::Mapping(entries) if !entries.is_empty() => return,
        Value::Sequence(_) => {
            format!("`{}` is a mapping from names to {what}, not a list", key.name)
        }
        _ => format!("`{}` names no host", key.name),
    };
    findings.push(Finding::error(node.place, finding).hint(example));
}

fn remote_paths(node: &Node, key: &Key, findings: &mut Vec<Finding>) {
    let Value::Sequence(items) = &node.value else {
        findings.push(
            Finding::error(node.place, format!("`{}` is a list, not {}", key.name, describe(node)))
                .hint(format!("such as `{}: [ /data/kafka ]`", key.name)),
        );
        return;
    };
    if items.is_empty() {
        findings.push(
            Finding::error(node.place, format!("`{}` names no folder", key.name))
                .hint(format!("take the line away for the default, {}", key.default)),
        );
    }
    for item in items {
        let checked = match &item.value {
            Value::Scalar { text, .. } if !item.is_null() => scalar::remote_path(text),
            _ => Err(scalar::Wrong {
                message: format!("a folder is one path, not {}", describe(item)),
                hint: None,
            }),
        };
        if let Err(wrong) = checked {
            findings
                .push(Finding { hint: wrong.hint, ..Finding::error(item.place, wrong.message) });
        }
    }
}

/// Which lines of a file of properties are the user's to write.
struct Passed {
    /// The keys zkprov writes itself, and where they are set.
    written: &'static [(&'static str, &'static str)],
    /// Beginnings of names that are not passed through, why not, and a hint.
    refused: &'static [(&'static str, &'static str, &'static str)],
    example: &'static str,
}

const SERVERS: &str =
    "the `server.N` lines are made from `hosts`; groups and weights are not supported";

const COORDINATORS: Passed = Passed {
    written: &WRITTEN,
    refused: &[
        ("server.", "follows from the hosts", SERVERS),
        ("group.", "follows from the hosts", SERVERS),
        ("weight.", "follows from the hosts", SERVERS),
    ],
    example: "autopurge.purgeInterval: 1",
};

const KRAFT: &str = "these brokers are coordinated by the ensemble of this inventory";

const BROKERS: Passed = Passed {
    written: &[
        ("broker.id", "brokers: broker_id"),
        ("node.id", "brokers: broker_id"),
        ("listeners", "brokers: listeners"),
        ("log.dir", "brokers: log_dirs"),
        ("log.dirs", "brokers: log_dirs"),
        ("zookeeper.connect", "hosts"),
    ],
    refused: &[
        ("process.roles", "is for Kafka without ZooKeeper", KRAFT),
        ("controller.quorum.", "is for Kafka without ZooKeeper", KRAFT),
    ],
    example: "min.insync.replicas: 2",
};

const WRITTEN: [(&str, &str); 10] = [
    ("dataDir", "coordinator: data_dir"),
    ("dataLogDir", "coordinator: data_log_dir"),
    ("clientPort", "coordinator: client_port"),
    ("tickTime", "coordinator: tick_time"),
    ("initLimit", "coordinator: init_limit"),
    ("syncLimit", "coordinator: sync_limit"),
    ("maxClientCnxns", "coordinator: max_client_cnxns"),
    ("peerType", "a host's role"),
    ("coordinator.secretFile", "coordinator: secret"),
    ("myid", "a host's myid"),
];

fn properties(node: &Node, passed: &Passed, findings: &mut Vec<Finding>) {
    if node.is_null() {
        return;
    }
    let Value::Mapping(entries) = &node.value else {
        findings.push(
            Finding::error(
                node.place,
                format!("`properties` is a mapping, not {}", describe(node)),
            )
            .hint(format!("such as `{}`", passed.example)),
        );
        return;
    };
    for (key, value) in entries {
        let name = &key.text;
        if let Some((_, place)) =
            passed.written.iter().find(|(written, _)| written.eq_ignore_ascii_case(name))
        {
            findings.push(
                Finding::error(key.place, format!("`{name}` is written by zkprov itself"))
                    .hint(format!("set it under `{place}`")),
            );
        } else if let Some((_, why, hint)) =
            passed.refused.iter().find(|(prefix, ..)| name.starts_with(prefix))
        {
            findings.push(Finding::error(key.place, format!("`{name}` {why}")).hint(*hint));
        } else if name.is_empty()
            || name.chars().any(|c| c.is_whitespace() || c.is_control() || "=:#!\\".contains(c))
        {
            findings.push(Finding::error(
                key.place,
                format!("`{name}` cannot be the name of a property"),
            ));
        }
        let problem = match &value.value {
            Value::Scalar { text, .. } if text.chars().any(char::is_control) => Finding::error(
                value.place,
                format!("the value of `{name}` has a line break or control character"),
            ),
            Value::Scalar { .. } if value.is_null() => {
                Finding::error(key.place, format!("`{name}` has no value"))
                    .hint("write \"\" for an empty one")
            }
            Value::Scalar { .. } => continue,
            _ => Finding::error(
                value.place,
                format!("`{name}` takes one value, not {}", describe(value)),
            )
            .hint(format!("a property's name has its dots in it: `{}`", passed.example)),
        };
        findings.push(problem);
    }
}

/// Each user by its name, with the place of its password or with nothing.
fn users(node: &Node, findings: &mut Vec<Finding>) {
    let hint = "such as `users: { kafka: }`, for which zkprov makes a password, or `{ kafka: { file: kafka.password } }`";
    let entries = match &node.value {
        Value::Mapping(entries) if !entries.is_empty() => entries,
        _ => {
            findings.push(Finding::error(node.place, "`users` names no user").hint(hint));
            return;
        }
    };
    for (name, node) in entries {
        if let Err(wrong) = scalar::name(&name.text) {
            findings
                .push(Finding { hint: wrong.hint, ..Finding::error(name.place, wrong.message) });
        } else if name.text == "super" {
            findings.push(
                Finding::error(name.place, "`super` is who passes every check, not a user")
                    .hint("name another user, and pass `superUser` through under `properties`"),
            );
        }
        if !node.is_null() {
            secret(node, &name.text, findings);
        }
    }
}

fn secret(node: &Node, name: &str, findings: &mut Vec<Finding>) {
    let hint =
        "write `{ env: NAME }` or `{ file: PATH }`: a secret itself has no place in an inventory";
    let entries = match &node.value {
        Value::Mapping(entries) if entries.len() == 1 => entries,
        _ => {
            findings.push(
                Finding::error(
                    node.place,
                    format!("`{name}` says where a secret is, not what it is"),
                )
                .hint(hint),
            );
            return;
        }
    };
    section(node, keys::SECRET, &format!("`{name}`"), findings);
    if let [(kind, Node { value: Value::Scalar { text, .. }, place })] = entries.as_slice()
        && kind.text == "env"
        && !scalar::is_variable(text)
    {
        findings.push(Finding::error(
            *place,
            format!("`{text}` is not the name of an environment variable"),
        ));
    }
}

fn sources(node: &Node, key: &Key, findings: &mut Vec<Finding>) {
    let Value::Sequence(items) = &node.value else {
        findings.push(
            Finding::error(node.place, format!("`{}` is a list, not {}", key.name, describe(node)))
                .hint("such as `[ \"https://…/kafka_2.13-3.3.1.tgz\" ]`"),
        );
        return;
    };
    if items.is_empty() {
        findings.push(
            Finding::error(node.place, "`sources` names no source")
                .hint("take the line away for the archive"),
        );
    }
    for item in items {
        match &item.value {
            Value::Scalar { text, .. } if !item.is_null() => {
                if let Err(wrong) = scalar::source(text) {
                    findings.push(Finding {
                        hint: wrong.hint,
                        ..Finding::error(item.place, wrong.message)
                    });
                }
            }
            _ => findings.push(Finding::error(
                item.place,
                format!("a source is one URL or path, not {}", describe(item)),
            )),
        }
    }
}

fn describe(node: &Node) -> String {
    match &node.value {
        Value::Scalar { .. } if node.is_null() => "nothing".to_owned(),
        Value::Scalar { text, .. } => {
            let short: String = text.chars().take(40).collect();
            format!("`{}`", short.escape_debug())
        }
        Value::Sequence(_) => "a list".to_owned(),
        Value::Mapping(_) => "a mapping".to_owned(),
    }
}

/// What people write for the keys of this inventory when they come from other tools.
const OTHER_WORDS: [(&str, &str); 12] = [
    ("ip", "address"),
    ("hostname", "address"),
    ("ansible_host", "ssh: { host: … }"),
    ("ansible_user", "ssh: { user: … }"),
    ("id", "myid"),
    ("zookeeper_id", "myid"),
    ("server_id", "myid"),
    ("sudo", "become"),
    ("key", "identity_file"),
    ("private_key", "identity_file"),
    ("checksum", "sha512"),
    ("mirrors", "sources"),
];

fn unknown(key: &yaml::Key, known: &'static [Key], what: &str) -> Finding {
    let shown = key.text.escape_debug();
    let finding = Finding::error(key.place, format!("{what} has no key `{shown}`"));
    if let Some(name) = nearest(&key.text, known) {
        return finding.hint(format!("did you mean `{name}`?"));
    }
    if let Some((_, ours)) = OTHER_WORDS.iter().find(|(theirs, ours)| {
        theirs.eq_ignore_ascii_case(&key.text)
            && known.iter().any(|key| ours.split(':').next() == Some(key.name))
    }) {
        return finding.hint(format!("did you mean `{ours}`?"));
    }
    // Right word, wrong room.
    for (room, whose) in [(keys::INVENTORY, "the inventory's own"), (keys::HOST, "a host's")] {
        for section in room {
            if let Kind::Section(keys) = section.kind
                && keys.iter().any(|known| plain(known.name) == plain(&key.text))
            {
                return finding.hint(format!("it belongs under {whose} `{}:`", section.name));
            }
        }
    }
    if what == "the inventory" && keys::HOST.iter().any(|known| known.name == key.text) {
        return finding.hint("it belongs to a host, under `hosts:`");
    }
    let names: Vec<&str> = known.iter().map(|key| key.name).collect();
    finding.hint(format!("known here: {}", names.join(", ")))
}

/// A word without what only spelling differs in: `clientPort` and `client-port` are `client_port`.
fn plain(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn nearest(word: &str, known: &'static [Key]) -> Option<&'static str> {
    let word = plain(word);
    if word.chars().count() > 40 {
        return None;
    }
    known
        .iter()
        .map(|key| (distance(&word, &plain(key.name)), key.name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 6)
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein, with neighbours swapped counting as one.
fn distance(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let same = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + same);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}
