//! Finds Chromium and starts its driver.

use std::{
    env,
    io::ErrorKind,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ureq::Agent;

use crate::support::free_port;

/// The command to install a browser.
const HOW_TO_INSTALL: &str = "`chromium` and `chromedriver` are not both installed. Type:  \
                              sudo apt-get install chromium chromium-driver";

/// A driver starts in a second, on a busy machine in five.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts a driver, and returns it with its address when it answers.
pub(crate) fn start(agent: &Agent) -> (Child, String) {
    let program = env::var("CHROMEDRIVER").unwrap_or_else(|_| "chromedriver".to_owned());
    let port = free_port();
    let mut driver = Command::new(&program)
        .arg(format!("--port={port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| match error.kind() {
            ErrorKind::NotFound => panic!("{HOW_TO_INSTALL}"),
            _ => panic!("{program} does not start: {error}"),
        });
    let url = format!("http://127.0.0.1:{port}");
    let deadline = Instant::now() + PATIENCE;
    while agent.get(format!("{url}/status")).call().is_err() {
        let ended = matches!(driver.try_wait(), Ok(Some(_)));
        if ended || Instant::now() > deadline {
            let _ = driver.kill();
            let _ = driver.wait();
            panic!("{program} does not answer");
        }
        // The only way to learn that another process is ready is to ask it.
        thread::sleep(Duration::from_millis(20));
    }
    (driver, url)
}

/// The browser's path: the driver itself would look for Google's.
pub(crate) fn chromium() -> PathBuf {
    if let Some(path) = env::var_os("CHROMIUM") {
        return path.into();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join("chromium"))
        .find(|path| path.exists())
        .unwrap_or_else(|| panic!("{HOW_TO_INSTALL}"))
}
