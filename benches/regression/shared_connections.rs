//! Many threads on few connections, compared with a plain pool that checks nothing.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Redis};
use r2d2::{ManageConnection, Pool};
use redis::{Client, Connection, RedisError};

use crate::{
    support::{Server, load_loaf},
    times::median,
};

const THREADS: usize = 64;
const CONNECTIONS: u32 = 4;

/// r2d2 as in redis-rs, but without a request at checkout.
struct Plain(Client);

impl ManageConnection for Plain {
    type Connection = Connection;
    type Error = RedisError;

    fn connect(&self) -> Result<Connection, RedisError> {
        self.0.get_connection()
    }

    fn is_valid(&self, _: &mut Connection) -> Result<(), RedisError> {
        Ok(())
    }

    fn has_broken(&self, _: &mut Connection) -> bool {
        false
    }
}

pub(crate) fn measure(in_earnest: bool) -> Vec<f64> {
    let (rounds, stretch) = if in_earnest {
        (9, Duration::from_millis(300))
    } else {
        (1, Duration::from_millis(10))
    };
    let server = Server::start_on_port();
    // No caller times out, however busy the machine is.
    let patience = Duration::from_secs(20);
    let redis = Redis::builder(server.url())
        .pool_size(CONNECTIONS)
        .checkout_timeout(patience)
        .io_timeout(patience);
    let cache = Cache::builder(redis).prefix("test:");
    let cache: Cache = cache.ttl(Duration::from_secs(60 * 60)).build().unwrap();
    cache.get("p-001", load_loaf).unwrap();
    let pool = Pool::builder()
        .max_size(CONNECTIONS)
        .connection_timeout(patience)
        .test_on_check_out(false)
        .build(Plain(Client::open(server.url()).unwrap()))
        .unwrap();
    let mut ratios: Vec<_> = (0..rounds)
        .map(|_| {
            let ours = done(stretch, || {
                assert!(cache.get("p-001", load_loaf).unwrap().is_hit());
            });
            let plain = done(stretch, || {
                let mut connection = pool.get().unwrap();
                let found: Vec<(String, String)> = redis::cmd("HGETALL")
                    .arg("test:p-001")
                    .query(&mut *connection)
                    .unwrap();
                assert!(!found.is_empty());
            });
            ours / plain
        })
        .collect();
    vec![median(&mut ratios)]
}

/// The rate of all threads together, per second.
fn done(stretch: Duration, call: impl Fn() + Sync) -> f64 {
    let (start, over) = (Barrier::new(THREADS + 1), AtomicBool::new(false));
    let all = AtomicU64::new(0);
    let elapsed = thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                let mut calls = 0;
                while !over.load(Relaxed) {
                    call();
                    calls += 1;
                }
                all.fetch_add(calls, Relaxed);
            });
        }
        start.wait();
        let began = Instant::now();
        thread::sleep(stretch);
        over.store(true, Relaxed);
        began
    })
    .elapsed();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let all = all.into_inner() as f64;
    all / elapsed.as_secs_f64()
}
