//! What every conversation with the kernel by rtnetlink needs.

use futures_util::TryStreamExt;
use rtnetlink::{Error, Handle};

/// The errno of an answer of the kernel; `None` if it is no such answer.
pub(crate) fn errno(error: &Error) -> Option<i32> {
    match error {
        Error::NetlinkError(message) => message.code.map(|code| code.get().abs()),
        _ => None,
    }
}

/// The number of an interface of this network namespace.
///
/// # Errors
/// What the kernel answers (`ENODEV` if there is none of that name), or [`Error::RequestFailed`] if it answers nothing.
pub(crate) async fn index_of(handle: &Handle, name: &str) -> Result<u32, Error> {
    let mut links = handle.link().get().match_name(name).execute();
    let link = links.try_next().await?;
    link.map(|link| link.header.index).ok_or(Error::RequestFailed)
}
