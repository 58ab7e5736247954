//! Which set of instructions is taken, and what suits it.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use super::amx;
use super::{Kernel, QUERIES};

/// From so many queries on it pays to compare all at once.
#[cfg(target_arch = "x86_64")]
const WORTH_MANY: usize = 3;

// where there is one kernel, some questions have one answer
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
impl Kernel {
    /// The best that this processor has, and that the kernel of the operating system lets us use.
    pub fn detect() -> Kernel {
        static BEST: OnceLock<Kernel> = OnceLock::new();
        *BEST.get_or_init(Kernel::look)
    }

    fn look() -> Kernel {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni")
                && is_x86_feature_detected!("popcnt")
            {
                return match amx::allowed() {
                    true => Kernel::Amx,
                    false => Kernel::Avx512,
                };
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Kernel::Avx2;
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Kernel::Neon;
        }
        Kernel::Portable
    }

    /// Those that this processor has.
    #[cfg(test)]
    pub fn available() -> Vec<Kernel> {
        let mut kernels = vec![Kernel::Portable, Kernel::detect()];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            kernels.push(Kernel::Avx2);
        }
        #[cfg(target_arch = "x86_64")]
        if Kernel::detect() == Kernel::Amx {
            kernels.push(Kernel::Avx512);
        }
        kernels.dedup();
        kernels
    }

    /// Largest code of a query: AVX2 adds two products of a row's byte and a query's in 16 bits.
    pub fn query_levels(self) -> i8 {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2 => 63,
            _ => 127,
        }
    }

    /// How many queries are compared together by [`Kernel::code_dots`].
    pub fn party(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx | Kernel::Avx512 => 1,
            _ => QUERIES,
        }
    }

    /// Both halves of a query are compared at once: where that costs little, because reading the codes, or setting up, is
    /// what takes the time.
    pub fn whole(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx | Kernel::Avx512 => true,
            _ => false,
        }
    }

    /// So many queries are better compared by [`Kernel::scores`].
    pub fn tiled(self, queries: usize) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Amx | Kernel::Avx512 => queries >= WORTH_MANY,
            _ => false,
        }
    }

    /// A number of one of many queries is two codes: where to multiply both costs less than to score the rows that one
    /// leaves open.
    pub(super) fn two_codes(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 => false,
            _ => true,
        }
    }

    /// Codes of six bits are looked at before those of eight: where taking them apart costs less than reading more.
    pub fn sketched(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx512 | Kernel::Amx => true,
            _ => false,
        }
    }
}

/// A processor of AMD, which reads from memory best one stream after the other: only those have SSE4a.
#[cfg(target_arch = "x86_64")]
pub(super) fn amd() -> bool {
    is_x86_feature_detected!("sse4a")
}
