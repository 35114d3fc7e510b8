//! `zkprov schema`: the inventory's JSON Schema.

use crate::command::Outcome;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::inventory::schema;
use crate::report;

pub fn run() -> Outcome {
    let text = serde_json::to_string_pretty(&schema::schema())
        .map_err(|error| Failure::failed(format!("cannot write the schema: {error}")))?;
    report::data(&text);
    report::data("\n");
    Ok(Exit::Done)
}
