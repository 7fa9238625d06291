//! Which cases there are, and what the server of a case does.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;

use crate::{
    points::{self, Point, TOPOLOGIES, Topology},
    proxy::{Asked, Interceptor},
    random::Random,
    replies::{self, Wrong},
    scanner::is_one_reply,
    steps::Step,
};

/// How many cases a short run has. They end within 15 s in a debug build.
const SHORT: usize = 160;

/// All points and replies. Made once, and never freed: the proxies use them until the process ends.
pub(crate) struct Table {
    pub(crate) points: Vec<Point>,
    pub(crate) replies: Vec<Wrong>,
}

#[derive(Clone, Copy)]
pub(crate) struct Case {
    pub(crate) point: &'static Point,
    pub(crate) reply: &'static Wrong,
    pub(crate) topology: Topology,
}

impl Table {
    pub(crate) fn new() -> &'static Table {
        Box::leak(Box::new(Table {
            points: points::all(),
            replies: replies::all(),
        }))
    }

    fn cases(&'static self) -> impl Iterator<Item = Case> {
        let pairs = self.points.iter().flat_map(|point| {
            let topologies = TOPOLOGIES.iter().filter(|topology| point.is_on(**topology));
            topologies.map(move |topology| (point, *topology))
        });
        pairs.flat_map(|(point, topology)| {
            let case = move |reply| Case {
                point,
                reply,
                topology,
            };
            self.replies.iter().map(case)
        })
    }

    /// The cases of `--only`, whose parts may be `*`.
    pub(crate) fn only(&'static self, only: &str) -> Result<Vec<Case>, String> {
        let parts: Vec<_> = only.split('/').collect();
        let [point, reply, topology] = parts[..] else {
            return Err("--only: write POINT/REPLY/TOPOLOGY; see --list".to_owned());
        };
        let is = |wanted: &str, name: &str| ["*", name].contains(&wanted);
        let cases: Vec<_> = self
            .cases()
            .filter(|case| {
                is(point, case.point.name)
                    && is(reply, &case.reply.name)
                    && is(topology, case.topology.name())
            })
            .collect();
        if cases.is_empty() {
            return Err(format!("--only: there is no case {only}; see --list"));
        }
        Ok(cases)
    }

    /// All cases in a random order, or a sample of them in which each point and each reply occurs
    /// about equally often.
    pub(crate) fn shuffled(&'static self, seed: u64, short: bool) -> Vec<Case> {
        let mut random = Random::new(seed, 0);
        let mut cases: Vec<_> = self.cases().collect();
        for last in (1..cases.len()).rev() {
            cases.swap(last, random.index(last + 1));
        }
        if !short {
            return cases;
        }
        let mut sample = Vec::new();
        // One of each point, again and again.
        while sample.len() < SHORT {
            for point in &self.points {
                let at = cases.iter().position(|case| case.point.name == point.name);
                if let Some(at) = at {
                    sample.push(cases.swap_remove(at));
                }
            }
        }
        sample
    }
}

impl Case {
    pub(crate) fn name(&self) -> String {
        let Case {
            point,
            reply,
            topology,
        } = self;
        format!("{}/{}/{}", point.name, reply.name, topology.name())
    }

    /// Whether a read or a scan may get a valid reply that hides a record. Nobody can know that.
    pub(crate) fn lies(&self) -> bool {
        // A late page of a scan comes while the client waits for the next one. An empty list in the
        // place of the keys is a valid page.
        if self.point.name == "scan" {
            let lies = ["scan-keys-of-others", "again-late", "array-as-last"];
            return lies.contains(&&*self.reply.name);
        }
        let asked = Asked {
            connection: 0,
            point: "hgetall",
            words: &[],
            right: b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
            is_last: true,
            port: 1,
        };
        let steps = self.reply.make(&asked);
        let [Step::Send(bytes)] = &steps[..] else {
            return false;
        };
        let begins = |with: &[u8]| bytes.starts_with(with);
        let hides_record = begins(b"*") || begins(b"%") || begins(b"-WRONGTYPE");
        self.point.is("hgetall") && hides_record && is_one_reply(bytes)
    }
}

/// Gives the wrong reply of a case, while it is armed.
#[derive(Default)]
pub(crate) struct Arm {
    armed: Mutex<Option<Armed>>,
    hits: AtomicUsize,
    requests: AtomicUsize,
}

#[derive(Clone, Copy)]
struct Armed {
    case: Case,
    is_once: bool,
}

impl Arm {
    pub(crate) fn set(&self, case: Case, is_once: bool) {
        *self.armed.lock() = Some(Armed { case, is_once });
    }

    pub(crate) fn clear(&self) {
        *self.armed.lock() = None;
    }

    /// How often the wrong reply was given since the last call.
    pub(crate) fn take_hits(&self) -> usize {
        self.hits.swap(0, SeqCst)
    }

    /// How many requests came since the last call.
    pub(crate) fn take_requests(&self) -> usize {
        self.requests.swap(0, SeqCst)
    }
}

impl Interceptor for Arm {
    fn instead(&self, asked: &Asked<'_>) -> Option<Vec<Step>> {
        self.requests
            .fetch_add(usize::from(!asked.words.is_empty()), SeqCst);
        let case = {
            let mut armed = self.armed.lock();
            let Armed { case, is_once } = (*armed)?;
            if !case.point.is(asked.point) {
                let reads = case
                    .point
                    .reads
                    .clone()
                    .filter(|_| asked.point == "hgetall");
                return reads.map(|step| vec![step]);
            }
            if is_once && case.point.reads.is_none() {
                *armed = None;
            }
            case
        };
        self.hits.fetch_add(1, SeqCst);
        Some(case.reply.make(asked))
    }
}
