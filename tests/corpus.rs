//! What the fuzzer found worth keeping, replayed: every input of `fuzz/corpus`, which together
//! reach what fuzzing has reached, and of `fuzz/regressions`, each of which once found a bug.
//!
//! `cargo test --test corpus -- --ignored` writes the seeds that fuzzing starts from.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub)]

#[path = "../fuzz/src/lib.rs"]
mod fuzz;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

/// How many bytes all corpora together may have.
const CORPUS_BYTES_MAX: u64 = 2 << 20;

fn folder(kind: &str, target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(kind).join(target)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let (_, run) = fuzz::TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let corpus = files(&folder("corpus", name));
    assert!(!corpus.is_empty(), "{name} has no corpus");
    for file in corpus.into_iter().chain(files(&folder("regressions", name))) {
        let bytes = fs::read(&file).unwrap();
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&bytes)));
        assert!(outcome.is_ok(), "{} fails", file.display());
    }
}

#[test]
fn decode() {
    replay("decode");
}

#[test]
fn round_trip() {
    replay("round_trip");
}

#[test]
fn topic_match() {
    replay("topic_match");
}

#[test]
fn broker_inputs() {
    replay("broker_inputs");
}

#[test]
fn log_recovery() {
    replay("log_recovery");
}

#[test]
fn websocket() {
    replay("websocket");
}

#[test]
fn proxy_header() {
    replay("proxy_header");
}

#[test]
fn acl_file() {
    replay("acl_file");
}

#[test]
fn password_file() {
    replay("password_file");
}

#[test]
fn jwt() {
    replay("jwt");
}

#[test]
fn scram() {
    replay("scram");
}

#[test]
fn corpora_are_small_and_every_one_is_a_target() {
    let mut bytes = 0;
    for kind in ["corpus", "regressions"] {
        for target in files(&folder(kind, "")) {
            let name = target.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(fuzz::TARGETS.iter().any(|(target, _)| *target == name), "{name}?");
            bytes += files(&target).iter().map(|f| fs::metadata(f).unwrap().len()).sum::<u64>();
        }
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes: minimize with `cargo fuzz cmin`");
}

#[test]
#[ignore = "writes files"]
fn write_seeds() {
    for (target, seeds) in fuzz::seeds::all() {
        let folder = folder("corpus", target);
        fs::create_dir_all(&folder).unwrap();
        for (i, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{i:03}")), seed).unwrap();
        }
    }
}
