//! Any history of filters that come and go, retained messages, and topics that are looked up.
//!
//! Laws: the filter tree, the match cache and the retained tree agree with the plain matcher
//! (`TopicFilter::matches`); a reader of retained messages who pauses gets what was there all the
//! time once, and nothing that never was.

use super::history::History;
use super::source::{FILTERS, Source, TOPICS};

const LEVELS: [&str; 10] = ["", "a", "b", "+", "#", "$x", "é", "a level that is long", "!", "+"];
/// How long a history may be.
const STEPS_MAX: usize = 400;

/// A cache size, then step after step.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let cache_bytes = source.pick(&[0, 1_000, 4_000, 1_000_000]);
    let mut history = History::new(u64::from(source.byte()), cache_bytes);
    for _ in 0..STEPS_MAX {
        if source.is_empty() {
            break;
        }
        step(&mut source, &mut history);
    }
    history.finish();
}

fn step(source: &mut Source<'_>, history: &mut History) {
    match source.below(16) {
        0..=3 => history.subscribe(&filter(source)),
        4 | 5 => history.unsubscribe(usize::from(source.byte())),
        6..=8 => history.publish(&topic(source)),
        9..=11 => {
            let (topic, payload) = (topic(source), source.byte());
            let expires_after = source.one_in(4).then(|| u64::from(source.byte()));
            history.retain(&topic, payload, expires_after);
        }
        12 => history.clear(usize::from(source.byte())),
        13 => history.start_reading(&filter(source)),
        14 => history.read_on(source.below(4), source.below(6)),
        _ => history.time_passes(u64::from(source.byte()), source.below(20)),
    }
}

/// Levels out of few, or one of the usual ones, or anything.
fn text(source: &mut Source<'_>, usual: &[&str]) -> String {
    match source.byte() {
        n @ 0..96 => usual[usize::from(n) % usual.len()].to_owned(),
        96..240 => {
            let levels: Vec<_> = (0..=source.below(10)).map(|_| source.pick(&LEVELS)).collect();
            levels.join("/")
        }
        _ => source.text().to_owned(),
    }
}

fn filter(source: &mut Source<'_>) -> String {
    let text = text(source, &FILTERS);
    if stonechat::topic::TopicFilter::new(&text).is_ok() { text } else { "a/#".to_owned() }
}

fn topic(source: &mut Source<'_>) -> String {
    let text = text(source, &TOPICS).replace(['+', '#'], "c");
    if stonechat::topic::TopicName::new(&text).is_ok() { text } else { "a".to_owned() }
}
