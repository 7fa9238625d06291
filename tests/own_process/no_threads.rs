//! A system that has no more threads: nothing panics, calls are answered without Redis where they
//! need a thread, and everything works again when threads can be started.

use std::{
    convert::Infallible,
    env, fs,
    os::unix::{fs::MetadataExt, process::CommandExt},
    panic,
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use crate::{
    support::{Server, chain, load_loaf, loaf, until},
    system,
};
use cache_aside::{Cache, Error, LoadingCache, Redis, RedisBuilder, Source};

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Counts panics from now on, and prints none.
fn count_panics() -> Arc<AtomicU32> {
    let panics = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&panics);
    panic::set_hook(Box::new(move |_| {
        counted.fetch_add(1, SeqCst);
    }));
    panics
}

/// The hook would also hide the message of a failed assertion.
#[track_caller]
fn assert_none(panics: &AtomicU32) {
    let _ = panic::take_hook();
    assert_eq!(panics.load(SeqCst), 0, "something panicked");
}

fn source(cache: &Cache) -> Source {
    source_of(cache, "p-001")
}

fn source_of(cache: &Cache, id: &str) -> Source {
    cache.get(id, load_loaf).unwrap().source()
}

fn near(redis: impl Into<cache_aside::Backend>) -> Result<Cache, Error> {
    Cache::builder(redis).prefix("test:").near_cache(10).build()
}

fn at(server: &Server) -> RedisBuilder {
    Redis::builder(server.url()).probe_interval(MS(50))
}

#[test]
fn a_cache_that_gets_no_thread_works_without_redis_until_it_gets_one() {
    own_process!(system::variables);
    let server = Server::start();
    let panics = count_panics();
    system::allow_threads(0);
    let required = at(&server).require_connection(true).build();
    let cache = Cache::builder(at(&server)).prefix("test:").build();
    let found = cache.as_ref().unwrap().get("p-001", load_loaf);
    let invalidated = cache.as_ref().unwrap().invalidate("p-001");
    assert_none(&panics);

    let why = chain(&required.unwrap_err());
    assert!(why.contains("no thread could be started"), "{why}");
    let (cache, found) = (cache.unwrap(), found.unwrap());
    assert_eq!(found.source(), Source::Degraded);
    let why = chain(found.degraded_cause().unwrap());
    assert!(why.contains("no thread could be started"), "{why}");
    assert!(invalidated.is_err());
    assert_eq!(cache.stats().invalidations_pending, 1);

    system::is_well();
    // The lookup of a record whose invalidation is pending tries to start the thread.
    until(|| source(&cache) == Source::Hit);
    assert_eq!(cache.stats().invalidations_pending, 0);
}

#[test]
fn a_near_cache_that_gets_no_thread_listens_when_it_gets_one() {
    own_process!(system::variables);
    let server = Server::start();
    let redis = at(&server).require_connection(true).build().unwrap();
    // So the pool has its threads.
    redis.store().ping().unwrap();
    let panics = count_panics();
    system::allow_threads(0);
    let cache = near(&redis);
    assert_none(&panics);
    let cache = cache.unwrap();
    assert_eq!(source(&cache), Source::Loaded);
    assert_eq!(source(&cache), Source::Hit);
    assert!(!cache.stats().tracking_live);
    system::is_well();
    until(|| source(&cache) == Source::Near);
    // Changes by others arrive.
    let keys = cache_aside::store::Keys::of("test:p-001".to_owned());
    assert!(redis.store().invalidate(&keys).unwrap());
    until(|| source(&cache) == Source::Loaded);
}

#[test]
fn pending_invalidations_are_replayed_when_a_thread_can_be_started() {
    own_process!(system::variables);
    let mut server = Server::start();
    let redis = at(&server).require_connection(true).build().unwrap();
    let cache: Cache = Cache::builder(&redis).prefix("test:").build().unwrap();
    assert_eq!(source(&cache), Source::Loaded);
    server.kill();
    let panics = count_panics();
    system::allow_threads(0);
    let invalidated = cache.invalidate("p-001");
    server.start_again();
    assert_none(&panics);
    invalidated.unwrap_err();
    // Requests find out that the server answers, because nobody else does.
    until(|| source_of(&cache, "p-002") == Source::Hit);
    assert_eq!(cache.stats().invalidations_pending, 1);
    assert_eq!(source(&cache), Source::Degraded);
    system::is_well();
    // No request fails from here on.
    until(|| {
        assert_eq!(source_of(&cache, "p-002"), Source::Hit);
        cache.stats().invalidations_pending == 0
    });
}

#[test]
fn a_slow_load_without_a_thread_to_renew_its_lease_is_returned() {
    own_process!(system::variables);
    let server = Server::start();
    let redis = at(&server).require_connection(true).build().unwrap();
    let builder = Cache::builder(&redis).prefix("test:").lease_ttl(MS(50));
    let cache: Cache = builder.build().unwrap();
    redis.store().ping().unwrap();
    let panics = count_panics();
    system::allow_threads(0);
    let found = cache.get("p-001", |_| {
        thread::sleep(MS(200));
        Ok::<_, Infallible>(Some(loaf()))
    });
    assert_none(&panics);
    assert_eq!(**found.unwrap().record().unwrap(), loaf());
    assert_eq!(cache.stats().refused_fills, 1, "its lease had lapsed");
}

/// Each step of `build` may be the one that gets no thread.
#[test]
fn no_start_panics_however_few_threads_there_are() {
    own_process!(system::variables);
    let server = Server::start();
    for more in 0..12 {
        let panics = count_panics();
        system::allow_threads(more);
        let cache = near(at(&server));
        let found = cache.as_ref().unwrap().get("p-001", load_loaf);
        system::is_well();
        assert_none(&panics);
        found.unwrap();
        let cache = cache.unwrap();
        until(|| source(&cache) == Source::Near);
        drop(cache);
        until(|| system::threads_named("cache-aside-con") == 0);
    }
}

/// The name of a record, which counts its drops if it is `p-001`.
#[derive(serde::Serialize, serde::Deserialize)]
struct Counted {
    name: String,
}

static DROPPED: AtomicU32 = AtomicU32::new(0);

impl Drop for Counted {
    fn drop(&mut self) {
        if self.name == "p-001" {
            DROPPED.fetch_add(1, SeqCst);
        }
    }
}

#[test]
fn records_of_a_clear_without_threads_are_dropped_when_a_thread_can_be_started() {
    own_process!(system::variables);
    let server = Server::start();
    let builder = Cache::builder(at(&server)).prefix("test:").near_cache(10);
    let cache: Cache<Counted> = builder.build().unwrap();
    let load = |id: &str| {
        let name = id.to_owned();
        Ok::<_, Infallible>(Some(Counted { name }))
    };
    let source = |id: &str| cache.get(id, load).unwrap().source();
    until(|| source("p-001") == Source::Near);
    // Only the near cache has such a record.
    let before = DROPPED.load(SeqCst);
    let mut direct = server.connect();
    system::allow_threads(0);
    redis::cmd("FLUSHALL").exec(&mut direct).unwrap();
    until(|| source("p-002") == Source::Near);
    redis::cmd("DEL")
        .arg("test:p-002")
        .exec(&mut direct)
        .unwrap();
    // This push came after the one of the flush.
    until(|| source("p-002") != Source::Near);
    assert_eq!(DROPPED.load(SeqCst), before, "no thread dropped it");
    system::is_well();
    let number = AtomicU32::new(0);
    until(|| {
        source(&format!("q-{}", number.fetch_add(1, SeqCst)));
        DROPPED.load(SeqCst) == before + 1
    });
}

#[cfg(feature = "cluster")]
fn cluster() -> (Server, RedisBuilder) {
    use crate::support::{acl, alone};
    let server = if alone::is_on() {
        Server::start_on_port()
    } else {
        let server = Server::start_on_port_with(&["--cluster-enabled", "yes"]);
        let mut add = redis::cmd("CLUSTER");
        add.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
        add.exec(&mut server.connect()).unwrap();
        server
    };
    let url = acl::url_at(server.port()).replace("redis:", "redis+cluster:");
    let redis = Redis::builder(url).probe_interval(MS(50));
    until(|| {
        let mut info = redis::cmd("CLUSTER");
        let state: String = info.arg("INFO").query(&mut server.connect()).unwrap();
        state.contains("cluster_state:ok")
    });
    (server, redis)
}

#[cfg(feature = "cluster")]
#[test]
fn a_cluster_is_used_and_listened_to_when_threads_can_be_started() {
    own_process!(system::variables);
    let (_server, redis) = cluster();
    for more in 0..8 {
        until(|| system::threads_named("cache-aside-con") == 0);
        let panics = count_panics();
        system::allow_threads(more);
        let cache = near(redis.clone());
        let found = cache.as_ref().unwrap().get("p-001", load_loaf);
        system::is_well();
        assert_none(&panics);
        found.unwrap();
        let cache = cache.unwrap();
        until(|| source(&cache) == Source::Near);
    }
}

#[cfg(feature = "cluster")]
#[test]
fn a_near_cache_on_a_cluster_that_gets_no_thread_listens_when_it_gets_one() {
    own_process!(system::variables);
    let (_server, redis) = cluster();
    let redis = redis.require_connection(true).build().unwrap();
    redis.store().ping().unwrap();
    let panics = count_panics();
    system::allow_threads(0);
    let cache = near(&redis);
    let found = cache.as_ref().unwrap().get("p-001", load_loaf);
    assert_none(&panics);
    let found = found.unwrap();
    let why = found.degraded_cause().map(|why| chain(why));
    assert_eq!(found.source(), Source::Loaded, "{why:?}");
    let cache = cache.unwrap();
    assert!(!cache.stats().tracking_live);
    system::is_well();
    until(|| source(&cache) == Source::Near);
}

#[cfg(feature = "sentinel")]
#[test]
fn a_master_of_sentinels_is_used_when_threads_can_be_started() {
    use crate::{
        sentinel_set::{NAME, Sentinel, url_of},
        support::{alone, free_port},
    };
    own_process!(system::variables);
    let server = Server::start_on_port_with(&alone::NONE);
    let port = free_port();
    let _sentinel = Sentinel::start_as(&format!("port {port}"), port, server.port(), 1);
    let redis = Redis::builder(url_of([port].into_iter(), NAME)).probe_interval(MS(50));
    until(|| redis.clone().require_connection(true).build().is_ok());
    for more in 0..8 {
        until(|| system::threads_named("cache-aside-con") == 0);
        let panics = count_panics();
        system::allow_threads(more);
        let cache = near(redis.clone());
        let found = cache.as_ref().unwrap().get("p-001", load_loaf);
        system::is_well();
        assert_none(&panics);
        found.unwrap();
        let cache = cache.unwrap();
        until(|| source(&cache) == Source::Near);
        assert_eq!(system::threads_named("cache-aside-sen"), 1);
    }
}

#[test]
fn calls_that_need_no_thread_are_answered_as_always() {
    own_process!(system::variables);
    let server = Server::start();
    let redis = at(&server).require_connection(true).build().unwrap();
    let cache: Cache = Cache::builder(&redis).prefix("test:").build().unwrap();
    assert_eq!(source(&cache), Source::Loaded);
    let panics = count_panics();
    system::allow_threads(0);
    let found = (0..3).map(|_| source(&cache)).collect::<Vec<_>>();
    let batch = cache.get_many(["a", "b"], |ids| {
        let rows = ids.iter().map(|id| (id.to_string(), loaf()));
        Ok::<_, Infallible>(rows.collect::<Vec<_>>())
    });
    let invalidated = cache.invalidate("p-001");
    assert_none(&panics);
    assert_eq!(found, [Source::Hit; 3]);
    assert!(
        batch
            .unwrap()
            .iter()
            .all(|found| found.degraded_cause().is_none())
    );
    assert!(invalidated.unwrap());
}

const URL: &str = "CACHE_ASIDE_TEST_URL";

/// The same with a limit of the system. It does not bind root, so the process has another user.
#[test]
fn no_start_panics_under_a_limit_of_the_system() {
    if let Ok(url) = env::var(URL) {
        let cache = near(Redis::builder(url));
        cache.unwrap().get("p-001", load_loaf).unwrap();
        return;
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("only root can run a process as another user, whose limit nobody else uses up");
        return;
    }
    let server = Server::start_on_port();
    let user = 70_000 + process::id();
    for threads in 1..14 {
        let child = Command::new("prlimit")
            .arg(format!("--nproc={threads}"))
            .arg(env::current_exe().unwrap())
            .args([
                "--exact",
                "no_threads::no_start_panics_under_a_limit_of_the_system",
            ])
            .args(["--test-threads", "1", "--nocapture"])
            .env(URL, server.url())
            .current_dir("/")
            .uid(user)
            .gid(user)
            .output()
            .unwrap();
        let said = [child.stdout, child.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(child.status.success(), "{threads} threads: {said}");
        assert!(
            said.contains("1 passed") && !said.contains("panicked"),
            "{said}"
        );
    }
}

#[test]
fn a_loading_cache_without_threads_loads_on_its_callers_thread() {
    own_process!(system::variables);
    let server = Server::start();
    let redis = at(&server).require_connection(true).build().unwrap();
    let builder = Cache::builder(&redis).prefix("test:").grace(MS(600_000));
    let cache: Cache = builder.build().unwrap();
    redis.store().ping().unwrap();
    let builder = LoadingCache::builder(&cache, load_loaf);
    let products = builder.hard_timeout(MS(20_000)).build().unwrap();
    let panics = count_panics();
    system::allow_threads(0);
    let loaded = products.get("p-001").map(|found| found.source());
    let is_stale = cache.expire("p-001");
    let refreshed = products.get("p-001").map(|found| found.source());
    assert_none(&panics);
    assert_eq!(loaded.unwrap(), Source::Loaded);
    assert!(is_stale.unwrap());
    assert_eq!(refreshed.unwrap(), Source::Refreshed);
    system::is_well();
    assert!(cache.expire("p-001").unwrap());
    assert!(products.get("p-001").unwrap().is_stale());
    until(|| products.get("p-001").unwrap().source() == Source::Hit);
    assert!(products.shutdown(MS(20_000)));
}

#[test]
fn loads_that_outlive_their_callers_leave_no_thread_behind() {
    own_process!(system::variables);
    let server = Server::start();
    let redis = at(&server).require_connection(true).build().unwrap();
    let cache: Cache = Cache::builder(&redis).prefix("test:").build().unwrap();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    let builder = LoadingCache::builder(&cache, move |id| {
        let _ = ended.lock().unwrap().recv();
        load_loaf(id)
    });
    let builder = builder.hard_timeout(MS(1)).threads(2);
    let products = builder.build().unwrap();
    for number in 0..500 {
        assert!(matches!(
            products.get(number),
            Err(Error::LoadTimeout { .. })
        ));
    }
    assert_eq!(system::threads_named("cache-aside-loa"), 2);
    drop(end);
    drop(products);
    until(|| system::threads_named("cache-aside-loa") == 0);
}
