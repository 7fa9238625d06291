//! A progress line on stderr, if that is a terminal. It disappears with the bar.

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
    // Often enough to show activity.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
