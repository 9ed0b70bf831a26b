//! Random frames are valid, and nothing that is mangled upsets the printer.

use causeway_testkit::random::{self, Kind};
use causeway_testkit::seed::Seed;
use causeway_testkit::{checksum, print};

#[test]
fn every_random_frame_of_every_kind_is_valid() {
    let seed = Seed::from_env_or(1);
    let mut rng = seed.rng();
    for kind in Kind::ALL {
        for _ in 0..2_000 {
            let frame = random::frame_of(&mut rng, kind);
            let verdict = checksum::verify(&frame);
            assert_eq!(verdict, Ok(()), "{kind:?}\n{}", print::text(&frame));
        }
    }
}

#[test]
fn any_two_mangled_frames_can_be_printed_verified_and_compared() {
    let seed = Seed::from_env_or(2);
    let mut rng = seed.rng();
    for _ in 0..20_000 {
        let frame = random::frame(&mut rng);
        let mangled = random::mangle(&mut rng, &frame);
        let (line, text) = (print::line(&mangled), print::text(&mangled));
        assert!(!line.is_empty() && !line.contains('\n') && !text.is_empty());
        let _ = checksum::verify(&mangled);
        assert_eq!(print::diff(&frame, &mangled).is_empty(), frame == mangled);
    }
}

#[test]
fn one_seed_gives_one_traffic() {
    let traffic = |seed: &Seed| {
        let mut rng = seed.rng();
        (0..100)
            .map(|_| {
                let frame = random::frame(&mut rng);
                random::mangle(&mut rng, &frame)
            })
            .collect::<Vec<_>>()
    };
    let seed = Seed::new(3);
    print::assert_frame_lists_eq(&traffic(&seed), &traffic(&seed));
    assert_ne!(traffic(&seed), traffic(&Seed::new(4)));
}

#[test]
fn a_flipped_bit_behind_the_ip_header_never_passes_verification() {
    let seed = Seed::from_env_or(5);
    let mut rng = seed.rng();
    for _ in 0..2_000 {
        let mut frame = random::frame_of(&mut rng, Kind::Tcp);
        let at = frame.len() - 1 - rng.range(0..20);
        // Padding is nobody's: only what the packet counts.
        let counted = !print::decode(&frame).iter().any(|layer| layer.name == "Trailer");
        frame[at] ^= 1 << rng.below(8);
        assert!(!counted || checksum::verify(&frame).is_err(), "{}", print::text(&frame));
    }
}
