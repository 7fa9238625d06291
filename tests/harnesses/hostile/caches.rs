//! The caches of a run, and the bounds of their calls.

use std::time::Duration;

use cache_aside::{Cache, Error, Redis, RedisBuilder};

/// Short, so that many cases fit into a run. Longer than a round trip on a busy machine.
const CHECKOUT: Duration = Duration::from_millis(100);
const CONNECT: Duration = Duration::from_millis(100);
const IO: Duration = Duration::from_millis(50);
const REQUEST: Duration = Duration::from_millis(200);
const WAIT: Duration = Duration::from_millis(200);
const MAX_REPLY: usize = 2 << 20;

/// Short, so that a load of two thirds of it is renewed.
const LEASE: Duration = Duration::from_millis(150);

/// A load that is renewed.
pub(crate) const SLOW_LOAD: Duration = Duration::from_millis(100);

/// The TTL of records with grace. They are stale after it.
pub(crate) const UNTIL_STALE: Duration = Duration::from_millis(40);

const TTL: Duration = Duration::from_secs(5);

/// What a thread may lose to others on a busy machine.
pub(crate) const SLACK: Duration = Duration::from_secs(1);

/// The prefixes of the caches.
const PREFIXES: [&str; 3] = ["test:", "product:", "person:"];

/// How the caches are built.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) pool_size: u32,
    pub(crate) breaker_threshold: u32,
    pub(crate) replicas: u32,
    /// With a near cache, whose listener gets pushes.
    pub(crate) near: bool,
    /// How many times longer the timeouts are than in a run of cases.
    pub(crate) times: u32,
}

impl Default for Setting {
    fn default() -> Setting {
        Setting {
            pool_size: 4,
            // So that each request is sent.
            breaker_threshold: 1_000_000,
            replicas: 0,
            near: false,
            times: 1,
        }
    }
}

/// The settings that bound a request as a whole. In one place: an older tree does not have them.
fn bounded(redis: RedisBuilder, setting: Setting) -> RedisBuilder {
    redis
        .request_timeout(REQUEST * setting.times)
        .max_reply_size(MAX_REPLY)
}

pub(crate) fn redis(url: &str, setting: Setting) -> Result<Redis, Error> {
    let redis = Redis::builder(url)
        .pool_size(setting.pool_size)
        .checkout_timeout(CHECKOUT * setting.times)
        .connect_timeout(CONNECT * setting.times)
        .io_timeout(IO * setting.times)
        .breaker_threshold(setting.breaker_threshold)
        .wait_for_replicas(setting.replicas)
        .probe_interval(Duration::from_millis(50));
    bounded(redis, setting).build()
}

/// The caches on one `Redis`.
pub(crate) struct Caches {
    pub(crate) plain: Cache,
    /// Its records are soon stale, and are then refreshed.
    pub(crate) graced: Cache,
    pub(crate) near: Option<Cache>,
}

impl Caches {
    pub(crate) fn on(redis: &Redis, setting: Setting) -> Result<Caches, Error> {
        let [plain, graced, near] = PREFIXES.map(|prefix| {
            Cache::builder(redis.clone())
                .prefix(prefix)
                .ttl(TTL)
                .lease_ttl(LEASE * setting.times)
                .wait_timeout(WAIT * setting.times)
                .poll(Duration::from_millis(10))
        });
        let near = near
            .near_cache(100)
            .near_staleness(Duration::from_millis(100));
        Ok(Caches {
            plain: plain.build()?,
            graced: graced.ttl(UNTIL_STALE).grace(TTL).build()?,
            near: setting.near.then(|| near.build()).transpose()?,
        })
    }
}

/// The longest time of each call. One request takes at most `request_timeout` and two `io_timeout`.
/// A step of the protocol is at most two requests (the script may have to be loaded), and may be
/// sent twice, each time on another connection; then a `PING` may tell why both broke off.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    times: u32,
}

impl Bounds {
    pub(crate) fn of(setting: Setting) -> Bounds {
        Bounds {
            times: setting.times,
        }
    }

    fn request(self) -> Duration {
        (REQUEST + 2 * IO) * self.times
    }

    fn step(self) -> Duration {
        let checkout = CHECKOUT * self.times;
        2 * (checkout + 2 * self.request()) + checkout + self.request()
    }

    fn steps(self, count: u32) -> Duration {
        self.step() * count + SLACK
    }

    /// A read, a request for a lease, the wait for another load, a fill.
    pub(crate) fn lookup(self) -> Duration {
        self.steps(3) + WAIT * self.times
    }

    /// While a slot is moved, an invalidation is two steps on two nodes.
    pub(crate) fn invalidation(self) -> Duration {
        self.steps(5)
    }

    /// A guard, and an invalidation.
    pub(crate) fn write(self) -> Duration {
        self.steps(6)
    }

    /// An update that fails is an invalidation.
    pub(crate) fn update(self) -> Duration {
        self.steps(7)
    }

    /// The slots, two scans, and the invalidation of what was found.
    pub(crate) fn clear(self) -> Duration {
        self.steps(10)
    }

    /// Connecting and each step of the login, of the question for the master or the slots, and of
    /// the check: each takes at most three `connect_timeout`, for the same reason as a request.
    pub(crate) fn build(self) -> Duration {
        3 * CONNECT * self.times * 12 + SLACK
    }
}
