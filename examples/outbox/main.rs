//! An outbox: a writer that is killed between its commit and its invalidation loses neither.
//!
//! ```text
//! cargo run --example outbox                  # 20 writers
//! cargo run --example outbox -- --kills 100
//! cargo run --example outbox -- --no-relay    # and what happens without
//! ```
//!
//! Each writer changes a price in SQLite and adds the product to the outbox, in one transaction.
//! After its commit it is killed (SIGKILL). Until the relay of this process has invalidated the
//! record, readers get the old price.
//!
//! One file each: `outbox` (the part to copy), `primary` (the shop, and a change with its entry),
//! `writer` (the process that is killed), `schema.sql`.

#[path = "../support/args.rs"]
mod command_line;
mod outbox;
#[path = "../support/page.rs"]
mod page;
mod primary;
#[path = "../support/progress.rs"]
mod progress;
#[path = "../support/store.rs"]
mod store;
mod writer;

use std::{
    error::Error,
    process::{self, ExitCode},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, SystemTime},
};

use cache_aside::{Cache, OutboxRelay};
use clap::Parser;

use crate::{
    outbox::SqliteOutbox,
    page::{Page, duration},
    primary::{Primary, Product},
    store::StoreArgs,
    writer::Job,
};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The name of the cache, which is its prefix too: entries have it.
const CACHE: &str = "outbox-example";

/// How often the relay looks, as nobody wakes it.
const POLL: Duration = Duration::from_millis(100);

/// Writers take turns with these.
const PRODUCTS: u32 = 10;

/// A record that is older than this is too old.
const BOUND: Duration = Duration::from_secs(1);

/// The exit status of a run that could not be done.
const TROUBLE: u8 = 2;

/// Kills writers between their commit and their invalidation, and looks when readers get the new
/// record
#[derive(Debug, Parser)]
#[command(
    name = "outbox",
    after_help = "\
Ends with 0 if each record was invalidated within a second of its commit, with 1 if one was not, and with 2 if the run
could not be done."
)]
struct Args {
    /// How many writers are killed
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    kills: u32,

    /// Without the relay, to see that records stay old
    #[arg(long)]
    no_relay: bool,

    /// How long to wait for a record until it counts as lost, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    patience: u64,

    #[command(flatten)]
    store: StoreArgs,

    /// The part of a writer: the shop, the cache, the product and its price
    #[arg(long, hide = true, num_args = 4)]
    writer: Option<Vec<String>>,
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("outbox: {}", format!("{why:#}").replace(['\r', '\n'], " "));
            ExitCode::from(TROUBLE)
        }
    }
}

fn run() -> Outcome<bool> {
    let args = command_line::read::<Args>()?;
    if let Some(job) = &args.writer {
        writer::write(&Job::parse(job)?)?;
        return Ok(true);
    }
    let is_interrupted = notice_ctrl_c()?;
    let chosen = args.store.open()?;
    // Removed at the end, with the shop.
    let folder = tempfile::Builder::new()
        .prefix("cache-aside-outbox-")
        .tempdir()?;
    let db = folder.path().join("shop.sqlite");
    let primary = Primary::create(&db, PRODUCTS)?;
    let cache: Cache<Product> = Cache::builder(chosen.backend)
        .prefix(format!("outbox:{}:", process::id()))
        .name(CACHE)
        // Longer than the run: no record gets new because it has expired.
        .ttl(Duration::from_secs(3600))
        .build()?;

    let relay = if args.no_relay {
        None
    } else {
        let outbox = SqliteOutbox::open(&db)?;
        let relay = OutboxRelay::builder(outbox).cache(&cache).poll(POLL);
        Some(relay.start()?)
    };
    let mut found = Found::default();
    let bar = progress::bar("writer", args.kills.into());
    for number in 0..args.kills {
        if is_interrupted.load(SeqCst) {
            return Err("interrupted".into());
        }
        let job = Job {
            db: db.clone(),
            cache: CACHE.to_owned(),
            product: 1 + number % PRODUCTS,
            cents: 1 + number,
        };
        let patience = Duration::from_millis(args.patience);
        found.add(kill_one(&cache, &primary, &job, patience)?);
        bar.inc(1);
    }
    drop(bar);
    let flushed = relay
        .as_ref()
        .is_none_or(|relay| relay.flush(Duration::from_secs(5)));
    print(&args, &chosen.place, &found, relay.as_ref(), &primary)?;
    cache.clear()?;
    // The thread ends before its file is removed.
    let stopped = relay.is_none_or(|relay| relay.stop(Duration::from_secs(5)));
    Ok(found.is_well() && flushed && stopped)
}

/// What became of the records of all killed writers.
#[derive(Debug, Default)]
struct Found {
    /// How long each took to be invalidated, from just before its commit.
    delays: Vec<Duration>,
    lost: u32,
    stale_reads: u64,
}

/// What became of one: its delay, or `None` if it stayed old. And how often the old one was read.
type Fate = (Option<Duration>, u64);

impl Found {
    fn add(&mut self, (delay, stale_reads): Fate) {
        match delay {
            Some(delay) => self.delays.push(delay),
            None => self.lost += 1,
        }
        self.stale_reads += stale_reads;
    }

    fn is_well(&self) -> bool {
        self.lost == 0 && self.delays.iter().all(|delay| *delay <= BOUND)
    }
}

/// Kills one writer, and reads until the new record is there.
fn kill_one(
    cache: &Cache<Product>,
    primary: &Primary,
    job: &Job,
    patience: Duration,
) -> Outcome<Fate> {
    let read = || -> Outcome<u32> {
        let found = cache.get(job.product, |_| primary.read(job.product))?;
        let product = found.record().ok_or("the product is gone")?;
        Ok(product.price_cents)
    };
    // Cached before the change, so that there is something to invalidate.
    read()?;
    let committed = writer::run_and_kill(job)?;
    let mut stale_reads = 0;
    loop {
        let price = read()?;
        let elapsed = SystemTime::now()
            .duration_since(committed)
            .unwrap_or_default();
        if price == job.cents {
            return Ok((Some(elapsed), stale_reads));
        }
        stale_reads += 1;
        if elapsed > patience {
            return Ok((None, stale_reads));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn print(
    args: &Args,
    place: &str,
    found: &Found,
    relay: Option<&OutboxRelay>,
    primary: &Primary,
) -> Outcome<()> {
    let mut delays = found.delays.clone();
    delays.sort_unstable();
    let at = |share: usize| match delays.len() {
        0 => "-".to_owned(),
        count => duration(delays[(count - 1) * share / 100]),
    };
    let mut page = Page::new(26);
    page.row("Records", place);
    page.row("Writers killed", &args.kills.to_string());
    page.row("Records lost", &found.lost.to_string());
    page.row(
        "Commit to invalidation",
        &format!("median {}, longest {}", at(50), at(100)),
    );
    page.row("Old records read", &found.stale_reads.to_string());
    page.row("Entries left", &primary.waiting()?.to_string());
    if let Some(relay) = relay {
        let stats = relay.stats();
        page.row(
            "Relayed",
            &format!("{} entries, {} errors", stats.acknowledged, stats.errors),
        );
    }
    Ok(page.print()?)
}

/// A flag that Ctrl-C sets. The run then ends in order, and removes its files.
fn notice_ctrl_c() -> Outcome<Arc<AtomicBool>> {
    let is_interrupted = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&is_interrupted);
    ctrlc::set_handler(move || set.store(true, SeqCst))?;
    Ok(is_interrupted)
}
