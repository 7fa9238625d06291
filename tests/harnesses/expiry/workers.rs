//! The readers of one process: its threads and its caches. Called by each child; knows nothing of
//! other processes.

use std::{
    cell::Cell,
    io, mem,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

use cache_aside::{Backend, Cache, Error, Event, LoadingCache, Lookup, Record, Redis};
use rand::{Rng, SeedableRng, rngs::StdRng};

use crate::{
    broken::Broken,
    instant::Instant,
    plan::{How, LEASE_TTL, Load, Plan, Read, Run},
};

/// Longer than any run, so that no record expires in its grace.
const GRACE: Duration = Duration::from_secs(3600);

/// Long enough that a busy machine is not taken for a silent Redis.
const PATIENCE: Duration = Duration::from_secs(10);

thread_local! {
    /// The latest load of this thread.
    static LOAD: Cell<Option<Load>> = const { Cell::new(None) };
}

/// The reloads by threads of the cache, which are no reads.
type Reloads = Arc<Mutex<Vec<Read>>>;

/// One process's part of the runs.
pub(crate) struct Workers {
    plan: Plan,
    /// The number of this process.
    process: u64,
    redis: Redis,
}

/// The part of one process in one run.
struct Hot<'a> {
    plan: &'a Plan,
    cache: Cache,
    /// The cache with a loader of its own, in the run that needs it.
    loading: Option<LoadingCache>,
    id: String,
    /// When the primary fails.
    outage: Option<(Instant, Instant)>,
}

impl Workers {
    /// Connects to Redis.
    pub(crate) fn new(plan: Plan, process: u64) -> Result<Workers, String> {
        let redis = Redis::builder(&*plan.url)
            .io_timeout(PATIENCE)
            .checkout_timeout(PATIENCE)
            .require_connection(true)
            .build()
            .map_err(|error| format!("{error:#}"))?;
        Ok(Workers {
            plan,
            process,
            redis,
        })
    }

    /// Does one run. `ready` is called when this process could begin. It returns when all processes
    /// begin.
    pub(crate) fn run(
        &self,
        number: usize,
        ready: impl FnOnce() -> Result<Instant, String>,
    ) -> Result<Vec<Read>, String> {
        let plan = &self.plan;
        let run = plan.runs[number];
        let reloads = Reloads::default();
        let cache = self.cache(run, &reloads)?;
        let time = plan.load;
        let loading = cache.loading(move |_| timed(|| load(time, None)));
        let mut hot = Hot {
            plan,
            cache,
            loading: (run == Run::Background).then_some(loading),
            id: Run::id(number),
            outage: None,
        };
        // The cache must have seen a load of some record, so that it knows the time of a load.
        let apart = hot.cache.options().skip_cache(true);
        apart
            .get("another", |_| load(plan.load, None))
            .map_err(|error| format!("{error:#}"))?;
        let mut all = vec![hot.read()?];

        let start = ready()?;
        if run.is_failing() {
            let (from, to) = plan.outage();
            hot.outage = Some((start.after(from), start.after(to)));
        }
        let end = start.after(plan.time);
        let hot = &hot;
        let read_by_all = crossbeam::scope(|scope| {
            let threads: Result<Vec<_>, _> = (0..plan.threads)
                .map(|thread| {
                    let seed = self.process << 32 | u64::from(thread);
                    let rng = StdRng::seed_from_u64(seed);
                    scope.builder().spawn(move |_| hot.read_until(end, rng))
                })
                .collect();
            let threads = threads.map_err(|error| format!("a thread does not start: {error}"))?;
            threads
                .into_iter()
                .map(|thread| thread.join().map_err(|_| "a reader panicked".to_owned())?)
                .collect::<Result<Vec<_>, String>>()
        })
        // Every thread was joined, or an error is already being returned.
        .unwrap_or_else(|_| Err("a reader panicked".to_owned()))?;
        all.extend(read_by_all.into_iter().flatten());
        if let Some(loading) = &hot.loading
            && !loading.shutdown(PATIENCE)
        {
            return Err("a thread of the cache does not end".to_owned());
        }
        let mut reloads = reloads.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend(mem::take(&mut *reloads));
        Ok(all)
    }

    fn cache(&self, run: Run, reloads: &Reloads) -> Result<Cache, String> {
        let backend = match self.plan.broken {
            None => Backend::from(&self.redis),
            Some(rule) => {
                let within = self.redis.store();
                Backend::new(Arc::new(Broken { within, rule }))
            }
        };
        let builder = Cache::builder(backend)
            .prefix(&self.plan.prefix)
            .lease_ttl(LEASE_TTL)
            .ttl(self.plan.ttl);
        let builder = match run {
            Run::Plain | Run::PlainFailing => builder,
            Run::Early => builder.early_refresh(1.0),
            Run::Grace | Run::GraceFailing => builder.grace(GRACE),
            Run::Background => builder.grace(GRACE).observer(recorder(reloads)),
        };
        builder.build().map_err(|error| format!("{error:#}"))
    }
}

impl Hot<'_> {
    /// One reader.
    fn read_until(&self, end: Instant, mut rng: StdRng) -> Result<Vec<Read>, String> {
        let plan = self.plan;
        // Random pauses. On average, all readers together read as often as they should.
        let longest = Duration::from_secs(2) * plan.readers() / plan.reads;
        let mut reads = Vec::new();
        loop {
            thread::sleep(rng.random_range(Duration::ZERO..=longest));
            if Instant::now() >= end {
                return Ok(reads);
            }
            reads.push(self.read()?);
        }
    }

    fn read(&self) -> Result<Read, String> {
        LOAD.set(None);
        let began = Instant::now();
        let found = self.find();
        let answered = Instant::now();
        let how = match found {
            Ok(found) => How::of(found.source()).ok_or_else(|| match found.degraded_cause() {
                Some(why) => format!("a read was degraded: {why:#}"),
                None => format!("a read was answered as {}", found.source()),
            })?,
            Err(Error::Loader(_)) => How::Failed,
            Err(error) => return Err(format!("{error:#}")),
        };
        Ok(Read {
            began,
            answered,
            how,
            load: LOAD.take(),
        })
    }

    fn find(&self) -> Result<Lookup<Record>, Error> {
        if let Some(loading) = &self.loading {
            return loading.get(&self.id);
        }
        let load = |_: &str| timed(|| load(self.plan.load, self.outage));
        self.cache.get(&self.id, load)
    }
}

/// Records each reload by a thread of the cache. The event comes after the fill, on that thread.
fn recorder(reloads: &Reloads) -> impl Fn(&str, &Event<'_>) + Send + Sync + use<> {
    let reloads = Arc::clone(reloads);
    move |_: &str, event: &Event<'_>| {
        if matches!(event, Event::Refreshed { .. } | Event::RefreshFailed { .. })
            && let Some(load) = LOAD.take()
        {
            let mut reloads = reloads.lock().unwrap_or_else(PoisonError::into_inner);
            reloads.push(Read {
                began: load.began,
                answered: Instant::now(),
                how: How::Background,
                load: Some(load),
            });
        }
    }
}

/// Runs a load, and notes it for its thread.
fn timed(load: impl FnOnce() -> io::Result<Option<Record>>) -> io::Result<Option<Record>> {
    let began = Instant::now();
    let record = load();
    LOAD.set(Some(Load {
        began,
        ended: Instant::now(),
        succeeded: record.is_ok(),
    }));
    record
}

/// The primary, which takes this time, and fails from one instant to another.
fn load(time: Duration, outage: Option<(Instant, Instant)>) -> io::Result<Option<Record>> {
    let asked = Instant::now();
    thread::sleep(time);
    match outage {
        Some((from, to)) if (from..to).contains(&asked) => {
            Err(io::Error::other("the primary is down"))
        }
        _ => Ok(Some(Record::from([
            ("name", "Sourdough Loaf"),
            ("price_cents", "650"),
            ("stock", "42"),
        ]))),
    }
}
