//! The Unix socket as a file: made with its permissions in one step, never taken from a process that lives.
//!
//! The socket is bound under a name of its own, given its mode and group, and then renamed over the old one: at no
//! moment can it be opened by somebody who should not.

use super::bind::AdminError;
use crate::config::model::AdminSocket;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// A listening socket; its file goes with it.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// Device and inode, so that only our own file is removed.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.identity);
        if is_ours {
            // Nothing to be done if it fails; the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn identity(file: &fs::Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

/// Makes the socket and listens on it.
pub(super) fn listen(settings: &AdminSocket) -> Result<(UnixListener, SocketFile), AdminError> {
    let path = &settings.path;
    let fail = |cause: io::Error| AdminError::Socket { path: path.clone(), cause };
    let group = settings.group.as_deref().map(group_number).transpose()?;
    make_directory(path).map_err(fail)?;
    refuse_taken(path)?;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(name);
    // Left behind by a process of the same number that was killed in between.
    let _ = fs::remove_file(&fresh);
    let listener = UnixListener::bind(&fresh).map_err(fail)?;
    let ready = permit(&fresh, settings, group)
        .and_then(|()| fs::rename(&fresh, path))
        .and_then(|()| fs::symlink_metadata(path));
    match ready {
        Ok(file) => {
            listener.set_nonblocking(true).map_err(fail)?;
            Ok((listener, SocketFile { path: path.clone(), identity: identity(&file) }))
        }
        Err(cause) => {
            let _ = fs::remove_file(&fresh);
            Err(fail(cause))
        }
    }
}

fn permit(path: &Path, settings: &AdminSocket, group: Option<u32>) -> io::Result<()> {
    if let Some(group) = group {
        std::os::unix::fs::chown(path, None, Some(group))?;
    }
    fs::set_permissions(path, Permissions::from_mode(settings.mode))
}

fn group_number(name: &str) -> Result<u32, AdminError> {
    match nix::unistd::Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid.as_raw()),
        Ok(None) => Err(AdminError::NoGroup { name: name.into() }),
        Err(error) => Err(AdminError::Group { name: name.into(), cause: error.into() }),
    }
}

/// The directory, if only its last part is missing: `/run/guideway` of a run by hand.
fn make_directory(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(directory) if !directory.exists() => match fs::create_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made,
        },
        _ => Ok(()),
    }
}

/// Nothing there, or a socket that nobody answers on.
fn refuse_taken(path: &Path) -> Result<(), AdminError> {
    let fail = |cause: io::Error| AdminError::Socket { path: path.into(), cause };
    let file = match fs::symlink_metadata(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fail(error)),
    };
    if !file.file_type().is_socket() {
        return Err(AdminError::NotASocket { path: path.into() });
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(AdminError::Taken { path: path.into() }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(fail(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(path: PathBuf, mode: u32) -> AdminSocket {
        AdminSocket { path, mode, group: None }
    }

    #[test]
    fn the_socket_has_its_mode_and_goes_with_its_owner() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("run/admin.sock");
        let (listener, file) = listen(&settings(path.clone(), 0o600)).expect("listen");
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        UnixStream::connect(&path).expect("answers");
        drop((listener, file));
        assert!(!path.exists());
        assert_eq!(fs::read_dir(directory.path().join("run")).expect("directory").count(), 0);
    }

    #[test]
    fn a_socket_that_answers_is_not_taken_and_one_left_behind_is_replaced() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("admin.sock");
        let other = UnixListener::bind(&path).expect("another process");
        let taken = listen(&settings(path.clone(), 0o660)).expect_err("taken").to_string();
        assert!(taken.contains("another guideway") && taken.contains("admin.sock"), "{taken}");
        drop(other);
        assert!(path.exists(), "left behind");
        let (_listener, _file) = listen(&settings(path.clone(), 0o660)).expect("replaced");
        UnixStream::connect(&path).expect("answers");
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("admin.sock");
        fs::write(&path, "precious").expect("write");
        let message = listen(&settings(path.clone(), 0o660)).expect_err("no socket").to_string();
        assert!(message.contains("not a socket"), "{message}");
        assert_eq!(fs::read_to_string(&path).expect("read"), "precious");
    }

    #[test]
    fn somebody_elses_socket_is_not_removed() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("admin.sock");
        let (_listener, file) = listen(&settings(path.clone(), 0o660)).expect("listen");
        fs::remove_file(&path).expect("remove");
        let _other = UnixListener::bind(&path).expect("another process");
        drop(file);
        assert!(path.exists());
    }

    #[test]
    fn a_group_that_does_not_exist_is_named() {
        let directory = tempfile::tempdir().expect("directory");
        let wanted = AdminSocket {
            group: Some("no-such-group-here".into()),
            ..settings(directory.path().join("admin.sock"), 0o660)
        };
        let message = listen(&wanted).expect_err("no group").to_string();
        assert!(message.contains("no-such-group-here") && message.contains("groupadd"), "{message}");
    }
}
