//! The client's address as a TCP option ("TOA"), as LVS and DPVS send it and the kernel modules `toa` and `uoa` read it.
//!
//! Kind 254, length 8 or 20, the client's port and address in network order. It goes first among the options of the SYN
//! and of what follows it: the acknowledgement of the handshake and the first data, because a receiver may look at any.

use super::tuple::Tuple;

/// Option kind: experimental (RFC 4727), which the receivers listed above look for.
const KIND: u8 = 254;
/// Longest option.
pub const TOA_LEN_MAX: usize = 20;

/// Writes the option for the source of `client`; returns its length, 8 or 20 bytes.
pub fn write(client: &Tuple, into: &mut [u8]) -> Option<usize> {
    let len = 4 + client.address_len();
    let option = into.get_mut(..len)?;
    option[..2].copy_from_slice(&[KIND, len as u8]);
    option[2..4].copy_from_slice(&client.source_port.to_be_bytes());
    option[4..].copy_from_slice(&client.source[..client.address_len()]);
    Some(len)
}
