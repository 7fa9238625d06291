//! One test in a process of its own.

use std::{env, ffi::OsString, process::Command};

/// Tells the child that it is one.
const CHILD: &str = "CACHE_ASIDE_TEST_CHILD";

/// Whether this process is such a child.
#[allow(dead_code, reason = "each user takes its own part")]
pub(crate) fn is_one() -> bool {
    env::var_os(CHILD).is_some()
}

/// Runs the test in a child, and returns true. In the child, returns false.
///
/// `here` is the path of an item in the test, which names the test to the child. `variables`: what
/// the child gets in its environment.
pub(crate) fn has_run(
    here: &str,
    variables: impl FnOnce() -> Vec<(&'static str, OsString)>,
) -> bool {
    if env::var_os(CHILD).is_some() {
        return false;
    }
    let (_crate, path) = here.split_once("::").expect("a path in this crate");
    let (test, _here) = path.rsplit_once("::").expect("a path in a test");
    let child = Command::new(env::current_exe().expect("a test is a program"))
        .args(["--exact", test, "--include-ignored", "--nocapture"])
        .env(CHILD, "1")
        .envs(variables())
        .output()
        .expect("a test can be started");
    let said = String::from_utf8_lossy(&child.stdout);
    println!("{said}{}", String::from_utf8_lossy(&child.stderr));
    // With a wrong name the child would run nothing, and succeed.
    assert!(said.contains("running 1 test\n"), "no test is named {test}");
    assert!(child.status.success(), "{test} failed in its own process");
    true
}
