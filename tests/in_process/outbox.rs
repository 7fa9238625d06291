//! The relay of an outbox: order, acknowledgements, failures of the outbox, flushes, lag and drop.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{
    Backend, Cache, Error, Event, Memory, Outbox, OutboxEntry, OutboxRelay, Source,
    store::{Failure, Keys, Store},
};

use crate::{
    delegate::delegate,
    support::{load_loaf, until},
    table::{self, NEVER, PATIENCE, Step, Table},
};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// How many entries a relay reads at once.
const BATCH: usize = 1_000;

fn cache(prefix: &str) -> Cache {
    Cache::builder(Memory::new(100_000))
        .prefix(prefix)
        .build()
        .unwrap()
}

fn is_cached(cache: &Cache, id: &str) -> bool {
    cache.peek(id).unwrap().is_some()
}

/// A relay that looks when it is woken, and else never.
fn quiet(outbox: impl Outbox, cache: &Cache) -> OutboxRelay {
    let relay = OutboxRelay::builder(outbox).cache(cache).poll(NEVER);
    relay.start().unwrap()
}

/// On a cluster, the lease of such an id would have another slot under one of the prefixes. So no
/// cache has a record under that one.
#[test]
fn an_id_that_one_prefix_of_the_cache_cannot_take_is_invalidated_under_the_others() {
    struct Cluster {
        within: Arc<dyn Store>,
    }

    impl Store for Cluster {
        fn is_cluster(&self) -> bool {
            true
        }

        delegate!(within: read acquire refresh fill release back_off renew invalidate expire guard unguard update ttl ping);
    }

    let within = Memory::new(100).store();
    let store = Cluster { within };
    let cache = Cache::builder(Backend::new(Arc::new(store))).prefix("{shop}:");
    let cache: Cache = cache.also_invalidates("old:").build().unwrap();
    let table = Table::default();
    cache.get("a}b", load_loaf).unwrap();
    table.insert("{shop}:", "a}b");
    table.insert("{shop}:", "p-001");
    let relay = quiet(table.outbox(), &cache);
    assert!(relay.flush(PATIENCE));
    let stats = relay.stats();
    assert_eq!((stats.acknowledged, stats.skipped, stats.errors), (2, 0, 0));
    assert!(!is_cached(&cache, "a}b"));
}

#[test]
fn entries_of_several_caches_are_invalidated_in_batches_and_acknowledged_in_order() {
    let (products, others) = (cache("product:"), cache("other:"));
    let table = Table::default();
    let positions: Vec<_> = (0..2 * BATCH + 500)
        .map(|number| {
            let (prefix, of) = if number % 3 == 0 {
                ("other:", &others)
            } else {
                ("product:", &products)
            };
            let id = number.to_string();
            of.get(&id, load_loaf).unwrap();
            table.insert(prefix, &id)
        })
        .collect();
    let relay = OutboxRelay::builder(table.outbox())
        .cache(&products)
        .cache(&others);
    let relay = relay.poll(NEVER).start().unwrap();
    assert!(relay.flush(PATIENCE));

    assert_eq!(table.len(), 0);
    let batches = table.acknowledged();
    let sizes: Vec<_> = batches.iter().map(Vec::len).collect();
    assert_eq!(sizes, [BATCH, BATCH, 500]);
    assert_eq!(batches.concat(), positions);
    for number in 0..2 * BATCH + 500 {
        let of = if number % 3 == 0 { &others } else { &products };
        assert!(!is_cached(of, &number.to_string()));
    }
    let stats = relay.stats();
    assert_eq!(stats.acknowledged, 2 * BATCH as u64 + 500);
    assert_eq!((stats.skipped, stats.errors, stats.waiting), (0, 0, 0));
    assert_eq!(stats.oldest, None);
}

#[test]
fn an_id_that_is_in_a_batch_many_times_is_invalidated_once() {
    let ended = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&ended);
    let store = Arc::new(Counting {
        store: Memory::new(100).store(),
        ended: counted,
    });
    let cache: Cache = Cache::builder(Backend::new(store))
        .prefix("test:")
        .build()
        .unwrap();
    let table = Table::default();
    for _ in 0..500 {
        table.insert("test:", "p-001");
    }
    table.insert("test:", "p-002");
    let relay = quiet(table.outbox(), &cache);
    assert!(relay.flush(PATIENCE));
    assert_eq!(ended.load(SeqCst), 2);
    assert_eq!(relay.stats().acknowledged, 501);
}

/// Counts the invalidations that it is asked for.
struct Counting {
    store: Arc<dyn Store>,
    ended: Arc<AtomicU32>,
}

impl Store for Counting {
    delegate! {
        store: read read_with_ttl acquire refresh fill release back_off renew expire guard unguard update ttl ping
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.ended.fetch_add(1, SeqCst);
        self.store.invalidate(keys)
    }
}

/// A database hands out positions before a transaction commits. So a lower one can appear later.
#[test]
fn an_entry_that_appears_before_one_that_was_read_is_not_acknowledged_with_it() {
    let cache = cache("test:");
    cache.get("late", load_loaf).unwrap();
    let table = Table::default();
    table.insert_at(2, "test:", "early");
    let (late, mut is_first) = (table.clone(), true);
    let outbox = table.outbox_with(move |step| {
        if step == Step::Fetched && std::mem::take(&mut is_first) {
            late.insert_at(1, "test:", "late");
        }
        Ok(())
    });
    let relay = quiet(outbox, &cache);
    until(|| table.acknowledged().concat() == [2]);
    assert!(relay.flush(PATIENCE));
    assert_eq!(table.acknowledged(), [[2], [1]]);
    assert!(!is_cached(&cache, "late"));
}

#[test]
fn a_relay_asks_for_its_own_caches_only_and_leaves_other_entries() {
    let (one, two) = (cache("one:"), cache("two:"));
    let table = Table::default();
    table.insert("other:", "p-001");
    table.insert("two:", "p-001");
    let relay = OutboxRelay::builder(table.outbox()).cache(&one).cache(&two);
    let relay = relay.poll(NEVER).start().unwrap();
    assert!(relay.flush(PATIENCE));
    assert_eq!(table.asked_for(), ["one:", "two:"]);
    assert_eq!(table.acknowledged(), [[2]]);
    assert_eq!(table.len(), 1);
}

#[test]
fn an_entry_names_a_cache_by_its_name_and_reaches_all_caches_of_that_name() {
    let named = |prefix: &str| -> Cache {
        let builder = Cache::builder(Memory::new(100)).prefix(prefix);
        builder.name("products").build().unwrap()
    };
    let (here, there) = (named("here:"), named("there:"));
    here.get("p-001", load_loaf).unwrap();
    there.get("p-001", load_loaf).unwrap();
    let table = Table::default();
    table.insert("products", "p-001");
    let relay = OutboxRelay::builder(table.outbox())
        .cache(&here)
        .cache(&there);
    let relay = relay.poll(NEVER).start().unwrap();
    assert!(relay.flush(PATIENCE));
    assert!(!is_cached(&here, "p-001") && !is_cached(&there, "p-001"));
}

/// Returns these entries once, whatever it was asked for.
struct Careless(Option<Vec<OutboxEntry>>, Arc<Mutex<Vec<i64>>>);

impl Outbox for Careless {
    fn fetch(&mut self, _: &[&str], _: usize) -> Result<Vec<OutboxEntry>, table::Failure> {
        Ok(self.0.take().unwrap_or_default())
    }

    fn acknowledge(&mut self, positions: &[i64]) -> Result<(), table::Failure> {
        self.1.lock().unwrap().extend(positions);
        Ok(())
    }
}

#[test]
fn an_entry_that_no_cache_can_take_is_acknowledged_and_counted_and_blocks_nothing() {
    let cache = cache("test:");
    cache.get("p-001", load_loaf).unwrap();
    let entries = vec![
        OutboxEntry::new(1, "test:", ""),
        OutboxEntry::new(2, "test:", "x".repeat((64 << 10) + 1)),
        OutboxEntry::new(3, "test:", "p-001"),
    ];
    let acknowledged = Arc::<Mutex<Vec<i64>>>::default();
    let outbox = Careless(Some(entries), Arc::clone(&acknowledged));
    let relay = quiet(outbox, &cache);
    assert!(relay.flush(PATIENCE));
    assert_eq!(*acknowledged.lock().unwrap(), [1, 2, 3]);
    assert!(!is_cached(&cache, "p-001"));
    let stats = relay.stats();
    assert_eq!((stats.acknowledged, stats.skipped), (3, 2));
    assert_eq!(stats.errors, 0);
}

/// It belongs to another relay, perhaps of another program.
#[test]
fn an_entry_of_a_cache_that_the_relay_does_not_have_is_an_error_and_is_not_acknowledged() {
    let cache = cache("test:");
    let entries = vec![
        OutboxEntry::new(1, "test:", "p-001"),
        OutboxEntry::new(2, "other:", "p-001"),
    ];
    let acknowledged = Arc::<Mutex<Vec<i64>>>::default();
    let outbox = Careless(Some(entries), Arc::clone(&acknowledged));
    let relay = quiet(outbox, &cache);
    until(|| relay.stats().errors == 1);
    assert!(acknowledged.lock().unwrap().is_empty());
}

#[test]
fn a_step_of_the_outbox_that_fails_or_panics_is_repeated() {
    for step in [Step::Fetch, Step::Acknowledge] {
        for panics in [false, true] {
            let cache = cache("test:");
            let table = Table::default();
            cache.get("p-001", load_loaf).unwrap();
            table.insert("test:", "p-001");
            let mut left = 3;
            let outbox = table.outbox_with(move |now| {
                if now == step && left > 0 {
                    left -= 1;
                    assert!(!panics, "the outbox's own");
                    return Err("the database is away".into());
                }
                Ok(())
            });
            let relay = quiet(outbox, &cache);
            assert!(relay.flush(PATIENCE));
            assert_eq!(table.acknowledged(), [[1]], "{step:?}");
            assert!(!is_cached(&cache, "p-001"));
            let stats = relay.stats();
            assert_eq!((stats.errors, stats.acknowledged), (3, 1), "{step:?}");
        }
    }
}

/// The entry stays in the table as long as its store fails.
#[test]
fn an_invalidation_that_fails_or_panics_is_not_acknowledged_and_is_repeated() {
    for panics in [false, true] {
        let is_away = Arc::new(AtomicBool::new(true));
        let store = Arc::new(Failing {
            store: Memory::new(100).store(),
            is_away: Arc::clone(&is_away),
            panics,
        });
        let cache: Cache = Cache::builder(Backend::new(store))
            .prefix("test:")
            .build()
            .unwrap();
        cache.get("p-001", load_loaf).unwrap();
        let table = Table::default();
        table.insert("test:", "p-001");
        let relay = quiet(table.outbox(), &cache);
        until(|| relay.stats().errors >= 3);
        let stats = relay.stats();
        assert_eq!((stats.acknowledged, stats.waiting), (0, 1));
        assert!(stats.oldest.is_some());
        assert!(!relay.flush(MS(1)), "it cannot be flushed");
        is_away.store(false, SeqCst);
        assert!(relay.flush(PATIENCE));
        assert_eq!(table.acknowledged(), [[1]]);
        let found = cache.get("p-001", load_loaf).unwrap();
        assert_eq!(found.source(), Source::Loaded);
    }
}

/// A store whose invalidations fail for a while.
struct Failing {
    store: Arc<dyn Store>,
    is_away: Arc<AtomicBool>,
    panics: bool,
}

impl Store for Failing {
    delegate! {
        store: read read_with_ttl acquire refresh fill release back_off renew expire guard unguard update ttl ping
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        if self.is_away.load(SeqCst) {
            assert!(!self.panics, "the store's own");
            let kind = cache_aside::store::FailureKind::Rejected;
            return Err(Failure::new(kind, "away"));
        }
        self.store.invalidate(keys)
    }
}

#[test]
fn a_wake_up_makes_the_relay_look_and_without_one_it_looks_after_the_poll() {
    let cache = cache("test:");
    let table = Table::default();
    let relay = quiet(table.outbox(), &cache);
    until(|| table.fetches() == 1);
    table.insert("test:", "p-001");
    relay.wake();
    until(|| table.len() == 0);

    let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
    let _relay = relay.poll(MS(5)).start().unwrap();
    table.insert("test:", "p-002");
    until(|| table.len() == 0);
}

/// The writer calls `wake` while the relay looks: the look may have missed its entry.
#[test]
fn a_wake_up_during_a_look_causes_one_more() {
    let cache = cache("test:");
    let table = Table::default();
    let (looked, has_looked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let mut is_first = true;
    let outbox = table.outbox_with(move |step| {
        if step == Step::Fetched && std::mem::take(&mut is_first) {
            looked.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
        Ok(())
    });
    let relay = quiet(outbox, &cache);
    has_looked.recv_timeout(PATIENCE).unwrap();
    table.insert("test:", "p-001");
    relay.wake();
    go_on.send(()).unwrap();
    until(|| table.len() == 0);
}

/// The look has begun before the entry was committed, so it does not complete the flush. See also
/// the test of `src/outbox/round.rs`.
#[test]
fn a_flush_is_not_completed_by_a_look_that_began_before_it() {
    let cache = cache("test:");
    let table = Table::default();
    let (looked, has_looked) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let mut is_first = true;
    let outbox = table.outbox_with(move |step| {
        if step == Step::Fetched && std::mem::take(&mut is_first) {
            looked.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
        Ok(())
    });
    let relay = quiet(outbox, &cache);
    has_looked.recv_timeout(PATIENCE).unwrap();
    table.insert("test:", "p-001");
    // Nothing can complete it while the look is held.
    assert!(!relay.flush(MS(20)));
    thread::scope(|scope| {
        let flush = scope.spawn(|| {
            let done = relay.flush(PATIENCE);
            (done, table.len())
        });
        go_on.send(()).unwrap();
        assert_eq!(flush.join().unwrap(), (true, 0));
    });
}

#[test]
fn a_flush_that_takes_longer_than_its_timeout_returns_false_and_the_relay_goes_on() {
    let cache = cache("test:");
    let table = Table::default();
    table.insert("test:", "p-001");
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let outbox = table.outbox_with(move |step| {
        if step == Step::Acknowledge {
            may_go_on.recv().unwrap();
        }
        Ok(())
    });
    let relay = quiet(outbox, &cache);
    let began = Instant::now();
    assert!(!relay.flush(MS(30)));
    assert!(began.elapsed() >= MS(30));
    assert!(!relay.flush(Duration::ZERO));
    go_on.send(()).unwrap();
    assert!(relay.flush(Duration::MAX));
    assert_eq!(table.len(), 0);
}

#[test]
fn a_relay_that_is_behind_tells_how_far_and_counts_at_most_once_a_second() {
    let began = Instant::now();
    let cache = cache("test:");
    let table = Table::default();
    for number in 0..=3 * BATCH {
        table.insert("test:", &number.to_string());
    }
    let (reached, has_reached) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let outbox = table.outbox_with(move |step| {
        if step == Step::Acknowledge {
            reached.send(()).unwrap();
            may_go_on.recv().unwrap();
        }
        Ok(())
    });
    let relay = quiet(outbox, &cache);
    for waiting in [3 * BATCH + 1, 2 * BATCH + 1, BATCH + 1, 1] {
        has_reached.recv_timeout(PATIENCE).unwrap();
        let stats = relay.stats();
        assert_eq!(stats.waiting, waiting as u64);
        assert!(
            stats
                .oldest
                .is_some_and(|age| age <= began.elapsed() + MS(1))
        );
        go_on.send(()).unwrap();
    }
    assert!(relay.flush(PATIENCE));
    assert_eq!(relay.stats().waiting, 0);
    if began.elapsed() < Duration::from_secs(1) {
        assert_eq!(table.counts(), 1);
    }
}

/// The age grows while the outbox cannot be read.
#[test]
fn the_age_of_the_oldest_entry_is_its_age_now() {
    let cache = cache("test:");
    let table = Table::default();
    table.insert("test:", "p-001");
    let outbox = table.outbox_with(|step| match step {
        Step::Acknowledge => Err("the database is away".into()),
        _ => Ok(()),
    });
    let relay = quiet(outbox, &cache);
    until(|| relay.stats().oldest.is_some());
    let before = relay.stats().oldest.unwrap();
    until(|| relay.stats().oldest.unwrap() > before + MS(20));
}

#[test]
fn a_count_that_fails_is_reported_and_the_relay_goes_on() {
    let cache = cache("test:");
    let table = Table::default();
    for number in 0..=BATCH {
        table.insert("test:", &number.to_string());
    }
    let outbox = table.outbox_with(|step| match step {
        Step::Count => Err("it takes too long".into()),
        _ => Ok(()),
    });
    let relay = quiet(outbox, &cache);
    assert!(relay.flush(PATIENCE));
    let stats = relay.stats();
    assert_eq!((stats.errors, stats.waiting), (1, 0));
    assert_eq!(table.len(), 0);
}

/// Says when it is dropped.
struct Dropped(mpsc::Sender<()>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[test]
fn the_drop_of_a_relay_does_not_wait_for_its_outbox() {
    let lock = Arc::new(Mutex::new(()));
    let cache = cache("test:");
    let table = Table::default();
    table.insert("test:", "p-001");
    let (waits, is_waiting) = mpsc::channel();
    let (dropped, is_dropped) = mpsc::channel();
    let (used, dropped) = (Arc::clone(&lock), Dropped(dropped));
    let held = lock.lock().unwrap();
    let outbox = table.outbox_with(move |step| {
        let _kept = &dropped;
        if step == Step::Acknowledge {
            waits.send(()).unwrap();
            drop(used.lock().unwrap());
        }
        Ok(())
    });
    let relay = quiet(outbox, &cache);
    is_waiting.recv_timeout(PATIENCE).unwrap();
    // In a thread of its own, to notice a deadlock.
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        drop(relay);
        done.send(()).unwrap();
    });
    is_done.recv_timeout(PATIENCE).expect("the drop returns");
    drop(held);
    is_dropped
        .recv_timeout(PATIENCE)
        .expect("the thread ends, and the outbox with it");
    assert_eq!(table.acknowledged(), [[1]], "the step was ended");
}

#[test]
fn a_stop_waits_until_the_outbox_is_dropped() {
    let cache = cache("test:");
    let table = Table::default();
    let (dropped, is_dropped) = mpsc::channel();
    let dropped = Dropped(dropped);
    let outbox = table.outbox_with(move |_| {
        let _kept = &dropped;
        Ok(())
    });
    let relay = quiet(outbox, &cache);
    assert!(relay.stop(PATIENCE));
    assert!(is_dropped.try_recv().is_ok());

    let (entered, has_entered) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let outbox = table.outbox_with(move |_| {
        let _ = entered.send(());
        Ok(may_go_on.recv()?)
    });
    let relay = quiet(outbox, &cache);
    has_entered.recv_timeout(PATIENCE).unwrap();
    assert!(!relay.stop(MS(20)), "the outbox does not let it end");
    drop(go_on);
}

#[test]
fn settings_without_a_use_are_refused_by_name() {
    let table = Table::default();
    let cache = cache("test:");
    let refused = |error: Error| match error {
        Error::InvalidSetting { setting, .. } => setting,
        other => panic!("{other:?}"),
    };
    let none = OutboxRelay::builder(table.outbox()).start();
    assert_eq!(refused(none.unwrap_err()), "cache");
    for poll in [Duration::ZERO, Duration::MAX] {
        let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
        assert_eq!(refused(relay.poll(poll).start().unwrap_err()), "poll");
    }
}

#[test]
fn a_cache_reports_the_invalidations_of_its_relay_as_its_own() {
    let (wrote, has_written) = mpsc::channel();
    let cache: Cache = Cache::builder(Memory::new(100))
        .prefix("test:")
        .observer(move |_: &str, event: &Event<'_>| {
            if let Event::Wrote { call, .. } = event {
                let _ = wrote.send(call.name());
            }
        })
        .build()
        .unwrap();
    let table = Table::default();
    table.insert("test:", "p-001");
    let relay = quiet(table.outbox(), &cache);
    assert!(relay.flush(PATIENCE));
    assert_eq!(has_written.try_recv(), Ok("invalidate_many"));
}
