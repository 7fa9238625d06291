//! Runs code in a child that was forked from the test, without an `exec`.
//!
//! A child must not return to the test: it would run the rest of it a second time, and end the
//! servers of its parent.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process, thread,
    time::Duration,
};

use fork::{Fork, fork, waitpid};

/// Long enough for the slowest machine, short enough to notice a child that hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A child that runs.
#[must_use = "a child must be waited for"]
pub(crate) struct Child(i32);

/// Starts a child. It ends after `act`, after a panic in it, or when it has hung for too long.
pub(crate) fn start(act: impl FnOnce()) -> Child {
    split(&mut false).unwrap_or_else(|| end(act))
}

/// Runs it in a child, and waits for the end of the child.
pub(crate) fn run(act: impl FnOnce()) {
    start(act).ends_well();
}

impl Child {
    /// Waits for its end. Fails if it hung or panicked.
    pub(crate) fn ends_well(self) {
        let status = waitpid(self.0).expect("the child is ours");
        assert_eq!(status, 0, "the child hung (6: abort) or panicked (256)");
    }
}

/// Goes on in two processes. Returns the child in the parent, and `None` in the child, which must
/// call [`end`].
pub(crate) fn split(is_child: &mut bool) -> Option<Child> {
    match fork().expect("a process can be forked") {
        Fork::Parent(child) => Some(Child(child)),
        Fork::Child => {
            abort_after_patience();
            *is_child = true;
            None
        }
    }
}

/// Ends the child after `act`.
pub(crate) fn end(act: impl FnOnce()) -> ! {
    let done = catch_unwind(AssertUnwindSafe(act));
    process::exit(i32::from(done.is_err()));
}

fn abort_after_patience() {
    thread::spawn(|| {
        thread::sleep(PATIENCE);
        eprintln!("the child {} hangs", process::id());
        process::abort();
    });
}
