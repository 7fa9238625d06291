//! The machine and the date of a measurement: what affects figures, without the machine's name.

use std::{fs, process::Command, thread};

use redis::Connection;

/// The description, in one line.
pub(crate) fn describe(redis: &mut Connection) -> String {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let model = line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown model".to_owned());
    // Only the version: builders append their names.
    let kernel = said("uname", "-r");
    let kernel = kernel.split('-').next().unwrap_or_default();
    let info: String = redis::cmd("INFO").arg("server").query(redis).unwrap();
    let redis = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    let redis = redis.unwrap_or("of an unknown version");
    let rustc = said("rustc", "--version");
    let rustc = rustc
        .split_whitespace()
        .nth(1)
        .unwrap_or("of an unknown version");
    let date = said("date", "+%F");
    format!("{cores} × {model}, kernel {kernel}, Redis {redis}, rustc {rustc}, {date}")
}

/// The value after a name.
fn line(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn said(program: &str, arg: &str) -> String {
    let said = Command::new(program).arg(arg).output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    said.unwrap_or_default()
}
