//! The specification tables: what a broker must do, a row of a line or two per statement.
//!
//! A row is a sentence that names its statements (`[MQTT-3.1.0-2]`, and `[3.1.1 MQTT-…]` where that
//! version differs) and a script. Its statements are separated by `;`. Clients have short names,
//! which are also their Client Identifiers unless a CONNECT says `id=…`. Versions are `v3` (3.1),
//! `v4` (3.1.1) and `v5`; `v*` runs the row with each, `v34` and `v45` with two of them.
//!
//! | statement | meaning |
//! |---|---|
//! | `a> publish t hi q1#7` | the client sends this packet (` + ` puts several into one piece, `900 * ` so many of one) |
//! | `a> hex 30 04 …`, `a> body 30 …` | bytes as they are; with the Remaining Length put in |
//! | `a< puback 7 87` | it has received exactly this next (reason codes are hexadecimal) |
//! | `a<* p \| q`, `a\|b< p` | these in any order; exactly one of these clients |
//! | `a gets 3 publish` | so many packets of a kind, whatever they say |
//! | `a! closed 8e` | the broker has ended its connection, for this reason (told or not) |
//! | `a joins v5 clean`, `a resumes v5` | CONNECT and CONNACK, without and with Session Present |
//! | `a cut` | its Network Connection is lost |
//! | `a stalls`, `a reads` | it does not read what it is sent, until it does |
//! | `wait 10s`, `wait 5ms` | time passes; otherwise none does |
//! | `limits name=value …` | settings that differ; after the first packet it is a reload |
//! | `hold commits`, `commit`, `commit a` | records are on disk only when the row says so, everywhere or on `a`'s shard |
//! | `written` | they are written, and not synced |
//! | `p wants written` | `p`'s listener does not want `synced`, but this, or `memory` |
//! | `recorded 0` | so many records wait to be written |
//! | `retained t u` | the topics that a restart would find retained |
//! | `disk full`, `disk free` | the store has no room, or has some again, and the brokers know |
//! | `hold peers`, `deliver` | messages between shards arrive when the row says so |
//! | `hold loads`, `load` | what a broker reads back from the log comes when the row says so |
//! | `release` | nothing is held any more |
//! | `shards 3`, `a at 1` | so many shards; the home of a Client Identifier instead of its hash |
//! | `count name 3`, `log a b` | a counter; the persistent sessions that a restart would find |
//! | `a is ada ends=9s method=m data=d` | as whom `a` comes from now on (`a is *`: as anybody); `publish=f`, `subscribe=f`, `roles=r`: what it is granted; `asking`: else the hook is asked |
//! | `acl user ada / topic read t/#` | mosquitto's ACL file, ` / ` between its lines; `acl` alone: none; `acl toml …` |
//! | `quota users=ada rate=2 excess=drop` | a quota, besides those before; `quota` alone: none |
//! | `a asks publish t`, `a hears yes` | the question that its broker asks; the answer: `no`, `failed`, `continue d`, `enter d` |
//! | `restart` | all connections are lost, and the brokers begin again with what the log knows |
//! | `broker> publish t x`, `broker shutdown` | a message of the broker's own; the end |
//!
//! Packets: the kind, then arguments (`subscribe 1 a/+ 1 b/# 2,nl,rap,rh1`: an identifier, then
//! filters and options), then attributes by short names: `q1#7` is QoS and Packet Identifier,
//! `sub` Subscription Identifier, `ka` Keep Alive, `will=topic:payload` with `wqos`, `wretain`,
//! `wdelay`…; see `words.rs` for how they are compared.
//!
//! **Nothing goes unnamed**: before the next thing happens, and at the end, every packet received
//! and every end of a connection has to be named. Every row runs with one shard and with three,
//! with records committed at once and late; invariants are checked after every input; a broker
//! that always wants another turn fails.
//!
//! Rows that need neither virtual time nor a world that holds things back run over sockets against
//! the real binary, too: see `socket.rs`.

mod alias;
mod auth;
mod bounds;
mod bridge;
mod connack;
mod connect;
mod disconnect;
mod entrance;
mod flow;
mod gate;
mod inbox;
mod malformed;
mod notation;
mod publish;
mod qos;
mod queue;
mod retained;
mod rights;
mod room;
mod safety;
mod script;
mod seal;
mod session;
mod shared;
mod socket;
mod subscribe;
mod topic;
mod unsubscribe;
mod v311;
mod will;
mod words;
mod world;

use std::collections::BTreeSet;

use script::Row;

const STATEMENTS: &str = include_str!("statements.txt");
const UNTESTED: &str = include_str!("untested.txt");

macro_rules! sections {
    ($($section:ident)*) => {
        mod rows {
            $(#[test] fn $section() { super::script::run(super::$section::ROWS); })*
        }
        const SECTIONS: &[(&str, &[Row])] = &[$((stringify!($section), $section::ROWS)),*];
    };
}
sections! {
    alias auth bounds bridge connack connect disconnect flow gate malformed publish qos queue
    retained rights room safety seal session shared subscribe topic unsubscribe v311 will
}

#[test]
fn rows_over_sockets() {
    socket::run(SECTIONS);
}

/// The ids in brackets.
fn cited(text: &str) -> impl Iterator<Item = &str> {
    let brackets = text.split('[').skip(1).filter_map(|rest| rest.split_once(']'));
    brackets.map(|(id, _)| id).filter(|id| id.contains("MQTT-"))
}

#[test]
fn every_statement_has_a_row_and_no_row_invents_one() {
    let known: BTreeSet<&str> = STATEMENTS.lines().filter(|l| !l.is_empty()).collect();
    let untested: Vec<(&str, &str)> =
        UNTESTED.lines().filter(|l| !l.is_empty()).filter_map(|l| l.split_once(": ")).collect();
    assert_eq!(untested.len(), UNTESTED.lines().filter(|l| !l.is_empty()).count(), "id: reason");
    let mut covered = BTreeSet::new();
    for (section, rows) in SECTIONS {
        for row in *rows {
            let ids: Vec<&str> = cited(row.what).collect();
            for id in &ids {
                assert!(known.contains(id), "{section}: no statement [{id}]: {}", row.what);
            }
            covered.extend(ids);
        }
    }
    for (id, _) in &untested {
        assert!(known.contains(id), "untested.txt: no statement {id}");
        assert!(!covered.contains(id), "untested.txt: {id} has a row, strike it out");
    }
    let excused: BTreeSet<&str> = untested.iter().map(|(id, _)| *id).collect();
    let missing: Vec<_> =
        known.iter().filter(|id| !covered.contains(*id) && !excused.contains(*id)).collect();
    let count: usize = SECTIONS.iter().map(|(_, rows)| rows.len()).sum();
    println!("{count} rows; {} statements covered, {} excused", covered.len(), excused.len());
    assert!(missing.is_empty(), "statements without a row: {missing:?}");
}
