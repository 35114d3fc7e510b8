//! The table of keys as a JSON Schema, for editors. It accepts what `validate` accepts and, as far
//! as a schema can, refuses what that refuses.

use serde_json::{Map, Value, json};

use crate::inventory::keys::{self, Key, Kind};

/// The schema of a whole inventory.
pub fn schema() -> Value {
    let mut schema = section(keys::INVENTORY);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("zkprov inventory");
    schema
}

fn section(known: &[Key]) -> Value {
    let properties: Map<String, Value> =
        known.iter().map(|key| (key.name.to_owned(), described(key))).collect();
    let required: Vec<&str> = known.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut section =
        json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        section["required"] = json!(required);
    }
    section
}

fn described(key: &Key) -> Value {
    let mut schema = kind(&key.kind);
    schema["description"] = if key.default.is_empty() {
        json!(key.about)
    } else {
        json!(format!("{} (default: {})", key.about, key.default))
    };
    schema
}

fn kind(kind: &Kind) -> Value {
    let text = |pattern: &str| json!({ "type": "string", "pattern": pattern });
    match kind {
        Kind::Section(known) => {
            let mut section = section(known);
            section["type"] = json!(["object", "null"]);
            section
        }
        Kind::Hosts(known) | Kind::Brokers(known) => json!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": r"^[A-Za-z0-9_][A-Za-z0-9._-]*(\[[0-9]+:[0-9]+\])?[A-Za-z0-9._-]*$" },
            "additionalProperties": ranged(section(known)),
        }),
        Kind::Properties | Kind::BrokerProperties => json!({
            "type": ["object", "null"],
            "additionalProperties": { "type": ["string", "number", "boolean"] },
        }),
        Kind::Secret => json!({
            "type": "object",
            "additionalProperties": false,
            "minProperties": 1,
            "maxProperties": 1,
            "properties": { "env": text("^[A-Za-z_][A-Za-z0-9_]*$"), "file": { "type": "string" } },
        }),
        Kind::Users => json!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": { "pattern": r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$" },
            "additionalProperties": { "anyOf": [{ "type": "null" }, self::kind(&Kind::Secret)] },
        }),
        Kind::Name => text(r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$"),
        Kind::Version => {
            json!({ "type": ["string", "number"], "pattern": r"^[0-9]+(\.[0-9]+){1,3}$" })
        }
        Kind::Number { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration => text("^[1-9][0-9]*(ms|s|m)$"),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Choice(choices) => json!({ "enum": choices }),
        Kind::RemotePath => text(r"^/[A-Za-z0-9/._+@-]*(\[[0-9]+:[0-9]+\])?[A-Za-z0-9/._+@-]*$"),
        Kind::Sources => {
            json!({ "type": "array", "minItems": 1, "items": { "type": "string", "minLength": 1 } })
        }
        Kind::Listeners => text(
            r"^[A-Za-z0-9_.-]+://[^,\s]*:[0-9\[\]:]+(,[A-Za-z0-9_.-]+://[^,\s]*:[0-9\[\]:]+)*$",
        ),
        Kind::RemotePaths => json!({
            "type": "array", "minItems": 1,
            "items": text(r"^/[A-Za-z0-9/._+@-]*(\[[0-9]+:[0-9]+\])?[A-Za-z0-9/._+@-]*$"),
        }),
        Kind::Heap => text("^[1-9][0-9]*[kKmMgG]$"),
        Kind::Address | Kind::SshHost | Kind::User | Kind::Path | Kind::Sha512 => {
            json!({ "type": "string", "minLength": 1 })
        }
    }
}

/// In a range of hosts a number may be a range too: `myid: "[1:3]"`. Without the quotes it is a list to
/// YAML.
fn ranged(mut host: Value) -> Value {
    let range = json!({ "type": "string", "pattern": r"^\[[0-9]+:[0-9]+\]$" });
    let bare = json!({
        "type": "array", "minItems": 1, "maxItems": 1,
        "items": { "type": "string", "pattern": "^[0-9]+:[0-9]+$" },
    });
    let widen = |schema: &mut Value| {
        if schema["type"] == "integer" {
            let description =
                schema.as_object_mut().and_then(|schema| schema.remove("description"));
            *schema = json!({ "anyOf": [schema.clone(), range, bare], "description": description });
        }
    };
    let Some(properties) = host["properties"].as_object_mut() else { return host };
    for schema in properties.values_mut() {
        widen(schema);
        if let Some(inner) = schema.get_mut("properties").and_then(Value::as_object_mut) {
            inner.values_mut().for_each(widen);
        }
    }
    host
}
