//! The clock of a private server, which a test steps while the server runs.
//!
//! A small library, built by the C compiler that Rust links with, is loaded into the server before
//! the C library. It shifts the wall clock only, as a correction by NTP does.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicI64, Ordering::SeqCst},
};

const SOURCE: &str = include_str!("clock.c");

pub(super) struct Clock {
    library: PathBuf,
    file: PathBuf,
    open: File,
    /// By how many seconds the clock is shifted.
    shift: AtomicI64,
}

impl Clock {
    /// Builds the library in the folder of the server.
    pub(super) fn new(folder: &Path) -> Result<Clock, String> {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        let file = folder.join("clock");
        let built = fs::write(&source, SOURCE).and_then(|()| {
            let mut compiler = Command::new("cc");
            compiler.args(["-shared", "-fPIC", "-O1", "-o"]);
            compiler.arg(&library).arg(&source).output()
        });
        let built = built.map_err(|error| format!("`cc` does not start: {error}"))?;
        if !built.status.success() {
            return Err(String::from_utf8_lossy(&built.stderr).into_owned());
        }
        let open = File::create(&file).map_err(|error| error.to_string())?;
        let clock = Clock {
            library,
            file,
            open,
            shift: AtomicI64::new(0),
        };
        clock.step(0)?;
        Ok(clock)
    }

    /// The variables of the server's environment.
    pub(super) fn environment(&self) -> [(&'static str, &Path); 2] {
        [
            ("LD_PRELOAD", &self.library),
            ("CACHE_ASIDE_CLOCK", &self.file),
        ]
    }

    pub(super) fn step(&self, seconds: i64) -> Result<(), String> {
        let shift = self.shift.fetch_add(seconds, SeqCst) + seconds;
        // Eight aligned bytes in one write: the server reads the old number or the new one.
        let written = self.open.write_all_at(&shift.to_ne_bytes(), 0);
        written.map_err(|error| error.to_string())
    }
}
