//! The protocol on each store: one suite, run on Redis and in memory.
//!
//! A fact is a function that takes an [`Environment`](environment::Environment). Each file lists
//! its facts at the end, which makes each of them two tests. The compiler warns of an unlisted fact
//! as dead code.
//!
//! Tests that look at Redis directly, or make a server fail, are in other suites.

/// Makes each fact a test on Redis and a test in memory.
macro_rules! on_both_stores {
    ($($fact:ident),+ $(,)?) => {
        mod on_redis {
            $(#[test]
            fn $fact() {
                super::$fact(&crate::environment::Environment::redis());
            })+
        }

        mod in_memory {
            $(#[test]
            fn $fact() {
                super::$fact(&crate::environment::Environment::memory());
            })+
        }
    };
}

mod also_invalidates;
mod audit;
mod counted;
#[path = "../support/delegate.rs"]
mod delegate;
mod deployment;
mod differential;
mod early;
mod empty;
mod environment;
mod fail_on_unstorable;
mod fields;
mod grace;
#[path = "../support/held.rs"]
mod held;
mod lease;
mod load_queue;
mod loading;
mod lookup;
mod many;
mod max_age;
mod max_loads;
mod negative;
mod races;
#[path = "../support/reasons.rs"]
mod reasons;
mod records;
mod schema;
mod sizes;
mod stampede;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod tags;
mod unit_of_work;
mod update;
mod update_field;
mod versions;
mod write;
