//! `include`: more pools and VIPs from other files.
//!
//! Only the last part of a pattern may hold wildcards, so that a pattern costs one directory listing. An included file
//! holds `pools` and `vips`, never another `include`: what belongs to a configuration is seen by reading its main file.
//! Files are merged pattern by pattern, and by name within a pattern; each is read once.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use super::code::Code;
use super::files::{SourceFile, source_of};
use super::finding::{Findings, Place};
use super::read::{Item, Located};
use super::source::Source;
use super::yaml::{self, Node};

/// Included files of one configuration.
pub const FILES_MAX: usize = 1024;
/// Bytes of all included files together.
pub const INCLUDED_BYTES_MAX: usize = 16 << 20;
/// Keys and values of all included files together.
const NODES_MAX: usize = 2 * yaml::NODES_MAX;
/// Entries of a directory that are looked at.
const ENTRIES_MAX: usize = 100_000;

/// How the files that a text includes are reached.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach<'a> {
    /// Not at all: the text came alone.
    Nowhere,
    /// Relative to the folder of this file, which must not include itself.
    Beside(&'a Path),
    /// They are these, whatever lies on the disk now.
    Given(&'a [SourceFile]),
}

/// What the included files hold.
#[derive(Debug, Default)]
pub(super) struct Included {
    /// One tree per file; their offsets are those that the findings know.
    pub(super) trees: Vec<Node>,
    /// Something could not be read: nothing can be said about names that are missing.
    pub(super) is_partial: bool,
}

/// Reads what `root` includes.
pub(super) fn read(root: &Item<'_>, reach: Reach<'_>, findings: &Findings<'_>) -> Included {
    let Some(item) = root.peek("include") else { return Included::default() };
    let failed_before = findings.failed();
    let patterns: Vec<_> = item.list().unwrap_or_default().iter().filter_map(pattern).collect();
    let mut merge = Merge { findings, trees: Vec::new(), files: 0, bytes: 0, nodes: 0 };
    match reach {
        Reach::Nowhere if patterns.is_empty() => {}
        Reach::Nowhere => {
            let hint = "check the file itself, or send all in one text";
            findings.add_hint(Code::NoFolder, &item.place, "there is no folder to include files from", hint);
        }
        Reach::Given(files) => {
            for file in files {
                merge.add(Source::new(file.path.display().to_string(), &file.text), &item.place);
            }
        }
        Reach::Beside(main) => follow(&patterns, main, &mut merge),
    }
    let is_partial = findings.failed() && !failed_before;
    Included { trees: merge.trees, is_partial }
}

fn pattern(item: &Item<'_>) -> Option<Located<String>> {
    let text = item.text("a file name such as conf.d/*.yaml")?;
    let (folder, name) = text.value.rsplit_once('/').unwrap_or(("", text.value));
    let wild = |text: &str| text.contains(['*', '?', '[', ']']);
    let complaint = if name.is_empty() {
        Some(("the pattern names no file", "name files: conf.d/*.yaml"))
    } else if text.value.contains('\0') || text.value.len() > 4096 {
        Some(("the pattern is not a path", "name files: conf.d/*.yaml"))
    } else if wild(folder) || name.contains("**") {
        Some((
            "wildcards may stand in the last part only",
            "write one pattern per folder: [a/*.yaml, b/*.yaml]",
        ))
    } else if Pattern::new(name).is_err() {
        Some(("the pattern is not closed", "write * for any text, ? for one character, [ab] for one of some"))
    } else {
        None
    };
    if let Some((message, hint)) = complaint {
        item.findings.add_hint(Code::BadInclude, &item.place, message, hint);
        return None;
    }
    Some(Located { value: text.value.to_owned(), place: text.place })
}

fn follow(patterns: &[Located<String>], main: &Path, merge: &mut Merge<'_, '_>) {
    let folder = main.parent().unwrap_or(Path::new(""));
    let mut seen = HashSet::new();
    let itself = main.canonicalize().ok();
    for pattern in patterns {
        let files = match matching(&folder.join(&pattern.value)) {
            Ok(files) => files,
            Err(error) => {
                merge.unreadable(&pattern.value, &error, &pattern.place);
                continue;
            }
        };
        if files.is_empty() {
            let message = format!("`{}` matches no file", folder.join(&pattern.value).display());
            let hint = "remove it, or check the folder: patterns are relative to the file that holds them";
            merge.findings.add_hint(Code::NothingIncluded, &pattern.place, message, hint);
        }
        for file in files {
            let identity = file.canonicalize().unwrap_or_else(|_| file.clone());
            if Some(&identity) == itself.as_ref() {
                let hint = "put the parts into a folder of their own: conf.d/*.yaml";
                merge.findings.add_hint(Code::BadInclude, &pattern.place, "the file includes itself", hint);
            } else if seen.insert(identity) && !merge.read(&file, &pattern.place) {
                return;
            }
        }
    }
}

/// The files that a pattern means, in the order of their names.
fn matching(path: &Path) -> std::io::Result<Vec<PathBuf>> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let (Some(folder), Ok(pattern), true) =
        (path.parent(), Pattern::new(&name), name.contains(['*', '?', '[', ']']))
    else {
        return Ok(vec![path.to_owned()]);
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let options = MatchOptions { require_literal_leading_dot: true, ..MatchOptions::new() };
    let mut names = Vec::new();
    for (number, entry) in entries.enumerate() {
        if number >= ENTRIES_MAX {
            let message = format!("its folder has more than {ENTRIES_MAX} entries");
            return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, message));
        }
        let name = entry?.file_name();
        if pattern.matches_with(&name.to_string_lossy(), options) {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names.into_iter().map(|name| path.with_file_name(name)).collect())
}

/// What has been read so far, and how much it may become.
struct Merge<'f, 's> {
    findings: &'f Findings<'s>,
    trees: Vec<Node>,
    files: usize,
    bytes: usize,
    nodes: usize,
}

impl Merge<'_, '_> {
    fn unreadable(&self, name: &str, error: &std::io::Error, place: &Place) {
        let message = format!("cannot read {name}: {error}");
        self.findings.add_hint(Code::Unreadable, place, message, "check the path and the permissions");
    }

    /// Reads a file; false if there is no room for more.
    fn read(&mut self, path: &Path, place: &Place) -> bool {
        let name = path.display().to_string();
        // Opening a FIFO would wait for ever.
        let regular = std::fs::metadata(path).and_then(|metadata| {
            let error = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file");
            metadata.is_file().then_some(()).ok_or_else(error)
        });
        match regular.and_then(|()| File::open(path)) {
            Ok(file) => match source_of(&name, file) {
                Ok(source) => return self.add(source, place),
                Err(refused) => {
                    let (source, mut finding) = *refused;
                    let (_, number) = self.findings.include(source);
                    if let Some(span) = &mut finding.span {
                        span.file = number;
                    } else {
                        finding.message = format!("{name}: {}", finding.message);
                    }
                    self.findings.push(finding, Some(place.offset));
                }
            },
            Err(error) => self.unreadable(&name, &error, place),
        }
        true
    }

    /// Takes in a text; false if there is no room for more.
    fn add(&mut self, source: Source, place: &Place) -> bool {
        self.files += 1;
        self.bytes += source.text().len();
        let parsed = yaml::parse(&source);
        let (base, number) = self.findings.include(source);
        match parsed {
            Ok(mut tree) => {
                self.nodes += tree.shift(base);
                // A file of comments adds nothing and harms nobody.
                if tree.value != yaml::Value::Null {
                    self.trees.push(tree);
                }
            }
            Err(mut finding) => {
                if let Some(span) = &mut finding.span {
                    span.file = number;
                }
                self.findings.push(*finding, Some(base));
            }
        }
        let fits = self.files <= FILES_MAX && self.bytes <= INCLUDED_BYTES_MAX && self.nodes <= NODES_MAX;
        if !fits {
            let message = format!("{} files with {} bytes are too much", self.files, self.bytes);
            let hint = format!(
                "include at most {FILES_MAX} files, {INCLUDED_BYTES_MAX} bytes and {NODES_MAX} keys and values"
            );
            self.findings.add_hint(Code::TooManyFiles, place, message, hint);
        }
        fits
    }
}
