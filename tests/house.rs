//! The rules of the house: what every file keeps to, so that nobody has to remember it.
//!
//! Reads the sources as text, with comments and strings blanked out. A failure says which line it
//! means and what to do about it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_PER_FILE_MAX: usize = 600;
const LINES_PER_FUNCTION_MAX: usize = 70;
const COLUMNS_MAX: usize = 100;

/// Which modules of this crate each module may use. The layers, from the ground up:
/// 0 topic; 1 codec, auth; 2 broker, store; 3 server, admin; 4 config, cli, main.
const MAY_USE: &[(&str, &[&str])] = &[
    ("topic", &[]),
    ("codec", &["topic"]),
    ("auth", &["topic", "codec"]),
    ("broker", &["topic", "codec", "auth"]),
    ("store", &["topic", "codec", "broker"]),
    ("server", &["topic", "codec", "auth", "broker", "store", "config"]),
    ("admin", &["topic", "codec", "auth", "broker", "store", "config", "server"]),
    ("config", &["topic"]), // plain data: it knows nothing of the broker
    ("cli", &["topic", "config"]),
    ("logtool", &["topic", "broker", "store", "server", "cli"]),
    ("passwd", &["auth", "server", "cli"]),
    ("main", &["config", "cli", "server", "logtool", "passwd"]),
];

/// The layers that decide and do nothing: 0 to 2.
const PURE: &[&str] = &["topic", "codec", "auth", "broker", "store"];

/// What is out of reach there: the beginnings of paths, and why.
const NOT_IN_PURE: &[(&str, &str)] = &[
    ("std::time", "time is an argument: broker::Time"),
    ("std::net", "sockets are the server's: bytes come as Input, and leave as Effects"),
    ("std::fs", "files are reached through the store's own interface only"),
    ("std::thread", "a shard is one thread, and does not know it"),
    ("std::sync::Mutex", "nothing here is locked: a shard is one thread"),
    ("std::sync::RwLock", "nothing here is locked: a shard is one thread"),
    ("std::sync::mpsc", "messages to others are Effects"),
    ("std::env", "settings are arguments: broker::Limits"),
    ("std::process", "the process is main's and the server's"),
    ("std::future", "nothing here waits"),
    ("std::task", "nothing here waits"),
    ("std::collections::HashMap", "it draws randomness: hashbrown with a seed that is an argument"),
    ("std::collections::HashSet", "it draws randomness: hashbrown with a seed that is an argument"),
    ("std::hash::RandomState", "hash seeds are arguments"),
    ("tokio", "layer 3 alone waits"),
    ("tracing", "what is worth a line is told as an Effect or counted; the server logs it"),
    ("rustix", "the system is layer 3's"),
    ("socket2", "the system is layer 3's"),
    ("config", "settings are arguments: broker::Limits"),
    ("clap", "the command line is layer 4's"),
];

/// The one file below layer 3 that reaches the system, and what of it: the log is generic over the
/// trait that stands there, and so everything else in `store` runs on a simulated disk as well.
const DISK: (&str, &[&str]) =
    ("src/store/disk.rs", &["std::fs", "std::process::id", "std::sync::Mutex", "rustix"]);

/// What a line of the change log begins with.
const TAGS: &[&str] = &["[feat]", "[fix]", "[perf]", "[change]", "[security]", "[docs]"];

struct Source {
    /// from the repository's root, with `/`
    path: String,
    text: String,
    /// the text with comments, strings and characters blanked out
    code: String,
    /// the same without what is compiled for tests alone
    product: String,
}

impl Source {
    fn read(path: &Path) -> Self {
        let text = fs::read_to_string(path).unwrap();
        let code = blank(&text);
        let product = without_tests(&code);
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        Self { path, text, code, product }
    }

    /// The module directly below the crate's root that this file belongs to.
    fn module(&self) -> &str {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Whether the whole file is compiled for tests alone.
    fn is_test(&self) -> bool {
        let path = &self.path;
        !path.starts_with("src/") || path.ends_with("/tests.rs") || path.contains("/tests/")
    }

    fn place(&self, at: usize) -> String {
        format!("{}:{}", self.path, 1 + self.text[..at].matches('\n').count())
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &str, extension: &str) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let files = folders.iter().flat_map(|folder| files_below(folder, "rs"));
    files.map(|path| Source::read(&path)).collect()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where `word` stands in `text` as a word of its own.
fn words(text: &str, word: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let alone = |&at: &usize| {
        let after = at + word.len();
        (at == 0 || !is_word(bytes[at - 1]) || !is_word(word.as_bytes()[0]))
            && (after == bytes.len()
                || !is_word(bytes[after])
                || !is_word(word.as_bytes()[word.len() - 1]))
    };
    text.match_indices(word).map(|(at, _)| at).filter(alone).collect()
}

/// The length of the comment, string or character that `text` begins with, 0 if with none.
fn opaque_len(text: &str) -> usize {
    let to = |end: &str, from: usize| text[from..].find(end).map_or(text.len(), |n| from + n);
    if text.starts_with("//") {
        return to("\n", 0);
    }
    if text.starts_with("/*") {
        return to("*/", 2) + 2;
    }
    let prefixed = text.trim_start_matches(['b', 'c']);
    let hashes = prefixed.strip_prefix('r').map_or("", |raw| {
        let end = raw.find(|c| c != '#').unwrap_or(0);
        &raw[..end]
    });
    let start = text.len() - prefixed.len();
    if prefixed.starts_with(&format!("r{hashes}\"")) && start <= 1 {
        return to(&format!("\"{hashes}"), start + hashes.len() + 2) + hashes.len() + 1;
    }
    let quote = prefixed.bytes().next().unwrap_or(0);
    if start > 1 || !matches!(quote, b'"' | b'\'') {
        return 0;
    }
    let mut end = None;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(start + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b if b == quote => {
                end = Some(at + 1);
                break;
            }
            _ => {}
        }
    }
    let end = end.unwrap_or(text.len());
    // A lifetime is no character: 'a, but not 'a' or '\n'.
    let inner = text.get(start + 1..end - 1).unwrap_or_default();
    let is_character = inner.starts_with('\\') || inner.chars().count() == 1;
    if quote == b'\'' && !is_character { 0 } else { end }
}

fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let inside = at > 0 && is_word(text.as_bytes()[at - 1]) && !rest.starts_with('"');
        let len = if inside { 0 } else { opaque_len(rest).min(rest.len()) };
        if len == 0 {
            let next = rest.chars().next().unwrap();
            out.push(next);
            at += next.len_utf8();
        } else {
            out.extend(rest[..len].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
            at += len;
        }
    }
    assert_eq!(out.len(), text.len());
    out
}

/// Where the item that starts at `from` ends: at its `;`, or behind its braces.
fn item_end(code: &str, from: usize) -> usize {
    let (mut depth, mut brackets) = (0, 0);
    for (at, byte) in code.bytes().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => brackets += 1,
            b')' | b']' => brackets -= 1,
            b';' if depth == 0 && brackets == 0 => return at + 1,
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth <= 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    code.len()
}

fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(from) = out.find("#[cfg(test)]") {
        let end = item_end(&out, from);
        let blanks: String =
            out[from..end].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect();
        out.replace_range(from..end, &blanks);
    }
    out
}

/// The paths that a `use` names: `std::{io, net::TcpStream}` is two.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut paths, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, byte) in inner.bytes().chain([b',']).enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                let part = &inner[start..at];
                start = at + 1;
                if !part.trim().is_empty() {
                    paths.extend(expand(part).iter().map(|p| format!("{}{p}", &tree[..open])));
                }
            }
            _ => {}
        }
    }
    paths
}

/// Every path that the code names in a `use` or elsewhere, and where.
fn paths(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut uses = Vec::new();
    for at in words(code, "use") {
        let end = item_end_of_use(code, at);
        uses.push(at..end);
        found.extend(expand(&code[at + 3..end]).into_iter().map(|path| (at, path)));
    }
    let bytes = code.as_bytes();
    let in_path = |b: u8| is_word(b) || b == b':';
    let mut at = 0;
    while at < bytes.len() {
        let len = bytes[at..].iter().take_while(|&&b| in_path(b)).count();
        if len > 0 && !uses.iter().any(|u| u.contains(&at)) && code[at..at + len].contains("::") {
            found.push((at, code[at..at + len].to_owned()));
        }
        at += len.max(1);
    }
    for (_, path) in &mut found {
        *path = path.trim_start_matches("::").split_whitespace().collect();
    }
    found
}

fn item_end_of_use(code: &str, from: usize) -> usize {
    code[from..].find([';', '>']).map_or(code.len(), |n| from + n)
}

fn is_below(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[track_caller]
fn nothing(found: &[String], what_to_do: &str) {
    assert!(found.is_empty(), "\n{}\n\n{what_to_do}\n", found.join("\n"));
}

#[test]
fn imports_point_down_only() {
    let mut found = Vec::new();
    for source in sources(&["src"]).iter().filter(|s| s.module() != "lib") {
        let Some((own, allowed)) = MAY_USE.iter().find(|(name, _)| *name == source.module()) else {
            found.push(format!("{}: no layer is known for this module", source.path));
            continue;
        };
        for (at, path) in paths(&source.product) {
            let path = path.strip_prefix("crate::").or(path.strip_prefix("stonechat::"));
            let Some(path) = path else { continue };
            let used = path.split("::").next().unwrap();
            if used != *own && !allowed.contains(&used) {
                found.push(format!("{}: {own} uses {used}", source.place(at)));
            }
        }
    }
    nothing(
        &found,
        "Layers may use what is below them only (ARCHITECTURE.md, \"Layers\"). Move the code down, \
         hand what it needs in as an argument, or, for a new module, give it its place in MAY_USE \
         of tests/house.rs.",
    );
}

#[test]
fn what_decides_reaches_for_nothing() {
    let mut found = Vec::new();
    for source in sources(&["src"]).iter().filter(|s| PURE.contains(&s.module())) {
        for (at, path) in paths(&source.product) {
            if source.path == DISK.0 && DISK.1.iter().any(|allowed| is_below(&path, allowed)) {
                continue;
            }
            for (forbidden, instead) in NOT_IN_PURE.iter().filter(|(f, _)| is_below(&path, f)) {
                found.push(format!("{}: {path}: no {forbidden}: {instead}", source.place(at)));
            }
        }
        for word in ["async", "await", "println!", "eprintln!", "print!", "eprint!"] {
            for at in words(&source.product, word) {
                found.push(format!("{}: {word}", source.place(at)));
            }
        }
    }
    nothing(
        &found,
        "Layers 0 to 2 (topic, codec, auth, broker, store) never wait, lock, read a clock, draw \
         randomness, or touch a file or a socket: a simulator runs them. Make it an argument, an \
         Input or an Effect.",
    );
}

#[test]
fn mqttbytes_lends_its_qos_only() {
    let mut found = Vec::new();
    for source in sources(&["src"]) {
        for (at, path) in paths(&source.product) {
            if is_below(&path, "mqttbytes") && path != "mqttbytes::QoS" {
                found.push(format!("{}: {path}", source.place(at)));
            }
        }
    }
    nothing(&found, "The codec is our own (README.md, \"mqttbytes\"): of mqttbytes use QoS alone.");
}

#[test]
fn every_file_says_what_it_is() {
    let files = sources(&["src", "tests", "benches"]);
    let silent = files.iter().filter(|s| !s.text.starts_with("//!")).map(|s| s.path.clone());
    let found: Vec<_> = silent.collect();
    nothing(
        &found,
        "Open the file with `//!`: what lives here, what it may use, the invariant that it keeps.",
    );
}

#[test]
fn files_are_short() {
    let mut found = Vec::new();
    for source in sources(&["src"]).iter().filter(|s| !s.is_test()) {
        let lines = source.product.lines().filter(|line| !line.trim().is_empty()).count();
        if lines > LINES_PER_FILE_MAX {
            found.push(format!("{}: {lines} lines of code", source.path));
        }
    }
    nothing(
        &found,
        "A file has at most 600 lines of code (comments, blank lines and tests left out). Find the \
         second subject in it and give that a file of its own.",
    );
}

#[test]
fn functions_are_short() {
    let mut found = Vec::new();
    for source in sources(&["src"]) {
        for at in words(&source.code, "fn") {
            let name: String = source.code[at + 2..]
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            if name.is_empty() {
                continue; // the type of a function
            }
            let lines = source.code[at..item_end(&source.code, at)].lines().count();
            if lines > LINES_PER_FUNCTION_MAX {
                found.push(format!("{}: {name} has {lines} lines", source.place(at)));
            }
        }
    }
    nothing(&found, "A function has at most 70 lines. Split it where it changes the subject.");
}

#[test]
fn lines_are_short() {
    let mut found = Vec::new();
    for source in sources(&["src", "tests", "benches"]) {
        for (n, (line, code)) in source.text.lines().zip(source.code.lines()).enumerate() {
            // A string that stands alone may have to be what it is, and so may a table's row.
            let row = code.trim().trim_start_matches("row");
            let alone = row.chars().all(|c| ",;() ".contains(c));
            let table = line.trim_start().starts_with("//! |");
            let may_be_long = table || alone && !line.trim_start().starts_with("//");
            let columns = line.chars().count();
            if columns > COLUMNS_MAX && !may_be_long {
                found.push(format!("{}:{}: {columns} columns", source.path, n + 1));
            }
        }
    }
    nothing(
        &found,
        "A line has at most 100 columns, unless it is one string. `cargo fmt` breaks code; comments \
         and macros are broken by hand.",
    );
}

#[test]
fn nothing_is_left_over() {
    // In pieces, so that this file is not found.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["XX", "X"], ["to", "do!"], ["unimple", "mented!"]];
    let marks = marks.map(|pieces| pieces.concat());
    let mut files: Vec<_> = ["src", "tests", "benches", "fuzz"]
        .iter()
        .flat_map(|folder| files_below(folder, "rs"))
        .collect();
    files.extend(fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).filter(|path| {
        path.extension().is_some_and(|extension| extension == "md" || extension == "toml")
    }));
    let mut found = Vec::new();
    for path in files {
        for (n, line) in fs::read_to_string(&path).unwrap().lines().enumerate() {
            for mark in marks.iter().filter(|mark| !words(line, mark).is_empty()) {
                found.push(format!("{}:{}: {mark}", path.display(), n + 1));
            }
        }
    }
    nothing(&found, "Do it, or say in a plain comment what is so and why; then take the mark out.");
}

#[test]
fn every_file_is_a_module() {
    let mut reached = BTreeSet::new();
    let mut open = vec![root().join("src/lib.rs"), root().join("src/main.rs")];
    while let Some(path) = open.pop() {
        if !path.exists() || !reached.insert(path.clone()) {
            continue;
        }
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let folder = match stem {
            "lib" | "main" | "mod" => path.parent().unwrap().to_owned(),
            _ => path.with_extension(""),
        };
        let code = blank(&fs::read_to_string(&path).unwrap());
        for at in words(&code, "mod") {
            let end = code[at..].find([';', '{']).map_or(code.len(), |n| at + n);
            let name = code[at + 3..end].trim();
            open.push(folder.join(format!("{name}.rs")));
            open.push(folder.join(name).join("mod.rs"));
        }
    }
    let all = files_below("src", "rs").into_iter();
    let found: Vec<_> =
        all.filter(|p| !reached.contains(p)).map(|p| p.display().to_string()).collect();
    nothing(&found, "No `mod` names this file, so it is not compiled. Declare it, or remove it.");
}

/// The names of functions and files of the source in a text: `shard.rs::flush` gives
/// (`shard.rs`, `flush`).
fn names(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(".rs") {
        let after = &text[at + 3..];
        let in_path = |c: char| c.is_alphanumeric() || "_/".contains(c);
        let path: String = text[..at].chars().rev().take_while(|&c| in_path(c)).collect();
        let path: String = path.chars().rev().chain(".rs".chars()).collect();
        let word = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        found.push((path, after.strip_prefix("::").map(word)));
    }
    found
}

#[test]
fn the_map_names_what_is_there() {
    let sources = sources(&["src", "tests"]);
    let mut found = Vec::new();
    for map in ["ARCHITECTURE.md", "README.md", "CONTRIBUTING.md", "src/lib.rs"] {
        let Ok(text) = fs::read_to_string(root().join(map)) else { continue };
        let names = names(&text);
        if matches!(map, "ARCHITECTURE.md" | "src/lib.rs") {
            let functions = names.iter().filter(|(_, function)| function.is_some()).count();
            assert!(functions >= 10, "{map} walks a PUBLISH by file::function: {functions} found");
        }
        for (path, function) in names.into_iter().filter(|(path, _)| !path.contains("//")) {
            let tail = format!("/{}", path.trim_start_matches("src/"));
            let is_it = |s: &&Source| format!("/{}", s.path).ends_with(&tail);
            let files: Vec<_> = sources.iter().filter(is_it).collect();
            let function = function.unwrap_or_default();
            let has = |s: &&&Source| {
                words(&s.code, &function).iter().any(|&at| s.code[..at].ends_with("fn "))
            };
            match (files.len(), function.as_str()) {
                (0, _) => found.push(format!("{map}: there is no file {path}")),
                (1, "") => {}
                (1, _) if files.iter().any(|s| has(&s)) => {}
                (1, _) => found.push(format!("{map}: {path} has no function {function}")),
                _ => found.push(format!("{map}: {path} may be several files: name its folder")),
            }
        }
    }
    nothing(&found, "Write what the code says now: the map is only worth having if it is true.");
}

#[test]
fn the_change_log_has_its_shape() {
    let text = fs::read_to_string(root().join("CHANGELOG.md")).unwrap();
    let mut found = Vec::new();
    let mut versions = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let place = format!("CHANGELOG.md:{}", n + 1);
        if line.chars().count() > COLUMNS_MAX {
            found.push(format!("{place}: more than {COLUMNS_MAX} columns"));
        }
        if let Some(title) = line.strip_prefix("## ") {
            match version_of(title) {
                Some(version) => versions.push(version),
                None => found.push(format!("{place}: `Unreleased` or `1.2.3, 2026-01-31`")),
            }
        } else if let Some(item) = line.strip_prefix("- ") {
            let tag = item.split(' ').next().unwrap();
            if !TAGS.contains(&tag) {
                found.push(format!("{place}: begins with {tag}, not with one of {TAGS:?}"));
            }
            if versions.is_empty() {
                found.push(format!("{place}: stands under no version"));
            }
        } else if line.starts_with(['*', '+', '#']) && line != "# Changelog" {
            found.push(format!("{place}: a change is a line that begins with `- [tag] `"));
        }
    }
    if !text.starts_with("# Changelog\n") {
        found.push("CHANGELOG.md: the title is `# Changelog`".into());
    }
    if !versions.is_sorted_by(|newer, older| newer > older) {
        found.push("CHANGELOG.md: newest first, each version once".into());
    }
    let own = version_of(&format!("{}, 2026-01-01", env!("CARGO_PKG_VERSION")));
    if versions.first().is_none_or(|newest| Some(*newest) < own) {
        found.push("CHANGELOG.md: neither Unreleased nor the version of Cargo.toml".into());
    }
    nothing(
        &found,
        "The change log is for operators: `## Unreleased` or `## 1.2.3, 2026-01-31`, newest first, \
         and under it one `- [tag] What changes for them.` per change.",
    );
}

/// `Unreleased` is newer than everything.
fn version_of(title: &str) -> Option<[u64; 3]> {
    if title == "Unreleased" {
        return Some([u64::MAX; 3]);
    }
    let (version, date) = title.split_once(", ")?;
    let number = |s: &str| s.parse::<u64>().ok();
    let date: Vec<_> = date.split('-').map(number).collect::<Option<_>>()?;
    let version: Vec<_> = version.split('.').map(number).collect::<Option<_>>()?;
    (date.len() == 3).then_some(())?;
    version.try_into().ok()
}

// The reading itself

#[test]
fn comments_and_strings_are_blanked() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b\n */ c", "a     \n    c"),
        (r#"x("a\"{") y"#, "x(      ) y"),
        ("r#\"{\"#; b\"{\" b'{' '{' '\\''; 'x", "      ;                   ; 'x"),
        ("fn f<'a>(x: &'a str, y: &'a str)", "fn f<'a>(x: &'a str, y: &'a str)"),
        ("bar\"x\"", "bar   "),
    ] {
        assert_eq!(blank(text), code, "{text:?}");
    }
}

#[test]
fn tests_are_left_out_and_uses_expanded() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { {} }\n}\nfn c() {}";
    assert_eq!(without_tests(code).split_whitespace().collect::<String>(), "fna(){}fnc(){}");
    let found = paths("use std::{io, net::{self, A as B}}; fn f() { tokio::x::y() }");
    let found: Vec<_> = found.into_iter().map(|(_, path)| path).collect();
    assert_eq!(found, ["std::io", "std::net::self", "std::net::A", "tokio::x::y"]);
    assert!(is_below("std::net::A", "std::net") && !is_below("std::network", "std::net"));
}
