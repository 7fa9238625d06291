//! The threads of a `LoadingCache`.
//!
//! Guarantees that there are at most `threads` of them for refreshes, and as many for loads under a
//! hard timeout, that they start on demand, and that neither waits for the other: a primary that
//! hangs cannot keep records from being refreshed that another one has. A load has a reserved
//! thread before it is submitted. Refreshes wait in a queue, of one place for each record.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{
    load::LoadTask,
    refresh::{RefreshTask, Refreshes, Rejected},
};
use crate::{
    engine::{load_limit::LoadLimit, single_flight::SingleFlight},
    util::worker::{Next, Worker, WorkerContext, contain_panic},
};

/// How many refreshes wait for a thread at most. The callers of further ones get the cached record,
/// and the next hit tries again.
const MOST_WAITING: usize = 10_000;

pub(super) struct LoaderPool {
    refreshers: Worker<VecDeque<RefreshTask>>,
    loaders: Worker<VecDeque<Box<LoadTask>>>,
    loader_threads: LoadLimit,
    refreshes: Arc<Refreshes>,
    is_stopping: Arc<AtomicBool>,
}

impl LoaderPool {
    pub(super) fn new(threads: usize) -> LoaderPool {
        LoaderPool {
            refreshers: Worker::with_threads("cache-aside-refresher", threads, |context| {
                run_all(context, RefreshTask::run);
            }),
            loaders: Worker::with_threads("cache-aside-loader", threads, |context| {
                run_all(context, |task: Box<LoadTask>| task.run());
            }),
            loader_threads: LoadLimit::new(threads),
            refreshes: Arc::new(SingleFlight::new()),
            is_stopping: Arc::default(),
        }
    }

    /// The threads for loads. A permit reserves one.
    pub(super) fn loader_threads(&self) -> &LoadLimit {
        &self.loader_threads
    }

    pub(super) fn refreshes(&self) -> &Arc<Refreshes> {
        &self.refreshes
    }

    /// Whether the threads are stopped, or will be.
    pub(super) fn is_stopping(&self) -> &Arc<AtomicBool> {
        &self.is_stopping
    }

    pub(super) fn submit_refresh(&self, task: RefreshTask) -> Result<(), Rejected> {
        submit(&self.refreshers, task, MOST_WAITING).map_err(|(rejected, _)| rejected)
    }

    /// Hands a load to its reserved thread. Returns it if no thread can be started.
    pub(super) fn submit_load(&self, task: Box<LoadTask>) -> Result<(), Box<LoadTask>> {
        submit(&self.loaders, task, usize::MAX).map_err(|(_, task)| task)
    }

    /// Stops the threads. `limit`: that for which a refresh may wait.
    pub(super) fn stop(&self, limit: Option<&LoadLimit>, timeout: Duration) -> bool {
        self.is_stopping.store(true, Relaxed);
        if let Some(limit) = limit {
            limit.recheck_waits();
        }
        let deadline = Instant::now().checked_add(timeout);
        let refreshers = self.refreshers.stop(timeout);
        let left = deadline.map_or(timeout, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        });
        self.loaders.stop(left) && refreshers
    }
}

/// Puts the task into the queue, and takes it out again if there is no thread.
fn submit<T: Send + 'static>(
    worker: &Worker<VecDeque<T>>,
    task: T,
    most: usize,
) -> Result<(), (Rejected, T)> {
    let mut task = Some(task);
    let mut is_full = false;
    let submitted = worker.update(|waiting| {
        is_full = waiting.len() >= most;
        if !is_full {
            waiting.extend(task.take());
        }
        !is_full
    });
    if is_full {
        return Err((Rejected::Full, task.expect("it was not taken")));
    }
    if submitted.is_ok() {
        return Ok(());
    }
    // Without a thread, all tasks in the queue are those of callers that come here. Each takes one.
    worker.change(|waiting| {
        if task.is_none() {
            task = waiting.pop_back();
        }
    });
    task.map_or(Ok(()), |task| Err((Rejected::NoThread, task)))
}

/// Runs the tasks of a queue until the worker stops.
fn run_all<T>(context: &WorkerContext<VecDeque<T>>, run: impl Fn(T)) {
    let next = |waiting: &mut VecDeque<T>| waiting.pop_front().map_or(Next::Wait, Next::Run);
    while let Some(task) = context.wait_for(next) {
        // The code of a record may panic, too.
        let _ = contain_panic(|| run(task));
    }
}
