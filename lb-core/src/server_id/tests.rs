//! The vectors of the draft, its worked example, the shapes of packets, and whatever a stranger may send.

use super::*;
use proptest::prelude::*;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn key(text: &str) -> Option<[u8; 16]> {
    Some(hex(text).try_into().unwrap())
}

/// The key of all encrypted vectors of the draft's appendix B.2.
const KEY: &str = "8f95f09245765f80256934e50c66207f";

fn reader(id_len: usize, configs: &[(u8, u8, Option<[u8; 16]>)], is_length_encoded: bool) -> Reader {
    let quic = configs
        .iter()
        .map(|(config_id, nonce_len, key)| QuicSpec {
            config_id: *config_id,
            nonce_len: *nonce_len,
            is_length_encoded,
            key: *key,
        })
        .collect();
    Reader::new(&ServerIdSpec { quic, tcp_option: false, ids: vec![vec![0; id_len]] })
}

fn short(id: &[u8], behind: &[u8]) -> Vec<u8> {
    [&[0; UDP_LEN][..], &[0x40], id, behind].concat()
}

fn long(version: u32, id: &[u8]) -> Vec<u8> {
    [&[0; UDP_LEN][..], &[0xc3], &version.to_be_bytes(), &[id.len() as u8], id, &[0, 0]].concat()
}

fn server(octets: &str) -> Named {
    Named::Server(ServerId::new(&hex(octets)).unwrap())
}

/// Encryption as the draft describes it, from which [`decrypt`] is not derived: halves as numbers.
fn encrypt(key: [u8; 16], block: &[u8]) -> Vec<u8> {
    let cipher = Aes128::new(&key.into());
    if block.len() == 16 {
        let mut one: [u8; 16] = block.try_into().unwrap();
        cipher.encrypt_block((&mut one).into());
        return one.to_vec();
    }
    let bits = block.len() * 4;
    let number = block
        .iter()
        .fold([0u128; 2], |[high, low], octet| [high << 8 | low >> 120, low << 8 | u128::from(*octet)]);
    // At most 152 bits: the halves have 76.
    let mask = (1u128 << bits) - 1;
    let right = number[1] & mask;
    let left = (if bits == 0 { 0 } else { number[0] << (128 - bits) } | number[1] >> bits) & mask;
    let half_len = block.len().div_ceil(2);
    let spare = half_len * 8 - bits;
    let round = |half: u128, is_left: bool, pass: u8| {
        let octets = if is_left { half << spare } else { half }.to_be_bytes();
        let mut input = [0; 16];
        input[..half_len].copy_from_slice(&octets[16 - half_len..]);
        (input[14], input[15]) = (block.len() as u8, pass);
        let mut output = input.into();
        cipher.encrypt_block(&mut output);
        let whole = output[..half_len].iter().fold(0, |sum, octet| sum << 8 | u128::from(*octet));
        // The half that it is for has its spare bits on the other side.
        if is_left { whole & mask } else { whole >> spare & mask }
    };
    let (mut left, mut right) = (left, right);
    right ^= round(left, true, 1);
    left ^= round(right, false, 2);
    right ^= round(left, true, 3);
    left ^= round(right, false, 4);
    let digits = block.len();
    hex(&format!("{left:0digits$x}{right:0digits$x}"))
}

#[test]
fn vectors_of_the_draft_in_the_clear() {
    let clear = reader(3, &[(0, 4, None)], true);
    let id = hex("07c4605e4504cc4f");
    assert_eq!(clear.read(PROTOCOL_UDP, &short(&id, &[])), server("c4605e"));
    assert_eq!(clear.read(PROTOCOL_UDP, &long(1, &id)), server("c4605e"));
    // The draft prints `20a350d28b4203487d970b` with the server ID 350d28b420 and the nonce 3487d970b, which has nine
    // digits: a leading zero went into the wrong octet. With all IDs encoding their length, 0x2a it is.
    let clear = reader(5, &[(1, 5, None)], true);
    let id = hex("2a350d28b42003487d970b");
    assert_eq!(clear.read(PROTOCOL_UDP, &short(&id, &[1, 2])), server("350d28b420"));
    // As printed, by a configuration that does not look at the length: its octets at their places.
    let clear = reader(5, &[(1, 5, None)], false);
    let id = hex("20a350d28b4203487d970b");
    assert_eq!(clear.read(PROTOCOL_UDP, &short(&id, &[])), server("a350d28b42"));
}

#[test]
fn vectors_of_the_draft_encrypted() {
    for (config_id, id, nonce, connection_id) in [
        (0, "ed793a", "ee080dbf", "0720b1d07b359d3c"),
        (1, "ed793a51d49b8f5fab65", "ee080dbf48", "2fcc381bc74cb4fbad2823a3d1f8fed2"),
        (2, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "504dd2d05a7b0de9b2b9907afb5ecf8cc3"),
        // The draft says 3, but its octet 0x12 says 0.
        (0, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"),
    ] {
        let nonce_len = nonce.len() as u8 / 2;
        let reads = reader(id.len() / 2, &[(config_id, nonce_len, key(KEY))], true);
        let packet = short(&hex(connection_id), &[0xaa; 20]);
        assert_eq!(reads.read(PROTOCOL_UDP, &packet), server(id), "{connection_id}");
        assert_eq!(
            reads.read(PROTOCOL_UDP, &long(0x6b33_43cf, &hex(connection_id))),
            server(id),
            "version 2"
        );
        let block = encrypt(key(KEY).unwrap(), &[hex(id), hex(nonce)].concat());
        assert_eq!(block, hex(connection_id)[1..], "the slow twin writes what the draft prints");
    }
}

#[test]
fn the_worked_example_of_the_draft() {
    // Its text has 0x67947d2c for left_2 at the tenth step and 0x67947d29 in the result; both halves agree with this.
    let reads = reader(3, &[(0, 4, key("fdf726a9893ec05c0632d3956680baf0"))], true);
    assert_eq!(reads.read(PROTOCOL_UDP, &short(&hex("0767947d29be054a"), &[])), server("31441a"));
}

#[test]
fn several_configurations_at_once_are_told_apart() {
    let (old, new) = (key(KEY), key("000102030405060708090a0b0c0d0e0f"));
    let reads = reader(3, &[(0, 4, old), (1, 6, new), (5, 4, None)], false);
    let id = hex("0a0b0c");
    let with = |config: u8, block: Vec<u8>| [vec![config << 5 | 9], block].concat();
    let of_old = with(0, encrypt(old.unwrap(), &[&id[..], &[1, 2, 3, 4]].concat()));
    let of_new = with(1, encrypt(new.unwrap(), &[&id[..], &[1, 2, 3, 4, 5, 6]].concat()));
    let clear = with(5, [&id[..], &[1, 2, 3, 4]].concat());
    for one in [of_old, of_new, clear] {
        assert_eq!(reads.read(PROTOCOL_UDP, &short(&one, &[0; 8])), server("0a0b0c"), "{one:02x?}");
    }
    for unknown in [2, 3, 4, 6, 7] {
        let packet = short(&with(unknown, vec![0; 10]), &[]);
        assert_eq!(reads.read(PROTOCOL_UDP, &packet), Named::Unroutable, "configuration {unknown}");
    }
}

#[test]
fn only_what_every_version_of_quic_promises_is_read() {
    let reads = reader(3, &[(0, 4, None)], false);
    let id = hex("07c4605e4504cc4f");
    assert_eq!(reads.read(PROTOCOL_UDP, &long(0, &id)), Named::Nothing, "Version Negotiation");
    assert_eq!(reads.read(PROTOCOL_UDP, &long(0xdead_beef, &id)), server("c4605e"), "a version to come");
    // An Initial's ID is the client's: 8 octets and more, or whatever its version says.
    assert_eq!(reads.read(PROTOCOL_UDP, &long(1, &id[..7])), Named::Unroutable, "too short for a server's");
    assert_eq!(reads.read(PROTOCOL_UDP, &long(1, &[])), Named::Unroutable);
    assert_eq!(
        reads.read(PROTOCOL_UDP, &long(1, &[&id[..], &[9; 12]].concat())),
        server("c4605e"),
        "appended"
    );
    assert_eq!(reads.read(PROTOCOL_UDP, &short(&id[..7], &[])), Named::Unroutable, "cut off");
    assert_eq!(reads.read(PROTOCOL_UDP, &[0; UDP_LEN]), Named::Nothing, "no payload");
    assert_eq!(reads.read(PROTOCOL_UDP, &[[0; UDP_LEN].as_slice(), &[0xc0, 0, 0]].concat()), Named::Nothing);
    let cut = &long(1, &id)[..UDP_LEN + 8];
    assert_eq!(reads.read(PROTOCOL_UDP, cut), Named::Nothing, "an ID that is not there");
    assert_eq!(reads.read(PROTOCOL_TCP, &short(&id, &[0; 20])), Named::Nothing);
    // Where the length is encoded it must be right.
    let reads = reader(3, &[(0, 4, None)], true);
    let wrong = hex("06c4605e4504cc4f");
    assert_eq!(reads.read(PROTOCOL_UDP, &short(&wrong, &[])), Named::Unroutable);
    let longer = hex("08c4605e4504cc4f");
    assert_eq!(reads.read(PROTOCOL_UDP, &short(&longer, &[1])), server("c4605e"), "an appended octet");
    assert_eq!(reads.read(PROTOCOL_UDP, &long(1, &longer)), Named::Unroutable, "not as long as it says");
}

fn tcp(options: &[u8]) -> Vec<u8> {
    let mut segment = vec![0; TCP_LEN];
    segment.extend(options);
    segment.resize(segment.len().next_multiple_of(4), 0);
    segment[12] = (segment.len() as u8 / 4) << 4;
    segment.extend(b"payload \xb7\x06\x01\x02\x03\x04");
    segment
}

#[test]
fn the_tcp_option_is_found_among_others_and_nowhere_else() {
    let spec = ServerIdSpec { quic: vec![], tcp_option: true, ids: vec![vec![0; TCP_ID_LEN]] };
    let reads = Reader::new(&spec);
    let id = [TCP_OPTION, 6, 0x0a, 0x0b, 0x0c, 0x0d];
    let timestamps = [8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
    for options in [&id[..], &[&[1, 1][..], &timestamps, &id].concat(), &[&[2, 4, 5, 0xb4][..], &id].concat()]
    {
        assert_eq!(reads.read(PROTOCOL_TCP, &tcp(options)), server("0a0b0c0d"), "{options:02x?}");
    }
    for options in [
        &[][..],
        &timestamps,
        &[&[0][..], &id].concat(),
        &[TCP_OPTION, 5, 1, 2, 3],
        &[TCP_OPTION, 0, 1, 2],
        &[TCP_OPTION, 1, 1, 2],
        &[8, 0, TCP_OPTION, 6, 1, 2, 3, 4],
        &[8, 60, TCP_OPTION, 6, 1, 2, 3, 4],
        &[1, 1, 1, TCP_OPTION],
    ] {
        assert_eq!(reads.read(PROTOCOL_TCP, &tcp(options)), Named::Nothing, "{options:02x?}");
    }
    assert_eq!(reads.read(PROTOCOL_UDP, &tcp(&id)), Named::Nothing);
    assert_eq!(Reader::default().read(PROTOCOL_TCP, &tcp(&id)), Named::Nothing);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Every pair of lengths, both halves odd and even, one pass and four.
    #[test]
    fn what_a_server_encrypts_is_read_again(
        key: [u8; 16],
        block in prop::collection::vec(any::<u8>(), 5..=BLOCK_LEN_MAX),
        split in any::<prop::sample::Index>(),
        config_id in 0u8..7,
        behind in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let id_len = 1 + split.index((block.len() - NONCE_LEN_MIN).min(ID_LEN_MAX));
        let nonce_len = (block.len() - id_len) as u8;
        let reads = reader(id_len, &[(config_id, nonce_len, Some(key))], true);
        let first = config_id << 5 | block.len() as u8;
        let id = [&[first][..], &encrypt(key, &block)].concat();
        let expected = Named::Server(ServerId::new(&block[..id_len]).unwrap());
        prop_assert_eq!(reads.read(PROTOCOL_UDP, &short(&id, &behind)), expected);
        prop_assert_eq!(reads.read(PROTOCOL_UDP, &long(1, &id)), expected);
    }

    #[test]
    fn anything_can_be_read(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        is_tcp: bool,
        nonce_len in 0u8..30,
        id_len in 0usize..20,
    ) {
        let mut spec = ServerIdSpec { quic: vec![], tcp_option: true, ids: vec![vec![7; id_len]] };
        for config_id in 0..9 {
            let key = (config_id % 2 == 0).then_some([config_id; 16]);
            spec.quic.push(QuicSpec { config_id, nonce_len, is_length_encoded: config_id % 3 == 0, key });
        }
        let _ = Reader::new(&spec).read(if is_tcp { PROTOCOL_TCP } else { PROTOCOL_UDP }, &bytes);
    }
}
