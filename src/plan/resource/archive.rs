//! A release of Kafka: verified here, unpacked on the host while it streams, stamped with its digest.

use std::path::PathBuf;

use super::{Action, Carried, Change, Difference};
use crate::probe::{Kind, Observed, Reading};

pub(super) const SHELL: &str = include_str!("archive.sh");

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// The folder it is unpacked in.
    pub root: String,
    /// Its only top folder.
    pub name: String,
    /// Who owns the files.
    pub user: String,
    pub sha512: String,
    /// Of the tarball, where it is known.
    pub bytes: Option<u64>,
    pub origin: Origin,
}

/// How the bytes get to the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the controller's verified copy; `None` until it has been fetched, which a dry run does not
    /// do.
    Controller(Option<PathBuf>),
    /// The host's own download, hashed there.
    Host(Vec<String>),
}

/// Where what is in the way is kept.
pub fn aside(path: &str) -> String {
    format!("{path}.before-zkprov")
}

impl Archive {
    pub fn path(&self) -> String {
        format!("{}/{}", self.root.trim_end_matches('/'), self.name)
    }

    fn stamp(&self) -> String {
        format!("{}/.zkprov", self.path())
    }

    pub fn read(&self, reading: &mut Reading) {
        reading.path(&self.path());
        reading.path(&aside(&self.path()));
        reading.content(&self.stamp());
        reading.space(&self.root);
        if matches!(self.origin, Origin::Host(_)) {
            reading.function("probe_fetcher", []);
        }
    }

    pub fn differ(&self, observed: &Observed) -> Difference {
        let path = self.path();
        let aside = aside(&path);
        let there = observed.path(&path);
        let stamp = observed.content(&self.stamp()).map(String::from_utf8_lossy);
        if let Some(stamp) = &stamp
            && stamp.trim() == self.sha512
            && there.is_some_and(|t| t.kind == Kind::Directory)
        {
            return Difference::Same;
        }
        let (action, why, keep) = match there {
            None => (Action::Create, "missing".to_owned(), String::new()),
            Some(_) if observed.path(&aside).is_some() => {
                return Difference::refused(
                    format!("{path} is not from this release, and {aside} exists already"),
                    "zkprov would keep what is there under that name; move one of them away",
                );
            }
            Some(_) => {
                let what = if stamp.is_some() { "another digest" } else { "no stamp" };
                (Action::Update, format!("{what}: kept as {aside}"), aside.clone())
            }
        };
        let root = self.root.trim_end_matches('/').to_owned();
        let common = [root, self.name.clone(), self.user.clone(), self.sha512.clone(), keep];
        let bytes = self.bytes;
        match &self.origin {
            Origin::Controller(fetched) => {
                let size =
                    bytes.map_or_else(String::new, |b| format!("; {:.1} MB", b as f64 / 1e6));
                // The unpacked release takes little more than the tarball: jars do not compress.
                let need_kb = bytes.unwrap_or(0) / 1000 * 5 / 4;
                if let Some(free_kb) = observed.space_kb(&self.root)
                    && free_kb < need_kb
                {
                    return Difference::refused(
                        format!(
                            "{} has {} MB free, the release needs about {}",
                            self.root,
                            free_kb / 1000,
                            need_kb / 1000
                        ),
                        "make room, or set kafka.install_root",
                    );
                }
                let size_argument = bytes.unwrap_or(0).to_string();
                let mut change = Change::new(
                    action,
                    format!("{why}{size}"),
                    "do_archive",
                    common.into_iter().chain([size_argument]),
                );
                let carried = fetched.clone().zip(bytes);
                change.carried = carried.map(|(path, bytes)| Carried { path, bytes });
                Difference::change(change)
            }
            Origin::Host(_) if observed.text("fetcher").trim().is_empty() => Difference::refused(
                "`fetch: host` needs curl or wget, and this host has neither",
                "install one of them, or let the controller download: `fetch: controller`",
            ),
            Origin::Host(urls) => Difference::change(Change::new(
                action,
                format!("{why}; downloaded by the host"),
                "do_archive_fetched",
                common.into_iter().chain(urls.iter().cloned()),
            )),
        }
    }
}
