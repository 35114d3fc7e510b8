//! Outcomes to text, as `zkCli.sh` prints them, or to JSON, one object a line. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::admin::calendar::JavaDate;
use crate::client::Event;
use crate::wire::reply::EventKind;
use crate::wire::stat::Stat;

use super::acl::perm_letters;

use super::outcome::{Outcome, Trouble};
use super::quota::Limits;

/// Bytes, not text: the data of a znode is printed as it is.
pub(super) fn text(outcome: &Outcome) -> Vec<u8> {
    match outcome {
        Outcome::Nothing => Vec::new(),
        Outcome::Said(line) => format!("{line}\n").into_bytes(),
        Outcome::Created(path) => format!("Created {path}\n").into_bytes(),
        Outcome::Children(names, stat) => {
            format!("[{}]\n{}", names.join(", "), stat_lines(*stat)).into_bytes()
        }
        Outcome::Ephemerals(paths) => format!("[{}]\n", paths.join(", ")).into_bytes(),
        Outcome::Paths(paths) => (paths.join("\n") + "\n").into_bytes(),
        Outcome::Data(data, stat) => {
            let mut bytes = data.clone().unwrap_or_else(|| b"null".to_vec());
            bytes.push(b'\n');
            bytes.extend_from_slice(stat_lines(*stat).as_bytes());
            bytes
        }
        Outcome::Stat(stat) => stat_lines(Some(*stat)).into_bytes(),
        Outcome::Acl(acl, stat) => {
            let entries = acl.iter().flat_map(|entry| {
                let perms = perm_letters(entry.perms);
                [format!("'{},'{}\n", entry.scheme, entry.id), format!(": {perms}\n")]
            });
            (entries.collect::<String>() + &stat_lines(*stat)).into_bytes()
        }
        Outcome::Quota { path, limits, used } => {
            format!("Output quota for {path} {limits}\nOutput stat for {path} {used}\n")
                .into_bytes()
        }
        Outcome::Count(count) => format!("{count}\n").into_bytes(),
        Outcome::Identities(identities) => {
            let mut lines = vec!["Auth scheme: User".to_owned()];
            lines.extend(identities.iter().map(|(scheme, user)| format!("{scheme}: {user}")));
            (lines.join("\n") + "\n").into_bytes()
        }
        Outcome::Event(event) => event_text(event).into_bytes(),
    }
}

/// The three lines of an event.
pub(super) fn event_text(event: &Event) -> String {
    let kind = EventKind::from_i32(event.kind).map_or("None", EventKind::name);
    format!("\nWATCHER::\n\nWatchedEvent state:SyncConnected type:{kind} path:{}\n", event.path)
}

fn stat_lines(stat: Option<Stat>) -> String {
    let Some(stat) = stat else { return String::new() };
    format!(
        "cZxid = {:#x}\nctime = {}\nmZxid = {:#x}\nmtime = {}\npZxid = {:#x}\n\
         cversion = {}\ndataVersion = {}\naclVersion = {}\nephemeralOwner = {:#x}\n\
         dataLength = {}\nnumChildren = {}\n",
        stat.czxid,
        JavaDate(stat.ctime_ms),
        stat.mzxid,
        JavaDate(stat.mtime_ms),
        stat.pzxid,
        stat.cversion,
        stat.version,
        stat.aversion,
        stat.ephemeral_owner,
        stat.data_length,
        stat.num_children,
    )
}

/// One object. Numbers of 64 bits that are no quantities (zxids, session ids) are hex strings:
/// most JSON readers would round them.
pub(super) fn json(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Nothing => json!({}),
        Outcome::Said(line) => json!({ "message": line }),
        Outcome::Created(path) => json!({ "path": path }),
        Outcome::Children(names, stat) => with_stat(json!({ "children": names }), *stat),
        Outcome::Ephemerals(paths) | Outcome::Paths(paths) => json!({ "paths": paths }),
        Outcome::Data(data, stat) => {
            let object = match data.as_deref().map(std::str::from_utf8) {
                None => json!({ "data": null }),
                Some(Ok(text)) => json!({ "data": text }),
                Some(Err(_)) => {
                    json!({ "dataBase64": BASE64.encode(data.as_deref().unwrap_or_default()) })
                }
            };
            with_stat(object, *stat)
        }
        Outcome::Stat(stat) => stat_json(stat),
        Outcome::Acl(acl, stat) => {
            let entries: Vec<Value> = acl
                .iter()
                .map(|entry| {
                    json!({
                        "scheme": entry.scheme,
                        "id": entry.id,
                        "perms": perm_letters(entry.perms),
                    })
                })
                .collect();
            with_stat(json!({ "acl": entries }), *stat)
        }
        Outcome::Quota { path, limits, used } => {
            json!({ "path": path, "limits": limits_json(limits), "used": limits_json(used) })
        }
        Outcome::Count(count) => json!({ "count": count }),
        Outcome::Identities(identities) => {
            let entries: Vec<Value> = identities
                .iter()
                .map(|(scheme, user)| json!({ "scheme": scheme, "user": user }))
                .collect();
            json!({ "identities": entries })
        }
        Outcome::Event(event) => {
            let kind = EventKind::from_i32(event.kind).map_or("None", EventKind::name);
            json!({ "event": kind, "path": event.path })
        }
    }
}

pub(super) fn trouble_json(trouble: &Trouble) -> Value {
    let mut error = Map::new();
    error.insert("message".to_owned(), json!(trouble.message()));
    if let Some(code) = trouble.code() {
        error.insert("code".to_owned(), json!(code.as_i32()));
        error.insert("name".to_owned(), json!(format!("{code:?}")));
    }
    json!({ "error": error })
}

fn with_stat(mut object: Value, stat: Option<Stat>) -> Value {
    if let (Some(stat), Some(fields)) = (stat, object.as_object_mut()) {
        fields.insert("stat".to_owned(), stat_json(&stat));
    }
    object
}

fn stat_json(stat: &Stat) -> Value {
    json!({
        "czxid": format!("{:#x}", stat.czxid),
        "mzxid": format!("{:#x}", stat.mzxid),
        "pzxid": format!("{:#x}", stat.pzxid),
        "ctimeMs": stat.ctime_ms,
        "mtimeMs": stat.mtime_ms,
        "version": stat.version,
        "cversion": stat.cversion,
        "aversion": stat.aversion,
        "ephemeralOwner": format!("{:#x}", stat.ephemeral_owner),
        "dataLength": stat.data_length,
        "numChildren": stat.num_children,
    })
}

fn limits_json(limits: &Limits) -> Value {
    limits
        .entries()
        .map(|(name, value)| (name.to_owned(), json!(value)))
        .collect::<Map<_, _>>()
        .into()
}
