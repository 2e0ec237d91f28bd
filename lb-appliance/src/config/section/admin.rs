//! `admin`: where the control plane listens, and for whom.
//!
//! May be missing: then there is the socket at its usual place, and nothing on the network.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::super::code::Code;
use super::super::keys;
use super::super::model::{Admin, AdminHttp, AdminSocket};
use super::super::read::{Complaint, Item, Section};

/// Where the socket is unless configured.
pub(in super::super) const SOCKET_DEFAULT: &str = "/run/guideway/admin.sock";
/// Port of the API on loopback unless configured.
const HTTP_PORT: u16 = 9844;
/// The owner and the group.
const MODE_DEFAULT: u32 = 0o660;
const MODE_MAX: u32 = 0o777;
/// Longest path of a socket: `sun_path` has 108 bytes, one is the end, and a new socket is made beside the old one.
const PATH_BYTES_MAX: usize = 100;
const GROUP_BYTES_MAX: usize = 32;

pub(in super::super) fn admin(root: &Section<'_>) -> Admin {
    let section = root.get("admin").and_then(|item| item.section(&keys::ADMIN));
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    Admin {
        socket: socket(get("socket").and_then(|item| item.section(&keys::ADMIN_SOCKET))),
        http: get("http").and_then(|item| item.section(&keys::ADMIN_HTTP)).map(|section| http(&section)),
    }
}

fn socket(section: Option<Section<'_>>) -> AdminSocket {
    let get = |key: &str| section.as_ref().and_then(|section| section.get(key));
    let group = get("group").and_then(|item| item.parse(Code::BadName, "the name of a group", group));
    AdminSocket {
        path: get("path").and_then(|item| path(&item)).unwrap_or_else(|| SOCKET_DEFAULT.into()),
        mode: get("mode")
            .and_then(|item| item.parse(Code::BadMode, "a file mode such as \"0660\"", mode))
            .map_or(MODE_DEFAULT, |mode| mode.value),
        group: group.map(|group| group.value),
    }
}

fn http(section: &Section<'_>) -> AdminHttp {
    let listen_item = section.get("listen");
    let listen = listen_item.as_ref().and_then(|item| item.socket_address());
    let write_item = section.get("write");
    let write = write_item.as_ref().and_then(|item| item.boolean()).unwrap_or(false);
    let token_item = section.get("token_file");
    let token_file = token_item.as_ref().and_then(path);
    let hint = "add `token_file: /etc/guideway/admin.token` with a secret of 16 characters or more in it";
    if token_item.is_none() {
        if let Some(item) = write_item.as_ref().filter(|_| write) {
            let message = "changes over the network need a token";
            item.findings.add_hint(Code::AdminWithoutToken, &item.place, message, hint);
        } else if let Some(listen) = listen.as_ref().filter(|listen| !listen.value.ip().is_loopback()) {
            let message = format!("{} is open to other hosts and needs a token", listen.value);
            let hint = format!("{hint}, or listen on 127.0.0.1:{HTTP_PORT}");
            section.findings.add_hint(Code::AdminWithoutToken, &listen.place, message, hint);
        }
    }
    AdminHttp {
        listen: listen.map_or(SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT)), |listen| listen.value),
        write,
        token_file,
    }
}

fn path(item: &Item<'_>) -> Option<PathBuf> {
    let parse = |text: &str| {
        let hint = "write the whole path, for example /run/guideway/admin.sock";
        if !text.starts_with('/') || text.ends_with('/') || text.contains('\0') {
            return Err(Complaint::new(format!("`{text}` is not the absolute path of a file"), hint));
        }
        if text.len() > PATH_BYTES_MAX {
            let message = format!("the path has {} bytes, more than {PATH_BYTES_MAX}", text.len());
            return Err(Complaint::new(message, "choose a shorter one: the kernel limits paths of sockets"));
        }
        Ok(PathBuf::from(text))
    };
    item.parse(Code::BadPath, "an absolute path", parse).map(|path| path.value)
}

fn mode(text: &str) -> Result<u32, Complaint> {
    let complain = |message: String| Err(Complaint::new(message, "write it like \"0660\", in quotes"));
    let is_octal =
        text.len() <= 5 && !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    if !is_octal {
        return complain(format!("`{text}` is not an octal file mode"));
    }
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= MODE_MAX && mode & 0o600 == 0o600 => Ok(mode),
        Ok(mode) if mode <= MODE_MAX => complain(format!("`{text}` would shut out the owner")),
        _ => complain(format!("`{text}` has more than the nine bits of permission")),
    }
}

fn group(text: &str) -> Result<String, Complaint> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '$');
    if text.is_empty() || text.len() > GROUP_BYTES_MAX || !text.chars().all(legal) {
        let message = format!("`{text}` is not the name of a group");
        return Err(Complaint::new(message, "write a name that `getent group` lists, for example guideway"));
    }
    Ok(text.to_owned())
}
