//! The kinds of misses, loads, audits and writes that events tell apart, and their names.

/// Why the first read of a lookup found no usable record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Miss {
    /// There was no entry.
    Absent,
    /// There was an entry, but not a record of this type.
    Unreadable,
    /// There was an entry of another [`schema`](crate::CacheBuilder::schema).
    OtherSchema,
    /// There was a record, but the lookup wanted a younger one:
    /// [`max_age`](crate::LookupOptions::max_age).
    TooOld,
    /// There was a record, but it was loaded before the latest invalidation of one of its
    /// [tags](crate::LookupOptions::tags), or under no tags.
    OlderThanTag,
    /// The store did not answer, or may hold an outdated record.
    Unanswered,
}

/// How a load ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Load {
    /// The loader returned a record.
    Found,
    /// The primary has no such record.
    NotFound,
    /// The loader returned an error.
    Failed,
    /// The loader panicked.
    Panicked,
}

/// A call that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Write {
    /// [`Cache::invalidate`](crate::Cache::invalidate).
    Invalidate,
    /// [`Cache::invalidate_at`](crate::Cache::invalidate_at).
    InvalidateAt,
    /// [`Cache::invalidate_many`](crate::Cache::invalidate_many), under the first id.
    InvalidateMany,
    /// [`Cache::invalidate_tag`](crate::Cache::invalidate_tag), under the tag.
    InvalidateTag,
    /// [`Cache::invalidate_tags`](crate::Cache::invalidate_tags), under the first tag.
    InvalidateTags,
    /// [`Cache::clear`](crate::Cache::clear), under no id.
    Clear,
    /// [`Cache::write`](crate::Cache::write).
    Write,
    /// [`Cache::write_many`](crate::Cache::write_many), under the first id.
    WriteMany,
    /// A [`UnitOfWork`](crate::UnitOfWork), for each of its caches under the first id.
    UnitOfWork,
    /// [`Cache::write_through`](crate::Cache::write_through).
    WriteThrough,
    /// [`Cache::expire`](crate::Cache::expire).
    Expire,
    /// [`Cache::expire_many`](crate::Cache::expire_many), under the first id.
    ExpireMany,
    /// [`Cache::update`](crate::Cache::update).
    Update,
    /// [`Cache::update_field`](crate::Cache::update_field).
    UpdateField,
}

/// How a sample of the [audit](crate::CacheBuilder::audit) ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Audited {
    /// The cached record is that of the primary.
    Consistent,
    /// The cached record differs from the primary, and nothing ended it within the
    /// [delay](crate::Audit::delay).
    Inconsistent,
    /// The two differed at first. After the delay the cached record had ended, or had been filled
    /// or changed, or the primary returned the same record.
    Unconfirmed,
    /// Nothing was compared: there was no fresh record of this cache's type and schema that lasts
    /// longer than the delay, or an invalidation of it is pending.
    Ended,
    /// Nothing was compared: too many samples wait, or
    /// [`max_loads`](crate::CacheBuilder::max_loads) are running, or an earlier sample of the same
    /// record waits for its next look.
    Skipped,
    /// The store or the loader failed, or the loaded record cannot be cached.
    Failed,
}

/// In what a cached record differs from the primary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Inconsistency {
    /// Both have a record, and these differ.
    Fields,
    /// A record is cached, and the primary has none.
    NotInPrimary,
    /// It is cached that the primary has no such record, and it has one.
    OnlyInPrimary,
}

/// Names in lower-case words, as the metrics use them.
macro_rules! named {
    ($type:ident: $($variant:ident $name:literal),+) => {
        impl $type {
            /// The name in lower-case words, as the metrics use it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $($type::$variant => $name,)+ }
            }
        }
    };
}

named! { Miss: Absent "absent", Unreadable "unreadable", OtherSchema "other_schema", TooOld "too_old", OlderThanTag "older_than_tag", Unanswered "unanswered" }
named! { Load: Found "found", NotFound "not_found", Failed "failed", Panicked "panicked" }
named! { Audited: Consistent "consistent", Inconsistent "inconsistent", Unconfirmed "unconfirmed", Ended "ended", Skipped "skipped", Failed "failed" }
named! { Inconsistency: Fields "fields", NotInPrimary "not_in_primary", OnlyInPrimary "only_in_primary" }
named! { Write: Invalidate "invalidate", InvalidateAt "invalidate_at", WriteThrough "write_through", InvalidateMany "invalidate_many", Clear "clear", InvalidateTag "invalidate_tag", InvalidateTags "invalidate_tags", Expire "expire", ExpireMany "expire_many", Write "write", WriteMany "write_many", UnitOfWork "unit_of_work", Update "update", UpdateField "update_field" }
