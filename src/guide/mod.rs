//! The guide: one module for each chapter. The chapters are also Markdown files in `src/guide`,
//! which a git host shows.
//!
//! | chapter | after it you can |
//! |---|---|
//! | [Getting started](getting_started) | cache records of a database, test that, and see metrics |
//! | [Reading](reading) | choose how a lookup behaves |
//! | [Writing](writing) | choose the right call for each change of the primary |
//! | [Records](records) | cache your own types, and change their fields |
//! | [Freshness](freshness) | choose a TTL, and keep callers from waiting |
//! | [Near cache](near_cache) | keep records in the process |
//! | [Batches](batches) | read, invalidate or remove many records |
//! | [Tags](tags) | end many records at once, without knowing their ids |
//! | [Failures](failures) | know what each call does when something fails |
//! | [Operations](operations) | grant permissions, watch the cache, find out what is wrong |
//! | [Is my cache right?](audit) | have the cache compared with the primary, and act on a report |
//! | [Topologies](topologies) | use a cluster, Sentinel, TLS, or an address that moves |
//! | [Testing](testing) | test your code without a server |
//! | [Performance](performance) | estimate what the cache costs and saves |
//! | [Migration](migration) | move a program from another cache |
//! | [Design](design) | know how the protocol keeps its promises |
//! | [Limits](limits) | know what the cache does not promise |

// A chapter defines its links at its end, for the git host. `links.md` comes first and defines them
// for rustdoc: if a label has two definitions, Markdown takes the first. Doc tests do not include
// it, because their names contain the file and the line.
macro_rules! chapters {
    ($($name:ident: $file:literal),+ $(,)?) => {$(
        #[cfg_attr(not(doctest), doc = include_str!("links.md"))]
        #[cfg_attr(not(doctest), doc = "")]
        #[doc = include_str!($file)]
        pub mod $name {}
    )+};
}

chapters! {
    getting_started: "getting-started.md",
    reading: "reading.md",
    writing: "writing.md",
    records: "records.md",
    freshness: "freshness.md",
    near_cache: "near-cache.md",
    batches: "batches.md",
    tags: "tags.md",
    failures: "failures.md",
    operations: "operations.md",
    audit: "audit.md",
    topologies: "topologies.md",
    testing: "testing.md",
    performance: "performance.md",
    migration: "migration.md",
    design: "design.md",
    limits: "limits.md",
}
