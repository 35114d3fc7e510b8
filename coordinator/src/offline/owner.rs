//! Root's work in a directory that is the server's account's: done as that account, which could otherwise lead
//! root elsewhere by a link in the place of a file.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::config::Config;

/// Goes on as the account that owns the data directories, where this process is root and they are not
/// root's: the same program with the same words takes this process's place. `file` is one that root may
/// read and the account perhaps not: it becomes stdin, and the word that names it `-`.
pub fn become_owner(config: &Config, file: Option<&Path>) -> Result<(), String> {
    let failed =
        |error: io::Error| format!("cannot go on as the account of the data directory: {error}");
    // Of this process: who owns its entry is whose rights it has.
    if fs::metadata("/proc/self").map_err(failed)?.uid() != 0 {
        return Ok(());
    }
    let Some((uid, gid)) = owner(&[&config.data_dir, &config.data_log_dir])? else { return Ok(()) };
    let file = file.filter(|path| *path != Path::new("-"));
    let words = std::env::args_os().skip(1).map(|word| match file {
        Some(file) if Path::new(&word) == file => "-".into(),
        _ => word,
    });
    let mut command = Command::new("/proc/self/exe");
    command.args(words).uid(uid).gid(gid);
    if let Some(file) = file {
        let opened = File::open(file);
        command.stdin(opened.map_err(|error| format!("cannot read {}: {error}", file.display()))?);
    }
    Err(failed(command.exec()))
}

/// Whose the directories are that exist, if not root's.
fn owner(directories: &[&PathBuf]) -> Result<Option<(u32, u32)>, String> {
    let there = directories.iter().filter_map(|path| fs::metadata(path).ok());
    let mut owners: Vec<(u32, u32)> = there.map(|data| (data.uid(), data.gid())).collect();
    owners.dedup();
    match owners[..] {
        [] | [(0, _)] => Ok(None),
        [owner] => Ok(Some(owner)),
        _ => {
            Err("dataDir and dataLogDir belong to different accounts: give both to the server's"
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_directory_is() {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let own = fs::metadata(&folder).expect("there");
        let expected = (own.uid() != 0).then(|| (own.uid(), own.gid()));
        assert_eq!(owner(&[&folder, &folder]), Ok(expected));
        let gone = folder.join("gone");
        assert_eq!(owner(&[&gone]), Ok(None), "what root makes is given away afterwards");
        if own.uid() == 0 {
            std::os::unix::fs::chown(&folder, Some(7), Some(8)).expect("root may");
            assert_eq!(owner(&[&folder, &gone]), Ok(Some((7, 8))));
            assert!(owner(&[&folder, &std::env::temp_dir()]).is_err(), "two accounts");
        }
        fs::remove_dir_all(folder).expect("removed");
    }
}
