//! `zkprov schema`: JSON Schemas, of the inventory, of saved plans and of the lines of `--output json`.

use serde_json::{Value, json};

use crate::cli::{self, SchemaOf};
use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inventory::schema;
use crate::plan::Plan;
use crate::report;
use crate::report::event::Recorded;

pub fn run(arguments: &cli::Schema) -> Outcome {
    let schema = match arguments.of {
        SchemaOf::Inventory => schema::schema(),
        SchemaOf::Plan => derived(schemars::schema_for!(Plan), "zkprov plan"),
        SchemaOf::Events => derived(schemars::schema_for!(Recorded), "zkprov event"),
    };
    let text = serde_json::to_string_pretty(&schema)
        .map_err(|error| Failure::failed(format!("cannot write the schema: {error}")))?;
    report::data(&text);
    report::data("\n");
    Ok(Exit::Done)
}

fn derived(schema: schemars::Schema, title: &str) -> Value {
    let mut schema = schema.to_value();
    schema["title"] = json!(title);
    schema
}
