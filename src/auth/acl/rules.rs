//! Filters with what they allow or deny, made ready for many questions.
//!
//! May use: `topic`, a hash function. Invariant: what the tree answers is what a walk over all
//! filters with the plain matcher, or with [`covers`], would answer. Nothing is allocated for a
//! question, unless the rules have a `+` beside other levels at more of a topic's levels than
//! `STACK_FEW`.

use aws_lc_rs::digest;

use crate::topic::{TopicFilter, TopicName};

/// What filters do, as bits.
pub(super) type Effects = u8;
/// allows to publish
pub(super) const PUBLISH: Effects = 1;
/// allows to subscribe and to receive
pub(super) const SUBSCRIBE: Effects = 2;
/// denies to publish
pub(super) const DENY_PUBLISH: Effects = 4;
/// denies to subscribe and to receive
pub(super) const DENY_SUBSCRIBE: Effects = 8;
/// denies both
pub(super) const DENY: Effects = DENY_PUBLISH | DENY_SUBSCRIBE;

/// Whether every topic that `part` matches is one that `whole` matches.
pub fn covers(whole: TopicFilter<'_>, part: TopicFilter<'_>) -> bool {
    let (whole, part) = (whole.as_str(), spelled_out(part));
    if part.starts_with('$') && whole.starts_with(['+', '#']) {
        return false; // [MQTT-4.7.2-1]
    }
    let mut parts = part.split('/');
    for level in whole.split('/') {
        match (level, parts.next()) {
            ("#", _) => return true, // also when nothing is left: "a/#" matches "a"
            (_, None | Some("#")) => return false,
            ("+", Some(_)) => {}
            (level, Some(part)) if level == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

/// The text of `filter`, or a longer one that matches the same topics where a `#` cannot mean "no
/// more levels": no topic is empty \[MQTT-4.7.3-1\].
fn spelled_out(filter: TopicFilter<'_>) -> &str {
    match filter.as_str() {
        "#" => "+/#",
        "/#" => "/+/#",
        text => text,
    }
}

const ROOT: u32 = 0;
/// No node: the root is nobody's child.
const NONE: u32 = ROOT;

/// A level of filters. A `#` is no node, but what its parent has below it.
#[derive(Debug, Default)]
struct Node {
    /// the level's text, in `text`
    from: u32,
    to: u32,
    /// the literal levels below, sorted by text, one behind the other
    children: u32,
    children_end: u32,
    plus: u32,
    /// of the filter that ends here
    here: Effects,
    /// of the filter that ends with a `#` below
    below: Effects,
}

/// Many filters as one tree. Immutable.
#[derive(Debug)]
pub(super) struct Rules {
    nodes: Box<[Node]>,
    text: Box<str>,
    /// of all filters and effects: equal for equal rules alone
    digest: [u8; 32],
}

impl Rules {
    /// Of filters and what each does; a filter that is there twice does both. What is no filter is
    /// left out.
    pub(super) fn new<S: AsRef<str>>(rules: &[(S, Effects)]) -> Self {
        let mut sorted: Vec<_> = rules.iter().filter_map(levels_of).collect();
        sorted.sort_unstable();
        sorted.dedup_by(|next, before| {
            let same = next.0 == before.0;
            if same {
                before.1 |= next.1;
            }
            same
        });
        let mut rules =
            Self { nodes: Box::default(), text: Box::default(), digest: digest_of(&sorted) };
        Builder::new(&sorted).build(&mut rules);
        rules
    }

    pub(super) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// What all filters that match `topic` do.
    pub(super) fn of_topic(&self, topic: TopicName<'_>) -> Effects {
        let text = topic.as_str();
        let mut found = 0;
        let mut ways = Ways::new();
        ways.push((ROOT, 0));
        while let Some((id, at)) = ways.pop() {
            let node = self.node(id);
            // [MQTT-4.7.2-1]
            let wild = id != ROOT || !topic.is_dollar();
            if wild {
                found |= node.below;
            }
            let Some((level, next)) = level_at(text, at) else {
                found |= node.here;
                continue;
            };
            if let Some(child) = self.child(node, level) {
                ways.push((child, next));
            }
            if wild && node.plus != NONE {
                ways.push((node.plus, next));
            }
        }
        found
    }

    /// What all filters that cover `filter` do.
    pub(super) fn of_filter(&self, filter: TopicFilter<'_>) -> Effects {
        let text = spelled_out(filter);
        let mut found = 0;
        let mut ways = Ways::new();
        ways.push((ROOT, 0));
        while let Some((id, at)) = ways.pop() {
            let node = self.node(id);
            let wild = id != ROOT || !text.starts_with('$');
            if wild {
                found |= node.below;
            }
            let Some((level, next)) = level_at(text, at) else {
                found |= node.here;
                continue;
            };
            // A '#' is covered by a '#' alone.
            if level == "#" {
                continue;
            }
            if level != "+"
                && let Some(child) = self.child(node, level)
            {
                ways.push((child, next));
            }
            if wild && node.plus != NONE {
                ways.push((node.plus, next));
            }
        }
        found
    }

    fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    fn child(&self, node: &Node, level: &str) -> Option<u32> {
        let children = &self.nodes[node.children as usize..node.children_end as usize];
        let text = |node: &Node| &self.text.as_bytes()[node.from as usize..node.to as usize];
        let found = children.binary_search_by(|child| text(child).cmp(level.as_bytes()));
        found.ok().map(|n| node.children + n as u32)
    }
}

fn levels_of<S: AsRef<str>>((filter, effects): &(S, Effects)) -> Option<(Vec<&str>, Effects)> {
    let filter = TopicFilter::new(filter.as_ref()).ok()?;
    Some((filter.levels().collect(), *effects))
}

/// The level of `text` that begins at `at`, and where the next one begins; `None` behind the last.
fn level_at(text: &str, at: usize) -> Option<(&str, usize)> {
    let rest = text.get(at..)?;
    let len = rest.bytes().position(|b| b == b'/').unwrap_or(rest.len());
    Some((&rest[..len], at + len + 1))
}

/// Lengths stand before texts, so that different rules are different bytes.
fn digest_of(sorted: &[(Vec<&str>, Effects)]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for (levels, effects) in sorted {
        context.update(&(levels.len() as u32).to_le_bytes());
        for level in levels {
            context.update(&(level.len() as u32).to_le_bytes());
            context.update(level.as_bytes());
        }
        context.update(&[*effects]);
    }
    bytes_of(context)
}

pub(super) fn bytes_of(context: digest::Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// Makes the tree out of sorted filters: the filters below a node are one range of them.
struct Builder<'a> {
    sorted: &'a [(Vec<&'a str>, Effects)],
    nodes: Vec<Node>,
    text: String,
    /// nodes whose range of filters is to be split: node, its depth, the range
    open: Vec<(u32, usize, std::ops::Range<usize>)>,
}

impl<'a> Builder<'a> {
    fn new(sorted: &'a [(Vec<&'a str>, Effects)]) -> Self {
        let open = vec![(ROOT, 0, 0..sorted.len())];
        Self { sorted, nodes: vec![Node::default()], text: String::new(), open }
    }

    fn build(mut self, rules: &mut Rules) {
        while let Some((id, depth, range)) = self.open.pop() {
            self.split(id, depth, range);
        }
        rules.nodes = self.nodes.into();
        rules.text = self.text.into();
    }

    fn split(&mut self, id: u32, depth: usize, range: std::ops::Range<usize>) {
        let (mut at, end) = (range.start, range.end);
        let first_child = self.nodes.len() as u32;
        let mut plus = None;
        while at < end {
            let (levels, effects) = &self.sorted[at];
            let Some(&level) = levels.get(depth) else {
                self.nodes[id as usize].here = *effects;
                at += 1;
                continue;
            };
            let same = |(levels, _): &(Vec<&str>, Effects)| levels.get(depth) == Some(&level);
            let next = at + self.sorted[at..end].partition_point(same);
            match level {
                "#" => self.nodes[id as usize].below = *effects,
                "+" => plus = Some(at..next),
                _ => {
                    let child = self.add(level);
                    self.open.push((child, depth + 1, at..next));
                }
            }
            at = next;
        }
        let children_end = self.nodes.len() as u32;
        let node = &mut self.nodes[id as usize];
        (node.children, node.children_end) = (first_child, children_end);
        if let Some(range) = plus {
            let child = self.add("");
            self.nodes[id as usize].plus = child;
            self.open.push((child, depth + 1, range));
        }
    }

    fn add(&mut self, level: &str) -> u32 {
        let from = self.text.len() as u32;
        self.text.push_str(level);
        self.nodes.push(Node { from, to: self.text.len() as u32, ..Node::default() });
        (self.nodes.len() - 1) as u32
    }
}

/// The ways through the tree that wait while another is followed.
struct Ways {
    few: [(u32, usize); STACK_FEW],
    few_len: usize,
    more: Vec<(u32, usize)>,
}

const STACK_FEW: usize = 16;

impl Ways {
    fn new() -> Self {
        Self { few: [(0, 0); STACK_FEW], few_len: 0, more: Vec::new() }
    }

    fn push(&mut self, way: (u32, usize)) {
        match self.few.get_mut(self.few_len) {
            Some(slot) => {
                *slot = way;
                self.few_len += 1;
            }
            None => self.more.push(way),
        }
    }

    fn pop(&mut self) -> Option<(u32, usize)> {
        if let Some(way) = self.more.pop() {
            return Some(way);
        }
        self.few_len = self.few_len.checked_sub(1)?;
        Some(self.few[self.few_len])
    }
}
