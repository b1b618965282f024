//! What a broker tells of its log: retained messages below `$SYS/broker/store/log/`, a number each.
//! Uses what is below `main`. A broker that says nothing of it has no log: nothing is reported.

use crate::connection::{Client, Connection, READ_BYTES};
use crate::error::Result;
use crate::layers::Recipe;
use crate::options::Options;
use crate::packets::{self, kind};
use crate::poller::{Interest, Poller};
use crate::report::Report;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const PREFIX: &str = "$SYS/broker/store/log/";
/// The shortest interval of $SYS is a second; so both ends of the run are in what is heard by then.
const LISTEN: Duration = Duration::from_millis(2200);

/// Adds the counters as `log_batches`, `log_records_void` and so on, if `--log` asks for them.
pub fn report(options: &Options, recipe: &Recipe, report: &mut Report) -> Result<()> {
    if options.log {
        for (name, value) in read(options, recipe)? {
            report.value(&format!("log_{}", name.replace('/', "_")), value);
        }
    }
    Ok(())
}

fn read(options: &Options, recipe: &Recipe) -> Result<BTreeMap<String, u64>> {
    let filters = [format!("{PREFIX}#")];
    let id = format!("load-log-{}", std::process::id());
    let client = Client { filters: &filters, ..Client::new(id) };
    let mut connection = Connection::open(options, recipe, &client)?;
    let mut poller = Poller::new()?;
    connection.watch(&poller, Interest::Read, 0)?;
    let (mut ready, mut scratch) = (Vec::new(), vec![0; READ_BYTES]);
    let mut found = BTreeMap::new();
    let mut note = |packet: &[u8], _: &mut Vec<u8>| {
        if packet[0] >> 4 != kind::PUBLISH {
            return;
        }
        let Some(publish) = packets::publish(options.version, packet) else { return };
        let topic = String::from_utf8_lossy(publish.topic);
        let value = String::from_utf8_lossy(publish.payload).parse();
        if let (Some(name), Ok(value)) = (topic.strip_prefix(PREFIX), value) {
            found.insert(name.to_owned(), value);
        }
    };
    // What came right behind SUBACK.
    connection.packets(&mut note)?;
    let begun = Instant::now();
    while begun.elapsed() < LISTEN && !connection.closed {
        poller.wait(Some(100), &mut ready)?;
        if !ready.is_empty() {
            connection.read(&mut scratch, &mut note)?;
        }
    }
    Ok(found)
}
