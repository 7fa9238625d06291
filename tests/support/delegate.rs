//! Stores that change one step and delegate the others, by name, to another store.

/// The steps named behind the field that holds the other store.
macro_rules! delegate {
    ($within:ident: $($step:ident)+) => {
        $(delegate!(@ $within $step);)+
    };
    (@ $within:ident read) => {
        fn read(&self, data: &str) -> Result<cache_aside::store::Entry, cache_aside::store::Failure> {
            self.$within.read(data)
        }
    };
    (@ $within:ident read_with_ttl) => {
        fn read_with_ttl(
            &self,
            data: &str,
        ) -> Result<(cache_aside::store::Entry, cache_aside::TtlRemaining), cache_aside::store::Failure> {
            self.$within.read_with_ttl(data)
        }
    };
    (@ $within:ident acquire) => {
        fn acquire(
            &self,
            keys: &cache_aside::store::Keys,
            token: cache_aside::store::Token,
            lease_ttl: std::time::Duration,
            recheck: cache_aside::store::Recheck,
        ) -> Result<cache_aside::store::Acquire, cache_aside::store::Failure> {
            self.$within.acquire(keys, token, lease_ttl, recheck)
        }
    };
    (@ $within:ident refresh) => {
        fn refresh(
            &self,
            keys: &cache_aside::store::Keys,
            token: cache_aside::store::Token,
            lease_ttl: std::time::Duration,
            left: std::time::Duration,
        ) -> Result<cache_aside::store::Refresh, cache_aside::store::Failure> {
            self.$within.refresh(keys, token, lease_ttl, left)
        }
    };
    (@ $within:ident fill) => {
        fn fill(
            &self,
            keys: &cache_aside::store::Keys,
            token: cache_aside::store::Token,
            ttl: std::time::Duration,
            record: &cache_aside::store::Fields,
        ) -> Result<bool, cache_aside::store::Failure> {
            self.$within.fill(keys, token, ttl, record)
        }
    };
    (@ $within:ident keep) => {
        delegate!(@@ $within keep(token: cache_aside::store::Token, ttl: std::time::Duration));
    };
    (@ $within:ident release) => {
        delegate!(@@ $within release(token: cache_aside::store::Token));
    };
    (@ $within:ident back_off) => {
        delegate!(@@ $within back_off(token: cache_aside::store::Token, pause: std::time::Duration));
    };
    (@ $within:ident renew) => {
        delegate!(@@ $within renew(token: cache_aside::store::Token, lease_ttl: std::time::Duration));
    };
    (@ $within:ident invalidate) => {
        delegate!(@@ $within invalidate());
    };
    (@ $within:ident expire) => {
        delegate!(@@ $within expire(stay: std::time::Duration));
    };
    (@ $within:ident guard) => {
        delegate!(@@ $within guard(writer: cache_aside::store::Token, guard_ttl: std::time::Duration));
    };
    (@ $within:ident unguard) => {
        delegate!(@@ $within unguard(writer: cache_aside::store::Token));
    };
    (@ $within:ident update) => {
        fn update(
            &self,
            keys: &cache_aside::store::Keys,
            ttl: Option<cache_aside::store::NewTtl>,
            change: cache_aside::store::Change<'_>,
        ) -> Result<cache_aside::store::Update, cache_aside::store::Failure> {
            self.$within.update(keys, ttl, change)
        }
    };
    (@ $within:ident ttl) => {
        fn ttl(&self, data: &str) -> Result<cache_aside::TtlRemaining, cache_aside::store::Failure> {
            self.$within.ttl(data)
        }
    };
    (@ $within:ident ping) => {
        fn ping(&self) -> Result<(), cache_aside::store::Failure> {
            self.$within.ping()
        }
    };
    // Requests about the keys of a record, answered with yes or no.
    (@@ $within:ident $step:ident($($name:ident: $type:ty),*)) => {
        fn $step(
            &self,
            keys: &cache_aside::store::Keys,
            $($name: $type),*
        ) -> Result<bool, cache_aside::store::Failure> {
            self.$within.$step(keys, $($name),*)
        }
    };
}
pub(crate) use delegate;
