//! Dot products: AVX2 with FMA where the processor has them, otherwise what the compiler makes of eight lanes.

/// Scores rows of a matrix against one query; knows which instructions the processor has.
#[derive(Clone, Copy)]
pub(super) struct Dots {
    #[cfg(target_arch = "x86_64")]
    avx2: bool,
}

impl Dots {
    pub fn detect() -> Self {
        Dots {
            #[cfg(target_arch = "x86_64")]
            avx2: is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        }
    }

    /// `row · query`; both of the same length.
    pub fn one(self, row: &[f32], query: &[f32]) -> f32 {
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: `avx2` says that the processor has AVX2 and FMA.
            return unsafe { x86::rows::<1>([row], query) }[0];
        }
        portable(row, query)
    }

    /// `row · query` of four rows; all of the same length.
    pub fn four(self, rows: [&[f32]; 4], query: &[f32]) -> [f32; 4] {
        #[cfg(target_arch = "x86_64")]
        if self.avx2 {
            // SAFETY: `avx2` says that the processor has AVX2 and FMA.
            return unsafe { x86::rows::<4>(rows, query) };
        }
        rows.map(|row| portable(row, query))
    }
}

/// The dot product of two vectors of the same length (of the shorter one's).
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let length = a.len().min(b.len());
    Dots::detect().one(&a[..length], &b[..length])
}

fn portable(row: &[f32], query: &[f32]) -> f32 {
    const LANES: usize = 8;
    let mut sums = [0f32; LANES];
    let (rows, queries) = (row.chunks_exact(LANES), query.chunks_exact(LANES));
    let tail: f32 = rows
        .remainder()
        .iter()
        .zip(queries.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in rows.zip(queries) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + tail
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256, _MM_HINT_T0, _mm_add_ps, _mm_add_ss, _mm_cvtss_f32, _mm_movehdup_ps, _mm_movehl_ps,
        _mm_prefetch, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_fmadd_ps,
        _mm256_loadu_ps, _mm256_setzero_ps,
    };

    const LANES: usize = 8;
    /// Numbers from what is read to what is fetched: a little more than four rows of 256. Four rows side by side are
    /// more streams in one page than the processor follows by itself (measured: 4.8 ms without, 3.1 with it).
    const AHEAD: usize = 1280;

    /// The query is loaded once for all rows; two sums a row hide the latency of FMA.
    #[target_feature(enable = "avx2,fma")]
    pub(super) fn rows<const ROWS: usize>(rows: [&[f32]; ROWS], query: &[f32]) -> [f32; ROWS] {
        let length = rows
            .iter()
            .fold(query.len(), |least, row| least.min(row.len()));
        let mut sums = [[_mm256_setzero_ps(); 2]; ROWS];
        let mut at = 0;
        while at + 2 * LANES <= length {
            let (low, high) = (load(query, at), load(query, at + LANES));
            for (row, sum) in rows.iter().zip(&mut sums) {
                prefetch(row, at + AHEAD);
                sum[0] = _mm256_fmadd_ps(load(row, at), low, sum[0]);
                sum[1] = _mm256_fmadd_ps(load(row, at + LANES), high, sum[1]);
            }
            at += 2 * LANES;
        }
        let mut scores = [0f32; ROWS];
        for ((row, sum), score) in rows.iter().zip(&sums).zip(&mut scores) {
            let tail: f32 = row[at..length]
                .iter()
                .zip(&query[at..length])
                .map(|(a, b)| a * b)
                .sum();
            *score = total(sum[0]) + total(sum[1]) + tail;
        }
        scores
    }

    #[target_feature(enable = "sse")]
    #[allow(unused_unsafe)] // unsafe in older compilers only
    fn prefetch(row: &[f32], at: usize) {
        let address = row.as_ptr().wrapping_add(at).cast::<i8>();
        // SAFETY: a prefetch is a hint: an address that is not mapped, or not ours, has no effect.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address) };
    }

    #[target_feature(enable = "avx2")]
    fn load(from: &[f32], at: usize) -> __m256 {
        let eight = &from[at..at + LANES];
        // SAFETY: `eight` has eight numbers, and the load needs no alignment.
        unsafe { _mm256_loadu_ps(eight.as_ptr()) }
    }

    #[target_feature(enable = "avx2")]
    fn total(sum: __m256) -> f32 {
        let four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps::<1>(sum));
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_gives_the_same() {
        for length in [0, 1, 7, 8, 15, 16, 17, 31, 100, 256, 257] {
            let row: Vec<f32> = (0..length)
                .map(|i| ((i * 37 % 19) as f32 - 9.0) / 7.0)
                .collect();
            let query: Vec<f32> = (0..length)
                .map(|i| ((i * 11 % 23) as f32 - 11.0) / 5.0)
                .collect();
            let exact: f64 = row
                .iter()
                .zip(&query)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum();
            let four = Dots::detect().four([&row, &query, &row, &row], &query);
            for score in [dot(&row, &query), portable(&row, &query), four[0], four[3]] {
                assert!(
                    (f64::from(score) - exact).abs() < 1e-3,
                    "{length}: {score} {exact}"
                );
            }
        }
    }
}
