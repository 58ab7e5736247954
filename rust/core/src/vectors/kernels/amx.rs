//! AMX: sixteen queries by sixteen rows by 64 dimensions in one instruction, 1,024 products a cycle where VNNI has 128.
//!
//! A block's codes are a tile as they lie: sixteen groups of four dimensions, each of sixteen rows. Rust has no stable
//! names for these instructions, so they are written out.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

use super::tiles::{Compared, PARTY, Scores, Sums, WIDTH};
use super::{BLOCK, avx512_many};

/// Bytes of a row of a tile, and of a tile.
const ROW: usize = WIDTH;
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

/// The sums of two blocks by one half of the queries' codes, then by the other.
#[repr(C, align(64))]
struct Pairs([[Sums; 2]; 2]);

/// # Safety
/// [`allowed`] has said so.
pub(super) unsafe fn scores(compared: Compared<'_>, lanes: &mut [Scores], out: &mut [Scores]) {
    let count = compared.count();
    let mut rest = Rest([[0; TILE]; 2]);
    let mut sums = Pairs([[[[0; BLOCK]; PARTY]; 2]; 2]);
    // SAFETY: the shape is a valid one of 64 bytes.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &SHAPE, options(nostack, readonly, preserves_flags)) };
    for at in (0..count).step_by(2) {
        // An odd one is multiplied twice, and looked at once.
        let both = [at, (at + 1).min(count - 1)];
        let pair = both.map(|block| compared.codes(block, 1));
        for (number, (half, out)) in compared
            .tiles
            .halves()
            .into_iter()
            .zip(&mut sums.0)
            .enumerate()
        {
            // SAFETY: tiles are allowed and shaped.
            unsafe {
                multiply(
                    half,
                    pair,
                    compared.far.then_some(pair[number]),
                    &mut rest,
                    out,
                )
            };
        }
        let [high, low] = &sums.0;
        for (block, (high, low)) in (at..count).zip(high.iter().zip(low)) {
            let lanes = &mut lanes[block % lanes.len()];
            let (factors, facts) = (compared.factors(), compared.facts(block));
            // SAFETY: who has AMX has AVX-512.
            unsafe { avx512_many::settle([high, low], factors, facts, lanes, &mut out[block]) };
        }
    }
    // SAFETY: nobody needs the tiles any more. With it they need not be saved when the process is switched.
    unsafe { asm!("tilerelease", options(nostack, nomem, preserves_flags)) };
}

/// Multiplies two blocks with one half of the queries' codes; what lies four blocks behind `fetched` is fetched meanwhile
/// (measured: into the second cache; to fetch into the first one takes longer than it saves, and to fetch what is in the
/// second one already costs a tenth).
///
/// # Safety
/// Tiles are allowed and shaped.
#[inline]
unsafe fn multiply(
    (codes, starts): (&[u8], &[i32]),
    blocks: [&[u8]; 2],
    fetched: Option<&[u8]>,
    rest: &mut Rest,
    out: &mut [Sums; 2],
) {
    let steps = blocks[0].len() / TILE;
    let whole = steps * TILE;
    let left = blocks[0].len() - whole;
    if left > 0 {
        for (rest, block) in rest.0.iter_mut().zip(blocks) {
            rest[..left].copy_from_slice(&block[whole..]);
        }
    }
    let ahead = |block: &[u8]| block.as_ptr().wrapping_add(4 * block.len());
    let fetched = fetched.map_or(std::ptr::null(), ahead);
    debug_assert!(codes.len() >= blocks[0].len().div_ceil(TILE) * 2 * TILE);
    debug_assert!(starts.len() == PARTY * BLOCK && blocks[0].len() == blocks[1].len());
    // SAFETY: each step reads two tiles of `codes` and one of each block, and there are as many as steps; then, where
    // something is left, once more of `codes` and of `rest`. The sums begin at the two tiles of `starts`, and `out` is
    // the four tiles they are written to.
    unsafe {
        asm!(
            "tileloadd tmm0, [{starts} + {row}]",
            "tileloadd tmm1, [{starts} + {row}]",
            "tileloadd tmm2, [{starts} + {row} + 1024]",
            "tileloadd tmm3, [{starts} + {row} + 1024]",
            "test {steps}, {steps}",
            "jz 3f",
            "2:",
            "test {fetched}, {fetched}",
            "jz 5f",
            ".irp at, 0, 64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960",
            "prefetcht1 [{fetched} + \\at]",
            ".endr",
            "add {fetched}, 1024",
            "5:",
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
            "tilestored [{out} + {row}], tmm0",
            "tilestored [{out} + {row} + 1024], tmm2",
            "tilestored [{out} + {row} + 2048], tmm1",
            "tilestored [{out} + {row} + 3072], tmm3",
            steps = inout(reg) steps => _,
            queries = inout(reg) codes.as_ptr() => _,
            first = inout(reg) blocks[0].as_ptr() => _,
            second = inout(reg) blocks[1].as_ptr() => _,
            fetched = inout(reg) fetched => _,
            starts = in(reg) starts.as_ptr(),
            out = in(reg) out.as_mut_ptr(),
            rest = in(reg) &*rest,
            left = in(reg) left,
            row = in(reg) ROW,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
