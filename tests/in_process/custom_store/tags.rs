//! Stores without tags, and stores whose tags panic.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Cache, Error, Memory, Record, Source, TtlRemaining, UnitOfWork,
    store::{Entry, Failure, Store, TagKeys, TagValues, TaggedStore},
};

use crate::{delegate::delegate, support::load_loaf};

struct Panicking {
    store: Arc<dyn Store>,
    panics: AtomicBool,
    has_tags: bool,
    /// The largest number of tags in one request.
    most: AtomicUsize,
}

impl Store for Panicking {
    fn tagged(&self) -> Option<&dyn TaggedStore> {
        self.has_tags.then_some(self)
    }

    delegate! { store: read read_with_ttl acquire refresh fill release back_off renew invalidate expire guard unguard update ttl ping }
}

impl Panicking {
    fn new(has_tags: bool) -> Arc<Panicking> {
        Arc::new(Panicking {
            store: Memory::new(100).store(),
            panics: AtomicBool::new(false),
            has_tags,
            most: AtomicUsize::new(0),
        })
    }

    fn tags(&self) -> &dyn TaggedStore {
        self.store.tagged().unwrap()
    }
}

impl TaggedStore for Panicking {
    fn read_tags(&self, tags: &TagKeys, life: Duration) -> Result<TagValues, Failure> {
        self.tags().read_tags(tags, life)
    }

    fn read_under_tags(
        &self,
        data: &str,
        with_ttl: bool,
        tags: &TagKeys,
        life: Duration,
    ) -> Result<(Entry, TtlRemaining, TagValues), Failure> {
        self.tags().read_under_tags(data, with_ttl, tags, life)
    }

    fn keep_tags(&self, tags: &TagKeys, life: Duration) -> Result<(), Failure> {
        self.tags().keep_tags(tags, life)
    }

    fn invalidate_tags(
        &self,
        tags: &TagKeys,
        life: Duration,
        lag: Option<Duration>,
    ) -> Result<(), Failure> {
        self.most.fetch_max(tags.tags.len(), SeqCst);
        assert!(!self.panics.swap(false, SeqCst), "a defect of the store");
        self.tags().invalidate_tags(tags, life, lag)
    }
}

fn cache(store: &Arc<Panicking>) -> Cache {
    let backend = Backend::new(Arc::<Panicking>::clone(store));
    Cache::builder(backend).prefix("test:").build().unwrap()
}

fn get(cache: &Cache) -> Source {
    let found = cache.options().tags(&["a"]).get("k", load_loaf);
    found.unwrap().source()
}

#[test]
fn a_tag_whose_invalidation_panics_is_pending_and_is_replayed() {
    let store = Panicking::new(true);
    let cache = cache(&store);
    let ways: [fn(&Cache); 2] = [
        |cache| cache.invalidate_tag("a").unwrap(),
        |cache| {
            let mut unit = UnitOfWork::new();
            unit.add(cache, "another").unwrap();
            unit.add_tag(cache, "a").unwrap();
            unit.guard();
            let _ = unit.commit();
        },
    ];
    for end in ways {
        assert_eq!(get(&cache), Source::Loaded);
        assert_eq!(get(&cache), Source::Hit);
        store.panics.store(true, SeqCst);
        let ended = catch_unwind(AssertUnwindSafe(|| end(&cache)));
        assert!(ended.is_err());
        // The replay may come at any moment.
        assert_ne!(get(&cache), Source::Hit);
        assert!(cache.flush(Duration::from_secs(20)));
        cache.invalidate("k").unwrap();
    }
}

#[test]
fn a_unit_ends_its_tags_a_thousand_at_a_time() {
    let store = Panicking::new(true);
    let cache = cache(&store);
    let tags: Vec<_> = (0..2_500).map(|number| number.to_string()).collect();
    let get = |tag: &str| {
        let tags = [tag];
        let found = cache.options().tags(&tags).get(tag, load_loaf);
        found.unwrap().is_hit()
    };
    let some = ["0", "999", "1000", "2499"];
    assert!(!some.into_iter().any(get));
    let mut unit = UnitOfWork::new();
    for tag in &tags {
        unit.add_tag(&cache, tag).unwrap();
    }
    assert!(unit.commit().deferred().is_empty());
    assert_eq!(store.most.load(SeqCst), 1_000);
    assert!(!some.into_iter().any(get));
    assert!(some.into_iter().all(get));
}

#[test]
fn a_store_without_tags_is_refused_where_they_are_wanted() {
    let store = Panicking::new(false);
    let cache = cache(&store);
    let mut unit = UnitOfWork::new();
    let errors = [
        cache.invalidate_tag("a").unwrap_err(),
        cache
            .options()
            .tags(&["a"])
            .get("k", load_loaf)
            .unwrap_err(),
        unit.add_tag(&cache, "a").unwrap_err(),
    ];
    for error in errors {
        assert!(
            matches!(
                &error,
                Error::InvalidSetting {
                    setting: "tags",
                    ..
                }
            ),
            "{error:?}"
        );
    }
    unit.rollback();
    let build = |by_loader| {
        let backend = Backend::new(Arc::<Panicking>::clone(&store));
        let builder = Cache::<Record>::builder(backend).prefix("test:");
        let builder = builder.loader_tags(by_loader).clear_by_tag(!by_loader);
        builder.build().unwrap_err().to_string()
    };
    let refused = "this store keeps no tags";
    assert_eq!(build(true), format!("setting `loader_tags`: {refused}"));
    assert_eq!(build(false), format!("setting `clear_by_tag`: {refused}"));
    assert!(!cache.get("k", load_loaf).unwrap().is_hit());
    assert!(cache.get("k", load_loaf).unwrap().is_hit());
}
