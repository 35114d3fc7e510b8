//! SASL as `ZooKeeper`'s clients speak it inside op 102: DIGEST-MD5, with users of a JAAS file.
//!
//! The server's login decides the mechanism and no client can ask for another. Kerberos is absent:
//! its libraries are C, and DIGEST-MD5 and certificates cover what Kafka needs. Nothing here does
//! I/O: the edge reads the file, the node keeps the challenge.

mod digest_md5;
mod directives;
mod jaas;

pub use digest_md5::{Challenge, Granted, Refusal, Response, TOKEN_BYTES_MAX, Users};
pub use jaas::{JaasError, client_login, server_users};

/// What clients name the server by: part of the digest's URI, and the only realm.
pub const SERVER_NAME: &str = "zk-sasl-md5";
/// The protocol's name in the digest's URI.
pub const PROTOCOL: &str = "zookeeper";
