//! Whose turn it is when weights differ: the credit scheme, laid out in advance.
//!
//! Round after round every member earns its weight and takes a turn once it holds the largest weight, which
//! it then pays (katran's rule, `docs/maglev.md`). So the j-th turn of a member falls into round `ceil(j *
//! largest / weight)`, and a counting sort by round gives the whole sequence in time proportional to the
//! table, however far apart the weights are; asking everyone in every round would not be bounded by that.

/// The first `size` turns, as indices into `weights`. All weights are above 0, and there are at most 2^16.
pub(super) fn schedule(weights: &[u32], size: u32) -> Vec<u16> {
    let Some(&largest) = weights.iter().max() else { return Vec::new() };
    let rounds = rounds_needed(weights, largest, size);
    // starts[r]: first place of round r in the sequence (counts first, then their running sum).
    let mut starts = vec![0_u32; rounds as usize + 1];
    for &weight in weights {
        for round in Rounds::new(weight, largest, rounds) {
            starts[round] += 1;
        }
    }
    let mut total = 0;
    for start in &mut starts {
        total += std::mem::replace(start, total);
    }
    let mut sequence = vec![0_u16; total as usize];
    for (index, &weight) in weights.iter().enumerate() {
        for round in Rounds::new(weight, largest, rounds) {
            sequence[starts[round] as usize] = index as u16;
            starts[round] += 1;
        }
    }
    // The table is full in the middle of the last round.
    sequence.truncate(size as usize);
    sequence
}

/// The fewest rounds that hold `size` turns: at most `size`, as the heaviest member takes one in each.
fn rounds_needed(weights: &[u32], largest: u32, size: u32) -> u32 {
    let turns_in = |rounds: u32| -> u64 {
        // rounds < 2^24 and weight < 2^32: the product fits.
        weights.iter().map(|&weight| u64::from(rounds) * u64::from(weight) / u64::from(largest)).sum()
    };
    let (mut low, mut high) = (0, size);
    while low < high {
        let middle = low.midpoint(high);
        if turns_in(middle) >= u64::from(size) { high = middle } else { low = middle + 1 }
    }
    low
}

/// The rounds, from 1, in which one member takes its turns: `ceil(j * largest / weight)` for j = 1, 2, ...
struct Rounds {
    round: u64,
    /// `round * weight - j * largest`: the credit left after paying, below `weight`.
    credit: u32,
    weight: u32,
    quotient: u32,
    remainder: u32,
    last: u32,
}

impl Rounds {
    fn new(weight: u32, largest: u32, last: u32) -> Self {
        let (quotient, remainder) = (largest / weight, largest % weight);
        Self { round: 0, credit: 0, weight, quotient, remainder, last }
    }
}

impl Iterator for Rounds {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        // largest = quotient * weight + remainder: after `quotient` more rounds only the remainder is
        // missing, and either the credit covers it or one more round does.
        self.round += u64::from(self.quotient);
        if self.credit >= self.remainder {
            self.credit -= self.remainder;
        } else {
            self.round += 1;
            self.credit += self.weight - self.remainder;
        }
        (self.round <= u64::from(self.last)).then_some(self.round as usize)
    }
}
