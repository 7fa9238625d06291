//! Many threads on few connections, compared with a plain pool that checks nothing, and with as
//! many connections as threads.

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

const THREADS: u32 = 64;
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
    let [few, many] = [CONNECTIONS, THREADS].map(|connections| -> Cache {
        let redis = Redis::builder(server.url())
            .pool_size(connections)
            .checkout_timeout(patience)
            .io_timeout(patience);
        let cache = Cache::builder(redis).prefix("test:");
        cache.ttl(Duration::from_secs(60 * 60)).build().unwrap()
    });
    // Many, because lookups of one record at the same time share its answer.
    let ids: Vec<_> = (0..1_000).map(|id| format!("p-{id:03}")).collect();
    for id in &ids {
        few.get(id, load_loaf).unwrap();
    }
    let pool = Pool::builder()
        .max_size(CONNECTIONS)
        .connection_timeout(patience)
        .test_on_check_out(false)
        .build(Plain(Client::open(server.url()).unwrap()))
        .unwrap();
    let mut ratios = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        let [few, many] = [&few, &many].map(|cache| {
            done(stretch, &ids, |id| {
                assert!(cache.get(id, load_loaf).unwrap().is_hit());
            })
        });
        let plain = done(stretch, &ids, |id| {
            let mut connection = pool.get().unwrap();
            let found: Vec<(String, String)> = redis::cmd("HGETALL")
                .arg(format!("test:{id}"))
                .query(&mut *connection)
                .unwrap();
            assert!(!found.is_empty());
        });
        ratios[0].push(few / plain);
        ratios[1].push(many / few);
    }
    ratios.map(|mut ratios| median(&mut ratios)).into()
}

/// The rate of all threads together, per second.
fn done(stretch: Duration, ids: &[String], call: impl Fn(&str) + Sync) -> f64 {
    let (start, over) = (Barrier::new(THREADS as usize + 1), AtomicBool::new(false));
    let all = AtomicU64::new(0);
    let elapsed = thread::scope(|scope| {
        for thread in 0..THREADS as usize {
            // Each thread begins elsewhere.
            let mut ids = ids.iter().cycle().skip(7 * thread);
            let (start, over, all, call) = (&start, &over, &all, &call);
            scope.spawn(move || {
                start.wait();
                let mut calls = 0;
                while !over.load(Relaxed) {
                    call(ids.next().expect("it is a cycle"));
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
