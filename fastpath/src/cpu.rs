//! What the CPU at hand can do, and hints to it.

use core::sync::atomic::{AtomicU8, Ordering};

/// Asks for the cache line that holds `address`. Any address will do: a prefetch
/// never faults and reads nothing the program can see.
#[inline(always)]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: PREFETCHT0 is part of SSE, which x86_64 always has, and is defined
    // for every address.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast::<i8>());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Does this CPU have AVX-512 (F, BW, DQ, VL), AVX2, BMI1, BMI2, LZCNT and POPCNT, and does
/// the system keep the wide registers? Asked once.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn has_avx512() -> bool {
    match FOUND.load(Ordering::Relaxed) {
        UNASKED => ask(),
        found => found == YES,
    }
}

#[cfg(target_arch = "x86_64")]
static FOUND: AtomicU8 = AtomicU8::new(UNASKED);
#[cfg(target_arch = "x86_64")]
const UNASKED: u8 = 0;
#[cfg(target_arch = "x86_64")]
const NO: u8 = 1;
#[cfg(target_arch = "x86_64")]
const YES: u8 = 2;

/// Bits of CPUID (Intel SDM volume 2A; LZCNT as in AMD's volume 3).
#[cfg(target_arch = "x86_64")]
#[cold]
fn ask() -> bool {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    // Leaf 1 ECX: POPCNT, OSXSAVE. Leaf 7 EBX: BMI1, AVX2, BMI2, then AVX-512 F, DQ, BW, VL.
    const LEAF_1: u32 = 1 << 23 | 1 << 27;
    const LEAF_7: u32 = 1 << 3 | 1 << 5 | 1 << 8 | 1 << 16 | 1 << 17 | 1 << 30 | 1 << 31;
    const LZCNT: u32 = 1 << 5;
    let found = __cpuid(0).eax >= 7
        && __cpuid(0x8000_0000).eax >= 0x8000_0001
        && __cpuid(1).ecx & LEAF_1 == LEAF_1
        && __cpuid_count(7, 0).ebx & LEAF_7 == LEAF_7
        && __cpuid(0x8000_0001).ecx & LZCNT == LZCNT
        // SAFETY: OSXSAVE says that the system has made XGETBV available.
        && unsafe { wide_registers_are_kept() };
    FOUND.store(if found { YES } else { NO }, Ordering::Relaxed);
    found
}

/// XCR0: SSE, AVX, mask registers and both parts of the 512-bit registers.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "xsave")]
fn wide_registers_are_kept() -> bool {
    const KEPT: u64 = 0b1110_0110;
    // SAFETY: register 0 is there wherever XGETBV is.
    unsafe { core::arch::x86_64::_xgetbv(0) & KEPT == KEPT }
}
