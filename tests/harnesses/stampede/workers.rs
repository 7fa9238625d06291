//! The readers of one process: its threads, its cache, and one round of them.
//!
//! All readers of a round wait at a gate before any of them asks, so that they miss together.
//! Called by the only process of a run, or by each child. Knows nothing of other processes.

use std::{cell::Cell, io, thread, time::Duration};

use cache_aside::{Cache, Error, Record, Redis, Source};
use crossbeam::{channel, sync::WaitGroup};
use parking_lot::Mutex;

use crate::{
    instant::Instant,
    plan::{How, Plan, Primary, Reader, Seen},
    unprotected::Unprotected,
};

/// Long enough that a busy machine is not taken for a silent Redis.
const PATIENCE: Duration = Duration::from_secs(10);

/// Many times the time that a server needs to start tracking.
const LISTENING_WITHIN: Duration = Duration::from_secs(10);

/// One process's part of the run.
pub(crate) struct Workers {
    plan: Plan,
    way: Way,
}

/// How the readers read.
enum Way {
    Cache(Cache),
    Unprotected(Unprotected),
}

impl Workers {
    /// Connects to Redis.
    pub(crate) fn new(plan: Plan) -> Result<Workers, String> {
        let way = if plan.protected {
            let redis = Redis::builder(&plan.url)
                .io_timeout(PATIENCE)
                .checkout_timeout(PATIENCE)
                .require_connection(true);
            let cache = Cache::builder(redis)
                .prefix(&plan.prefix)
                .ttl(plan.ttl)
                .tracking(plan.tracking)
                .build();
            let cache = cache.map_err(|error| format!("{error:#}"))?;
            wait_until_it_hears(&cache, &plan)?;
            Way::Cache(cache)
        } else {
            Way::Unprotected(Unprotected::new(&plan)?)
        };
        Ok(Workers { plan, way })
    }

    /// Runs one round. `ready` is called when all readers wait at the gate. The gate opens when
    /// `ready` returns.
    pub(crate) fn round(
        &self,
        round: u32,
        ready: impl FnOnce() -> Result<(), String>,
    ) -> Result<Seen, String> {
        let id = Plan::id(round);
        let trouble = Mutex::new(None);
        // No message is ever sent: a reader passes when the sender is dropped. So the gate opens on
        // every way out of the scope, even if a thread cannot be started. No reader waits for ever.
        let (closed, gate) = channel::bounded::<()>(0);
        let readers = crossbeam::scope(|scope| {
            let closed = closed;
            let (at_the_gate, answered) = (WaitGroup::new(), WaitGroup::new());
            let mut threads = Vec::new();
            for _ in 0..self.plan.threads {
                let (gate, arrived) = (&gate, at_the_gate.clone());
                let answered = answered.clone();
                let (id, trouble) = (&id, &trouble);
                let thread = scope.builder().spawn(move |_| {
                    drop(arrived);
                    let _ = gate.recv();
                    let read = self.read(id, trouble);
                    // A thread that ends takes processor time from those that are still waking up.
                    // In a server no thread ends there.
                    answered.wait();
                    read
                });
                threads.push(thread.map_err(|error| {
                    format!("only {} threads can be started: {error}", threads.len())
                })?);
            }
            at_the_gate.wait();
            ready()?;
            drop((closed, answered));
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| "a reader panicked".to_owned()))
                .collect()
        })
        // Every thread was joined, or an error is already being returned.
        .unwrap_or_else(|_| Err("a reader panicked".to_owned()))?;
        Ok(Seen {
            readers,
            trouble: trouble.into_inner(),
        })
    }

    /// One reader.
    fn read(&self, id: &str, trouble: &Mutex<Option<String>>) -> Reader {
        let load_ended = Cell::new(None);
        let load = |id: &str| {
            let found = self.load(id);
            load_ended.set(Some(Instant::now()));
            found
        };
        let started = Instant::now();
        let answer = match &self.way {
            Way::Cache(cache) => through_cache(cache, id, load),
            Way::Unprotected(way) => way.read(id, load),
        };
        let answered = Instant::now();

        if let Some(text) = answer.trouble {
            trouble.lock().get_or_insert(text);
        }
        let expected = (self.plan.primary == Primary::Finds).then(|| record(id));
        let how = match answer.how {
            How::LoaderError | How::OtherError => answer.how,
            how if answer.record == expected => how,
            _ => {
                let text = "a reader got a record that is not the primary's".to_owned();
                trouble.lock().get_or_insert(text);
                How::OtherError
            }
        };
        Reader {
            how,
            started,
            load_ended: load_ended.get(),
            answered,
        }
    }

    /// The primary store.
    fn load(&self, id: &str) -> io::Result<Option<Record>> {
        thread::sleep(self.plan.load);
        match self.plan.primary {
            Primary::Finds => Ok(Some(record(id))),
            Primary::Missing => Ok(None),
            Primary::Failing => Err(io::Error::other("the primary is down")),
        }
    }
}

/// Waits until the cache is live for changes, if tracking is on.
fn wait_until_it_hears(cache: &Cache, plan: &Plan) -> Result<(), String> {
    let began = Instant::now();
    while plan.tracking && !cache.stats().tracking_live {
        if Instant::now().since(began) > LISTENING_WITHIN {
            return Err("this Redis server doesn't tell what changes".to_owned());
        }
        // There is no notification, so it must poll.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The answer that a reader got.
pub(crate) struct Answer {
    pub(crate) how: How,
    pub(crate) record: Option<Record>,
    pub(crate) trouble: Option<String>,
}

fn through_cache(
    cache: &Cache,
    id: &str,
    load: impl FnOnce(&str) -> io::Result<Option<Record>>,
) -> Answer {
    match cache.get(id, load) {
        Ok(found) => Answer {
            how: match found.source() {
                Source::Hit => How::Hit,
                Source::Loaded => How::Loaded,
                Source::Waited => How::Waited,
                Source::Degraded => How::Degraded,
                _ => How::OtherError,
            },
            trouble: found.degraded_cause().map(|cause| format!("{cause:#}")),
            record: found.record().map(|record| Record::clone(record)),
        },
        Err(Error::Loader(_)) => Answer {
            how: How::LoaderError,
            trouble: None,
            record: None,
        },
        Err(error) => Answer {
            how: How::OtherError,
            trouble: Some(format!("{error:#}")),
            record: None,
        },
    }
}

/// The record of the primary store with this id.
fn record(id: &str) -> Record {
    Record::from([
        ("id", id),
        ("name", "Sourdough Loaf"),
        ("price_cents", "650"),
        ("stock", "42"),
    ])
}
