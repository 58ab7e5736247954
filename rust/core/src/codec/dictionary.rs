//! Small blocks with a dictionary: what a few hundred bytes have in common with others of their kind.

use zstd::dict::from_continuous;
use zstd::zstd_safe::{CCtx, CDict, DCtx, DDict};
use zstd::zstd_safe::{compress_bound, get_error_name, get_frame_content_size};

use super::CodecError;

const LEVEL: i32 = 3;

/// A dictionary of at most `size` bytes from samples of what is to be compressed.
///
/// Refused: too few samples to learn from (libzstd wants some tens of them, and many times the dictionary's size).
pub fn train(samples: &[&[u8]], size: usize) -> Result<Vec<u8>, CodecError> {
    let sizes: Vec<usize> = samples.iter().map(|sample| sample.len()).collect();
    let samples = samples.concat();
    // It is made of parts of them, and as much as is asked for would be allocated.
    from_continuous(&samples, &sizes, size.min(samples.len()))
        .map_err(|error| CodecError::corrupt(format!("no dictionary can be made: {error}")))
}

/// A dictionary, made ready once for many blocks.
pub struct Dictionary {
    packing: CDict<'static>,
    unpacking: DDict<'static>,
}

impl Dictionary {
    /// Of what [`train`] gave; refused where it is damaged so much that it cannot be used.
    pub fn new(dictionary: &[u8]) -> Result<Self, CodecError> {
        CDict::try_create(dictionary, LEVEL)
            .zip(DDict::try_create(dictionary))
            .map(|(packing, unpacking)| Dictionary { packing, unpacking })
            .ok_or_else(|| CodecError::corrupt("a dictionary that cannot be used"))
    }

    /// One zstd frame that says its size.
    pub fn compress(&self, data: &[u8]) -> Result<Vec<u8>, CodecError> {
        let mut packed = with_room(compress_bound(data.len()))?;
        CCtx::try_create()
            .ok_or(CodecError::OutOfMemory)?
            .compress_using_cdict(&mut packed, data, &self.packing)
            .map_err(|code| {
                let name = get_error_name(code);
                CodecError::corrupt(format!("a block cannot be packed: {name}"))
            })?;
        Ok(packed)
    }

    /// What [`Dictionary::compress`] was given, at most `limit` bytes of it.
    pub fn decompress(&self, packed: &[u8], limit: usize) -> Result<Vec<u8>, CodecError> {
        let refused = |text: &str| Err(CodecError::corrupt(text));
        let size = match get_frame_content_size(packed) {
            Ok(Some(size)) if size <= limit as u64 => size as usize,
            Ok(Some(_)) => return refused("a block says it is larger than is allowed"),
            _ => return refused("a block that is no zstd frame, or does not say its size"),
        };
        // what a frame says is believed as far as its bytes can hold it: a block of four bytes makes at most 128 KiB
        if size > packed.len().saturating_mul(32 << 10) {
            return refused("a block says more than it can hold");
        }
        let mut data = with_room(size)?;
        DCtx::try_create()
            .ok_or(CodecError::OutOfMemory)?
            .decompress_using_ddict(&mut data, packed, &self.unpacking)
            .map_err(|code| {
                let name = get_error_name(code);
                CodecError::corrupt(format!("a block cannot be unpacked: {name}"))
            })?;
        Ok(data)
    }
}

fn with_room(size: usize) -> Result<Vec<u8>, CodecError> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(size)
        .map_err(|_| CodecError::OutOfMemory)?;
    Ok(buffer)
}
