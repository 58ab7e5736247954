//! `ngram-256-v1`: hashed n-grams.
//!
//! What is written here never changes; a better one gets another name. Every number that a vector is made of
//! comes from integer arithmetic, IEEE multiplication, addition and square roots in a fixed order, so that every
//! machine makes the same bytes.
//!
//! 1. Words are the runs of alphanumeric characters, in lower case (Unicode, without a locale).
//! 2. Features are each word (kind `w`), and for a word of more than 3 characters the runs of 3 to 5 characters of
//!    `<word>` (kind `c`); for any word with ideographs, kana or Hangul (from U+2E80) the runs of 1 to 3 characters
//!    of the bare word.
//! 3. A feature's hash is FNV-1a (64 bits) over its kind and its UTF-8, then the finaliser of MurmurHash3. Its place
//!    is `(low 32 bits * dimensions) >> 32`, its sign the highest bit.
//! 4. It weighs `sqrt(times it occurs)`, times 0.3 for a word of 3 characters or less: they are mostly grammar.
//!    (Questions of LoCoMo, single turns, 256 dimensions: recall@5 0.31; with runs of short words at full weight 0.28.)
//! 5. The sum is divided by its Euclidean length. A text without words is the zero vector.

use super::kernels::Kernel;
use super::{VectorError, check_dimensions, normalise};

/// The name that stands beside vectors made by [`embed`].
pub const EMBEDDER: &str = "ngram-256-v1";
/// Only so many bytes of a text are read.
pub const READ_BYTES: usize = 256 * 1024;

const SHORT_WORD: usize = 3;
const FIRST_WIDE: char = '\u{2e80}';
const WEIGHTS: [f64; 3] = [1.0, 0.3, 1.0];
/// A sum of weights that is less is none.
const ROUNDING: f64 = 1e-9;
const RUN: u8 = 0;
const SHORT: u8 = 1;
const WORD: u8 = 2;

fn hash(kind: u8, parts: &[char]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    let mut buffer = [0; 4];
    let mut hash = step(OFFSET, kind);
    for part in parts {
        hash = part.encode_utf8(&mut buffer).bytes().fold(hash, step);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// Adds the features of `padded`, which is `<word>`.
fn features(padded: &[char], found: &mut Vec<(u64, u8)>) {
    let word = &padded[1..padded.len() - 1];
    let kind = if word.len() > SHORT_WORD { WORD } else { SHORT };
    found.push((hash(b'w', word), kind));
    let wide = word.iter().any(|c| *c >= FIRST_WIDE);
    if kind == SHORT && !wide {
        return;
    }
    let (letters, widths) = if wide { (word, 1..=3) } else { (padded, 3..=5) };
    for width in widths {
        found.extend(letters.windows(width).map(|run| (hash(b'c', run), RUN)));
    }
}

/// The vector of a text: `dimensions` numbers of length 1, or zeros where the text has no words.
///
/// # Errors
/// [`VectorError::Dimensions`].
pub fn embed(text: &str, dimensions: usize) -> Result<Vec<f32>, VectorError> {
    check_dimensions(dimensions)?;
    let mut end = text.len().min(READ_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut found = Vec::with_capacity(2 * end);
    let mut padded = vec!['<'];
    for c in text[..end]
        .chars()
        .flat_map(char::to_lowercase)
        .chain([' '])
    {
        if c.is_alphanumeric() {
            padded.push(c);
        } else if padded.len() > 1 {
            padded.push('>');
            features(&padded, &mut found);
            padded.truncate(1);
        }
    }
    Ok(weigh(found, dimensions))
}

fn weigh(mut found: Vec<(u64, u8)>, dimensions: usize) -> Vec<f32> {
    found.sort_unstable();
    let mut sums = vec![0f64; dimensions];
    for same in found.chunk_by(|a, b| a == b) {
        let (hash, kind) = same[0];
        let weight = WEIGHTS[usize::from(kind)] * (same.len() as f64).sqrt();
        let place = ((hash & 0xffff_ffff) * dimensions as u64) >> 32;
        sums[place as usize] += if hash >> 63 == 0 { weight } else { -weight };
    }
    // Where features cancel there is nothing, and not what rounding has left of their sum, which may be all there is.
    let kept = |sum: f64| {
        if sum.abs() < ROUNDING {
            0.0
        } else {
            sum as f32
        }
    };
    let mut vector: Vec<f32> = sums.into_iter().map(kept).collect();
    let squares = Kernel::detect().square(&vector);
    normalise(&mut vector, squares);
    vector
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(a: &str, b: &str) -> f32 {
        let (a, b) = (embed(a, 256).unwrap(), embed(b, 256).unwrap());
        a.iter().zip(&b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn like_texts_are_near() {
        assert!((cosine("a dog barks", "A dog, BARKS!") - 1.0).abs() < 1e-5);
        assert!(
            cosine("the dog was barking", "dogs bark loudly")
                > cosine("the dog was barking", "tax returns")
        );
        assert!(cosine("東京の天気", "天気は東京") > cosine("東京の天気", "大阪城公園"));
        assert!(cosine("evolution of the guardian", "the guardian evolves") > 0.4);
    }

    #[test]
    fn no_words_no_direction() {
        assert_eq!(embed("… !?", 8).unwrap(), [0.0; 8]);
        assert_eq!(embed("", 8).unwrap(), [0.0; 8]);
    }

    #[test]
    fn the_bytes_never_change() {
        let bits: Vec<u32> = embed("Hello, wörld 東京 42", 8)
            .unwrap()
            .iter()
            .map(|n| n.to_bits())
            .collect();
        assert_eq!(bits, GOLDEN);
        assert_eq!(hash(b'w', &['a']), 0xa07e_247e_4417_807b);
    }

    const GOLDEN: [u32; 8] = [
        3196340539, 3196340539, 3198941388, 3196340539, 3196340539, 0, 1057245499, 3206029571,
    ];

    #[test]
    fn dimensions_have_a_range() {
        assert_eq!(embed("x", 0), Err(VectorError::Dimensions(0)));
        assert_eq!(embed("x", 1 << 20), Err(VectorError::Dimensions(1 << 20)));
        assert_eq!(embed("x", 1).unwrap().len(), 1);
    }

    #[test]
    fn long_texts_are_read_to_a_limit() {
        let long = "ä ".repeat(READ_BYTES);
        assert_eq!(embed(&long, 16), embed(&long[..long.len() / 2], 16));
    }
}
