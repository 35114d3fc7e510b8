//! What operators read: four-letter words, the admin server's JSON, Prometheus metrics.
//!
//! The server fills a [`view::View`]; everything else here is functions of it. `http` is the
//! only part with sockets.

pub mod histogram;
pub mod view;
