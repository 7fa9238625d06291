//! User code that uses the cache from wherever the cache runs it: the `Serialize`, `Deserialize`,
//! `Clone`, `Debug` and `Drop` of a record, the `Display`, `Debug` and `Drop` of an error, and an
//! observer. No thread waits for a lock that it holds.

use std::{
    cell::Cell,
    collections::BTreeMap,
    error::Error as StdError,
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering::SeqCst},
        mpsc,
    },
    thread,
    time::Duration,
};

use cache_aside::{Backend, Cache, Event, Memory, Source};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::support::until;

/// What the user code uses. Never dropped: the drop would wait for a thread that hangs.
struct Used {
    backend: Backend,
    cache: Cache<Busy>,
}

static USED: OnceLock<Used> = OnceLock::new();

/// How often user code of each kind has used the cache.
static COUNTS: [AtomicU32; 8] = [const { AtomicU32::new(0) }; 8];

const SERIALIZE: usize = 0;
const DESERIALIZE: usize = 1;
const CLONE: usize = 2;
const DROP: usize = 3;
const ERROR_DISPLAY: usize = 4;
const ERROR_DROP: usize = 5;
const OBSERVER: usize = 6;
const ID: usize = 7;

thread_local! {
    /// The use of the cache runs user code too, which must not use it again.
    static IS_USING: Cell<bool> = const { Cell::new(false) };
}

fn use_the_cache(kind: usize) {
    // At the end of a thread there is no flag any more.
    let Ok(false) = IS_USING.try_with(|is_using| is_using.replace(true)) else {
        return;
    };
    if let Some(Used { backend, cache }) = USED.get() {
        // In all shards and stripes, so that a locked one is used too.
        for id in 0..32 {
            let _ = cache.get(format!("own {id}"), |_| Err::<Option<Busy>, _>("no"));
        }
        let _ = cache.invalidate("own");
        let _ = cache.update_field("own", "text", "1");
        let _ = cache.peek("own 1");
        assert!(!format!("{cache:?}{:?}", cache.stats()).is_empty());
        // It subscribes, and asks the breaker.
        let another = Cache::<Busy>::builder(backend.clone()).prefix("another:");
        drop(another.near_cache(10).build().unwrap());
        COUNTS[kind].fetch_add(1, SeqCst);
    }
    IS_USING.set(false);
}

struct Busy {
    text: String,
}

fn busy() -> Busy {
    let text = "a".to_owned();
    Busy { text }
}

impl Serialize for Busy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use_the_cache(SERIALIZE);
        serializer.collect_map([("text", &self.text)])
    }
}

impl<'de> Deserialize<'de> for Busy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Busy, D::Error> {
        use_the_cache(DESERIALIZE);
        let mut fields = BTreeMap::<String, String>::deserialize(deserializer)?;
        let text = fields.remove("text").unwrap_or_default();
        Ok(Busy { text })
    }
}

impl Clone for Busy {
    fn clone(&self) -> Busy {
        use_the_cache(CLONE);
        let text = self.text.clone();
        Busy { text }
    }
}

impl fmt::Debug for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use_the_cache(CLONE);
        f.write_str(&self.text)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        use_the_cache(DROP);
    }
}

struct BusyError;

impl fmt::Display for BusyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use_the_cache(ERROR_DISPLAY);
        f.write_str("the loader's own")
    }
}

impl fmt::Debug for BusyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for BusyError {}

impl Drop for BusyError {
    fn drop(&mut self) {
        use_the_cache(ERROR_DROP);
    }
}

struct BusyId(&'static str);

impl fmt::Display for BusyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use_the_cache(ID);
        f.write_str(self.0)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a loader returns this")]
fn load(_: &str) -> Result<Option<Busy>, BusyError> {
    Ok(Some(busy()))
}

fn fails(_: &str) -> Result<Option<Busy>, BusyError> {
    Err(BusyError)
}

/// Each call of a cache.
fn calls(cache: &Cache<Busy>) {
    cache.get(BusyId("x"), load).unwrap();
    until(|| cache.get("x", load).unwrap().source() == Source::Near);
    let error = cache.get("failed", fails).unwrap_err();
    assert!(format!("{error:#}{error:?}").contains("the loader's own"));
    drop(error);
    let many = |ids: &[&str]| {
        let rows = ids.iter().map(|id| ((*id).to_owned(), busy()));
        Ok::<_, BusyError>(rows.collect::<Vec<_>>())
    };
    drop(cache.get_many([BusyId("x"), BusyId("y")], many).unwrap());
    assert!(cache.update_field("x", "text", "b").unwrap());
    assert!(!cache.update_field("x", "txet", "b").unwrap());
    cache.get("x", load).unwrap();
    assert!(cache.update("x", |record| Some(record.clone())).unwrap());
    drop(cache.peek("x").unwrap());
    drop(cache.write("x", || Err::<(), _>(BusyError)));
    cache.get("x", load).unwrap();
    assert!(cache.expire("x").unwrap());
    assert!(cache.get("x", fails).unwrap().refresh_error().is_some());
    cache.invalidate_many([BusyId("x"), BusyId("y")]).unwrap();
    // More than are near, so that some are evicted by others.
    for id in 0..100 {
        cache.get(id, load).unwrap();
        drop(cache.get(id, load).unwrap());
    }
    cache.clear().unwrap();
}

/// Followers share the record, or the error, of one load.
fn followers(cache: &Cache<Busy>) {
    for (id, loader) in [("good", load as fn(&str) -> _), ("bad", fails)] {
        let (misses, (loading, is_loading)) = (cache.stats().misses, mpsc::channel());
        thread::scope(|scope| {
            let leader = scope.spawn(|| {
                let led = cache.get(id, |id| {
                    loading.send(()).unwrap();
                    // The user code of the followers misses too.
                    until(|| cache.stats().misses >= misses + 5);
                    thread::sleep(Duration::from_millis(100));
                    loader(id)
                });
                drop(led);
            });
            is_loading.recv().unwrap();
            for _ in 0..4 {
                scope.spawn(|| drop(cache.get(id, loader)));
            }
            leader.join().unwrap();
        });
    }
}

#[test]
fn user_code_uses_the_cache_from_wherever_the_cache_runs_it() {
    let (done, is_done) = mpsc::channel();
    // On another thread, so that a deadlock fails the test.
    thread::spawn(move || {
        let backend = Backend::from(&Memory::new(10_000));
        let builder = Cache::builder(backend.clone()).prefix("test:");
        let builder = builder.near_cache(64).grace(Duration::from_secs(60));
        let observer = |_: &str, _: &Event<'_>| use_the_cache(OBSERVER);
        let cache: Cache<Busy> = builder.observer(observer).build().unwrap();
        let used = Used {
            backend,
            cache: cache.clone(),
        };
        assert!(USED.set(used).is_ok());
        calls(&cache);
        followers(&cache);
        done.send(()).unwrap();
    });
    is_done
        .recv_timeout(Duration::from_secs(120))
        .expect("the calls end");
    for (kind, count) in COUNTS.iter().enumerate() {
        assert!(count.load(SeqCst) > 0, "user code {kind} was not run");
    }
}
