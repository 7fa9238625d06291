//! Injects faults into the bytes between one process and the server of the cache. Most of the time
//! there are none.
//!
//! The fault schedule sets the faults, and the proxy asks for the fault of each piece that passes.
//! It keeps a log of the faults of requests, for a report.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use cache_aside::scripts;
use parking_lot::Mutex;
use redis::Script;

use crate::{
    plan::{Instant, TIMEOUT},
    proxy::{Direction, Fault, Faults},
    random::Random,
    wire::find,
};

/// The network faults of one process.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct WireFaults {
    /// Whether pieces are delayed a little or split, and connections are cut.
    pub(crate) rough: bool,
    /// Which pieces are held back until long after their client has given up, and then arrive.
    pub(crate) late: Option<Late>,
}

/// Which pieces are held back.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Late {
    /// Any piece of a request or a reply, now and then.
    Any,
    /// Most requests of these kinds, by their indices in [`NAMES`].
    Calls([usize; 2]),
}

/// The requests, with their names in a report, and their scripts. An update has none: it is a
/// transaction. It causes harm if it arrives late and is done. The second request prevents that.
pub(crate) const NAMES: [(&str, Option<&&str>); 10] = [
    ("update", None),
    ("invalidate", Some(&scripts::INVALIDATE)),
    ("acquire", Some(&scripts::ACQUIRE)),
    ("fill", Some(&scripts::FILL)),
    ("release", Some(&scripts::RELEASE)),
    ("renew", Some(&scripts::RENEW)),
    ("guard", Some(&scripts::GUARD)),
    ("unguard", Some(&scripts::UNGUARD)),
    ("invalidate_tags", Some(&scripts::INVALIDATE_TAGS)),
    ("read_tags", Some(&scripts::READ_TAGS)),
];

pub(crate) struct FaultInjector {
    process: usize,
    /// Whether there are no faults now. Most pieces then pass without the lock.
    is_calm: AtomicBool,
    wire_faults: Mutex<WireFaults>,
    log: Arc<Log>,
}

/// The recent faults of requests, in all processes.
pub(crate) struct Log {
    lines: Mutex<VecDeque<(Instant, String)>>,
    /// A word in each of the requests, and its name: the hash of its script, or the last command of
    /// a transaction.
    names: Vec<(String, &'static str)>,
}

impl FaultInjector {
    pub(crate) fn new(process: usize, log: Arc<Log>) -> FaultInjector {
        FaultInjector {
            process,
            is_calm: AtomicBool::new(true),
            wire_faults: Mutex::default(),
            log,
        }
    }

    pub(crate) fn activate(&self, wire_faults: WireFaults) {
        *self.wire_faults.lock() = wire_faults;
        self.is_calm.store(false, SeqCst);
    }

    pub(crate) fn clear(&self) {
        self.is_calm.store(true, SeqCst);
        *self.wire_faults.lock() = WireFaults::default();
    }

    fn late(
        &self,
        wire_faults: WireFaults,
        direction: Direction,
        piece: &[u8],
        random: &mut Random,
    ) -> Option<Fault> {
        let is_late = match wire_faults.late? {
            Late::Any => random.one_in(20),
            Late::Calls(names) => {
                direction == Direction::Request
                    && names
                        .iter()
                        .any(|name| find(piece, self.log.names[*name].0.as_bytes()).is_some())
                    && !random.one_in(4)
            }
        };
        let timeout = u64::try_from(TIMEOUT.as_millis()).expect("it is short");
        is_late.then(|| Fault::Delay(random.millis(timeout, 6 * timeout)))
    }
}

impl Faults for FaultInjector {
    fn fault(&self, direction: Direction, piece: &[u8], random: &mut Random) -> Option<Fault> {
        if self.is_calm.load(SeqCst) {
            return None;
        }
        let wire_faults = self.wire_faults.lock();
        let fault = self
            .late(*wire_faults, direction, piece, random)
            .or_else(|| {
                let rough = wire_faults.rough.then(|| random.below(48));
                match rough? {
                    0 => Some(Fault::Cut(random.index(piece.len() + 1))),
                    1..=3 => Some(Fault::Split(random.index(piece.len()), random.millis(0, 5))),
                    4..=7 => Some(Fault::Delay(random.millis(0, 20))),
                    _ => None,
                }
            })?;
        if direction == Direction::Request {
            self.log.note(self.process, &fault, piece);
        }
        Some(fault)
    }
}

impl Log {
    pub(crate) fn new() -> Log {
        let word = |script: Option<&&str>| match script {
            Some(text) => Script::new(text).get_hash().to_owned(),
            None => "EXEC".to_owned(),
        };
        let names = NAMES.map(|(name, script)| (word(script), name));
        Log {
            lines: Mutex::default(),
            names: names.into(),
        }
    }

    fn note(&self, process: usize, fault: &Fault, piece: &[u8]) {
        // About the number of faults in the last seconds of a burst.
        const LONGEST: usize = 2000;
        let how = match fault {
            Fault::Delay(delay) => format!("held back for {delay:.1?}"),
            Fault::Split(at, delay) => format!("held back after {at} bytes for {delay:.1?}"),
            Fault::Cut(at) => format!("cut after {at} bytes"),
        };
        let text = String::from_utf8_lossy(piece);
        // The words of the request, without the lengths of the wire protocol.
        let words = text
            .split("\r\n")
            .filter(|line| !line.starts_with(['*', '$']));
        let words = words.map(|word| {
            let known = self.names.iter().find(|(hash, _)| hash == word);
            known.map_or(word, |(_, name)| name)
        });
        let words: Vec<_> = words.collect();
        let shown: String = words.join(" ").chars().take(200).collect();
        let mut lines = self.lines.lock();
        if lines.len() == LONGEST {
            lines.pop_front();
        }
        lines.push_back((Instant::now(), format!("process {process}, {how}: {shown}")));
    }

    /// The recent faults of requests about this key.
    pub(crate) fn about(&self, key: &str) -> Vec<(Instant, String)> {
        let lines = self.lines.lock();
        let key = format!(":{key}");
        // `:k1` is not `:k12`.
        let concerns = |line: &str| {
            line.match_indices(&key).any(|(at, _)| {
                !line[at + key.len()..].starts_with(|next: char| next.is_ascii_digit())
            })
        };
        let concerned = lines.iter().filter(|(_, line)| concerns(line));
        concerned.cloned().collect()
    }
}
