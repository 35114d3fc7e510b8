//! TLS as `ZooKeeper`'s clients meet it: Java's stores, Java's judgement of certificates, identities
//! as Java prints them.
//!
//! [`Store`] reads what `keytool` and OpenSSL write, [`Verifier`] judges a chain, [`subject()`] names who
//! showed it, [`Settings`] become a [`Context`], and a context makes [`Session`]s; a [`Tunnel`] puts one
//! over a stream. Nothing in here touches a socket or a file; `edge` does.

mod certificate;
mod cipher;
mod context;
mod der;
pub mod encode;
mod facts;
mod hostname;
mod jks;
mod pem;
mod pkcs12;
mod provider;
pub mod request;
mod session;
mod store;
mod subject;
mod suites;
mod tunnel;
mod verify;

pub use context::{ClientAuth, Context, Dialler, Settings, client_config};
pub use facts::Facts;
pub use hostname::covers;
pub use pem::blocks;
pub use provider::{missing_features, provider};
pub use session::{Received, Session};
pub use store::{Store, StoreError};
pub use subject::subject;
pub use suites::{PROTOCOLS, all_suites, suites};
pub use tunnel::{Through, Tunnel};
pub use verify::{Names, Verifier};
