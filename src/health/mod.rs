//! How the ensemble and the brokers are, from what their hosts have said. Pure.

pub mod ensemble;
pub mod kafka;
