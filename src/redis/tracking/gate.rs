//! Ends the calls of a [`ChangeListener`](crate::store::ChangeListener) without waiting for the
//! thread that makes them.
//!
//! That thread may wait for a server or a resolver when its subscription is dropped. Guarantees two
//! things: after [`close`](Gate::close) no call begins, and the thread keeps nothing of the
//! listener but for a call that is under way. A call is user code, because an eviction drops a
//! record. So no lock is held during a call, and `close` does not wait for it: it may wait for a
//! lock that the dropping thread holds.

use std::sync::Arc;

use crate::{
    store::tracking::SharedListener,
    util::{sync::Mutex, worker::Worker},
};

/// `None`: closed.
pub(super) struct Gate(Mutex<Option<SharedListener>>);

/// A listener whose thread was started. After its drop no call of the listener begins. The thread
/// ends after its current read or attempt to connect.
pub(crate) struct RunningListener {
    /// Held only for its `Drop`.
    _worker: Worker,
    gate: Arc<Gate>,
}

impl RunningListener {
    pub(super) fn new(worker: Worker, gate: Arc<Gate>) -> RunningListener {
        RunningListener {
            _worker: worker,
            gate,
        }
    }
}

impl Drop for RunningListener {
    fn drop(&mut self) {
        self.gate.close();
    }
}

impl Gate {
    pub(super) fn new(listener: SharedListener) -> Gate {
        Gate(Mutex::new(Some(listener)))
    }

    /// Calls the listener, unless the gate is closed.
    pub(super) fn call(&self, call: impl FnOnce(&SharedListener)) {
        let listener = self.0.lock().clone();
        if let Some(listener) = listener {
            call(&listener);
        }
    }

    /// From now on, begins no call.
    pub(super) fn close(&self) {
        let listener = self.0.lock().take();
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
        thread,
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

    /// The call waits for a lock that the closing thread holds.
    #[test]
    fn closing_does_not_wait_for_a_call_that_is_under_way() {
        let counter = Arc::new(Counter::default());
        let gate = Gate::new(Arc::clone(&counter) as _);
        let (entered, has_entered) = mpsc::channel();
        let (closed, is_closed) = mpsc::channel();
        let called = &gate;
        thread::scope(|scope| {
            scope.spawn(move || {
                called.call(|_| {
                    entered.send(()).unwrap();
                    is_closed.recv_timeout(Duration::from_secs(20)).unwrap();
                });
            });
            has_entered.recv().unwrap();
            gate.close();
            closed.send(()).unwrap();
        });
        assert_eq!(
            Arc::strong_count(&counter),
            1,
            "the gate and the call keep nothing"
        );
    }
}
