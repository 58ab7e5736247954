//! Small blocks with a dictionary: what a few hundred bytes have in common with others of their kind.

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary, from_continuous};
use zstd::zstd_safe::get_frame_content_size;

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

/// A dictionary, made ready once for many blocks.
pub struct Dictionary {
    packing: EncoderDictionary<'static>,
    unpacking: DecoderDictionary<'static>,
}

impl Dictionary {
    /// Of what [`train`] gave.
    pub fn new(dictionary: &[u8]) -> Self {
        Dictionary {
            packing: EncoderDictionary::copy(dictionary, LEVEL),
            unpacking: DecoderDictionary::copy(dictionary),
        }
    }

    /// One zstd frame that says its size.
    pub fn compress(&self, data: &[u8]) -> Result<Vec<u8>, CodecError> {
        Ok(Compressor::with_prepared_dictionary(&self.packing)?.compress(data)?)
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
        Decompressor::with_prepared_dictionary(&self.unpacking)?
            .decompress(packed, size)
            .map_err(|error| CodecError::corrupt(format!("a block cannot be unpacked: {error}")))
    }
}
