//! What stands on the clients' wire: frames, jute, requests, replies.
//!
//! Everything here is a pure function of bytes. Decoding borrows from the frame and does not
//! allocate; encoding appends to a `Vec<u8>`. Every length and count that comes from the network
//! is checked against the bytes that are really there before anything trusts it.

pub mod acl;
pub mod code;
pub mod frame;
pub mod handshake;
pub mod jute;
pub mod multi;
pub mod opcode;
pub mod reply;
pub mod request;
pub mod stat;
