//! The listener of the metrics endpoint, opened before anything that is hard to undo.

use std::io;
use std::net::{SocketAddr, TcpListener};

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The address cannot be listened on.
    #[error("cannot serve metrics on {address}: {cause}; {}", mend(cause))]
    Bind {
        /// `metrics.listen`.
        address: SocketAddr,
        /// What the kernel says.
        cause: io::Error,
    },
    /// The listener does not work with the runtime.
    #[error("cannot serve metrics: {0}")]
    Listener(#[from] io::Error),
    /// The catalogue is wrong.
    #[error("cannot export metrics: {0}")]
    Catalogue(#[from] prometheus::Error),
}

/// What to do about it.
fn mend(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::AddrInUse => {
            "another process listens there (`ss -ltnp` names it): stop it, or set `metrics.listen` to another port"
        }
        io::ErrorKind::AddrNotAvailable => {
            "no interface here has this address: set `metrics.listen` to one of this host, or to 127.0.0.1"
        }
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE: set `metrics.listen` to a higher port, e.g. 9843"
        }
        _ if cause.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            "this kernel runs without IPv6: set `metrics.listen` to an IPv4 address, e.g. 0.0.0.0:9843"
        }
        _ => "check `metrics.listen`",
    }
}

/// Opens the listener of the metrics endpoint; [`super::serve`] answers on it.
///
/// # Errors
/// [`MetricsError::Bind`] names the address, the cause and what to do.
pub fn bind(address: SocketAddr) -> Result<TcpListener, MetricsError> {
    let open = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    open().map_err(|cause| MetricsError::Bind { address, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_address_is_named_with_the_mend() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = taken.local_addr().expect("address");
        let message = bind(address).expect_err("in use").to_string();
        assert!(message.contains(&address.to_string()) && message.contains("another process"), "{message}");
        drop(taken);
        bind(address).expect("free again");
    }

    #[test]
    fn an_address_of_another_host_is_named_with_the_mend() {
        // RFC 5737: TEST-NET-1 is nobody's.
        let message = bind("192.0.2.1:9843".parse().expect("address")).expect_err("not here").to_string();
        assert!(message.contains("192.0.2.1:9843") && message.contains("no interface"), "{message}");
    }
}
