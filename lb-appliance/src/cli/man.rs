//! `guideway man DIR`: the man pages, `guideway.1` and one per subcommand, made from the definition that is parsed.
//!
//! Exit codes: 0 written, 1 a page could not be written.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `guideway man`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:
  guideway man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// Folder for the pages; made if it is not there
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// Writes the pages and says on standard error how many.
pub fn run(arguments: &ManArgs) -> ExitCode {
    match write(&arguments.folder) {
        Ok(pages) => {
            eprintln!("guideway: {} man pages are in {}", pages.len(), arguments.folder.display());
            ExitCode::SUCCESS
        }
        Err((path, error)) => super::written(Err(error), &path.display().to_string()),
    }
}

/// Writes every page; gives their paths.
fn write(folder: &Path) -> Result<Vec<PathBuf>, (PathBuf, io::Error)> {
    std::fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))?;
    let mut pages = Vec::new();
    for (name, text) in pages_of(super::root::definition()) {
        let path = folder.join(name);
        std::fs::write(&path, text).map_err(|error| (path.clone(), error))?;
        pages.push(path);
    }
    Ok(pages)
}

/// Names and texts of the pages of a command and all below it.
fn pages_of(command: clap::Command) -> Vec<(String, Vec<u8>)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut waiting = vec![command];
    while let Some(command) = waiting.pop() {
        waiting.extend(command.get_subcommands().cloned());
        // `build` gave each its display name: the page of `guideway check` is guideway-check(1), as git has it.
        let page = clap_mangen::Man::new(command);
        let mut text = Vec::new();
        // Writing to memory cannot fail.
        let _ = page.render(&mut text);
        pages.push((page.get_filename(), text));
    }
    pages.sort();
    pages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_subcommand_has_a_page_with_its_options() {
        let folder = tempfile::tempdir().unwrap();
        let pages = write(&folder.path().join("man1")).unwrap();
        let commands = crate::cli::root::definition().get_subcommands().count();
        assert!(pages.len() > commands, "{pages:?}");
        let check = std::fs::read_to_string(folder.path().join("man1/guideway-check.1")).unwrap();
        for part in ["\\-\\-strict", ".SH SYNOPSIS", "guideway\\-check"] {
            assert!(check.contains(part), "{part} in\n{check}");
        }
    }

    #[test]
    fn a_folder_that_is_a_file_is_an_error_with_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (path, _) = write(file.path()).unwrap_err();
        assert_eq!(path, file.path());
    }
}
