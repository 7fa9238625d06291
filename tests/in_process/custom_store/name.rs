//! The name of a cache: what observers and metrics call it. The keys have the prefix all the same.

use std::sync::{Arc, Mutex, atomic::Ordering::SeqCst};

use cache_aside::{Cache, Event};

use super::faulty::{Faulty, backend};
use crate::support::load_loaf;

#[test]
fn observers_get_the_name_and_ids_without_the_prefix() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    let store = Faulty::new();
    let builder = Cache::builder(backend(&store)).prefix("test:");
    let builder = builder.name("products");
    let builder = builder.observer(move |cache: &str, event: &Event<'_>| {
        if let Event::InvalidationRemembered { id, .. } = event {
            notes.lock().unwrap().push(format!("{cache} {id}"));
        }
    });
    let cache: Cache = builder.build().unwrap();
    store.refuses.store(true, SeqCst);
    cache.invalidate("p-001").unwrap_err();
    assert_eq!(*heard.lock().unwrap(), ["products p-001"]);
    assert!(format!("{cache:?}").contains("\"products\""), "{cache:?}");
    // No record with the prefix is read after a failed `clear`, whatever the name.
    cache.clear().unwrap_err();
    assert!(
        cache
            .get("p-002", load_loaf)
            .unwrap()
            .degraded_cause()
            .is_some()
    );
}

#[cfg(feature = "metrics")]
#[test]
fn each_metric_has_the_name_as_a_label_or_else_the_prefix() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let labels = |name: Option<&str>| {
        metrics::with_local_recorder(&recorder, || {
            let builder = Cache::builder(cache_aside::Memory::new(10)).prefix("test:");
            let builder = match name {
                Some(name) => builder.name(name),
                None => builder,
            };
            let cache: Cache = builder.build().unwrap();
            for _ in 0..2 {
                cache.get("p-001", load_loaf).unwrap();
            }
            assert!(cache.invalidate("p-001").unwrap());
        });
        let text = recorder.handle().render();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let of = |label: &str| lines.clone().filter(|line| line.contains(label)).count();
        (of("cache=\"products\""), of("cache=\"test:\""))
    };
    let (named, unnamed) = labels(Some("products"));
    assert!(named > 10 && unnamed == 0, "{named}, {unnamed}");
    assert_eq!(labels(None), (named, named));
}

/// The gauge would show them for ever.
#[cfg(feature = "metrics")]
#[test]
fn each_cache_hears_how_many_of_its_invalidations_are_lost_and_its_gauge_ends_at_zero() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let heard = Arc::new(Mutex::new(Vec::new()));
    metrics::with_local_recorder(&recorder, || {
        let store = Faulty::new();
        let backend = backend(&store);
        let cache = |prefix: &str| -> Cache {
            let notes = Arc::clone(&heard);
            let builder = Cache::builder(&backend).prefix(prefix);
            let builder = builder.observer(move |cache: &str, event: &Event<'_>| {
                if let Event::InvalidationsLost { count } = event {
                    notes.lock().unwrap().push(format!("{cache} {count}"));
                }
            });
            builder.build().unwrap()
        };
        let caches = ["a:", "b:", "c:"].map(cache);
        store.refuses.store(true, SeqCst);
        for (ids, cache) in caches.iter().enumerate() {
            for id in 0..ids {
                cache.invalidate(id).unwrap_err();
                cache.invalidate(id).unwrap_err();
            }
        }
        drop(backend);
        drop(caches);
    });
    heard.lock().unwrap().sort();
    assert_eq!(*heard.lock().unwrap(), ["b: 1", "c: 2"]);
    let text = recorder.handle().render();
    for (cache, lost) in [("a:", 0), ("b:", 1), ("c:", 2)] {
        for (metric, number) in [("lost_total", lost), ("pending", 0)] {
            let line =
                format!("cache_aside_invalidations_{metric}{{cache=\"{cache}\"}} {number}\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }
}
