//! The measured calls, and the steps of the protocol one by one. Their order gives each step the
//! state that it needs.

use std::{convert::Infallible, sync::Mutex};

use cache_aside::{Cache, Source, scripts};
use redis::{Connection, Script};

use crate::{
    patient,
    support::{Server, load_loaf, load_nothing},
};

/// A busy server handles several requests in each turn of its event loop. It may handle a fast one
/// while the next arrives. So a call costs it less than a single call that wakes it.
const THREADS: usize = 16;

const LOOK: &[(&str, u8)] = &[("hgetall", 1)];
const SCRIPT: &[(&str, u8)] = &[("evalsha", 1)];
const MISS: &[(&str, u8)] = &[("hgetall", 1), ("evalsha", 2)];

/// The length of a real token.
const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";

const RECORD: &[&str] = &[
    TOKEN,
    "60000",
    "id",
    "p-001",
    "name",
    "Sourdough Loaf",
    "price_cents",
    "650",
    "stock",
    "42",
];

pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) sends: &'static str,
    /// These commands, and how often each call sends them. Commands inside a script count as part
    /// of the script.
    pub(crate) parts: &'static [(&'static str, u8)],
    /// Whether it is measured with all threads.
    pub(crate) threads: usize,
    /// Gets the number of the thread, and the number of the call.
    pub(crate) run: Run,
}

type Run = fn(&Ground, usize, usize);

const fn step(
    name: &'static str,
    sends: &'static str,
    parts: &'static [(&'static str, u8)],
    run: Run,
) -> Step {
    Step {
        name,
        sends,
        parts,
        threads: THREADS,
        run,
    }
}

const fn script(name: &'static str, run: Run) -> Step {
    step(name, "a script", SCRIPT, run)
}

/// The last step removes the changes of the others, so that each round is like the previous one.
pub(crate) const STEPS: &[Step] = &[
    step(
        "miss: look, `acquire`, `fill`",
        "`HGETALL`, 2 scripts",
        MISS,
        |on, _, number| {
            get(&on.plain, number, Source::Loaded);
        },
    ),
    step("hit", "`HGETALL`", LOOK, |on, _, number| {
        get(&on.plain, number, Source::Hit);
    }),
    Step {
        threads: 50,
        ..step(
            "hit, 50 threads on a pool of 4",
            "`HGETALL`, in shared pipelines",
            LOOK,
            |on, _, number| {
                get(&on.shared, number, Source::Hit);
            },
        )
    },
    step(
        "hit with the TTL; near miss",
        "`PTTL`, `HGETALL`",
        &[("hgetall", 1), ("pttl", 1)],
        |on, _, number| {
            get(&on.with_ttl, number, Source::Hit);
        },
    ),
    step(
        "`update_field`",
        "`WATCH`, `HGETALL`; `MULTI`, `HSET`, `EXEC`",
        &[("watch", 1), ("hgetall", 1), ("multi", 1), ("exec", 1)],
        |on, _, number| {
            assert!(on.plain.update_field(id(number), "stock", "41").unwrap());
        },
    ),
    step("`invalidate`", "a script", SCRIPT, |on, _, number| {
        assert!(on.plain.invalidate(id(number)).unwrap());
    }),
    step(
        "a load that finds nothing",
        "`HGETALL`, 2 scripts",
        MISS,
        |on, _, number| {
            let found = on.plain.get(id(number), load_nothing).unwrap();
            assert!(found.record().is_none());
        },
    ),
    step(
        "`write`: `guard`, `unguard`",
        "2 scripts",
        &[("evalsha", 2)],
        |on, _, number| {
            let _ = on
                .plain
                .write(id(number), || Ok::<_, Infallible>(()))
                .unwrap();
        },
    ),
    script("`acquire`: acquired", |on, thread, number| {
        on.call(&on.acquire, &[TOKEN, "60000", "recheck"], thread, number);
    }),
    script("`acquire`: held; a poll", |on, thread, number| {
        on.call(&on.acquire, &[OTHER, "60000", "recheck"], thread, number);
    }),
    script("`renew`", |on, thread, number| {
        on.call(&on.renew, &[TOKEN, "60000"], thread, number);
    }),
    script("`fill`", |on, thread, number| {
        on.call(&on.fill, RECORD, thread, number);
    }),
    script("`refresh`: acquired", |on, thread, number| {
        on.call(&on.refresh, &[TOKEN, "60000", "60000"], thread, number);
    }),
    script("`release`", |on, thread, number| {
        on.call(&on.release, &[TOKEN], thread, number);
    }),
    script("`guard`", |on, thread, number| {
        on.call(&on.guard, &[TOKEN, OTHER, "60000"], thread, number);
    }),
    script("`unguard`", |on, thread, number| {
        on.call(&on.unguard, &[TOKEN, OTHER], thread, number);
    }),
];

/// The environment of the steps.
pub(crate) struct Ground {
    plain: Cache,
    shared: Cache,
    with_ttl: Cache,
    /// One connection for each thread.
    connections: Vec<Mutex<Connection>>,
    acquire: Script,
    renew: Script,
    fill: Script,
    refresh: Script,
    release: Script,
    guard: Script,
    unguard: Script,
}

impl Ground {
    pub(crate) fn on(server: &Server) -> Ground {
        let url = server.url();
        let (all, few) = (patient::pool(&url, 16), patient::pool(&url, 4));
        let script = |source| {
            let script = Script::new(source);
            script.load(&mut server.connect()).unwrap();
            script
        };
        Ground {
            plain: patient::on(&all).build().unwrap(),
            shared: patient::on(&few).build().unwrap(),
            // It reads the TTL, but has no reason to refresh.
            with_ttl: patient::on(&all).early_refresh(0.001).build().unwrap(),
            connections: (0..THREADS).map(|_| Mutex::new(server.connect())).collect(),
            acquire: script(scripts::ACQUIRE),
            renew: script(scripts::RENEW),
            fill: script(scripts::FILL),
            refresh: script(scripts::REFRESH),
            release: script(scripts::RELEASE),
            guard: script(scripts::GUARD),
            unguard: script(scripts::UNGUARD),
        }
    }

    fn call(&self, script: &Script, args: &[&str], thread: usize, number: usize) {
        let key = format!("test:{}", id(number));
        let mut call = script.key(&key);
        call.key(format!("lock:{{{key}}}"));
        for arg in args {
            call.arg(*arg);
        }
        let mut connection = self.connections[thread].lock().unwrap();
        call.invoke::<redis::Value>(&mut connection).unwrap();
    }
}

fn id(number: usize) -> String {
    format!("p-{number:07}")
}

fn get(cache: &Cache, number: usize, source: Source) {
    let found = cache.get(id(number), load_loaf).unwrap();
    assert_eq!(found.source(), source);
}
