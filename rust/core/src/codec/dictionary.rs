//! Small blocks with a dictionary: what a few hundred bytes have in common with others of their kind.

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::from_continuous;

use super::CodecError;

const LEVEL: i32 = 3;

/// A dictionary of at most `size` bytes from samples of what is to be compressed.
///
/// Refused: too few samples to learn from (libzstd wants some tens of them, and many times the dictionary's size).
pub fn train(samples: &[&[u8]], size: usize) -> Result<Vec<u8>, CodecError> {
    let sizes: Vec<usize> = samples.iter().map(|sample| sample.len()).collect();
    from_continuous(&samples.concat(), &sizes, size)
        .map_err(|error| CodecError::corrupt(format!("no dictionary can be made: {error}")))
}

/// One zstd frame; without a dictionary where that is empty.
pub fn compress_small(data: &[u8], dictionary: &[u8]) -> Result<Vec<u8>, CodecError> {
    Ok(Compressor::with_dictionary(LEVEL, dictionary)?.compress(data)?)
}

/// What [`compress_small`] was given, at most `limit` bytes of it.
pub fn decompress_small(
    packed: &[u8],
    dictionary: &[u8],
    limit: usize,
) -> Result<Vec<u8>, CodecError> {
    let refused = |text: &str| Err(CodecError::corrupt(text));
    let size = match zstd::zstd_safe::get_frame_content_size(packed) {
        Ok(Some(size)) if size <= limit as u64 => size as usize,
        Ok(Some(_)) => return refused("a block says it is larger than is allowed"),
        _ => return refused("a block that is no zstd frame, or does not say its size"),
    };
    // what a frame says is believed as far as its bytes can hold it: a block of four bytes makes at most 128 KiB
    if size > packed.len().saturating_mul(32 << 10) {
        return refused("a block says more than it can hold");
    }
    Decompressor::with_dictionary(dictionary)?
        .decompress(packed, size)
        .map_err(|error| CodecError::corrupt(format!("a block cannot be unpacked: {error}")))
}
