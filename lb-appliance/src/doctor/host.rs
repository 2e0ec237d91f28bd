//! The host as its files tell it: `/sys` and `/proc` below a root of one's choice.
//!
//! What cannot be read is as good as not there: a doctor without privileges says less, never something wrong.

use std::path::{Path, PathBuf};

/// Where the files of the host are.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Host {
    /// A host whose `/sys`, `/proc` and `/dev` are below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// A path of the host, given without its leading slash.
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// Whether something is there.
    pub fn has(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// A text without blanks at its ends; none if it cannot be read.
    pub fn text(&self, path: &str) -> Option<String> {
        let bytes = std::fs::read(self.path(path)).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    }

    /// A number.
    pub fn number(&self, path: &str) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// The names in a directory, sorted.
    pub fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// The last part of what a link points to.
    pub fn link(&self, path: &str) -> Option<String> {
        let target = std::fs::read_link(self.path(path)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    /// A list of CPUs (`0-3,8`); none if it cannot be read.
    pub fn cpus(&self, path: &str) -> Option<Vec<u32>> {
        self.text(path).map(|text| cpu_list(&text))
    }

    /// What follows `key` at the start of a line of a file.
    pub fn field(&self, path: &str, key: &str) -> Option<String> {
        let text = self.text(path)?;
        text.lines().find_map(|line| line.strip_prefix(key)).map(|rest| rest.trim().to_owned())
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// Reads the kernel's notation of CPU lists; what is not in it is left out.
pub(super) fn cpu_list(text: &str) -> Vec<u32> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?);
        (last.checked_sub(first)? < 65_536).then_some(first..=last)
    };
    text.split(',').filter_map(range).flatten().collect()
}

/// Writes numbers as people read them: `2, 3 and 5`.
pub(super) fn listed(items: &[impl ToString]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    match words.split_last() {
        None => "none".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_lists_are_read_as_the_kernel_writes_them() {
        assert_eq!(cpu_list("0-2,5"), [0, 1, 2, 5]);
        assert_eq!(cpu_list(""), Vec::<u32>::new());
        assert_eq!(cpu_list("3-1,x,0-4294967295"), Vec::<u32>::new());
    }

    #[test]
    fn lists_are_written_for_people() {
        assert_eq!(listed(&[2]), "2");
        assert_eq!(listed(&[2, 3, 5]), "2, 3 and 5");
        assert_eq!(listed(&[0u32; 0]), "none");
    }
}
