//! What is carried to the hosts: Kafka's release by its digest, the coordinator for each architecture,
//! and what the controller must read for them.

pub mod build;
pub mod collect;
pub mod fetch;
pub mod kept;
pub mod progress;
pub mod secret;
pub mod security;
