//! `vips[].server_id`: where packets name their server. Keys are secrets: no message shows one.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use lb_core::server_id::{BLOCK_LEN_MAX, CONFIGS, ID_LEN_MAX, NONCE_LEN_MIN};

use super::super::code::Code;
use super::super::finding::Place;
use super::super::keys;
use super::super::model::{QuicIds, Secret};
use super::super::read::{Complaint, Item, Located};

/// Octets of a key: AES-128.
const KEY_LEN: usize = 16;

pub(in super::super) struct ServerIdDraft {
    pub(in super::super) place: Place,
    /// With the places of the items.
    pub(in super::super) quic: Vec<Located<QuicIds>>,
    pub(in super::super) quic_given: bool,
    pub(in super::super) tcp_option: bool,
}

pub(super) fn read(item: &Item<'_>) -> Option<ServerIdDraft> {
    let section = item.section(&keys::SERVER_ID)?;
    let quic = section.get("quic");
    let quic_given = quic.is_some();
    let items = quic.and_then(|quic| {
        let items = quic.list()?;
        if items.is_empty() {
            let hint = "give at least one configuration: [{config_id: 0, nonce_length: 6}]";
            quic.findings.add_hint(Code::EmptyList, &quic.place, "the list is empty", hint);
        }
        Some(items)
    });
    let tcp_option = section.get("tcp_option").and_then(|item| item.choice(&[("tpr", true)], &[]));
    if !quic_given && section.get("tcp_option").is_none() {
        let hint = "write `quic: [...]` for connection IDs of QUIC, or `tcp_option: tpr`";
        let message = "it says nowhere where packets name their server";
        item.findings.add_hint(Code::NotExactlyOne, &item.place, message, hint);
    }
    Some(ServerIdDraft {
        place: item.place.clone(),
        quic: items.unwrap_or_default().iter().filter_map(quic_config).collect(),
        quic_given,
        tcp_option: tcp_option.unwrap_or(false),
    })
}

fn quic_config(item: &Item<'_>) -> Option<Located<QuicIds>> {
    let section = item.section(&keys::QUIC_IDS)?;
    let config_id = section.require("config_id", "0").and_then(|item| item.number(0..=CONFIGS as u8 - 1));
    let nonce_max = (BLOCK_LEN_MAX - 1) as u8;
    let nonce_length =
        section.require("nonce_length", "6").and_then(|item| item.number(NONCE_LEN_MIN as u8..=nonce_max));
    let length_encoded = section.get("length_encoded").and_then(|item| item.boolean()).unwrap_or(false);
    let (key, file) = (section.get("key"), section.get("key_file"));
    if let (Some(_), Some(file)) = (&key, &file) {
        let message = "`key` and `key_file` exclude each other";
        section.findings.add_hint(Code::Contradiction, &file.place, message, "keep one of the two");
        return None;
    }
    let key = match (key, file) {
        (Some(item), _) => Some(octets(&item, KEY_LEN, KEY_LEN)?.value),
        (_, Some(item)) => Some(from_file(&item)?),
        _ => None,
    };
    let key = key.and_then(|key| key.try_into().ok()).map(Secret);
    let value = QuicIds { config_id: config_id?, nonce_length: nonce_length?, length_encoded, key };
    Some(Located { value, place: item.place.clone() })
}

/// A server ID.
pub(super) fn server_id(item: &Item<'_>) -> Option<Located<Vec<u8>>> {
    octets(item, 1, ID_LEN_MAX)
}

fn octets(item: &Item<'_>, min: usize, max: usize) -> Option<Located<Vec<u8>>> {
    item.parse(Code::BadHex, "hexadecimal octets in quotes", |text| {
        let count = if min == max { format!("{min}") } else { format!("{min} to {max}") };
        let hint = format!("write two hexadecimal digits per octet, {count} octets, in quotes: \"0a1b\"...");
        let found = hex(text.as_bytes()).filter(|octets| (min..=max).contains(&octets.len()));
        found.ok_or_else(|| Complaint::new(format!("these are not {count} hexadecimal octets"), hint))
    })
}

fn hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let octet = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(digit(*high)? * 16 + digit(*low)?).ok(),
        _ => None,
    };
    digits.chunks(2).map(octet).collect()
}

/// The key in a file: 16 octets, or 32 hexadecimal digits.
fn from_file(item: &Item<'_>) -> Option<Vec<u8>> {
    let path = item.text("an absolute path")?.value;
    if !path.starts_with('/') {
        let message = format!("`{path}` is not an absolute path");
        let hint = "write it from the root: /etc/guideway/quic.key";
        item.findings.add_hint(Code::BadPath, &item.place, message, hint);
        return None;
    }
    match read_key(Path::new(path)) {
        Ok(key) => Some(key),
        Err((reason, hint)) => {
            item.findings.add_hint(Code::BadKeyFile, &item.place, format!("{path} {reason}"), hint);
            None
        }
    }
}

fn read_key(path: &Path) -> Result<Vec<u8>, (String, String)> {
    let made = format!("make one with `(umask 077; openssl rand -hex 16 > {})`", path.display());
    // Opening a pipe would wait for somebody to write.
    let found =
        std::fs::metadata(path).map_err(|error| (format!("cannot be read: {error}"), made.clone()))?;
    if !found.is_file() {
        return Err(("is not a file".into(), made));
    }
    if found.mode() & 0o007 != 0 {
        return Err(("can be reached by every user".into(), format!("run `chmod o= {}`", path.display())));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| (format!("cannot be read: {error}"), made.clone()))?;
    file.take(4 * KEY_LEN as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| (format!("cannot be read: {error}"), made.clone()))?;
    if bytes.len() == KEY_LEN {
        return Ok(bytes);
    }
    let key = hex(bytes.trim_ascii()).filter(|key| key.len() == KEY_LEN);
    key.ok_or_else(|| ("holds neither 16 octets nor 32 hexadecimal digits".into(), made))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_secret_and_of_one_length() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("quic.key");
        let write = |text: &[u8], mode: u32| {
            std::fs::write(&path, text).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
        };
        let reason = || read_key(&path).expect_err("refused").0;
        assert!(reason().contains("cannot be read"));
        write(&[7; 16], 0o604);
        assert!(reason().contains("every user"));
        write(&[7; 15], 0o600);
        assert!(reason().contains("neither"));
        write(b"8f95f09245765f80256934e50c66207", 0o600);
        assert!(reason().contains("neither"));
        assert_eq!(read_key(directory.path()).expect_err("a directory").0, "is not a file");
        write(&[7; 16], 0o640);
        assert_eq!(read_key(&path), Ok(vec![7; 16]));
        write(b"8f95f09245765f80256934e50c66207f\n", 0o600);
        assert_eq!(read_key(&path).expect("hex")[..2], [0x8f, 0x95]);
    }
}
