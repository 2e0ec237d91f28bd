//! "Did you mean": the known word nearest to a wrong one.
//!
//! Silence is better than a far-fetched guess: a third of the letters may differ, and at most three.

/// The nearest of `words`, if one is near.
pub(super) fn nearest<'w>(wrong: &str, words: &[&'w str]) -> Option<&'w str> {
    // Bounded work for hostile input: no known word is longer than 63 characters.
    if wrong.len() > 100 {
        return None;
    }
    let lower = wrong.to_lowercase().replace('-', "_");
    let distance = |word: &str| strsim::damerau_levenshtein(&lower, &word.to_lowercase().replace('-', "_"));
    let (best, word) =
        words.iter().map(|word| (distance(word), *word)).min_by_key(|(distance, _)| *distance)?;
    let letters = lower.chars().count().max(word.chars().count());
    (best <= (letters / 3).clamp(1, 3)).then_some(word)
}

/// The hint made of it.
pub(super) fn hint(wrong: &str, words: &[&str]) -> Option<String> {
    nearest(wrong, words).map(|word| format!("did you mean `{word}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let words = ["addresses", "ports", "pool", "protocol"];
        for (wrong, right) in
            [("adresses", Some("addresses")), ("port", Some("ports")), ("Pool", Some("pool"))]
        {
            assert_eq!(nearest(wrong, &words), right);
        }
        assert_eq!(nearest("zebra", &words), None);
        assert_eq!(nearest("", &words), None);
        assert_eq!(nearest(&"a".repeat(5000), &words), None);
        assert_eq!(nearest("x", &[]), None);
    }
}
