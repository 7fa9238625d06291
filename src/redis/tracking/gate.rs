//! Ends the calls of a [`ChangeListener`](crate::store::ChangeListener) without waiting for the
//! thread that makes them.
//!
//! That thread may wait for a server or a resolver when its subscription is dropped. Guarantees two
//! things: after [`close`](Gate::close) the listener is not called, and the thread keeps nothing of
//! it. A call is user code, because an eviction drops a record. So no lock is held during a call.

use std::{
    sync::Arc,
    thread::{self, ThreadId},
};

use crate::{
    store::tracking::SharedListener,
    util::{
        sync::{Condvar, Mutex},
        worker::Worker,
    },
};

pub(super) struct Gate {
    state: Mutex<State>,
    /// Notified when a call has ended.
    ended: Condvar,
}

struct State {
    /// `None`: closed.
    listener: Option<SharedListener>,
    /// The thread that is making a call. Only the thread of the subscription makes calls.
    caller: Option<ThreadId>,
}

/// A call that is under way. Its drop records the end, even if the call panics.
struct Calling<'a>(&'a Gate);

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        self.0.state.lock().caller = None;
        self.0.ended.notify_all();
    }
}

/// A listener whose thread was started. Its drop returns when the listener is no longer called. The
/// thread ends after its current read or attempt to connect.
pub(crate) struct RunningListener {
    worker: Worker,
    gate: Arc<Gate>,
}

impl RunningListener {
    pub(super) fn new(worker: Worker, gate: Arc<Gate>) -> RunningListener {
        RunningListener { worker, gate }
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.worker.detach();
        self.gate.close();
    }
}

impl Gate {
    pub(super) fn new(listener: SharedListener) -> Gate {
        Gate {
            state: Mutex::new(State {
                listener: Some(listener),
                caller: None,
            }),
            ended: Condvar::new(),
        }
    }

    /// Calls the listener, unless the gate is closed.
    pub(super) fn call(&self, call: impl FnOnce(&SharedListener)) {
        let listener = {
            let mut state = self.state.lock();
            let Some(listener) = state.listener.clone() else {
                return;
            };
            state.caller = Some(thread::current().id());
            listener
        };
        let _calling = Calling(self);
        call(&listener);
        // Dropped before the end is recorded: it may be the last handle of the listener.
        drop(listener);
    }

    /// Returns when the listener is no longer called. A call may close its own gate, and then ends
    /// afterwards.
    pub(super) fn close(&self) {
        let listener = {
            let mut state = self.state.lock();
            let listener = state.listener.take();
            let this = thread::current().id();
            // No wake-up is lost: a call records its end under the lock that this wait releases.
            while state.caller.is_some_and(|caller| caller != this) {
                state = self.ended.wait(state);
            }
            listener
        };
        // Dropped with no lock held: it may be the last handle.
        drop(listener);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            OnceLock,
            atomic::{AtomicU32, Ordering::SeqCst},
            mpsc,
        },
        time::{Duration, Instant},
    };

    use super::*;
    use crate::store::ChangeListener;

    #[derive(Default)]
    struct Counter {
        calls: AtomicU32,
        own_gate: OnceLock<Arc<Gate>>,
    }

    impl ChangeListener for Counter {
        fn on_confirmed(&self, _: Instant) {}
        fn on_change(&self, _: &str) {
            self.calls.fetch_add(1, SeqCst);
            if let Some(gate) = self.own_gate.get() {
                gate.close();
            }
        }
        fn on_lease_change(&self, _: &str) {}
        fn on_flush(&self) {}
        fn on_disconnect(&self) {}
    }

    #[test]
    fn a_closed_gate_keeps_no_listener_and_calls_none() {
        let counter = Arc::new(Counter::default());
        let gate = Gate::new(Arc::clone(&counter) as _);
        gate.call(|listener| listener.on_change("a"));
        gate.close();
        gate.call(|listener| listener.on_change("a"));
        assert_eq!(counter.calls.load(SeqCst), 1);
        assert_eq!(Arc::strong_count(&counter), 1);
    }

    #[test]
    fn a_call_may_close_its_own_gate() {
        let counter = Arc::new(Counter::default());
        let gate = Arc::new(Gate::new(Arc::clone(&counter) as _));
        assert!(counter.own_gate.set(Arc::clone(&gate)).is_ok());
        for _ in 0..2 {
            gate.call(|listener| listener.on_change("a"));
        }
        assert_eq!(counter.calls.load(SeqCst), 1);
    }

    #[test]
    fn closing_waits_for_the_call_that_is_under_way() {
        let gate = Gate::new(Arc::new(Counter::default()));
        let (entered, has_entered) = mpsc::channel();
        let (closed, is_closed) = mpsc::channel();
        let called = &gate;
        thread::scope(|scope| {
            scope.spawn(move || {
                called.call(|_| {
                    entered.send(()).unwrap();
                    let waited = is_closed.recv_timeout(Duration::from_millis(100));
                    assert!(waited.is_err(), "it was closed during a call");
                });
            });
            has_entered.recv().unwrap();
            gate.close();
            let _ = closed.send(());
        });
    }
}
