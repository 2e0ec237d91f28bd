//! What becomes of the samples: the minimum is the figure of merit, the median says how quiet it was.

/// One quantity, sample by sample.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples(Vec<f64>);

/// Minimum and median of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Summary {
    pub(super) min: f64,
    pub(super) median: f64,
}

impl Samples {
    pub(super) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(super) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The mean of simultaneous samples of several workers; cut to the shortest.
    pub(super) fn mean(workers: &[&Self]) -> Self {
        let len = workers.iter().map(|samples| samples.len()).min().unwrap_or(0);
        let mean =
            |at: usize| workers.iter().map(|samples| samples.0[at]).sum::<f64>() / workers.len() as f64;
        Self((0..len).map(mean).collect())
    }

    /// `None` without samples. The median of an even number is the upper one of the middle.
    pub(super) fn summary(&self) -> Option<Summary> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        Some(Summary { min: *sorted.first()?, median: *sorted.get(sorted.len() / 2)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_and_median() {
        let of = |values: &[f64]| Samples(values.to_vec()).summary();
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[3.0]), Some(Summary { min: 3.0, median: 3.0 }));
        assert_eq!(of(&[9.0, 1.0, 5.0]), Some(Summary { min: 1.0, median: 5.0 }));
        assert_eq!(of(&[4.0, 1.0, 3.0, 2.0]), Some(Summary { min: 1.0, median: 3.0 }));
    }

    #[test]
    fn workers_are_averaged_sample_by_sample() {
        let (mut one, two) = (Samples(vec![1.0, 4.0]), Samples(vec![3.0, 2.0]));
        assert_eq!(Samples::mean(&[&one, &two]).0, [2.0, 3.0]);
        one.push(9.0);
        assert_eq!(Samples::mean(&[&one, &two]).len(), 2, "what has no counterpart does not count");
        assert_eq!(Samples::mean(&[]).len(), 0);
    }
}
