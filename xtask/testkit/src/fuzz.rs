//! Checks the property of a fuzz target without a fuzzer: over its corpus, and over random mutations of it.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fastrand::Rng;

/// The mutations of each check: they take a fraction of a second in a debug build.
const MUTATIONS: usize = 400;
/// Mutations that insert more make no input of another kind.
const MAX_INSERTED_BYTES: usize = 16;
/// Bytes at which parsers branch: limits of integers, separators, types of frames.
const INTERESTING_BYTES: &[u8] = b"\0\x01\x04\x05\x07\x09\x7f\x80\xff\r\n :-=%09AaZz,;/[]@";

/// Calls `property`, which panics for an input without the property, with the files of
/// `xtask/fuzz/corpus/TARGET` and with mutations of them.
///
/// # Panics
/// An input does not have the property; the message has the input and the seed of the mutations.
pub fn check(target: &str, property: fn(&[u8])) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz");
    assert!(fuzz.join("src/bin").join(target).with_extension("rs").exists(), "no target {target}");
    let files = fs::read_dir(fuzz.join("corpus").join(target)).unwrap();
    let mut files: Vec<_> = files.map(|it| it.unwrap().path()).collect();
    files.sort();
    let corpus: Vec<_> = files.iter().map(|file| fs::read(file).unwrap()).collect();
    for (file, input) in files.iter().zip(&corpus) {
        run(property, input, &format!("{}", file.display()));
    }
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for _ in 0..MUTATIONS {
        let mut input = rng.choice(&corpus).cloned().unwrap_or_default();
        for _ in 0..rng.usize(1..=4) {
            mutate(&mut input, &corpus, &mut rng);
        }
        run(property, &input, &format!("a mutation for {target}, seed {seed}"));
    }
}

fn run(property: fn(&[u8]), input: &[u8], origin: &str) {
    let result = catch_unwind(AssertUnwindSafe(|| property(input)));
    assert!(result.is_ok(), "{origin}: the input b\"{}\" fails, see above", input.escape_ascii());
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], rng: &mut Rng) {
    let at = rng.usize(..=input.len());
    let end = (at + rng.usize(1..=MAX_INSERTED_BYTES)).min(input.len());
    match rng.u8(..7) {
        0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
        1 if at < input.len() => input[at] = *rng.choice(INTERESTING_BYTES).unwrap(),
        2 => input.insert(at, *rng.choice(INTERESTING_BYTES).unwrap()),
        3 => drop(input.drain(at..end)),
        4 => input.truncate(at),
        5 => {
            let copy = input[at..end].to_vec();
            input.splice(at..at, copy);
        }
        6 => {
            let other = rng.choice(corpus).map(Vec::as_slice).unwrap_or_default();
            input.truncate(at);
            input.extend_from_slice(&other[rng.usize(..=other.len())..]);
        }
        _ => input.push(rng.u8(..)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failing_input_is_reported() {
        let failed = catch_unwind(|| run(|input| assert!(input.len() < 2), b"a\n", "here"));
        let message = failed.unwrap_err().downcast::<String>().unwrap();
        assert_eq!(*message, "here: the input b\"a\\n\" fails, see above");
    }

    #[test]
    fn mutations_of_one_seed_are_the_same() {
        let corpus = [b"one".to_vec(), b"two".to_vec()];
        let mutated = |seed| {
            let (mut input, mut rng) = (b"three".to_vec(), Rng::with_seed(seed));
            (0..50).for_each(|_| mutate(&mut input, &corpus, &mut rng));
            input
        };
        assert_eq!(mutated(1), mutated(1));
        assert_ne!(mutated(1), mutated(2));
    }
}
