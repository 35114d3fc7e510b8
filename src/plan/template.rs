//! The files that land on the hosts, rendered from `templates/`: a value that is missing is an
//! error, and so is a file in the user's folder that overrides nothing.

mod broker;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::inventory::{Engine, Host, Inventory, Role, address};
use crate::layout::{
    ACCOUNT, BINARY, BROKER_KEY_STORE, BROKER_LOGIN_FILE, CONFIG_FILE, KEY_STORE, LOGIN_FILE,
    SECRET_FILE, TRUST_STORE,
};
use crate::plan::account;

/// A built-in template.
#[derive(Debug)]
pub struct Template {
    pub name: &'static str,
    pub source: &'static str,
    pub about: &'static str,
}

/// All of them.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "zookeeper.properties",
        source: include_str!("../../templates/zookeeper.properties"),
        about: "the server's configuration",
    },
    Template {
        name: "myid",
        source: include_str!("../../templates/myid"),
        about: "the member's number, in its data directory",
    },
    Template {
        name: "zookeeper.service",
        source: include_str!("../../templates/zookeeper.service"),
        about: "the systemd unit",
    },
    Template {
        name: "server.properties",
        source: include_str!("../../templates/server.properties"),
        about: "the broker's configuration",
    },
    Template {
        name: "kafka.service",
        source: include_str!("../../templates/kafka.service"),
        about: "the broker's systemd unit",
    },
];

/// A template is a page of text.
const BYTES_MAX: u64 = 256 * 1024;

/// A template's text, and the file it comes from if the inventory overrides the built-in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    pub text: String,
    pub file: Option<PathBuf>,
}

/// What the templates of one host are rendered from.
#[derive(Debug)]
pub struct Page<'a> {
    inventory: &'a Inventory,
    host: &'a Host,
    values: minijinja::Value,
    /// For a broker beside a member: `account` is the one that the page's own service runs as.
    of_broker: Option<minijinja::Value>,
}

impl<'a> Page<'a> {
    /// Of `host`, whose member runs as `account`, and which has so much memory where that is known.
    pub fn new(
        inventory: &'a Inventory,
        host: &'a Host,
        account: &str,
        memory_kb: Option<u64>,
    ) -> Self {
        let mut all = values(inventory, host, memory_kb);
        let both = host.is_member() && inventory.broker_on(host).is_some();
        let of_broker = both.then(|| Serde(all.clone()).into());
        if host.is_member() {
            all["account"] = account.into();
        }
        Self { inventory, host, values: Serde(all).into(), of_broker }
    }

    /// Renders the template `name`.
    pub fn render(&self, name: &str) -> Result<String, Failure> {
        let of_broker = matches!(name, "server.properties" | "kafka.service");
        let values = self.of_broker.as_ref().filter(|_| of_broker).unwrap_or(&self.values).clone();
        let (text, shown) = match BUILT_IN.get_template(name) {
            Ok(template) if self.inventory.templates.is_none() => {
                (template.render(values), name.to_owned())
            }
            _ => {
                let Source { text, file } = source(self.inventory, name)?;
                let shown = file.map_or_else(|| name.to_owned(), |file| file.display().to_string());
                (environment().and_then(|e| e.render_str(&text, values)), shown)
            }
        };
        text.map_err(|error| {
            let line = error.line().map_or(String::new(), |line| format!(":{line}"));
            let detail = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
            Failure::usage(format!("template {shown}{line}: {detail}"))
                .host(&self.host.name)
                .hint(format!("`zkprov template show {name}` prints the values a template sees"))
        })
    }
}

/// Renders the template `name` for `host`, of which nothing but the inventory is known.
pub fn render(inventory: &Inventory, host: &Host, name: &str) -> Result<String, Failure> {
    Page::new(inventory, host, account::planned(inventory), None).render(name)
}

/// The built-in templates, parsed once for all hosts.
static BUILT_IN: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = environment().expect("its syntax is valid");
    for template in TEMPLATES {
        environment.add_template(template.name, template.source).expect("a test renders each");
    }
    environment
});

/// What a template is made from.
pub fn source(inventory: &Inventory, name: &str) -> Result<Source, Failure> {
    let Some(template) = TEMPLATES.iter().find(|template| template.name == name) else {
        let names: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
        return Err(Failure::usage(format!("there is no template `{name}`"))
            .hint(format!("templates: {}", names.join(", "))));
    };
    let built_in = || Ok(Source { text: template.source.to_owned(), file: None });
    let Some(folder) = &inventory.templates else { return built_in() };
    only_known(folder)?;
    let file = folder.join(name);
    match std::fs::metadata(&file) {
        Ok(metadata) if metadata.len() > BYTES_MAX => Err(Failure::usage(format!(
            "{} has {} bytes; a template may have {BYTES_MAX}",
            file.display(),
            metadata.len()
        ))),
        Ok(_) => match std::fs::read_to_string(&file) {
            Ok(text) => Ok(Source { text, file: Some(file) }),
            Err(error) => Err(Failure::usage(format!("cannot read {}: {error}", file.display()))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => built_in(),
        Err(error) => Err(Failure::usage(format!("cannot read {}: {error}", file.display()))),
    }
}

/// A file that overrides nothing is a mistake that would otherwise go unseen.
fn only_known(folder: &Path) -> Result<(), Failure> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Failure::usage(format!("cannot read the folder of templates {}: {error}", folder.display()))
            .hint("`templates:` in the inventory is relative to the inventory's folder")
    })?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let hidden = name.starts_with('.') || name.ends_with('~');
        if !hidden && !TEMPLATES.iter().any(|template| template.name == name) {
            let names: Vec<&str> = TEMPLATES.iter().map(|template| template.name).collect();
            return Err(Failure::usage(format!(
                "{} overrides no template",
                entry.path().display()
            ))
            .hint(format!("templates: {}", names.join(", "))));
        }
    }
    Ok(())
}

fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    environment.set_syntax(syntax);
    // A template that loops for ever ends here.
    environment.set_fuel(Some(1_000_000));
    environment.add_filter("property", property);
    Ok(environment)
}

/// What the templates of brokers see for `host`; a member's see their own account.
pub fn values(inventory: &Inventory, host: &Host, memory_kb: Option<u64>) -> Value {
    let coordinator = &inventory.coordinator;
    let engine = match coordinator.engine {
        Engine::Coordinator => "coordinator",
        Engine::Zookeeper => "zookeeper",
    };
    let secret_file = match coordinator.engine {
        Engine::Coordinator => coordinator.secret.as_ref().map(|_| SECRET_FILE),
        Engine::Zookeeper => None,
    };
    let servers: Vec<Value> =
        inventory.members().map(|other| server(other, &bind(inventory, host, other))).collect();
    json!({
        "account": ACCOUNT,
        "config_file": CONFIG_FILE,
        "ensemble": inventory.ensemble,
        "host": server(host, &bind(inventory, host, host)),
        "servers": servers,
        "coordinator": {
            "engine": engine,
            "binary": BINARY,
            "tick_time": coordinator.tick_time_ms,
            "init_limit": coordinator.init_limit,
            "sync_limit": coordinator.sync_limit,
            "max_client_cnxns": coordinator.max_client_cnxns,
            "secret_file": secret_file,
            "java_home": coordinator.java_home,
            "heap": coordinator.heap.as_deref().unwrap_or("512M"),
            // Apache ZooKeeper can take sessions over only by a rule of passwords that it knows.
            "way_back": coordinator.apache.is_some() && coordinator.engine == Engine::Coordinator,
        },
        "kafka": {
            "install": inventory.kafka.install,
            "version": inventory.kafka.version,
            "scala": inventory.kafka.scala,
            "home": format!("{}/kafka", inventory.kafka.install_root.trim_end_matches('/')),
            // By version: a broker goes on running what it was started from, and can go back to it.
            "release": format!(
                "{}/{}",
                inventory.kafka.install_root.trim_end_matches('/'),
                inventory.kafka.distribution()
            ),
        },
        "broker": inventory.broker_on(host).map(|on| broker::values(inventory, host, on, memory_kb)),
        "properties": inventory.properties_of(host),
        "security": {
            "clients": inventory.security.clients.word(),
            "members": inventory.security.members.word(),
            "brokers": inventory.security.brokers,
            "key_store": KEY_STORE,
            "broker_key_store": BROKER_KEY_STORE,
            "trust_store": TRUST_STORE,
            "users": inventory.security.users.keys().collect::<Vec<_>>(),
            "login_file": LOGIN_FILE,
            "broker_login_file": inventory.security.broker_user.as_ref().map(|_| BROKER_LOGIN_FILE),
            "acl": inventory.security.acl,
        },
    })
}

/// How `host` writes the address of `server` in its configuration.
fn bind(inventory: &Inventory, host: &Host, server: &Host) -> String {
    if inventory.coordinator.bind_any && host.myid == server.myid {
        "0.0.0.0".to_owned()
    } else {
        address::in_url(&server.address)
    }
}

fn server(host: &Host, bind: &str) -> Value {
    let role = match host.role {
        Role::Participant => "participant",
        Role::Observer => "observer",
        Role::Broker => "broker",
    };
    json!({
        "name": host.name,
        "address": host.address,
        "bind": bind,
        "myid": host.myid,
        "role": role,
        "data_dir": host.data_dir,
        "data_log_dir": host.data_log_dir,
        "client_port": host.ports.client,
        "quorum_port": host.ports.quorum,
        "election_port": host.ports.election,
    })
}

/// A value as `java.util.Properties` reads it back: backslashes doubled, a blank in front kept,
/// everything beyond ASCII as `\uXXXX` since the file is read as Latin-1.
fn property(value: &str) -> String {
    let mut escaped = String::new();
    for (index, c) in value.chars().enumerate() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            ' ' if index == 0 => escaped.push_str("\\ "),
            c if c.is_ascii() => escaped.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(escaped, "\\u{unit:04x}");
                }
            }
        }
    }
    escaped
}
