//! A system that has no more threads, or whose resolver is slow, for a test in its own process:
//! `system.c` replaces the functions of the system.

#![allow(dead_code, reason = "each user takes its own part")]

use std::{
    env,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::Once,
    thread,
    time::Duration,
};

const FILE: &str = "CACHE_ASIDE_TEST_SYSTEM";

/// A host name of 127.0.0.1 whose lookup takes as long as a test says. Also for names that end with
/// it.
pub(crate) const SLOW_HOST: &str = "slow.test";

/// The library is compiled once in each process: other tests may run at the same time.
static COMPILED: Once = Once::new();

/// The variables of a process with this system. Compiles `system.c`.
pub(crate) fn variables() -> Vec<(&'static str, OsString)> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let (library, file) = (
        folder.join(format!("system-{}.so", process::id())),
        folder.join(format!(
            "system-{}-{:?}",
            process::id(),
            thread::current().id()
        )),
    );
    COMPILED.call_once(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/system.c");
        let compiled = Command::new("cc")
            .args(["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .args(["-ldl", "-lpthread"])
            .output()
            .expect("`cc` is there: Rust links with it");
        let said = String::from_utf8_lossy(&compiled.stderr);
        assert!(compiled.status.success(), "{said}");
    });
    write(&file, "-1 0 0");
    vec![("LD_PRELOAD", library.into()), (FILE, file.into())]
}

fn file() -> PathBuf {
    env::var_os(FILE)
        .expect("the test runs with this system")
        .into()
}

fn write(file: &Path, faults: &str) {
    // Renamed, so that nobody reads a half of it.
    let new = file.with_extension("new");
    fs::write(&new, faults).unwrap();
    fs::rename(new, file).unwrap();
}

/// How many threads this process has.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// How many threads have this name. Linux cuts names at fifteen bytes.
pub(crate) fn threads_named(name: &str) -> usize {
    let comm = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| comm(task.ok()?));
    names.filter(|comm| name.starts_with(comm.trim())).count()
}

/// From now on, only this many more threads can exist.
pub(crate) fn allow_threads(more: usize) {
    write(&file(), &format!("{} 0 0", threads() - 1 + more));
}

/// From now on, no thread can be started, except by the calling thread.
pub(crate) fn allow_threads_to_this_thread_only() {
    let this = fs::read_link("/proc/thread-self").unwrap();
    let id = this.file_name().unwrap().to_str().unwrap();
    write(&file(), &format!("0 {id} 0"));
}

/// From now on, a lookup of a [`SLOW_HOST`] takes this long.
pub(crate) fn lookups_take(time: Duration) {
    write(&file(), &format!("-1 0 {}", time.as_millis()));
}

/// The system has no fault any more.
pub(crate) fn is_well() {
    lookups_take(Duration::ZERO);
}
