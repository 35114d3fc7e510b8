//! The one test binary of the crate. `UPDATE_CASES=1` records the cases under `tests/cases` anew.
#![allow(clippy::disallowed_methods, reason = "tests run processes, and look at files and clocks")]

/// The name under which scripts shared with the fuzzer know the library.
use coordinator as whole;

mod admin;
mod answers;
mod apache;
mod apache_bytes;
mod backup;
mod cases;
mod client;
mod compare;
mod config;
mod connection_script;
mod connections;
mod engine;
mod ensemble;
mod hostile;
mod links;
mod membership;
mod older;
mod poison;
mod quorum_tls;
mod secure_bytes;
mod secure_random;
mod secured;
mod session_time;
mod shell;
mod snapshot_size;
mod state;
mod state_model;
mod tls;
mod vectors;
mod wire;
mod wire_properties;
mod wire_random;
