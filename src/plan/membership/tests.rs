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
