//! What threads use to wait for one another, where that is intricate. `tests/schedules` puts the same names there with other things
//! behind them, and plays every schedule through.

pub(crate) use parking_lot::{Condvar, Mutex};
pub(crate) use std::{
    thread::{self, ThreadId},
    time::Instant,
};
