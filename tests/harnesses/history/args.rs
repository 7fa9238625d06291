//! The command line: flags, defaults, help texts, and one clear line for a wrong flag.

use std::{path::PathBuf, time::Duration};

use clap::Parser;

use crate::{audit::AuditPlan, broken::Break, fault_schedule::Only};

/// A harness of this project's tests, not an example to copy. It reads and writes a few records
/// from many processes at once, and checks every lookup
#[derive(Debug, Parser)]
#[command(
    name = "history",
    after_help = "\
The promise: a lookup that starts after a write's invalidation returned never returns anything older than
that write. A second Redis stands for the primary store; it counts versions, and remembers the newest one
of each record whose invalidation has returned. Each lookup asks for that number before it begins.

Both servers are private, started on free ports and ended after the run. Each process reaches the cache's
one through a proxy that delays, splits, cuts and holds back what passes; the server itself is stopped,
paused and emptied.

With `--cluster` the cache's store is a private cluster of three masters and their replicas. Its nodes say themselves
where they are, so there are no proxies; masters are killed, stopped and replaced, and slots are moved. Redis may
lose in a failover what it had acknowledged: a stale answer after one is counted. With `--wait` none is allowed.

With `--moving-address` two servers swap their roles every few seconds, and the address that all processes use is moved to
the new master. The former one stays up, and so do the connections to it. Writes are paused until the new one has all. A
process must be right at once about what it wrote itself, and about everything within one second after the move: stale answers
of other processes within that second are counted, and any other is a violation.

With `--clock-steps` the clock of the cache's server is set back or forward by an hour every few seconds, and each time leases
and guards of dead processes are left behind. Redis keeps expiry as an instant of that clock. No lookup may take longer than four
seconds, less than half of its wait timeout.

With `--replica` loaders read a replica of the primary that lags by up to 300 ms, except where they must read the primary. The
server is not emptied: without the floors, nobody knows that a replica is too old.

With `--tags` each record shows the versions of some rows, and is under a tag for each of them: tags of the caller in two caches,
tags of the loader in a third. Writers change rows and invalidate their tags. A lookup that starts after that never returns a record
that was loaded before it under one of these tags. Now and then the server loses the clock of the tags, or a tag.

With `--kill-writers` further processes write some records in a unit of work, and are killed after their commit. One second
later, every lookup must find what they committed: their guards keep what is older out of the cache. The server is not emptied,
because a guard that is lost protects nothing.

With `--audit` each process compares one hit in a hundred with the primary, in storms of writes and the quiet between them. A report
ends the run. With a broken protocol, stale answers do not end it: the audit must find what they leave in the cache. `single-flight`
and `tag-join` leave nothing there, because what an old load found is returned to those who wait for it, and not cached. Nor does
`clock`, with which lookups wait too long. So no audit can find these three. `through`, `nonce` and `watch` seldom leave something.

Ends with 0 if all was well, with 1 after a violation, and with 2 if the run could not be done.

Command lines, each after `cargo run --release --example history --`:
  --processes 4 --threads 8 --operations 1000000    a long run
  --calm --seconds 5                                without faults
  --break fill                                      what it finds where the protocol is broken
  --near                                            with near caches
  --grace                                           with grace and early refresh
  --replica                                         with loaders that read a replica of the primary that lags
  --record trace.jsonl --seconds 10                 and an event log (cargo run --features event-log …)
  --kill-writers --operations 300000                with writers that die after their commit
  --tags --near                                     with records under tags, near caches in every second process
  --audit --pace 20000 --operations 1000000         with audits, which must report nothing
  --audit --calm --break fill                       what an audit finds
  --schemas                                         with two record types, as in a rolling deployment
  --clock-steps --operations 300000                 with a server whose clock is stepped by an hour
  --moving-address --operations 100000              with an address that leads to another server by and by
  --cluster --wait --seconds 60                     on a cluster (cargo run --features cluster …)"
)]
#[expect(clippy::struct_excessive_bools, reason = "flags are")]
pub(crate) struct Args {
    /// Processes, each with its own cache
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=32))]
    pub(crate) processes: u32,

    /// Threads in each process
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=500))]
    pub(crate) threads: u32,

    /// Lookups and writes in total [default: 200000, or as many as there is time for]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    operations: Option<u64>,

    /// At most this many of them a second, all threads together [default: as many as the machine does]
    #[arg(long, value_name = "N", conflicts_with = "audit", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,

    /// Records; with fewer of them, more operations meet at the same one
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(crate) keys: u32,

    /// One operation in this many is a write, at random; the others are lookups [default: 8, or 2 in
    /// the storms of a run with audits]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    operations_per_write: Option<u64>,

    /// End after this many seconds
    #[arg(long, value_name = "N")]
    pub(crate) seconds: Option<u64>,

    /// Inject faults (the default)
    #[arg(long, conflicts_with = "calm")]
    faults: bool,

    /// Inject no faults
    #[arg(long)]
    calm: bool,

    /// Serve records past their TTL while one caller reloads them, and reload them early
    #[arg(long)]
    pub(crate) grace: bool,

    /// Give every second process another schema
    #[arg(long)]
    pub(crate) schemas: bool,

    /// Keep near caches in every process; a near hit may be 50 ms late, except for the writes of
    /// its own process
    #[arg(long)]
    near: bool,

    /// Move the address between two servers every few seconds
    #[arg(long, conflicts_with_all = ["cluster", "broken"])]
    pub(crate) moving_address: bool,

    /// Step the clock of the server by an hour every few seconds
    #[arg(long, conflicts_with_all = ["cluster", "moving_address"])]
    clock_steps: bool,

    /// Put all records under tags, which writers invalidate. With `--near`, every second process
    /// keeps near caches
    #[arg(long, conflicts_with_all = ["moving_address", "clock_steps", "replica", "kill_writers", "schemas"])]
    tags: bool,

    /// Let loaders read a replica of the primary that lags by up to 300 ms, except where they must
    /// read the primary
    #[arg(long)]
    replica: bool,

    /// Kill some writers after the commit of their unit of work, before they tell the cache
    #[arg(long, conflicts_with_all = ["cluster", "moving_address", "clock_steps"])]
    kill_writers: bool,

    /// Let each process audit one hit in a hundred, in storms of writes and the quiet between them
    #[arg(long, conflicts_with_all = ["cluster", "moving_address", "clock_steps", "grace"])]
    pub(crate) audit: bool,

    /// How many operations all threads together do in each storm, and in each quiet [default: 1000,
    /// or 250 without faults]
    #[arg(long, value_name = "N", requires = "audit", value_parser = clap::value_parser!(u64).range(1..))]
    pace: Option<u64>,

    /// On a Redis Cluster (needs the feature `cluster`)
    #[arg(long)]
    pub(crate) cluster: bool,

    /// Replicas of each of its three masters
    #[arg(long, value_name = "N", requires = "cluster", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=3))]
    pub(crate) replicas: u32,

    /// How many replicas must confirm each invalidation; all of them without a number
    #[arg(long, value_name = "N", requires = "cluster", num_args = 0..=1, default_missing_value = "3")]
    wait: Option<u32>,

    /// Inject only these faults of a cluster
    #[arg(
        long,
        value_name = "KIND",
        requires = "cluster",
        conflicts_with = "calm"
    )]
    pub(crate) only: Option<Only>,

    /// Break one rule of the protocol, to see that the checks find it
    #[arg(long = "break", value_name = "RULE")]
    pub(crate) broken: Option<Break>,

    /// Write an event log to this file, for the example `check` (needs the feature `event-log`)
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,

    /// Where the random choices start; different each time unless given
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// Read the plan from stdin and take part in another process's run
    #[arg(long, hide = true, exclusive = true)]
    pub(crate) child: bool,
}

impl Args {
    /// The maximum number of lookups and writes.
    pub(crate) fn operations(&self) -> u64 {
        let enough = if self.is_timed() { u64::MAX } else { 200_000 };
        self.operations.unwrap_or(enough)
    }

    /// How long a thread pauses before an operation, on average.
    pub(crate) fn pause(&self) -> Duration {
        let threads = self.processes * self.threads;
        let pause = |rate| Duration::from_secs(threads.into()) / rate;
        self.rate.map_or(Duration::ZERO, pause)
    }

    /// The settings of the audit, in a run with one.
    pub(crate) fn audits(&self) -> Option<AuditPlan> {
        let plan = || AuditPlan::new(self.faults(), self.pace, self.broken.is_none());
        self.audit.then(plan)
    }

    /// Whether time alone ends the run.
    pub(crate) fn is_timed(&self) -> bool {
        self.operations.is_none() && self.seconds.is_some()
    }

    pub(crate) fn operations_per_write(&self) -> u64 {
        let usual = if self.audit { 2 } else { 8 };
        self.operations_per_write.unwrap_or(usual)
    }

    pub(crate) fn faults(&self) -> bool {
        self.faults || !self.calm
    }

    /// Whether a failover may explain a stale answer.
    pub(crate) fn may_be_stale(&self) -> bool {
        self.cluster && self.confirming() < self.replicas
    }

    /// How many replicas must have a change before it counts as done.
    pub(crate) fn confirming(&self) -> u32 {
        self.wait.unwrap_or(0).min(self.replicas)
    }

    pub(crate) fn clock_steps(&self) -> bool {
        self.clock_steps || self.broken == Some(Break::Clock)
    }

    pub(crate) fn kill_writers(&self) -> bool {
        self.kill_writers || self.broken == Some(Break::Unit)
    }

    pub(crate) fn replica(&self) -> bool {
        self.replica || self.broken == Some(Break::Floor)
    }

    pub(crate) fn tags(&self) -> bool {
        let rules = [Break::TagJoin, Break::TagMissing, Break::TagEpoch];
        self.tags || self.broken.is_some_and(|rule| rules.contains(&rule))
    }

    pub(crate) fn evicts_tags(&self) -> bool {
        matches!(self.broken, Some(Break::TagMissing | Break::TagEpoch))
    }

    pub(crate) fn near(&self) -> bool {
        self.near || self.broken == Some(Break::Push)
    }
}
