//! One of the two stores, with its answers as text that can be compared.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use cache_aside::{
    TtlRemaining,
    store::{
        Acquire, Diff, Entry, Fields, Keys, NewTtl, Recheck, Refresh, Store, TagBounds, TagClock,
        TagKeys, TagValues, TaggedStore, Token,
    },
};

use super::step::{At, CLOCKS, Look, Pairs, Seen, Step, Tags, Ttl, Who};
use crate::environment::{Environment, keys, set};

const LONG: Duration = Duration::from_secs(1_000);
const LONGER: Duration = Duration::from_secs(100_000);
/// Over before the next step begins, which waits three times as long.
pub(super) const BRIEF: Duration = Duration::from_millis(2);

pub(super) struct Side {
    store: Arc<dyn Store>,
    keys: [Keys; 2],
    callers: [Token; 3],
    /// Names for tokens. Tokens that the store draws get a name at their first appearance.
    names: HashMap<Token, String>,
    last_nonce: Token,
    /// Of the tags, which are others in each case.
    namespace: String,
    /// How often each kind of answer was given.
    seen: BTreeMap<String, u32>,
}

impl Side {
    pub(super) fn on(environment: &Environment) -> Side {
        let token = Token::try_from("0".repeat(32)).unwrap();
        Side {
            store: Arc::clone(environment.store()),
            keys: [keys("0"), keys("1")],
            callers: [token; 3],
            names: HashMap::new(),
            last_nonce: token,
            namespace: String::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Switches to two unused records and three callers.
    pub(super) fn begin(&mut self, case: u64) {
        self.keys = [0, 1].map(|at| keys(&format!("{case}.{at}")));
        self.namespace = format!("test{case}");
        self.names.clear();
        self.callers = [0, 1, 2].map(|caller| self.named(&format!("{case}: caller {caller}")));
        self.last_nonce = self.named("nobody yet");
    }

    /// A token that both sides know.
    fn named(&mut self, name: &str) -> Token {
        let token = Token::try_from(format!("{name:.<32}")).unwrap();
        self.names.insert(token, name.to_owned());
        token
    }

    fn token(&self, who: Who) -> Token {
        match who {
            Who::One(caller) => self.callers[caller],
            Who::Nonce => self.last_nonce,
        }
    }

    fn name(&mut self, token: Token) -> String {
        let drawn = format!("drawn {}", self.names.len());
        self.names.entry(token).or_insert(drawn).clone()
    }

    /// Does a step, and describes its result.
    pub(super) fn play(&mut self, at: usize, step: &Step) -> String {
        let answer = self.answer(at, step);
        let kind = answer.split(['(', ',']).next().unwrap_or_default();
        let name = format!("{step:?}");
        let name = name.split('(').next().unwrap_or_default();
        *self.seen.entry(format!("{name} {kind}")).or_default() += 1;
        answer
    }

    fn answer(&mut self, at: usize, step: &Step) -> String {
        let store = Arc::clone(&self.store);
        let keys = self.keys.clone();
        match step {
            Step::Read(at) => told_entry(store.read(&keys[*at].data).unwrap()),
            Step::Left(at) => told_ttl(store.ttl(&keys[*at].data).unwrap()),
            Step::Acquire(at, who, ttl, recheck) => {
                let recheck = match *recheck {
                    Look::Never => Recheck::Never,
                    Look::Always => Recheck::Always,
                    Look::IfOver(left) => Recheck::IfOver(seen(left)),
                };
                self.acquire(&keys[*at], self.token(*who), *ttl, recheck)
            }
            Step::Refresh(at, who, ttl, left) => {
                let (token, left) = (self.token(*who), seen(*left));
                match store.refresh(&keys[*at], token, time(*ttl), left).unwrap() {
                    Refresh::Record(fields) => told_entry(Entry::Record(fields)),
                    other => format!("{other:?}"),
                }
            }
            Step::BackOff(at, who, ttl) => {
                told(store.back_off(&keys[*at], self.token(*who), time(*ttl)))
            }
            Step::Keep(at, who, ttl) => told(store.keep(&keys[*at], self.token(*who), time(*ttl))),
            Step::Fill(at, who, ttl, record) => {
                let (token, record) = (self.token(*who), fields(record));
                told(store.fill(&keys[*at], token, time(*ttl), &record))
            }
            Step::Load(at, who, ttl, record) => {
                let (token, record) = (self.token(*who), fields(record));
                let lease = self.acquire(&keys[*at], token, Ttl::Long, Recheck::Never);
                let filled = told(store.fill(&keys[*at], token, time(*ttl), &record));
                format!("{filled}, {lease}")
            }
            Step::Release(at, who) => told(store.release(&keys[*at], self.token(*who))),
            Step::Renew(at, who, ttl) => {
                let renewed = told(store.renew(&keys[*at], self.token(*who), time(*ttl)));
                self.settle(&keys[*at], *ttl, renewed)
            }
            Step::RenewAll(all) => {
                let lease = |(at, who): &(At, Who)| (keys[*at].clone(), self.token(*who));
                let leases: Vec<_> = all.iter().map(lease).collect();
                format!("{:?}", store.renew_all(&leases, LONG).unwrap())
            }
            Step::Expire(at, ttl) => told(store.expire(&keys[*at], time(*ttl))),
            Step::Invalidate(at) => told(store.invalidate(&keys[*at])),
            Step::InvalidateAll(all) => {
                let all: Vec<_> = all.iter().map(|at| &keys[*at]).collect();
                let done = store.invalidate_all(&all).unwrap();
                let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
                format!("{done:?}")
            }
            Step::Guard(key, who, ttl) => {
                let writer = self.writer(at, *who, *ttl);
                told(store.guard(&keys[*key], writer, time(*ttl)))
            }
            Step::Unguard(at, who) => told(store.unguard(&keys[*at], self.token(*who))),
            Step::UpdateField(at, name, value, ttl) => {
                let ttl = ttl.map(new_ttl);
                told(store.update(&keys[*at], ttl, &mut |_| Some(set(name, value.as_bytes()))))
            }
            Step::Update(key, diff, ttl, meanwhile) => {
                let mut seen = "not asked".to_owned();
                let mut change = |old: Fields| {
                    let other = meanwhile.as_deref().map(|step| self.play(at, step));
                    let old = told_entry(Entry::Record(old));
                    seen = format!("saw {old}, meanwhile {other:?}");
                    diff.as_ref().map(|(set, removed)| Diff {
                        set: fields(set),
                        removed: removed.iter().map(|&name| name.into()).collect(),
                    })
                };
                let done = store.update(&keys[*key], ttl.map(new_ttl), &mut change);
                format!("{}, {seen}", told(done))
            }
            Step::Under([clock, oldest, known], step) => {
                let [clock, oldest, known] = [clock, oldest, known].map(|&at| clock_at(at));
                let bounds = TagBounds {
                    clock,
                    oldest,
                    known,
                };
                self.keys = keys.clone().map(|keys| keys.under_tags(bounds));
                let answer = self.play(at, step);
                self.keys = keys;
                answer
            }
            Step::ReadTags(tags) => self.read_tags(tags),
            Step::KeepTags(tags) => {
                let keys = self.tag_keys(tags);
                told(tagged(&store).keep_tags(&keys, LONG))
            }
            Step::EndTags(tags, lags) => {
                let keys = self.tag_keys(tags);
                let lag = lags.then_some(LONG);
                told(tagged(&store).invalidate_tags(&keys, LONG, lag))
            }
        }
    }

    fn tag_keys(&self, tags: &Tags) -> TagKeys {
        TagKeys::of(&self.namespace, tags).unwrap()
    }

    /// The epochs of the two sides differ, and there is one of each case.
    fn read_tags(&self, tags: &Tags) -> String {
        let keys = self.tag_keys(tags);
        let read = tagged(&self.store).read_tags(&keys, LONG).unwrap();
        let TagValues {
            clock,
            tags,
            has_floor,
        } = read;
        assert!(tags.iter().all(|tag| tag.has_epoch_of(clock)));
        let values = [clock].into_iter().chain(tags);
        let counts = values.map(|value| value.to_string()[33..].parse::<u64>().unwrap());
        format!("{:?}, {has_floor}", counts.collect::<Vec<_>>())
    }

    fn acquire(&mut self, keys: &Keys, token: Token, ttl: Ttl, recheck: Recheck) -> String {
        match self.store.acquire(keys, token, time(ttl), recheck).unwrap() {
            Acquire::Record(fields) => told_entry(Entry::Record(fields)),
            Acquire::Acquired(_) => "Acquired".to_owned(),
            Acquire::Held { by, left } => {
                let by = by.map(|token| self.name(token));
                format!("Held({by:?}, {})", told_left(left))
            }
            Acquire::Guarded { nonce, .. } => {
                self.last_nonce = nonce;
                let name = self.name(nonce);
                format!("Guarded({name})")
            }
        }
    }

    /// A writer whose place lapses is a new one. A writer that shortens its own place, which no
    /// cache does, leaves a guard on Redis. That guard is seen to have lapsed only at the next
    /// request.
    fn writer(&mut self, at: usize, who: Who, ttl: Ttl) -> Token {
        match ttl {
            Ttl::Brief => self.named(&format!("{at}: brief writer")),
            Ttl::Long | Ttl::Longer => self.token(who),
        }
    }

    /// So this sends a request after a renewal that shortens.
    fn settle(&mut self, keys: &Keys, ttl: Ttl, answer: String) -> String {
        if !matches!(ttl, Ttl::Brief) {
            return answer;
        }
        std::thread::sleep(3 * BRIEF);
        let asker = self.named("asker");
        let told = self.acquire(keys, asker, Ttl::Long, Recheck::Never);
        let released = self.store.release(keys, asker).unwrap();
        format!("{answer}, then {told}, {released}")
    }

    /// The visible state.
    pub(super) fn look(&mut self) -> String {
        let keys = self.keys.clone();
        let looks = keys.iter().map(|keys| {
            let entry = told_entry(self.store.read(&keys.data).unwrap());
            let left = told_ttl(self.store.ttl(&keys.data).unwrap());
            let (same, time) = self.store.read_with_ttl(&keys.data).unwrap();
            assert_eq!(
                (told_entry(same), told_ttl(time)),
                (entry.clone(), left.clone())
            );
            let asker = self.named("the last to ask");
            let lease = self.acquire(keys, asker, Ttl::Long, Recheck::Never);
            format!("{entry}, {left}, {lease}")
        });
        looks.collect::<Vec<_>>().join("; ")
    }

    /// Asserts that the sequences covered each kind of answer.
    pub(super) fn assert_all_was_seen(&self) {
        let all = [
            "Read Record",
            "Read Absent",
            "Acquire Record",
            "Acquire Acquired",
            "Acquire Held",
            "Acquire Guarded",
            "Refresh Record",
            "Refresh Acquired",
            "Refresh Taken",
            "BackOff true",
            "BackOff false",
            "Keep true",
            "Keep false",
            "Expire true",
            "Expire false",
            "Load true",
            "Fill true",
            "Fill false",
            "Release true",
            "Renew true",
            "Renew false",
            "Invalidate true",
            "Guard true",
            "Unguard true",
            "UpdateField Changed",
            "UpdateField Unchanged",
            "Update Changed",
            "Update Unchanged",
            "Update Conflict",
            "Under Record",
            "Under Acquired",
            "Under Held",
            "Under Guarded",
            "Under Taken",
        ];
        for kind in all {
            assert!(
                self.seen.contains_key(kind),
                "never {kind}: {:?}",
                self.seen
            );
        }
    }
}

fn tagged(store: &Arc<dyn Store>) -> &dyn TaggedStore {
    store.tagged().expect("both keep tags")
}

fn clock_at(at: usize) -> TagClock {
    TagClock::parse(CLOCKS[at].as_bytes()).unwrap()
}

fn time(ttl: Ttl) -> Duration {
    match ttl {
        Ttl::Long => LONG,
        Ttl::Longer => LONGER,
        Ttl::Brief => BRIEF,
    }
}

fn seen(seen: Seen) -> Duration {
    match seen {
        Seen::Nothing => Duration::ZERO,
        Seen::Much => 2 * LONG,
        Seen::More => 2 * LONGER,
    }
}

fn new_ttl((ttl, if_over): (Ttl, Seen)) -> NewTtl {
    NewTtl {
        ttl: time(ttl),
        if_over: seen(if_over),
    }
}

fn fields(pairs: &Pairs) -> Fields {
    let field = |(name, value): &(&str, &str)| ((*name).into(), (*value).into());
    pairs.iter().map(field).collect()
}

fn told<T: std::fmt::Debug, E: std::fmt::Debug>(answer: Result<T, E>) -> String {
    format!("{:?}", answer.unwrap())
}

fn told_entry(entry: Entry) -> String {
    match entry {
        Entry::Record(fields) => {
            let text = |bytes| String::from_utf8(bytes).unwrap();
            let pairs = fields.into_iter();
            let mut pairs: Vec<_> = pairs
                .map(|(name, value)| (text(name), text(value)))
                .collect();
            // A hash has no order.
            pairs.sort_unstable();
            format!("Record({pairs:?})")
        }
        other => format!("{other:?}"),
    }
}

fn told_ttl(ttl: TtlRemaining) -> String {
    ttl.left()
        .map_or(format!("{ttl:?}"), |left| told_left(left).to_owned())
}

/// Which of the two far times it comes from.
fn told_left(left: Duration) -> &'static str {
    assert!(left > LONG / 2, "nothing brief is left: {left:?}");
    if left > 2 * LONG { "longer" } else { "long" }
}
