//! All that a client can see of a tree.

use std::collections::BTreeMap;

use coordinator::client::Client;
use coordinator::wire::reply::AclEntry;
use coordinator::wire::stat::Stat;

pub(super) type Seen = BTreeMap<String, (Option<Vec<u8>>, Stat, Vec<AclEntry>)>;

/// Data, Stat and ACL of every znode; but `/zookeeper/config`, which servers write themselves.
pub(super) fn walk(client: &mut Client) -> Seen {
    let mut seen = Seen::new();
    let mut ahead = vec!["/".to_owned()];
    while let Some(path) = ahead.pop() {
        let (data, stat) = client.get_data(&path, false).unwrap_or_else(|e| panic!("{path}: {e}"));
        let (acl, _) = client.get_acl(&path).unwrap();
        let (children, _) = client.get_children(&path, false).unwrap();
        for child in children {
            let child = format!("{}/{child}", path.trim_end_matches('/'));
            if child != "/zookeeper/config" {
                ahead.push(child);
            }
        }
        seen.insert(path, (data, stat, acl));
    }
    seen
}

/// Says what differs, and not all that does not.
pub(super) fn assert_equal(left: &Seen, right: &Seen) {
    let show = |seen: &Seen, path: &str| {
        seen.get(path).map(|(data, stat, acl)| {
            let data = data.as_ref().map(|data| &data[..data.len().min(20)]);
            format!("{data:?} {stat:?} {acl:?}")
        })
    };
    let paths: std::collections::BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let mut differ = Vec::new();
    for path in paths {
        if left.get(path) != right.get(path) {
            differ.push(format!("{path}:\n  {:?}\n  {:?}", show(left, path), show(right, path)));
        }
    }
    assert!(
        differ.is_empty(),
        "{} differ:\n{}",
        differ.len(),
        differ[..differ.len().min(5)].join("\n")
    );
}
