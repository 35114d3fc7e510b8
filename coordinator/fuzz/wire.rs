//! `coordinator::wire` without the rest of the server.

#[path = "../src/wire/mod.rs"]
pub mod wire;
