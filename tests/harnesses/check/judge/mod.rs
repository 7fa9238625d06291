//! The judge of a trace: whether a lookup returned a record from before an invalidation.
//!
//! Guarantees bounded memory, whatever the length of the trace. Where something that it has
//! forgotten could change the answer, the answer is *unknown*: neither *right* nor *refuted*.
//! Called by the tool and by its tests. Reads no files.
//!
//! # The rule
//!
//! A lookup that began after an invalidation of its record had returned is right only if its record
//! was loaded by a load that began after that invalidation began. The content of a record stands
//! for its loads: the lookup is right if *any* load of this content began late enough.
//!
//! # Why this is the promise
//!
//! The code that keeps the promise does it by one of these steps, and the rule holds in each case:
//!
//! - An invalidation ends the entry and the lease at one instant, between its begin and its return.
//!   A load that began earlier has the ended token, or none, so its fill is refused. A lookup that
//!   begins later gets another token, so it follows no such load. The end of a write, a guard, the
//!   replay of a pending invalidation and an update in place are such steps too.
//! - A load without Redis is shared only with lookups that began before it was registered.
//! - An update in place makes a content that counts as loaded when the entry was read: a change of
//!   the entry or its lease since is a conflict. An update that keeps the entry ends nothing.
//! - A written-through record counts as loaded when the closure of its write was called: whatever
//!   happened to the record since keeps it out of the cache. Its own write ends the record at the
//!   same instant.
//! - A reload that finds a record unchanged is a load of that content.
//! - A tag is a record of its own here. A lookup must respect the tags of its caller and cache, and
//!   those that the loads of its content have named. A `clear` is the same for a prefix. An update
//!   in place keeps the tags of the entry and the clock of its load: for tags, the new content
//!   counts as loaded when the one that was read was. If loads of one content name different tags,
//!   those count that all of them name, as far as they are kept.
//! - A near hit may be late by `near_staleness`, but not about invalidations of its own client.
//! - With `versions`, a load that may have read a replica must also have begun more than its lag
//!   after each invalidation, or have the version that the invalidation left as the floor.
//!
//! An invalidation that failed settles nothing until its replay. An `expire` ends nothing if there
//! is a grace. A lookup that failed or that skipped the cache is not judged. What Redis lost in a
//! failover is not excused.

mod answer;
pub(crate) mod floors;
pub(crate) mod line;
pub(crate) mod merge;
mod row;
mod rows;
mod rules;

#[allow(unused_imports, reason = "the tests use a part")]
pub(crate) use self::{
    row::Moment,
    rules::{Counts, Fault, Judge, Limits, Refutation},
};
