//! What stands on the clients' wire: frames, jute, requests, replies.
//!
//! Everything here is a pure function of bytes. Decoding borrows from the frame and does not
//! allocate; encoding appends to a `Vec<u8>`. Every length and count that comes from the network
//! is checked against the bytes that are really there before anything trusts it.

pub mod code;
pub mod jute;
pub mod opcode;
