//! The rolling change: which member or broker is next, what must be true before and after it, and what
//! it ran before. The engine of `apply`, `restart` and `rollback`.

pub mod brokers;
pub mod drive;
mod drive_brokers;
pub mod drive_members;
pub mod engine;
pub mod gate;
pub mod journal;
pub mod members;
pub mod previous;
pub mod service;
