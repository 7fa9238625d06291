//! The setting for record types that change while programs run.

use super::CacheBuilder;
use crate::record::fields::Schema;

impl<R> CacheBuilder<R> {
    /// Sets the number of the record type's version. Set another number whenever the fields of the
    /// type change, or the meaning of a field. During a rolling deployment, old and new programs
    /// then share the keys, and never read each other's records.
    ///
    /// A record is cached with the number in an additional field, `__cache_aside_schema`. Other
    /// programs see it in the hash. A cache reads only entries with its own number. Any other entry
    /// is a [miss](crate::Miss::OtherSchema), and the next fill replaces it: an entry with another
    /// number, one without a number, and, for a cache without this setting, one with any number.
    /// [`update_field`](crate::Cache::update_field) and [`update`](crate::Cache::update) remove
    /// such an entry and return false. A cached "no such record" has no number: all programs read
    /// it.
    ///
    /// The key stays the same. So the invalidations of every program reach every entry. This also
    /// holds for programs without this setting, and for those with a version of this crate that
    /// does not know it: to them, an entry with a number is unreadable.
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use cache_aside::{Cache, Memory, Record, Source};
    /// let memory = Memory::new(10_000);
    /// let builder = Cache::builder(&memory).prefix("cache:product:");
    /// let old: Cache = builder.clone().schema(1).build()?; // the price is in cents
    /// let new: Cache = builder.schema(2).build()?; // the price is in euros
    ///
    /// let in_cents = |_: &str| Ok::<_, Infallible>(Some(Record::from([("price", "650")])));
    /// let in_euros = |_: &str| Ok::<_, Infallible>(Some(Record::from([("price", "6.50")])));
    /// old.get("p-001", in_cents)?;
    /// let found = new.get("p-001", in_euros)?;
    /// assert_eq!(found.source(), Source::Loaded);
    ///
    /// assert!(old.invalidate("p-001")?); // ends the entry of the new program
    /// assert!(new.peek("p-001")?.is_none());
    /// # Ok::<_, cache_aside::Error>(())
    /// ```
    ///
    /// # Cost
    ///
    /// No round trip, and one small field in each entry. While programs with two numbers run, each
    /// replaces the entries of the other. So a record that both read is loaded again: up to twice
    /// for each read by the side that reads less.
    /// [`other_schema_entries`](crate::Stats::other_schema_entries) counts such entries.
    ///
    /// Defaults to none.
    pub fn schema(mut self, number: u32) -> CacheBuilder<R> {
        self.settings.schema = Schema::new(number);
        self
    }
}
