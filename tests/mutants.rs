//! Every patch of `tests/mutants` still applies to the sources as they are.
//!
//! `tests/mutants/run` applies them for real and demands that each is caught; that takes a while
//! and is for those who change the simulator, the tables or the code that they test. A patch whose
//! place has changed is written anew: it is part of the proof that the tests bite.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// How many there have to be.
const MUTANTS_MIN: usize = 50;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn patches() -> Vec<PathBuf> {
    let files = fs::read_dir(root().join("tests/mutants")).unwrap().map(|f| f.unwrap().path());
    let mut patches: Vec<_> =
        files.filter(|f| f.extension().is_some_and(|e| e == "patch")).collect();
    patches.sort_by_key(|p| name(p).split('-').next().and_then(|n| n.parse::<usize>().ok()));
    patches
}

fn name(patch: &Path) -> String {
    patch.file_name().unwrap().to_str().unwrap().to_owned()
}

/// What of a hunk has to stand in the file, and what stands there once it is applied.
fn sides(hunk: &str) -> (String, String) {
    let (mut before, mut after) = (String::new(), String::new());
    for line in hunk.split_inclusive('\n') {
        // An empty line of context may have lost its space.
        let (mark, text) = if line == "\n" { (" ", line) } else { line.split_at(1) };
        if mark != "+" {
            before.push_str(text);
        }
        if mark != "-" {
            after.push_str(text);
        }
    }
    (before, after)
}

/// The line that a hunk's `@@ -12,7 +12,8 @@` names, counted from 0.
fn line_of(header: &str) -> usize {
    let digits = header.trim_start_matches(" -").split([',', ' ']).next().unwrap();
    digits.parse::<usize>().expect("a line number") - 1
}

/// Applies a patch in memory; says what is wrong with it.
fn check(patch: &Path) -> Result<(), String> {
    let text = fs::read_to_string(patch).unwrap();
    let (what, diff) = text.split_once("\n\n").ok_or("a description, an empty line, a diff")?;
    if what.contains('\n') || !what.ends_with('.') || what.len() > 100 {
        return Err(format!("the description is one short sentence: {what}"));
    }
    for file in diff.split("--- a/").skip(1) {
        let (name, rest) = file.split_once('\n').ok_or("no file name")?;
        let (_, hunks) = rest.split_once('\n').ok_or("no +++ line")?;
        let source = fs::read_to_string(root().join(name)).map_err(|e| format!("{name}: {e}"))?;
        for hunk in hunks.split("@@ -").skip(1) {
            let (header, body) = hunk.split_once('\n').ok_or("an empty hunk")?;
            let (before, after) = sides(body);
            let line = line_of(header);
            let there = source
                .match_indices(&*before)
                .filter(|(at, _)| *at == 0 || source.as_bytes()[at - 1] == b'\n');
            let lines: Vec<_> = there.map(|(at, _)| source[..at].matches('\n').count()).collect();
            // The program `patch` takes the place that is nearest; one place is sure to be it.
            if before == after || lines.is_empty() || lines.len() > 1 && !lines.contains(&line) {
                return Err(format!(
                    "{name}, line {}: this does not stand there:\n{before}",
                    line + 1
                ));
            }
        }
    }
    Ok(())
}

#[test]
fn every_patch_applies() {
    let patches = patches();
    assert!(patches.len() >= MUTANTS_MIN, "{} mutants", patches.len());
    for (at, patch) in patches.iter().enumerate() {
        let number = format!("{:02}-", at + 1);
        assert!(name(patch).starts_with(&number), "{}: numbers run from 01", name(patch));
    }
    let stale: Vec<_> = patches
        .iter()
        .filter_map(|p| check(p).err().map(|why| format!("{}: {why}", name(p))))
        .collect();
    assert!(stale.is_empty(), "write these anew:\n{}", stale.join("\n"));
}

#[test]
fn a_patch_that_does_not_apply_is_found() {
    let folder = root().join("target/tmp");
    fs::create_dir_all(&folder).unwrap();
    let patch = folder.join("stale.patch");
    let source = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (first, applies) in [(source.lines().next().unwrap(), true), ("//! Gone.", false)] {
        let hunk = format!("@@ -1,1 +1,1 @@\n-{first}\n+//! Another.\n");
        fs::write(&patch, format!("What.\n\n--- a/src/lib.rs\n+++ b/src/lib.rs\n{hunk}")).unwrap();
        assert_eq!(check(&patch).is_ok(), applies);
    }
}
