//! The relay of an outbox in a whole process: metrics, log lines, a fork, and a system without
//! threads.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{Cache, Error, Memory, OutboxRelay};
use metrics_exporter_prometheus::PrometheusBuilder;

use crate::{
    forked, lines,
    support::{Server, chain, load_loaf, until},
    system,
    table::{NEVER, PATIENCE, Step, Table},
};

fn cache() -> Cache {
    let builder = Cache::builder(Memory::new(100)).prefix("test:");
    builder.build().unwrap()
}

#[test]
fn the_lag_the_errors_and_the_entries_of_a_relay_are_metrics() {
    own_process!();
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).unwrap();
    // The number behind a name and its labels.
    let value = move |metric: &str| -> Option<f64> {
        let text = handle.render();
        let line = text.lines().find_map(|line| line.strip_prefix(metric))?;
        Some(line.trim().parse().expect("a number"))
    };
    let cache = cache();
    let table = Table::default();
    let is_away = Arc::new(AtomicBool::new(false));
    let away = Arc::clone(&is_away);
    let outbox = table.outbox_with(move |step| {
        if step == Step::Acknowledge && away.load(SeqCst) {
            return Err("the database is away".into());
        }
        Ok(())
    });
    let relay = OutboxRelay::builder(outbox)
        .cache(&cache)
        .name("shop")
        .poll(NEVER);
    let relay = relay.start().unwrap();
    assert!(relay.flush(PATIENCE));
    let shop = |name: &str| value(&format!("cache_aside_outbox_{name}{{outbox=\"shop\"}}"));
    for quiet in [
        "acknowledged_total",
        "skipped_total",
        "waiting",
        "oldest_seconds",
    ] {
        assert_eq!(shop(quiet), Some(0.0), "{quiet}");
    }

    is_away.store(true, SeqCst);
    table.insert("test:", "p-001");
    table.insert("test:", "");
    relay.wake();
    until(|| shop("waiting") == Some(2.0) && shop("oldest_seconds") > Some(0.0));
    let errors = "cache_aside_outbox_errors_total{outbox=\"shop\",step=\"acknowledge\"}";
    until(|| value(errors) >= Some(2.0));
    is_away.store(false, SeqCst);
    assert!(relay.flush(PATIENCE));
    assert_eq!(shop("acknowledged_total"), Some(2.0));
    assert_eq!(shop("skipped_total"), Some(1.0));
    assert_eq!(shop("waiting"), Some(0.0));
    assert_eq!(shop("oldest_seconds"), Some(0.0));
}

#[test]
fn a_failure_that_lasts_is_logged_once_and_an_entry_that_is_skipped_is_named() {
    own_process!();
    lines::listen();
    let cache = cache();
    let table = Table::default();
    table.insert("test:", "");
    let mut left = 3;
    let outbox = table.outbox_with(move |step| {
        if step == Step::Fetch && left > 0 {
            left -= 1;
            return Err("the database is away".into());
        }
        Ok(())
    });
    let relay = OutboxRelay::builder(outbox).cache(&cache).name("shop");
    let relay = relay.poll(NEVER).start().unwrap();
    assert!(relay.flush(PATIENCE));
    assert_eq!(relay.stats().errors, 3);
    let failed =
        "WARN outbox `shop`: the step `fetch` failed and will be repeated: the database is away";
    assert_eq!(lines::with("outbox `shop`: the step"), [failed]);
    let skipped = "ERROR outbox `shop`: the entry for \"\" in `test:` is acknowledged without an invalidation: the id \
                   is invalid: it is empty";
    assert_eq!(lines::with("acknowledged without"), [skipped]);
}

#[test]
fn a_child_that_was_forked_has_no_relay_and_leaves_that_of_its_parent_alone() {
    own_process!();
    let server = Server::start();
    let cache = server.cache();
    let table = Table::default();
    let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
    let relay = relay.poll(NEVER).start().unwrap();
    assert!(relay.flush(PATIENCE));
    // Also while the relay works.
    let slot = Mutex::new(Some(relay));
    for round in 0..5 {
        table.insert("test:", &round.to_string());
        slot.lock().unwrap().as_ref().unwrap().wake();
        forked::run(|| {
            let relay = slot.lock().unwrap().take().unwrap();
            relay.wake();
            assert!(!relay.flush(PATIENCE));
            assert_eq!(relay.stats().waiting, 0);
            if round % 2 == 0 {
                drop(relay);
            } else {
                assert!(relay.stop(PATIENCE));
            }
        });
    }
    let relay = slot.into_inner().unwrap().unwrap();
    assert!(relay.flush(PATIENCE));
    assert_eq!(table.len(), 0);
    table.insert("test:", "p-001");
    assert!(relay.flush(PATIENCE));
    assert_eq!(table.len(), 0);
}

#[test]
fn without_a_thread_a_relay_is_not_started_and_its_error_says_why() {
    own_process!(system::variables);
    let cache = cache();
    cache.get("p-001", load_loaf).unwrap();
    let table = Table::default();
    table.insert("test:", "p-001");
    let start = || {
        let relay = OutboxRelay::builder(table.outbox()).cache(&cache);
        relay.poll(NEVER).start()
    };
    system::allow_threads(0);
    let error = start().unwrap_err();
    system::is_well();
    assert!(matches!(error, Error::NoThread(_)), "{error:?}");
    let said = chain(&error);
    assert!(
        said.starts_with("no thread could be started to relay the outbox: "),
        "{said}"
    );
    let relay = start().unwrap();
    assert!(relay.flush(PATIENCE));
    assert!(cache.peek("p-001").unwrap().is_none());
    assert!(relay.stop(Duration::from_secs(20)));
}
