//! One line of the table: readers, and a writer, for a number of reads.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use cache_aside::{Cache, Loaded, OutboxRelay};

use crate::{
    Outcome,
    args::Args,
    killed,
    outbox::{self, PostgresOutbox},
    servers::Servers,
    shop::{PRODUCTS, Product, Read, Shop},
    tally::{Counts, Tally},
};

/// The pause of the writer: some thirty writes a second.
const PAUSE: Duration = Duration::from_millis(30);

/// How much longer floors are kept than the replica should need.
const MARGIN: Duration = Duration::from_secs(1);

/// The pause of a reader, so that the servers have a share of a small machine.
const BREATH: Duration = Duration::from_micros(150);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Loads read the replica. The writer invalidates after its commit.
    Plain,
    /// Loads read the replica, with the position of its log as the version. The writer invalidates
    /// at its own position.
    Versions,
    /// Loads read the primary. Writers are killed between commit and invalidation.
    Killed,
    /// The same, and the writers use a unit of work. Their guards outlive them for a while.
    Unit,
    /// Writers are killed there, and the relay of the outbox does what they no longer can.
    Outbox,
}

impl Scenario {
    pub(crate) const ALL: [Scenario; 5] = [
        Scenario::Plain,
        Scenario::Versions,
        Scenario::Killed,
        Scenario::Unit,
        Scenario::Outbox,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Scenario::Plain => "lagging replica, invalidate",
            Scenario::Versions => "lagging replica, versions",
            Scenario::Killed => "killed writers",
            Scenario::Unit => "killed writers, unit of work",
            Scenario::Outbox => "killed writers, outbox",
        }
    }

    fn kills(self) -> bool {
        matches!(self, Scenario::Killed | Scenario::Unit | Scenario::Outbox)
    }
}

/// What all lines share.
pub(crate) struct Setup<'a> {
    pub(crate) args: &'a Args,
    pub(crate) servers: &'a Servers,
    pub(crate) redis: String,
    pub(crate) is_interrupted: Arc<AtomicBool>,
}

impl Setup<'_> {
    /// Runs one line.
    pub(crate) fn run(&self, scenario: Scenario, progress: impl Fn(u64) + Sync) -> Outcome<Counts> {
        // Each line has a cache of its own.
        let prefix = format!("{scenario:?}:").to_lowercase();
        let cache = self.cache(scenario, &prefix)?;
        let primary = &*self.servers.primary.socket;
        let relay = match scenario {
            Scenario::Outbox => {
                let outbox = PostgresOutbox::new(primary);
                let relay = Arc::new(OutboxRelay::builder(outbox).cache(&cache).start()?);
                outbox::listen(primary, &relay)?;
                Some(relay)
            }
            _ => None,
        };
        let tally = Tally::new(self.args.reads());
        let failures = thread::scope(|scope| {
            let readers = (0..self.args.threads).map(|number| {
                let (cache, tally) = (cache.clone(), &tally);
                scope.spawn(move || ending(tally, || self.read(scenario, &cache, number, tally)))
            });
            let mut threads: Vec<_> = readers.collect();
            threads.push(scope.spawn(|| {
                ending(&tally, || {
                    if scenario.kills() {
                        let redis = (scenario == Scenario::Unit).then_some(&*self.redis);
                        kill_writers(primary, &prefix, redis, &tally)
                    } else {
                        self.write(scenario, &cache, &prefix, &tally)
                    }
                })
            }));
            while !tally.is_over() {
                if self.is_interrupted.load(SeqCst) {
                    tally.end();
                }
                progress(tally.reads());
                thread::sleep(Duration::from_millis(20));
            }
            let ended = threads.into_iter().map(thread::ScopedJoinHandle::join);
            let failed = ended.map(|ended| ended.unwrap_or_else(|_| Err("a panic".into())));
            failed.filter_map(Result::err).collect::<Vec<_>>()
        });
        if let Some(failure) = failures.into_iter().next() {
            return Err(failure);
        }
        if self.is_interrupted.load(SeqCst) {
            return Err("interrupted".into());
        }
        if let Some(relay) = relay
            && !relay.flush(Duration::from_secs(5))
        {
            return Err("the relay does not empty the outbox".into());
        }
        if scenario != Scenario::Outbox {
            Shop::open(primary)?.forget_outbox()?;
        }
        Ok(tally.counts())
    }

    fn cache(&self, scenario: Scenario, prefix: &str) -> Outcome<Cache<Product>> {
        let builder = Cache::builder(&*self.redis).prefix(prefix);
        let builder = builder.ttl(self.args.ttl());
        Ok(match scenario {
            // Longer than the replica ever lags, also on a machine that is busy.
            Scenario::Versions => builder.versions(5 * self.args.lag() + MARGIN).build()?,
            _ => builder.build()?,
        })
    }

    /// Reads random products, and compares each with what must be there.
    fn read(
        &self,
        scenario: Scenario,
        cache: &Cache<Product>,
        number: u32,
        tally: &Tally,
    ) -> Outcome<()> {
        let mut primary = Shop::open(&self.servers.primary.socket)?;
        let mut replica = Shop::open(&self.servers.replica.socket)?;
        let mut load = |product, from_replica: bool| -> Result<_, postgres::Error> {
            tally.loaded(from_replica);
            if !from_replica {
                // Without a version: it counts as read from the primary.
                return primary.read(product).map(Loaded::new);
            }
            let Read { product, replayed } = replica.read_replica(product)?;
            Ok(Loaded::new(product).version(replayed))
        };
        let mut products = Products::new(number);
        while !tally.is_over() {
            let product = products.next();
            let least = tally.least(product);
            let options = cache.options();
            let found = match scenario {
                Scenario::Versions => options
                    .get_with_context(product, |context| load(product, !context.read_primary())),
                Scenario::Plain => options.get(product, |_| load(product, true)),
                Scenario::Killed | Scenario::Unit | Scenario::Outbox => {
                    options.get(product, |_| load(product, false))
                }
            }?;
            let version = found.record().ok_or("a product is gone")?.version;
            tally.read(product, version < least);
            thread::sleep(BREATH);
        }
        Ok(())
    }

    /// Changes random products, and invalidates each.
    fn write(
        &self,
        scenario: Scenario,
        cache: &Cache<Product>,
        prefix: &str,
        tally: &Tally,
    ) -> Outcome<()> {
        let mut shop = Shop::open(&self.servers.primary.socket)?;
        let mut products = Products::new(u32::MAX);
        while !tally.is_over() {
            let product = products.next();
            let committed = shop.change(prefix, product)?;
            match scenario {
                Scenario::Versions => cache.invalidate_at(product, committed.written)?,
                _ => cache.invalidate(product)?,
            };
            // From here on, everybody must get the new one.
            tally.wrote(product, committed.version);
            thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// Lets writers change random products, and kills each after its commit.
fn kill_writers(primary: &Path, cache: &str, redis: Option<&str>, tally: &Tally) -> Outcome<()> {
    let mut products = Products::new(u32::MAX);
    while !tally.is_over() {
        let product = products.next();
        let committed = |version| tally.wrote(product, version);
        killed::run_and_kill(primary, cache, product, redis, committed)?;
        thread::sleep(PAUSE);
    }
    Ok(())
}

/// Runs the work of a thread. If it fails, the others end too.
fn ending(tally: &Tally, work: impl FnOnce() -> Outcome<()>) -> Outcome<()> {
    let done = work();
    if done.is_err() {
        tally.end();
    }
    done
}

/// Random products, the same in each run.
struct Products(u64);

impl Products {
    fn new(seed: u32) -> Products {
        Products(u64::from(seed))
    }

    /// The generator of Knuth's MMIX. Its high bits are random enough for this.
    fn next(&mut self) -> u32 {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        let high = u32::try_from(self.0 >> 33).unwrap_or(0);
        1 + high % PRODUCTS
    }
}
