//! The shell libraries that resources read by and operations call into.

pub const ACCOUNT: &str = include_str!("resource/account.sh");
pub const ARCHIVE: &str = include_str!("resource/archive.sh");
pub const BINARY: &str = include_str!("resource/binary.sh");
pub const CERTIFICATE: &str = include_str!("resource/certificate.sh");
pub const DIRECTORY: &str = include_str!("resource/directory.sh");
pub const FILE: &str = include_str!("resource/file.sh");
pub const FSTAB: &str = include_str!("resource/fstab.sh");
/// The move between Apache ZooKeeper and the coordinator.
pub const MOVE: &str = include_str!("resource/move.sh");
pub const SERVICE: &str = include_str!("resource/service.sh");
pub const SWAP: &str = include_str!("resource/swap.sh");
pub const SYMLINK: &str = include_str!("resource/symlink.sh");
pub const SYSCTL: &str = include_str!("resource/sysctl.sh");
/// Of `restore`; it lies beside the resources, since it is called as a step like theirs.
pub const RESTORE: &str = include_str!("resource/restore.sh");
