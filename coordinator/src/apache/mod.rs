//! What Apache ZooKeeper keeps on disk: found, read and written as it does.
//!
//! [`directory`] says which files there are; [`input`] gives their bytes, [`snapshot`], [`log`] and
//! [`txn`] their meaning; [`replica`] makes a tree of it, [`mod@load`] of a whole directory, and
//! [`choose`] decides between several. Everything here distrusts what it reads: a length is
//! believed as far as the file goes, and what makes no sense is refused with file and offset.

pub mod choose;
pub mod digest;
pub mod directory;
mod error;
pub mod input;
pub mod load;
pub mod log;
pub mod owner;
pub mod replica;
pub mod snapshot;
pub mod txn;
mod unpack;
pub mod write;

pub use error::ReadError;
pub use load::{Digests, Loaded, Source, load};
pub use unpack::SnappyStream;
