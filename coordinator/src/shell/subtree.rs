//! Whole subtrees: listed and deleted with many requests in flight.

use std::collections::{BTreeMap, VecDeque};

use crate::client::{Client, Error};
use crate::wire::code::Code;
use crate::wire::multi::MultiResult;
use crate::wire::reply::Reply;
use crate::wire::request::{Read, Request};

use super::outcome::Trouble;

/// Requests in flight while listing.
const WINDOW: usize = 256;
/// How often a subtree that others fill again is tried.
const DELETE_ROUNDS_MAX: u32 = 10;

/// All paths from `root` on, in `zkCli.sh`'s order: the children of a znode, by name, before the
/// children of the first of them. Znodes that vanish meanwhile are left out.
pub(super) fn list(zk: &mut Client, root: &str, watch: bool) -> Result<Vec<String>, Trouble> {
    let mut children = children_of_all(zk, root, watch)?;
    let mut paths = vec![root.to_owned()];
    let mut next = vec![root.to_owned()];
    while let Some(parent) = next.pop() {
        let below: Vec<String> = children
            .remove(&parent)
            .unwrap_or_default()
            .iter()
            .map(|name| join(&parent, name))
            .collect();
        paths.extend(below.iter().cloned());
        next.extend(below.into_iter().rev());
    }
    Ok(paths)
}

/// Sorted names of the children of each znode that has any.
fn children_of_all(
    zk: &mut Client,
    root: &str,
    watch: bool,
) -> Result<BTreeMap<String, Vec<String>>, Trouble> {
    let mut children = BTreeMap::new();
    let mut waiting = VecDeque::from([root.to_owned()]);
    let mut asked = VecDeque::new();
    while !waiting.is_empty() || !asked.is_empty() {
        while asked.len() < WINDOW
            && let Some(path) = waiting.pop_front()
        {
            let full = zk.servers().full_path(&path);
            zk.submit(&Request::GetChildren(Read { path: &full, watch }))
                .map_err(Trouble::on(&path))?;
            asked.push_back(path);
        }
        let Some(path) = asked.pop_front() else { break };
        match zk.collect().map_err(Trouble::on(&path))?.result {
            Ok(Reply::Strings(mut names)) => {
                names.sort_unstable();
                waiting.extend(names.iter().map(|name| join(&path, name)));
                if !names.is_empty() {
                    children.insert(path, names);
                }
            }
            Ok(_) => {}
            Err(Error::Code(Code::NoNode)) if path != root => {}
            Err(error) => {
                // The rest is in flight and must not be taken for answers to what comes next.
                for _ in 0..asked.len() {
                    let _ = zk.collect();
                }
                return Err(Trouble::on(&path)(error));
            }
        }
    }
    Ok(children)
}

/// Deletes from the leaves up, in transactions of at most `batch_max`.
pub(super) fn delete(zk: &mut Client, root: &str, batch_max: usize) -> Result<(), Trouble> {
    for round in 0..DELETE_ROUNDS_MAX {
        let mut paths = match list(zk, root, false) {
            // Somebody else was faster; not so if it never was there.
            Err(Trouble::Client { error: Error::Code(Code::NoNode), .. }) if round > 0 => {
                return Ok(());
            }
            paths => paths?,
        };
        // The root of all and what belongs to the server stay.
        paths
            .retain(|path| path != "/" && path != "/zookeeper" && !path.starts_with("/zookeeper/"));
        paths.reverse();
        // A child stands before its parent in any order by depth.
        paths.sort_by_key(|path| std::cmp::Reverse(path.matches('/').count()));
        let mut all = true;
        for batch in paths.chunks(batch_max.max(1)) {
            all &= delete_batch(zk, batch)?;
        }
        if all {
            return Ok(());
        }
    }
    Err(Trouble::Refused(format!(
        "Failed to delete some node(s) in the subtree of {root}: others keep changing it"
    )))
}

/// False if somebody changed the subtree meanwhile.
fn delete_batch(zk: &mut Client, paths: &[String]) -> Result<bool, Trouble> {
    let mut transaction = zk.transaction();
    for path in paths {
        transaction.delete(path, -1);
    }
    let results = zk.commit(transaction).map_err(|error| Trouble::Client {
        error,
        path: paths.first().cloned().unwrap_or_default(),
    })?;
    for (path, result) in paths.iter().zip(results) {
        if let MultiResult::Error(number) = result {
            match Code::from_i32(number) {
                Some(Code::Ok) => {}
                Some(Code::NoNode | Code::NotEmpty) => return Ok(false),
                Some(code) => return Err(Trouble::on(path)(Error::Code(code))),
                None => return Err(Trouble::on(path)(Error::UnknownCode(number))),
            }
        }
    }
    Ok(true)
}

fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}
