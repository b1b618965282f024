//! ACLs against the plain way of judging them (`fuzz/src/acl_naive.rs`), and `covers` against all
//! topics that few levels make.

#![allow(clippy::unwrap_used, clippy::expect_used, unreachable_pub, dead_code)]

use proptest::prelude::*;
use stonechat::auth::acl::covers;
use stonechat::topic::{TopicFilter, TopicName};

#[path = "../fuzz/src/acl_file.rs"]
mod acl_file;
#[path = "../fuzz/src/acl_naive.rs"]
mod acl_naive;
#[path = "../fuzz/src/source.rs"]
mod source;

/// All texts of up to `depth` levels out of `levels`.
fn texts(levels: &[&str], depth: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut longest = vec![String::new()];
    for n in 0..depth {
        let slash = if n == 0 { "" } else { "/" };
        let add = |text: &String| levels.iter().map(move |l| format!("{text}{slash}{l}")).collect();
        longest = longest.iter().flat_map(|text| -> Vec<String> { add(text) }).collect();
        all.extend(longest.iter().cloned());
    }
    all.retain(|text| !text.is_empty());
    all
}

/// A level deeper than the filters, and with levels that are in none of them.
#[test]
fn covers_is_what_all_topics_say() {
    let filters = texts(&["a", "", "$x", "+", "#"], 3);
    let filters: Vec<_> = filters.iter().filter_map(|f| TopicFilter::new(f).ok()).collect();
    let topics = texts(&["a", "", "$x", "z", "$z"], 4);
    let topics: Vec<_> = topics.iter().map(|t| TopicName::new(t).unwrap()).collect();
    let matched: Vec<Vec<bool>> =
        filters.iter().map(|f| topics.iter().map(|&t| f.matches(t)).collect()).collect();
    let (mut yes, mut no) = (0, 0);
    for (whole, all) in filters.iter().zip(&matched) {
        for (part, some) in filters.iter().zip(&matched) {
            let covered = some.iter().zip(all).all(|(some, all)| *all || !*some);
            assert_eq!(covers(*whole, *part), covered, "{whole:?} {part:?}");
            *(if covered { &mut yes } else { &mut no }) += 1;
        }
    }
    assert!(yes > 500 && no > 5_000, "{yes} {no}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(2_000)
    })]

    #[test]
    fn mosquittos_files_as_the_plain_way(bytes in prop::collection::vec(any::<u8>(), 60..260)) {
        acl_file::run(&[&[2], &bytes[..]].concat());
    }

    #[test]
    fn toml_as_the_plain_way(bytes in prop::collection::vec(any::<u8>(), 80..360)) {
        acl_file::run(&[&[3], &bytes[..]].concat());
    }
}
