//! The one test binary of the crate. `UPDATE_CASES=1` records the cases under `tests/cases` anew.

mod admin;
mod backup;
mod cases;
mod client;
mod config;
mod engine;
mod ensemble;
mod membership;
mod shell;
mod state;
mod state_model;
mod vectors;
mod wire;
mod wire_properties;
mod wire_random;
