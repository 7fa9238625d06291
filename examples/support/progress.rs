//! A line on stderr, where that is a terminal. It is gone when the bar is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

pub(crate) fn bar(what: &'static str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template(
        "{msg} {human_pos} of {human_len} {wide_bar} {elapsed}, {eta} left",
    );
    let bar = ProgressBar::new(length)
        .with_style(style.expect("the template is right"))
        .with_message(what)
        .with_finish(ProgressFinish::AndClear);
    // Often enough to look alive.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
