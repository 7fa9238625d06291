//! The protocol, on each store it can live on: one suite, run on Redis and in memory.
//!
//! A fact is a function that is given the [`Environment`](environment::Environment) to stand on. Each file lists its facts at the end,
//! and so makes each of them two tests; one that isn't listed is dead code, of which the compiler warns.
//!
//! What looks at Redis past the cache, or makes a server fail, is in files of its own beside this folder.

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

mod counted;
#[path = "../support/delegate.rs"]
mod delegate;
mod deployment;
mod differential;
mod early;
mod environment;
mod grace;
#[path = "../support/held.rs"]
mod held;
mod lease;
mod lookup;
mod many;
mod negative;
mod races;
mod records;
mod sizes;
mod stampede;
mod steps;
#[path = "../support/mod.rs"]
mod support;
mod update;
mod write;
