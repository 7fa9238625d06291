//! Threads that read and write through a proxy that mutates replies.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use cache_aside::{Cache, Redis};
use crossbeam::channel;

use crate::{
    args::Args,
    caches::{self, Bounds, Caches, SLACK, Setting},
    calls::Caller,
    mutate::{MUTATIONS, Mutation, Mutator},
    primary::Primary,
    progress,
    proxy::Proxy,
    random::Random,
    roles::Roles,
    support::{Server, alone},
    tally::{Tally, memory, panics},
};

/// Records of each cache. There are few, so that many calls meet at the same one.
const KEYS: u64 = 8;

/// Timeouts are longer than in single cases, because all threads share the machine.
const TIMES: u32 = 2;

/// Longer than a client waits for a reply.
const LATE: Duration = Duration::from_millis(130);

/// A run in which no reply is given for this long hangs: no wait in it exceeds some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often the progress is shown.
const GLANCE: Duration = Duration::from_millis(200);

pub(crate) struct Outcome {
    pub(crate) time: Duration,
    pub(crate) replies: u64,
    pub(crate) mutated: Vec<(Mutation, u64)>,
    pub(crate) tally: Tally,
    pub(crate) panics: u64,
    /// In bytes.
    pub(crate) growth: u64,
    pub(crate) noticed: u64,
    /// By the point of the reply.
    pub(crate) missed: BTreeMap<String, u64>,
}

struct Run {
    mutator: Arc<Mutator>,
    primary: Primary,
    tally: Tally,
    calls: AtomicU64,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, String> {
    let server = Server::try_start_on_port_with(&alone::NONE)?;
    let mutator = Arc::new(Mutator::new(args.seed, args.volume(), LATE));
    let interceptor = Arc::clone(&mutator);
    let proxy = Proxy::before(server.port(), interceptor).map_err(|error| error.to_string())?;
    proxy.play(Roles::default());
    let before = memory();
    // Fewer connections than threads, so that requests are also sent together.
    let setting = Setting {
        pool_size: args.threads.div_ceil(4),
        times: TIMES,
        near: true,
        ..Setting::default()
    };
    let plain = Setting {
        near: false,
        ..setting
    };
    let [two, three] = [("", plain), ("?protocol=resp3", setting)].map(|(protocol, setting)| {
        let url = format!("redis://127.0.0.1:{}{protocol}", proxy.port);
        build(&url, setting)
    });
    let (two, three) = (two?, three?);
    let run = Run {
        mutator: Arc::clone(&mutator),
        primary: Primary::default(),
        tally: Tally::default(),
        calls: AtomicU64::new(0),
    };
    let began = Instant::now();
    mutator.begin();
    thread::scope(|scope| {
        let (working, ended) = channel::bounded::<()>(0);
        for number in 0..args.threads {
            let redis = usize::from(number % 2 == 1);
            let (_, caches) = [&two, &three][redis];
            let (run, working) = (&run, working.clone());
            let random = Random::new(args.seed, 1 + u64::from(number));
            scope.spawn(move || {
                run.work(redis, caches, random);
                drop(working);
            });
        }
        drop(working);
        run.watch(args, &ended);
    });
    run.caller(0).timed("drop", SLACK, || drop((two, three)));
    let Run { tally, .. } = run;
    let mutated = MUTATIONS.into_iter().zip(&mutator.mutated);
    Ok(Outcome {
        time: began.elapsed(),
        replies: mutator.replies.load(SeqCst),
        mutated: mutated
            .map(|(mutation, count)| (mutation, count.load(SeqCst)))
            .collect(),
        tally,
        panics: panics(),
        growth: memory().saturating_sub(before),
        noticed: mutator.noticed.load(SeqCst),
        missed: mutator.missed.lock().clone(),
    })
}

fn build(url: &str, setting: Setting) -> Result<(Redis, Caches), String> {
    let built = caches::redis(url, setting).and_then(|redis| {
        let caches = Caches::on(&redis, setting)?;
        Ok((redis, caches))
    });
    built.map_err(|error| format!("{error:#}"))
}

impl Run {
    fn caller(&self, redis: usize) -> Caller<'_> {
        Caller {
            primary: &self.primary,
            redis,
            lies: false,
            tally: &self.tally,
            bounds: Bounds::of(Setting {
                times: TIMES,
                ..Setting::default()
            }),
            mutator: Some(&self.mutator),
        }
    }

    fn work(&self, redis: usize, caches: &Caches, mut random: Random) {
        let caller = self.caller(redis);
        while !self.mutator.is_done() {
            self.calls.fetch_add(1, SeqCst);
            // A record is in one cache only, because an invalidation is for one prefix.
            match &caches.near {
                Some(near) if random.one_in(3) => call(&caller, near, "near", &mut random),
                _ => call(&caller, &caches.plain, "plain", &mut random),
            }
        }
    }

    /// Shows the progress until all have ended. Ends the process if they hang.
    fn watch(&self, args: &Args, ended: &channel::Receiver<()>) {
        let (replies, _) = args.volume();
        let bar = progress::bar("reply", replies);
        let (mut seen, mut since) = (0, Instant::now());
        while ended.recv_timeout(GLANCE) == Err(channel::RecvTimeoutError::Timeout) {
            bar.set_position(self.mutator.replies.load(SeqCst));
            let calls = self.calls.load(SeqCst);
            if calls != seen {
                (seen, since) = (calls, Instant::now());
            }
            if since.elapsed() > PATIENCE {
                eprintln!("hostile: no call has ended for {PATIENCE:?}");
                std::process::exit(1);
            }
        }
    }
}

/// One call, mostly a lookup.
fn call(caller: &Caller<'_>, cache: &Cache, name: &str, random: &mut Random) {
    let mut id = || format!("{name}-{}", random.below(KEYS));
    let (one, other, third) = (id(), id(), id());
    match random.below(20) {
        0..12 => caller.get(cache, &one),
        12..15 => caller.get_many(cache, &[&one, &other, &third]),
        15 | 16 => caller.invalidate(cache, &one),
        17 => caller.write(cache, &one),
        18 => caller.update(cache, &one),
        _ => caller.expire(cache, &one),
    }
}
