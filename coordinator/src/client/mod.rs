//! The other end of the wire: a small blocking client, for `shell` and `status`.
