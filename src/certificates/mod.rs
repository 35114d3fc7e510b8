//! Certificates: the authority that issues them, what is issued to whom, and when one is due. Pure, but
//! for random numbers; the files of an authority are kept by `artifacts::authority`.

pub mod authority;
pub mod due;
pub mod issue;

pub use authority::{Authority, Signer};
pub use due::{Trust, Why};
pub use issue::Wanted;
