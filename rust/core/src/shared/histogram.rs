//! A histogram as HDR histograms are: buckets whose width grows with their value, so that every quantile is known to
//! within 1 % in a fixed size.

use std::sync::atomic::{AtomicU64, Ordering};

/// Values below it have a bucket of their own; above, each octave has half as many: half a bucket is 0.8 %.
const EXACT: u64 = 128;
const HALF: u64 = EXACT / 2;
const SHIFTS: u64 = 30;
/// Buckets; the last one takes whatever is larger (2^37 µs, 38 hours).
pub const BUCKETS: usize = ((SHIFTS + 2) * HALF) as usize;

/// The buckets in shared memory.
#[repr(C, align(64))]
pub struct Histogram([AtomicU64; BUCKETS]);

/// The bucket of a value.
#[must_use]
pub fn bucket(value: u64) -> usize {
    let shift = u64::from(value.max(1).ilog2()).saturating_sub(6);
    let at = shift * HALF + (value >> shift);
    usize::try_from(at).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The least value of a bucket.
#[must_use]
pub fn least(bucket: usize) -> u64 {
    let at = bucket as u64;
    if at < EXACT {
        return at;
    }
    let shift = at / HALF - 1;
    (at - shift * HALF) << shift
}

impl Histogram {
    /// Counts a value.
    pub fn record(&self, value: u64) {
        if let Some(count) = self.0.get(bucket(value)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// All counts. Each is whole; those that are added meanwhile may be in or not.
    #[must_use]
    pub fn read(&self) -> Counts {
        Counts(
            self.0
                .iter()
                .map(|count| count.load(Ordering::Relaxed))
                .collect(),
        )
    }
}

/// A copy of the buckets. The numbers are what the writer says: sums saturate.
#[derive(Debug, Clone)]
pub struct Counts(Vec<u64>);

impl Counts {
    /// How many values.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The value below which `share` (0 to 1) of all lie, to within 1 %; 0 without any.
    #[must_use]
    pub fn quantile(&self, share: f64) -> u64 {
        let total = self.total();
        // the rank as a whole number from 1, so that the share 1 is the largest value
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss
        )]
        let rank = ((share.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut seen = 0u64;
        for (at, count) in self.0.iter().enumerate() {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                return middle(at);
            }
        }
        0
    }
}

fn middle(bucket: usize) -> u64 {
    let low = least(bucket);
    low + (least(bucket + 1) - low) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bucket_begins_where_it_says() {
        for at in 0..BUCKETS - 1 {
            let (low, next) = (least(at), least(at + 1));
            assert!(low < next);
            assert_eq!((bucket(low), bucket(next - 1)), (at, at), "{low}..{next}");
            if low >= EXACT {
                let half = (next - low) as f64 / 2.0;
                assert!(half / low as f64 <= 0.01, "{low}: {half}");
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    fn filled(values: &[u64]) -> Counts {
        let histogram = Histogram(std::array::from_fn(|_| AtomicU64::new(0)));
        values.iter().for_each(|value| histogram.record(*value));
        histogram.read()
    }

    #[test]
    fn quantiles_are_within_one_per_cent() {
        // latencies from 20 us to 20 s, spread over the magnitudes
        let mut seed = 7u64;
        let mut values: Vec<u64> = (0..50_000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let share = (seed >> 11) as f64 / (1u64 << 53) as f64;
                (20.0 * 10f64.powf(share * 6.0)) as u64
            })
            .collect();
        let counts = filled(&values);
        values.sort_unstable();
        assert_eq!(counts.total(), 50_000);
        for share in [0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let true_value = values[((share * 50_000f64).ceil() as usize).max(1) - 1];
            let off = counts.quantile(share) as f64 / true_value as f64 - 1.0;
            assert!(off.abs() <= 0.01, "{share}: {true_value}, off by {off}");
        }
    }

    #[test]
    fn nothing_and_everything() {
        assert_eq!((filled(&[]).quantile(0.5), filled(&[]).total()), (0, 0));
        let counts = Counts(vec![u64::MAX; BUCKETS]);
        assert_eq!(counts.total(), u64::MAX);
        assert!(counts.quantile(f64::NAN) <= middle(BUCKETS - 1));
        assert!(filled(&[u64::MAX, 0]).quantile(1.0) > 1 << 36);
    }
}
