//! The tree against two independent oracles: serde_yaml's own `Value`, and places found by searching the text.

use proptest::prelude::*;

use super::*;

fn tree(text: &str) -> Node {
    parse(&Source::new("t", text)).unwrap_or_else(|finding| panic!("{finding}: {text}"))
}

/// The tree without its places, as serde_yaml would have built it.
fn plain(node: &Node) -> serde_yaml::Value {
    match &node.value {
        Value::Null => serde_yaml::Value::Null,
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => i64::try_from(*value).map_or_else(|_| (*value as u64).into(), Into::into),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(nodes) => nodes.iter().map(plain).collect::<Vec<_>>().into(),
        Value::Map(entries) => {
            let pairs = entries.iter().map(|entry| (entry.key.clone().into(), plain(&entry.value)));
            pairs.collect::<serde_yaml::Mapping>().into()
        }
    }
}

/// Every leaf that stands in the text as it is, with its place.
fn leaves<'n>(node: &'n Node, into: &mut Vec<(&'n str, usize)>) {
    match &node.value {
        Value::Text(text) => into.push((text, node.offset)),
        Value::List(nodes) => nodes.iter().for_each(|node| leaves(node, into)),
        Value::Map(entries) => entries.iter().for_each(|entry| {
            into.push((&entry.key, entry.key_offset));
            leaves(&entry.value, into);
        }),
        _ => {}
    }
}

#[test]
fn values_are_those_of_serde_yaml() {
    for text in [
        "a: 1\nb: -1\nc: 0x10\nd: 010\ne: 1_000\nf: 1.5\ng: true\nh: no\ni: ~\nj:\nk: '1'\nl: \"x\\ty\"\n",
        "- a\n- [b, {c: d}]\n- - e\n  - f\n",
        "a: &x [1, 2]\nb: *x\n",
        "text: |\n  two\n  lines\nfolded: >\n  one\n  line\n",
        "{a: 18446744073709551615, b: [], c: {}}",
        "just a text",
        "!!str 5",
    ] {
        let expected: serde_yaml::Value = serde_yaml::from_str(text).unwrap();
        assert_eq!(plain(&tree(text)), expected, "{text}");
    }
}

#[test]
fn containers_are_placed_at_their_brackets_and_dashes() {
    let text = "a: {b: [x, y], c: []}   # [no]\nd:\n  - {}\n  - [z, []]\n";
    let Value::Map(entries) = tree(text).value else { panic!("a mapping") };
    let Value::Map(inner) = &entries[0].value.value else { panic!("a mapping") };
    assert_eq!(entries[0].value.offset, text.find('{').unwrap());
    assert_eq!(inner[0].value.offset, text.find("[x").unwrap());
    assert_eq!(inner[1].value.offset, text.find("[]").unwrap());
    let Value::List(items) = &entries[1].value.value else { panic!("a list") };
    assert_eq!(entries[1].value.offset, text.find("- {").unwrap());
    assert_eq!(items[0].offset, text.find("{}").unwrap());
    assert_eq!(items[1].offset, text.find("[z").unwrap());
}

#[test]
fn repeated_keys_are_kept_for_the_reader_to_complain() {
    let Value::Map(entries) = tree("a: 1\nb: 2\na: 3\n").value else { panic!("a mapping") };
    assert_eq!(entries.iter().map(|entry| entry.key_offset).collect::<Vec<_>>(), [0, 5, 10]);
}

#[test]
fn refusals_have_codes() {
    let code = |text: &str| parse(&Source::new("t", text)).map(|_| ()).map_err(|finding| finding.code);
    assert_eq!(code("a: !x b"), Err(Code::YamlTag));
    assert_eq!(code("? [a]\n: b"), Err(Code::YamlSyntax));
    assert_eq!(code("a: &b [*b]"), Err(Code::TooComplex));
    assert_eq!(code("a: 1\n---\nb: 2"), Err(Code::SeveralDocuments));
    assert_eq!(code("a: 1\u{0}"), Err(Code::YamlSyntax));
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(code(&deep(DEPTH_MAX)), Ok(()));
    assert_eq!(code(&deep(DEPTH_MAX + 1)), Err(Code::TooComplex));
}

#[test]
fn the_number_of_nodes_is_bounded() {
    let list = format!("[{}]", "a,".repeat(NODES_MAX));
    assert_eq!(parse(&Source::new("t", &list)).unwrap_err().code, Code::TooComplex);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Words of a random shape, each used once, so that searching the text finds the one place it can have.
    #[test]
    fn every_word_is_where_the_text_has_it(shape in proptest::collection::vec((0..4u8, 0..3usize), 1..40)) {
        let mut text = String::from("root:\n");
        for (number, (kind, blanks)) in shape.iter().enumerate() {
            let gap = " ".repeat(*blanks);
            text += &match kind {
                0 => format!("  - kä{number}x:{gap} vö{number}x{gap}\n"),
                1 => format!("  -{gap} [wa{number}x,{gap}wb{number}x]\n"),
                2 => format!("  - {{fa{number}x:{gap} fb{number}x,{gap} fc{number}x: {{}}}}  # fa{number}\n"),
                _ => format!("  -{gap} plain{number}x{gap}\n"),
            };
        }
        let node = tree(&text);
        prop_assert_eq!(plain(&node), serde_yaml::from_str::<serde_yaml::Value>(&text).unwrap());
        let mut words = Vec::new();
        leaves(&node, &mut words);
        for (word, offset) in words {
            prop_assert_eq!(text.find(word), Some(offset), "{}", word);
        }
    }
}
