//! The plan: what differs, host by host, in the order in which it is changed. Pure: the inventory and
//! what was observed in, a value out; that value is shown, saved, applied and rolled.

pub mod account;
pub mod change;
pub mod desired;
pub mod diff;
mod fitness;
mod found;
pub mod library;
mod make;
mod membership;
mod model;
pub mod move_step;
mod only;
pub mod operation;
pub mod reason;
pub mod resource;
pub mod secret;
pub mod show;
pub mod subject;
pub mod template;
pub mod transport;
pub mod valid;

pub use account::has_data;
pub use make::{ensemble, host};
pub use membership::leaving;
pub use model::{FORMAT, HostPlan, Plan, Refusal, Step};
pub use only::Only;
