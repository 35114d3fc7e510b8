//! Each template as it lands on a host, against `tests/golden/`.

use std::path::{Path, PathBuf};

use zkprov::inventory::{self, Inventory};
use zkprov::plan::template::{self, TEMPLATES};

use crate::golden;
use crate::root;

fn inventory(text: &str) -> Inventory {
    let reading = inventory::read(Path::new("inventory.yaml"), text.as_bytes(), None);
    reading.inventory.unwrap_or_else(|| panic!("{}", reading.shown))
}

fn example(name: &str) -> Inventory {
    let path = root().join("inventories").join(name);
    let bytes = std::fs::read(&path).expect("an example");
    inventory::read(&path, &bytes, None).inventory.expect("a valid example")
}

#[test]
fn the_examples_render_as_recorded() {
    for name in ["single.yaml", "three.yaml", "observers.yaml", "full.yaml"] {
        let mut inventory = example(name);
        inventory.templates = None;
        let last = inventory.hosts.last().cloned();
        for host in [inventory.hosts.first().cloned(), last].into_iter().flatten() {
            let of_broker = |name: &str| matches!(name, "server.properties" | "kafka.service");
            let has = |name: &str| {
                if of_broker(name) {
                    inventory.broker_on(&host).is_some()
                } else {
                    host.is_member()
                }
            };
            for template in TEMPLATES.iter().filter(|template| has(template.name)) {
                let folder = name.trim_end_matches(".yaml");
                let text = template::render(&inventory, &host, template.name).expect("it renders");
                golden(&format!("{folder}/{}/{}", host.name, template.name), &text);
            }
        }
    }
}

#[test]
fn apaches_engine_gets_a_unit_of_its_own() {
    let inventory = inventory(
        "ensemble: demo\nhosts:\n  kafka1: { address: 10.0.0.1, myid: 1 }\n\
         coordinator: { engine: zookeeper, heap: 1G, java_home: /opt/java }\n",
    );
    let unit =
        template::render(&inventory, &inventory.hosts[0], "zookeeper.service").expect("it renders");
    golden("zookeeper/zookeeper.service", &unit);
}

#[test]
fn the_units_are_hardened() {
    for (name, golden) in [
        ("ours", "three/kafka1/zookeeper.service"),
        ("apache", "zookeeper/zookeeper.service"),
        ("broker", "full/kafka1/kafka.service"),
    ] {
        let unit = root().join("tests/golden").join(golden);
        let folder = scratch(&format!("unit-{name}"));
        // A name that no unit of the machine has, masked or not.
        let copy = folder.join(format!("zkprov-golden-{name}.service"));
        std::fs::copy(unit, &copy).expect("a golden unit");
        let answer = std::process::Command::new("systemd-analyze")
            .args(["security", "--offline=true", "--no-pager"])
            .arg(&copy)
            .output();
        let Ok(answer) = answer else {
            crate::skipped("templates", "systemd-analyze is not installed");
            return;
        };
        let text = String::from_utf8_lossy(&answer.stdout).into_owned();
        let level = text
            .lines()
            .find_map(|line| line.split_once("Overall exposure level for")?.1.split_once(": "))
            .and_then(|(_, rest)| rest.split_whitespace().next()?.parse::<f64>().ok());
        let Some(level) = level else {
            // Before systemd 250 there is no offline mode.
            let said = String::from_utf8_lossy(&answer.stderr);
            crate::skipped("templates", &format!("systemd-analyze says {}", said.trim()));
            return;
        };
        assert!(level <= 2.5, "{name}: exposed {level}\n{text}");
    }
}

#[test]
fn ones_own_line_is_the_wildcard_only_if_asked() {
    let text =
        "ensemble: demo\nhosts:\n  kafka[1:3]: { address: \"10.0.0.[1:3]\", myid: \"[1:3]\" }\n";
    let plain = inventory(text);
    let any = inventory(&format!("{text}coordinator: {{ bind_any: true }}\n"));
    let lines = |inventory: &Inventory| {
        let text = template::render(inventory, &inventory.hosts[1], "zookeeper.properties")
            .expect("it renders");
        text.lines()
            .filter(|line| line.starts_with("server."))
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        lines(&plain),
        [
            "server.1=10.0.0.1:2888:3888",
            "server.2=10.0.0.2:2888:3888",
            "server.3=10.0.0.3:2888:3888"
        ]
    );
    assert_eq!(
        lines(&any),
        [
            "server.1=10.0.0.1:2888:3888",
            "server.2=0.0.0.0:2888:3888",
            "server.3=10.0.0.3:2888:3888"
        ]
    );
}

#[test]
fn properties_are_read_back_as_they_were_written() {
    let inventory = inventory(
        "ensemble: demo\nhosts:\n  kafka1: { address: 10.0.0.1, myid: 1 }\n\
         properties: { a.b: \" x\\\\y\", c: \"\u{fc}\u{1f600}\", d: \"\" }\n",
    );
    let text = template::render(&inventory, &inventory.hosts[0], "zookeeper.properties")
        .expect("it renders");
    assert!(text.contains("\na.b=\\ x\\\\y\nc=\\u00fc\\ud83d\\ude00\nd=\n"), "{text}");
}

/// An inventory of one host whose templates are in a folder with these files.
fn overridden(test: &str, files: &[(&str, &str)]) -> Inventory {
    let folder = scratch(test);
    for (name, text) in files {
        std::fs::write(folder.join(name), text).expect("a template");
    }
    let mut inventory =
        inventory("ensemble: demo\nhosts:\n  kafka1: { address: 10.0.0.1, myid: 1 }\n");
    inventory.templates = Some(folder);
    inventory
}

fn scratch(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

#[test]
fn a_folder_overrides_by_name() {
    let inventory = overridden("override", &[("myid", "0{{ host.myid }}\n")]);
    let host = &inventory.hosts[0];
    assert_eq!(template::render(&inventory, host, "myid").as_deref(), Ok("01\n"));
    let unit = template::render(&inventory, host, "zookeeper.service").expect("the built-in one");
    assert!(unit.contains("[Service]"));
}

#[test]
fn a_missing_value_is_an_error_with_its_line() {
    let inventory = overridden("missing", &[("myid", "a\n{{ host.nyid }}\n")]);
    let failure =
        template::render(&inventory, &inventory.hosts[0], "myid").expect_err("it is missing");
    assert!(failure.cause.contains("myid:2: "), "{failure}");
    assert_eq!(failure.host.as_deref(), Some("kafka1"));
}

#[test]
fn a_file_that_overrides_nothing_is_an_error() {
    let inventory = overridden("nothing", &[("zookeeper.propertis", "")]);
    let failure = template::render(&inventory, &inventory.hosts[0], "myid")
        .expect_err("it overrides nothing");
    assert!(failure.cause.ends_with("zookeeper.propertis overrides no template"), "{failure}");
}

#[test]
fn a_template_that_never_ends_is_ended() {
    let text = "{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}";
    let inventory = overridden("endless", &[("myid", text)]);
    let failure =
        template::render(&inventory, &inventory.hosts[0], "myid").expect_err("it does not end");
    assert!(failure.cause.contains("fuel"), "{failure}");
}
