//! `coordinator-bench`: the coordinator beside Apache ZooKeeper on one machine, interleaved.
//!
//! In reading order: what a cell is, the client that drives it, the ensembles it drives, the
//! scenarios that are no cells, what is kept of a run, and the page made of it.

pub mod cell;
pub mod histogram;
pub mod wire;

pub mod churn;
pub mod clib;
pub mod echo;
pub mod plain;
pub mod raw;

pub mod engine;
pub mod load;
pub mod process;

pub mod bystander;
pub mod failover;
pub mod growth;
pub mod hostile;
pub mod idle;
pub mod memory;
pub mod start;
pub mod suite;

pub mod page;
pub mod plot;
pub mod results;
pub mod target;

pub mod cli;
pub mod report;
