//! AMX: sixteen queries by sixteen rows by 64 dimensions in one instruction, 1,024 products a cycle where VNNI has 128.
//!
//! A block's codes are a tile as they lie: sixteen groups of four dimensions, each of sixteen rows. Rust has no stable
//! names for these instructions, so they are written out.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

use super::tiles::{PAIR, Tiles, WORDS};
use super::{BLOCK, Dots, GROUP, STRETCH};

/// Bytes of a row of a tile, and of a tile.
const ROW: usize = 64;
const TILE: usize = 16 * ROW;

/// All eight tiles are sixteen rows of 64 bytes.
#[repr(C, align(64))]
struct Shape([u8; 64]);

static SHAPE: Shape = {
    let mut shape = [0; 64];
    shape[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        shape[16 + 2 * tile] = ROW as u8;
        shape[48 + tile] = 16;
        tile += 1;
    }
    Shape(shape)
};

/// The processor has tiles of bytes, and Linux lets this process, and what it forks, use them: it must be asked.
pub(super) fn allowed() -> bool {
    const TILES: u32 = 1 << 24 | 1 << 25;
    const ARCH_REQ_XCOMP_PERM: libc::c_int = 0x1023;
    const TILE_DATA: libc::c_ulong = 18;
    if !cfg!(target_os = "linux") || __cpuid_count(7, 0).edx & TILES != TILES {
        return false;
    }
    // SAFETY: it allows something and changes nothing else; a kernel that does not know it, or a signal stack that is too
    // small for what may have to be saved, makes it fail.
    unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA) == 0 }
}

/// Two tiles of queries by two blocks: four tiles of sums, and each of the four is loaded once a step.
macro_rules! step {
    () => {
        "tileloadd tmm4, [{queries} + {row}]
        tileloadd tmm6, [{first} + {row}]
        tileloadd tmm5, [{queries} + {row} + 1024]
        tdpbsud tmm0, tmm4, tmm6
        tileloadd tmm7, [{second} + {row}]
        tdpbsud tmm2, tmm5, tmm6
        tdpbsud tmm1, tmm4, tmm7
        tdpbsud tmm3, tmm5, tmm7"
    };
}

/// What is left of two blocks where their groups do not fill a tile, filled up with zeros. As much is left of all.
#[repr(C, align(64))]
struct Rest([[u8; TILE]; 2]);

/// # Safety
/// [`allowed`] has said so.
pub(super) unsafe fn tile_dots(blocks: &[u8], tiles: &Tiles, out: &mut [Dots]) {
    let size = tiles.groups() * GROUP * BLOCK;
    let count = blocks.len() / size;
    assert!(count <= STRETCH / BLOCK && out.len() >= tiles.padded());
    let mut rest = Rest([[0; TILE]; 2]);
    // SAFETY: the shape is a valid one of 64 bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &SHAPE, options(nostack, readonly, preserves_flags)) };
    for at in (0..count).step_by(2) {
        let first = &blocks[at * size..][..size];
        // An odd one is multiplied twice: what comes of it is written where no block is.
        let second = if at + 1 < count { at + 1 } else { at };
        let second = &blocks[second * size..][..size];
        for (pair, out) in tiles.pairs().zip(out.chunks_exact_mut(PAIR)) {
            // SAFETY: tiles are allowed and shaped; `out` has 32 rows of eight blocks, and `at` is even and below eight.
            unsafe { multiply(pair, [first, second], &mut rest, out, at * BLOCK) };
        }
    }
    // SAFETY: nobody needs the tiles any more. With it they need not be saved when the process is switched.
    unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
}

/// # Safety
/// Tiles are allowed and shaped, `out` has [`PAIR`] rows, and two blocks from row `at` on lie in a stretch.
#[inline]
unsafe fn multiply(pair: &[i32], blocks: [&[u8]; 2], rest: &mut Rest, out: &mut [Dots], at: usize) {
    let steps = blocks[0].len() / TILE;
    let whole = steps * TILE;
    let left = blocks[0].len() - whole;
    if left > 0 {
        for (rest, block) in rest.0.iter_mut().zip(blocks) {
            rest[..left].copy_from_slice(&block[whole..]);
        }
    }
    debug_assert!(out.len() >= PAIR && pair.len() >= blocks[0].len().div_ceil(TILE) * PAIR * WORDS);
    let sums = out.as_mut_ptr().cast::<i32>().wrapping_add(at);
    // SAFETY: each step reads two tiles of `pair` and one of each block, and there are as many as steps; then, where
    // something is left, once more of `pair` and of `rest`. Four tiles are written into the rows of `out`.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            ".irp at, 0, 64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960",
            "prefetcht0 [{first} + {ahead} + \\at]",
            "prefetcht0 [{second} + {ahead} + \\at]",
            ".endr",
            step!(),
            "add {queries}, 2048",
            "add {first}, 1024",
            "add {second}, 1024",
            "dec {steps}",
            "jnz 2b",
            "3:",
            "test {left}, {left}",
            "jz 4f",
            "mov {first}, {rest}",
            "lea {second}, [{rest} + 1024]",
            step!(),
            "4:",
            "tilestored [{out} + {line}], tmm0",
            "tilestored [{out} + {line} + 64], tmm1",
            "add {out}, {half}",
            "tilestored [{out} + {line}], tmm2",
            "tilestored [{out} + {line} + 64], tmm3",
            steps = inout(reg) steps => _,
            queries = inout(reg) pair.as_ptr() => _,
            first = inout(reg) blocks[0].as_ptr() => _,
            second = inout(reg) blocks[1].as_ptr() => _,
            out = inout(reg) sums => _,
            rest = in(reg) &*rest,
            left = in(reg) left,
            row = in(reg) ROW,
            line = in(reg) size_of::<Dots>(),
            ahead = in(reg) 2 * blocks[0].len(),
            half = const { PAIR / 2 * size_of::<Dots>() },
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
