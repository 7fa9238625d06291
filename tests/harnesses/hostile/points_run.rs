//! Runs the cases: each builds caches, makes the calls that reach the point, and checks them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::ProgressBar;
use parking_lot::Mutex;

use crate::{
    args::Args,
    caches::{self, Bounds, Caches, SLACK},
    calls::Caller,
    cases::{Arm, Case, Table},
    primary::Primary,
    progress,
    proxy::Proxy,
    reach::{Ids, make},
    support::{Server, alone},
    tally::{Fault, Tally, memory, panics},
};

/// Longer than any bound of a call. Then the server becomes a good one, so that the call ends.
const GIVE_UP: Duration = Duration::from_secs(25);

/// More requests than the calls of a case need, even if each waits for a lease as long as it may.
const MOST_REQUESTS: usize = 2_000;

/// How long a reply with a pause is waited for.
const SETTLED: Duration = Duration::from_millis(200);

/// The outcome of all cases.
pub(crate) struct Outcome {
    pub(crate) cases: usize,
    pub(crate) time: Duration,
    pub(crate) tally: Tally,
    pub(crate) panics: u64,
    /// In bytes.
    pub(crate) growth: u64,
    /// How many cases have failed.
    pub(crate) failed: usize,
    /// How many requests one case has sent at most.
    pub(crate) most_requests: usize,
    /// The points that no case has reached.
    pub(crate) unreached: BTreeSet<&'static str>,
}

struct Run {
    cases: Vec<Case>,
    next: AtomicUsize,
    primary: Primary,
    tally: Tally,
    failed: AtomicUsize,
    bar: ProgressBar,
    most_requests: AtomicUsize,
    /// The points of the cases, and those that were reached.
    due: Mutex<BTreeSet<&'static str>>,
    reached: Mutex<BTreeSet<&'static str>>,
}

pub(crate) fn run(args: &Args) -> Result<Outcome, String> {
    let table = Table::new();
    let cases = match &args.only {
        Some(only) => table.only(only)?,
        None => table.shuffled(args.seed, args.short),
    };
    let workers: Result<Vec<_>, _> = (0..args.workers).map(|_| Worker::start()).collect();
    let workers = workers?;
    let bar = progress::bar("case", cases.len() as u64);
    let run = Run {
        cases,
        next: AtomicUsize::new(0),
        primary: Primary::default(),
        tally: Tally::default(),
        failed: AtomicUsize::new(0),
        bar,
        most_requests: AtomicUsize::new(0),
        due: Mutex::default(),
        reached: Mutex::default(),
    };
    let (began, before) = (Instant::now(), memory());
    thread::scope(|scope| {
        for worker in &workers {
            let run = &run;
            scope.spawn(move || {
                while let Some(case) = run.cases.get(run.next.fetch_add(1, SeqCst)) {
                    worker.do_case(run, *case);
                    run.bar.inc(1);
                }
            });
        }
    });
    let unreached = &*run.due.lock() - &*run.reached.lock();
    let Run {
        cases,
        tally,
        failed,
        most_requests,
        ..
    } = run;
    Ok(Outcome {
        cases: cases.len(),
        time: began.elapsed(),
        tally,
        panics: panics(),
        growth: memory().saturating_sub(before),
        failed: failed.into_inner(),
        most_requests: most_requests.into_inner(),
        unreached,
    })
}

/// A server with a proxy, for one case at a time.
struct Worker {
    _server: Server,
    proxy: Arc<Proxy>,
    arm: Arc<Arm>,
    /// When the present case is given up.
    deadline: Arc<Mutex<Option<Instant>>>,
}

impl Worker {
    fn start() -> Result<Worker, String> {
        let server = Server::try_start_on_port_with(&alone::NONE)?;
        let arm = Arc::new(Arm::default());
        let interceptor = Arc::clone(&arm);
        let proxy = Proxy::before(server.port(), interceptor).map_err(|error| error.to_string())?;
        let worker = Worker {
            _server: server,
            proxy: Arc::new(proxy),
            arm,
            deadline: Arc::default(),
        };
        let (proxy, arm) = (Arc::clone(&worker.proxy), Arc::clone(&worker.arm));
        let deadline = Arc::clone(&worker.deadline);
        thread::spawn(move || {
            loop {
                thread::sleep(Duration::from_millis(100));
                let is_over = deadline.lock().is_some_and(|at| Instant::now() >= at);
                if is_over {
                    arm.clear();
                    proxy.cut_all();
                }
            }
        });
        Ok(worker)
    }

    fn do_case(&self, run: &Run, case: Case) {
        let (tally, panicked) = (Tally::default(), panics());
        self.arm.take_hits();
        self.arm.take_requests();
        for is_once in [true, false] {
            *self.deadline.lock() = Some(Instant::now() + GIVE_UP);
            self.round(&run.primary, &tally, case, is_once);
            self.arm.clear();
            *self.deadline.lock() = None;
        }
        let requests = self.arm.take_requests();
        run.most_requests.fetch_max(requests, SeqCst);
        if requests > MOST_REQUESTS {
            tally.add(Fault::Busy, &format!("{requests} requests"));
        }
        let point = case.point.name;
        if self.arm.take_hits() > 0 {
            run.reached.lock().insert(point);
        }
        run.due.lock().insert(point);
        let mut violations = tally.violations();
        if panics() > panicked {
            violations.push("a panic, in this case or one beside it".to_owned());
        }
        run.tally.merge(&tally);
        if !violations.is_empty() {
            let name = case.name();
            let violations = violations.join("\n    ");
            run.failed.fetch_add(1, SeqCst);
            let text = format!("{name}\n    {violations}\n    alone: --points --only '{name}'");
            run.bar.suspend(|| eprintln!("{text}"));
        }
    }

    /// Builds caches and makes the calls. The wrong reply comes once, or each time.
    fn round(&self, primary: &Primary, tally: &Tally, case: Case, is_once: bool) {
        let Case {
            point, topology, ..
        } = case;
        let bounds = Bounds::of(point.setting);
        let caller = &Caller {
            primary,
            tally,
            bounds,
            redis: 0,
            lies: case.lies(),
            mutator: None,
        };
        self.proxy.play(point.roles(topology));
        if point.at_build {
            self.arm.set(case, is_once);
        }
        let url = point.url(topology, &self.proxy);
        let built = caller.timed("build", bounds.build(), || {
            caches::redis(&url, point.setting)
        });
        let redis = match built {
            Some(Ok(redis)) => redis,
            Some(Err(error)) if !point.at_build => {
                let text = format!("build failed without a wrong reply: {error:?}");
                return tally.add(Fault::Unanswered, &text);
            }
            _ => return,
        };
        if point.setting.near {
            self.arm.set(case, is_once);
        }
        let built = caller.timed("build", bounds.build(), || {
            Caches::on(&redis, point.setting)
        });
        let caches = match built {
            Some(Ok(caches)) => caches,
            Some(Err(error)) => {
                return tally.add(Fault::Unanswered, &format!("no cache was built: {error:?}"));
            }
            None => return,
        };
        let ids = Ids::new();
        if !point.at_build && !point.setting.near {
            caller.get_many(&caches.plain, &[&ids.one, &ids.other]);
            self.arm.set(case, is_once);
        }
        for call in point.calls {
            let settle = || self.proxy.settle(SETTLED);
            make(*call, caller, &caches, &ids, settle);
            settle();
        }
        self.arm.clear();
        self.proxy.settle(SETTLED);
        for id in ids.all() {
            caller.get(&caches.plain, id);
        }
        // No drop waits for the network.
        caller.timed("drop", SLACK, || drop((caches, redis)));
        for id in ids.all() {
            primary.forget(id);
        }
        // What a trickle still sends is for nobody.
        self.proxy.cut_all();
    }
}
