//! Whether this thread is inside a load.
//!
//! [`load_turn`](super::load_turn) asks: a load inside another load must not wait for a
//! permit.

use std::cell::Cell;

thread_local! {
    /// How many loads this thread is inside of.
    static LOADS: Cell<usize> = const { Cell::new(0) };
}

/// A load on this thread, of any cache, with a limit or without: a load that has a permit of
/// another cache may wait for it. A drop ends it.
pub(super) struct WithinLoad(());

impl WithinLoad {
    pub(super) fn new() -> WithinLoad {
        LOADS.set(LOADS.get() + 1);
        WithinLoad(())
    }
}

impl Drop for WithinLoad {
    fn drop(&mut self) {
        LOADS.set(LOADS.get() - 1);
    }
}

pub(super) fn is_nested() -> bool {
    LOADS.get() > 0
}
