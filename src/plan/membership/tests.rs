//! What plans come to.

use super::*;

const RUNNING: &str = "Id=zookeeper.service\nLoadState=loaded\nActiveState=active\n";

fn inventory(hosts: &str) -> Inventory {
    let yaml = format!("ensemble: t\nhosts:\n{hosts}");
    let path = std::path::Path::new("inventory.yaml");
    let reading = crate::inventory::read(path, yaml.as_bytes(), None);
    reading.inventory.unwrap_or_else(|| panic!("{}", reading.shown))
}

fn moved(hosts: &str, config: &str, units: &str) -> Vec<String> {
    let inventory = inventory(hosts);
    let content = format!("content {CONFIG_FILE}");
    let observed = Observed::of([("units", units), (content.as_str(), config)]);
    let moved = membership_change(&inventory, &[(&inventory.hosts[0], &observed)]);
    moved.iter().map(MembershipChange::say).collect()
}

#[test]
fn the_ensembles_own_list_is_held_beside_the_inventory() {
    let hosts = "  a: { address: 10.0.0.1, myid: 1 }\n  b: { address: 10.0.0.2, myid: 2 }\n  \
                 c: { address: 10.0.0.3, myid: 3 }\n";
    let inventory = inventory(hosts);
    let notes = |said: [&str; 2]| {
        let observed = said.map(|said| Observed::of([("members", said)]));
        let observed: Vec<_> = inventory.hosts.iter().zip(&observed).collect();
        let mut plans =
            inventory.hosts.iter().map(|host| HostPlan::new(&host.name)).collect::<Vec<_>>();
        note_own_list(&inventory, &mut plans, &observed);
        let of =
            |plan: HostPlan| plan.notes.into_iter().map(|(name, text)| format!("{name}: {text}"));
        plans.into_iter().flat_map(of).collect::<Vec<_>>()
    };
    let line = |id, at| format!("server.{id}=10.0.0.{at}:2888:3888:participant;0.0.0.0:2181 ");
    let same = format!("ok: {}{}{}version=100000002", line(1, 1), line(2, 2), line(3, 3));
    assert!(notes([&same, &same]).is_empty());
    assert!(notes(["", "error: no list"]).is_empty());
    let newer = format!("ok: {}{}{}version=20000000a", line(1, 1), line(2, 9), line(4, 4));
    let found = notes([&same, &newer]);
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(found.iter().all(|note| note.starts_with("members (version 20000000a of ")));
    assert!(
        found[0].contains("server 2 is at 10.0.0.9, the inventory has b at 10.0.0.2"),
        "{found:?}"
    );
    assert!(found[1].contains("`myid: 4`, or take it out") && found[1].contains("-remove 4"));
    assert!(found[2].contains("c (server 3) is not on it") && found[2].contains("-add server.3="));
}

#[test]
fn members_change_one_at_a_time() {
    let three = "  a: { address: 10.0.0.1, myid: 1 }\n  b: { address: 10.0.0.2, myid: 2 }\n  \
                 c: { address: 10.0.0.3, myid: 3 }\n";
    let same =
        "server.1=0.0.0.0:2888:3888\nserver.2=10.0.0.2:2888:3888\nserver.3=10.0.0.3:2888:3888\n";
    assert!(moved(three, same, RUNNING).is_empty());
    let two = "server.1=10.0.0.1:2888:3888\nserver.2=10.0.0.2:2888:3888\n";
    assert_eq!(moved(three, two, RUNNING), ["add member 3"]);
    let other = "server.1=10.0.0.1:1:1\nserver.2=10.0.0.9:1:1\nserver.4=10.0.0.3:1:1\n";
    assert_eq!(
        moved(three, other, RUNNING),
        ["remove member 4", "move member 2 to 10.0.0.2", "add member 3"]
    );
    assert!(moved(three, other, "").is_empty(), "nothing serves: nothing can be lost");
}
