//! zstd frames from the outside: where each begins, and how much it can hold, known before anything is unpacked.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::CodecError;

/// Largest body that is read.
pub const BODY_LIMIT_BYTES: u64 = 2 << 30;
/// Largest frame that is read. Ours hold a piece each; once a whole state was one.
const FRAME_LIMIT_BYTES: u64 = 128 << 20;
const MAGIC: u32 = 0xFD2F_B528;
const SKIPPABLE: u32 = 0x184D_2A50;
const BLOCK_BYTES: usize = 128 << 10;
/// More frames than the largest body has pieces are an attack on the list of them.
const FRAMES_LIMIT: usize = 1 << 16;

/// One frame with content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Where it begins in the file.
    pub at: u64,
    /// Its bytes in the file.
    pub packed: u64,
    /// Where its content begins in the body.
    pub body_at: u64,
    /// Bytes of its content.
    pub content: u64,
}

/// The frames of a file, in order.
#[derive(Debug, Default)]
pub struct Layout {
    /// Those with content.
    pub frames: Vec<Frame>,
    /// Bytes of all contents.
    pub body_bytes: u64,
    /// Where the content of the last skippable frame lies in the file, and its size.
    pub tail: Option<(u64, u64)>,
}

/// Walks from frame to frame and from block to block, reading heads only.
///
/// Refused: what does not end exactly with the region; a frame that does not say its size, says more than its blocks
/// can hold, needs a dictionary, or is larger than 128 MiB; contents of more than [`BODY_LIMIT_BYTES`].
pub fn walk(file: &File, at: u64, size: u64) -> Result<Layout, CodecError> {
    let end = at
        .checked_add(size)
        .ok_or_else(|| CodecError::corrupt("the file is cut off"))?;
    let mut heads = Heads { file, at, end };
    let mut layout = Layout::default();
    while heads.at < end {
        let start = heads.at;
        let magic = heads.number(4)? as u32;
        if magic & 0xFFFF_FFF0 == SKIPPABLE {
            let size = heads.number(4)?;
            layout.tail = Some((heads.at, size));
            heads.skip(size)?;
            continue;
        }
        if magic != MAGIC {
            return Err(CodecError::corrupt("the data is not of zstd frames"));
        }
        let content = frame(&mut heads)?;
        if content > FRAME_LIMIT_BYTES {
            return Err(CodecError::corrupt(
                "a frame says it is larger than 128 MiB",
            ));
        }
        let body_at = layout.body_bytes;
        layout.body_bytes += content;
        if layout.body_bytes > BODY_LIMIT_BYTES || layout.frames.len() == FRAMES_LIMIT {
            return Err(CodecError::corrupt("the data says it is larger than 2 GiB"));
        }
        layout.frames.push(Frame {
            at: start,
            packed: heads.at - start,
            body_at,
            content,
        });
    }
    Ok(layout)
}

/// The content's size of the frame whose magic number was just read; leaves `heads` behind it.
fn frame(heads: &mut Heads<'_>) -> Result<u64, CodecError> {
    let descriptor = heads.number(1)?;
    let single = descriptor & 0x20 != 0;
    if descriptor & 0x0B != 0 {
        return Err(CodecError::corrupt("a frame that needs a dictionary"));
    }
    heads.skip(u64::from(!single))?;
    let content = match (descriptor >> 6, single) {
        (0, true) => heads.number(1)?,
        (1, _) => heads.number(2)? + 256,
        (2, _) => heads.number(4)?,
        (3, _) => heads.number(8)?,
        _ => return Err(CodecError::corrupt("a frame that does not say its size")),
    };
    let mut most = 0;
    loop {
        let head = heads.number(3)?;
        let (kind, size) = (head >> 1 & 3, head >> 3);
        if kind == 3 || size > BLOCK_BYTES as u64 {
            return Err(CodecError::corrupt("a frame with a block that cannot be"));
        }
        most += if kind == 2 { BLOCK_BYTES as u64 } else { size };
        heads.skip(if kind == 1 { 1 } else { size })?;
        if head & 1 != 0 {
            break;
        }
    }
    heads.skip(descriptor & 4)?;
    if content > most {
        return Err(CodecError::corrupt(
            "a frame that says more than it can hold",
        ));
    }
    Ok(content)
}

struct Heads<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Heads<'_> {
    fn number(&mut self, size: u64) -> Result<u64, CodecError> {
        let mut raw = [0; 8];
        let at = self.at;
        self.skip(size)?;
        self.file.read_exact_at(&mut raw[..size as usize], at)?;
        Ok(u64::from_le_bytes(raw))
    }

    fn skip(&mut self, size: u64) -> Result<(), CodecError> {
        match self.at.checked_add(size).filter(|next| *next <= self.end) {
            Some(next) => self.at = next,
            None => return Err(CodecError::corrupt("the data is cut off")),
        }
        Ok(())
    }
}

/// A frame that holds `content` as it is.
pub fn raw_frame(content: &[u8]) -> Vec<u8> {
    let blocks = content.len().div_ceil(BLOCK_BYTES).max(1);
    let mut frame = Vec::with_capacity(13 + 3 * blocks + content.len());
    frame.extend_from_slice(&MAGIC.to_le_bytes());
    frame.push(0xE0); // one segment, its size in eight bytes
    frame.extend_from_slice(&(content.len() as u64).to_le_bytes());
    for number in 0..blocks {
        let start = number * BLOCK_BYTES;
        let block = &content[start..content.len().min(start + BLOCK_BYTES)];
        let head = (block.len() as u32) << 3 | u32::from(number + 1 == blocks);
        frame.extend_from_slice(&head.to_le_bytes()[..3]);
        frame.extend_from_slice(block);
    }
    frame
}

/// A frame that readers of zstd skip; `content` is less than 4 GiB.
pub fn skippable_frame(content: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(8 + content.len());
    frame.extend_from_slice(&SKIPPABLE.to_le_bytes());
    frame.extend_from_slice(&(content.len() as u32).to_le_bytes());
    frame.extend_from_slice(content);
    frame
}
