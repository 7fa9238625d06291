//! The store in memory, with faults.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use cache_aside::{
    Backend, Memory, TtlRemaining,
    store::{
        Acquire, Change, Entry, Failure, FailureKind, Fields, Keys, NewTtl, Recheck, Refresh,
        Store, Token, Update,
    },
};

/// The store in memory, with faults.
pub(crate) struct Faulty {
    within: Arc<dyn Store>,
    /// Invalidations fail.
    pub(crate) refuses: AtomicBool,
    /// No request is answered.
    pub(crate) silent: AtomicBool,
    /// The next ping or renewal panics.
    pub(crate) panics: AtomicBool,
    /// The reply to the next refresh is lost.
    pub(crate) loses: AtomicBool,
    /// No record is stored, for this reason.
    pub(crate) fills_nothing: Mutex<Option<FailureKind>>,
}

impl Faulty {
    pub(crate) fn new() -> Arc<Faulty> {
        Arc::new(Faulty {
            within: Memory::new(100_000).store(),
            refuses: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            panics: AtomicBool::new(false),
            loses: AtomicBool::new(false),
            fills_nothing: Mutex::new(None),
        })
    }

    fn answer(&self) -> Result<(), Failure> {
        if self.silent.load(SeqCst) {
            return Err(Failure::new(FailureKind::Unavailable, "no answer"));
        }
        Ok(())
    }

    fn panic_once(&self) {
        assert!(!self.panics.swap(false, SeqCst), "the store's own");
    }
}

impl Store for Faulty {
    fn read(&self, data: &str) -> Result<Entry, Failure> {
        self.answer()?;
        self.within.read(data)
    }

    fn acquire(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        recheck: Recheck,
    ) -> Result<Acquire, Failure> {
        self.answer()?;
        self.within.acquire(keys, token, lease_ttl, recheck)
    }

    fn fill(
        &self,
        keys: &Keys,
        token: Token,
        ttl: Duration,
        record: &Fields,
    ) -> Result<bool, Failure> {
        self.answer()?;
        let fails = *self.fills_nothing.lock().unwrap();
        if let Some(kind) = fails.filter(|_| !record.is_empty()) {
            return Err(Failure::new(kind, "the record was not stored"));
        }
        self.within.fill(keys, token, ttl, record)
    }

    fn read_with_ttl(&self, data: &str) -> Result<(Entry, TtlRemaining), Failure> {
        self.answer()?;
        self.within.read_with_ttl(data)
    }

    fn refresh(
        &self,
        keys: &Keys,
        token: Token,
        lease_ttl: Duration,
        left: Duration,
    ) -> Result<Refresh, Failure> {
        self.answer()?;
        let done = self.within.refresh(keys, token, lease_ttl, left);
        if self.loses.swap(false, SeqCst) {
            return Err(Failure::new(FailureKind::Unavailable, "no answer"));
        }
        done
    }

    fn back_off(&self, keys: &Keys, token: Token, pause: Duration) -> Result<bool, Failure> {
        self.answer()?;
        self.within.back_off(keys, token, pause)
    }

    fn expire(&self, keys: &Keys, stay: Duration) -> Result<bool, Failure> {
        self.answer()?;
        self.within.expire(keys, stay)
    }

    fn release(&self, keys: &Keys, token: Token) -> Result<bool, Failure> {
        self.answer()?;
        self.within.release(keys, token)
    }

    fn renew(&self, keys: &Keys, token: Token, lease_ttl: Duration) -> Result<bool, Failure> {
        self.panic_once();
        self.answer()?;
        self.within.renew(keys, token, lease_ttl)
    }

    fn invalidate(&self, keys: &Keys) -> Result<bool, Failure> {
        self.answer()?;
        if self.refuses.load(SeqCst) {
            return Err(Failure::new(FailureKind::Rejected, "not today"));
        }
        self.within.invalidate(keys)
    }

    fn guard(&self, keys: &Keys, writer: Token, guard_ttl: Duration) -> Result<bool, Failure> {
        self.answer()?;
        self.within.guard(keys, writer, guard_ttl)
    }

    fn unguard(&self, keys: &Keys, writer: Token) -> Result<bool, Failure> {
        self.answer()?;
        self.within.unguard(keys, writer)
    }

    fn update(
        &self,
        keys: &Keys,
        ttl: Option<NewTtl>,
        change: Change<'_>,
    ) -> Result<Update, Failure> {
        self.answer()?;
        self.within.update(keys, ttl, change)
    }

    fn ttl(&self, data: &str) -> Result<TtlRemaining, Failure> {
        self.answer()?;
        self.within.ttl(data)
    }

    fn ping(&self) -> Result<(), Failure> {
        self.panic_once();
        self.answer()
    }
}

pub(crate) fn backend(store: &Arc<Faulty>) -> Backend {
    Backend::new(Arc::clone(store) as Arc<dyn Store>)
}
