//! The check of a store that could not be reached when it was opened.
//!
//! Guarantees that the store is not used before the check has passed. The recovery runs the check
//! instead of its probe. If the store will never work, each reason is logged once. The check is
//! repeated, because somebody may change the settings of the store.

use std::{error::Error as _, sync::Arc};

use parking_lot::Mutex;

use crate::{
    error::{Error, cause::chain},
    telemetry::trace,
};

/// How many logged reasons are kept. A cluster gives fewer at one time. The bound limits the memory
/// if each message of a server differs.
const MOST_REASONS: usize = 16;

/// Checks a store in the same way as `build` does.
pub(crate) type StartupCheck = Arc<dyn Fn() -> Result<(), Unusable> + Send + Sync>;

/// Why a store cannot be used.
#[derive(Debug)]
pub(crate) struct Unusable {
    pub(crate) error: Error,
    /// Whether the store merely cannot be reached now. Otherwise it will never work as it is.
    pub(crate) is_away: bool,
}

/// The check that is still due.
#[derive(Default)]
pub(super) struct Startup {
    /// `None`: the store has passed the check.
    check: Mutex<Option<StartupCheck>>,
    /// The reasons that were logged, the latest last.
    logged: Mutex<Vec<String>>,
}

impl Startup {
    pub(super) fn pending(check: StartupCheck) -> Startup {
        Startup {
            check: Mutex::new(Some(check)),
            logged: Mutex::default(),
        }
    }

    /// Checks the store, unless it has passed. Only one thread may call this at a time. No lock is
    /// held during the check.
    pub(super) fn run(&self) -> Result<(), Unusable> {
        let check = self.check.lock().clone();
        if let Some(check) = check {
            check()?;
            *self.check.lock() = None;
        }
        Ok(())
    }

    /// Logs why the store will never work, once for each reason. Two nodes of a cluster that give
    /// the same reason count as one: each check may begin at another node.
    pub(super) fn log_refusal(&self, error: &Error) {
        let reason = error.source().map_or_else(
            || chain(error).to_string(),
            // Without the request and the address, which only `Error` prints.
            |cause| chain(cause).to_string(),
        );
        let is_new = {
            let mut logged = self.logged.lock();
            let is_new = !logged.contains(&reason);
            if is_new {
                if logged.len() == MOST_REASONS {
                    logged.remove(0);
                }
                logged.push(reason);
            }
            is_new
        };
        if is_new {
            trace::error!(
                "Redis can be reached, but cannot be used; caches work without it until that has changed: {}",
                chain(error)
            );
        }
    }
}
