//! The machine and the date of a measurement: what affects figures, without the machine's name.

use std::{env, fs, process::Command, thread};

/// Called before the measurements. Also describes other load at that time.
pub(crate) fn describe(redis: &str) -> String {
    let cores = cores();
    let model =
        value("/proc/cpuinfo", "model name", ':').unwrap_or_else(|| env::consts::ARCH.to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // Only the version, because builders append their names.
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let system =
        value("/etc/os-release", "PRETTY_NAME", '=').unwrap_or_else(|| env::consts::OS.to_owned());
    let date = said_by("date", &["-u", "+%Y-%m-%d"]);
    let rustc = said_by("rustc", &["--version"]);
    // Without the commit after it.
    let rustc = rustc.split(" (").next().unwrap_or_default();
    let load = load_average();
    format!(
        "{cores} × {model}, {system}, kernel {kernel}, Redis {redis}, {rustc}; {date}; load average at the start {load}"
    )
}

pub(crate) fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The load average of the last minute as text, or nothing.
pub(crate) fn load_average() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or_default().to_owned()
}

/// The value after a name, in a file with one value in each line.
fn value(path: &str, name: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// What a program prints, or nothing.
fn said_by(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output();
    output.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}

/// The version of a package in a lock file.
pub(crate) fn version_of<'a>(package: &str, lock: &'a str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("name = \"{package}\"\nversion = \""))?;
    rest.split_once('"').map(|(version, _)| version)
}
