//! Where a release may be had, and what is said of its digest.

use std::path::PathBuf;

/// Where a release may be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `http://` or `https://`, complete.
    Url(String),
    File(PathBuf),
}

/// What the inventory says about a release's digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sha512 {
    /// 128 lower-case hex digits.
    Digest(String),
    /// A checksum file in one of Apache's shapes.
    File(Source),
}
