//! The show of early refresh and grace: that it shows what it should, and finds out a store that breaks the rule.
//!
//! Short forms of `cargo run --release --example expiry`. How long reads take is not looked at: the machine may have
//! much to do.

use std::{fs, path::PathBuf, str::FromStr, time::Duration};

use crate::example::{self, Run};
use tempfile::TempDir;

/// Longer than any of these runs may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// One run of the example, and where it drew.
struct Shown {
    run: Run,
    folder: TempDir,
}

impl Shown {
    fn plot(&self) -> PathBuf {
        self.folder.path().join("plot.svg")
    }

    /// The numbers behind a label, one for each of the runs; those that are unknown are left out.
    fn numbers<N: FromStr>(&self, label: &str) -> Vec<N> {
        let words = self.run.says(label).split_whitespace();
        let numbers = words.map(|word| word.replace(',', "").parse());
        numbers.filter_map(Result::ok).collect()
    }

    fn is_found_out(&self, flaws: &[&str]) {
        assert_eq!(self.run.status.code(), Some(1), "{}", self.run.stderr);
        for flaw in flaws {
            let text = &self.run.stdout;
            assert!(text.contains(flaw), "no `{flaw}` in:\n{text}");
        }
    }
}

fn show(args: &[&str]) -> Shown {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plot.svg");
    let plot = ["--plot", path.to_str().expect("it is text")];
    Shown {
        run: example::run("expiry", &[&plot, args].concat(), PATIENCE),
        folder,
    }
}

/// Two processes, and records that expire several times. An outage of a second is longer than a TTL and a load, so it is
/// noticed.
const SHORT: [&str; 8] = [
    "--processes",
    "2",
    "--ttl-ms",
    "600",
    "--load-ms",
    "100",
    "--seconds",
    "3",
];

#[test]
fn all_wait_where_records_expire_and_nobody_where_they_are_loaded_anew() {
    let shown = show(&SHORT);
    let Run { status, stdout, .. } = &shown.run;
    assert!(status.success(), "{stdout}{}", shown.run.stderr);
    assert_eq!(shown.run.says("Kept"), "what is promised of each");

    // Plain, early, grace, with a failing primary plain and grace, and background.
    assert!(
        shown
            .numbers::<u32>("Reads  ")
            .iter()
            .all(|&reads| reads > 300)
    );
    assert_eq!(shown.numbers::<u32>("  at the same time"), [1; 6]);
    let [plain, _, grace] = shown.numbers::<f64>("  per TTL")[..3] else {
        unreachable!("it is cut to length")
    };
    assert!(plain <= 1.0 && grace <= 1.0, "{stdout}");

    let waited = shown.numbers::<u32>("Waited for a load");
    assert!(waited[0] > 0 && waited[3] > 0, "{stdout}");
    assert_eq!([waited[2], waited[4], waited[5]], [0; 3], "{stdout}");
    let stale = shown.numbers::<u32>("Stale answers");
    assert_eq!([stale[0], stale[1], stale[3]], [0; 3], "{stdout}");
    assert!(stale[2] > 0 && stale[4] > 0 && stale[5] > 0, "{stdout}");
    let errors = shown.numbers::<u32>("Errors");
    assert!(errors[3] > 0, "{stdout}");
    assert_eq!(
        [errors[0], errors[1], errors[2], errors[4], errors[5]],
        [0; 5]
    );
    let failed = shown.numbers::<u32>("  that failed");
    assert!(failed[3] > 0, "{stdout}");
    // The pause after it is longer than the outage.
    assert_eq!(failed[4], 1, "{stdout}");
}

#[test]
fn the_plot_has_a_panel_for_each_run() {
    let shown = show(&[&SHORT[..], &["--runs", "plain,grace-failing"]].concat());
    assert!(shown.run.status.success(), "{}", shown.run.stdout);
    let path = shown.plot();
    assert_eq!(Some(shown.run.says("Plot")), path.to_str());

    let plot = fs::read_to_string(path).unwrap();
    let plot = roxmltree::Document::parse(&plot).expect("an SVG is XML");
    let count = |name: &str| {
        let nodes = plot.descendants();
        nodes
            .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", name)))
            .count()
    };
    // A stretch of hits and one of waits at the least, and in the head a dot of each kind.
    assert!(count("polygon") >= 3 && count("circle") >= 4);
    let words: Vec<_> = plot
        .descendants()
        .filter(roxmltree::Node::is_text)
        .filter_map(|node| Some(node.text()?.trim()))
        .collect();
    let panels = words.iter().filter(|text| **text == "slowest read").count();
    assert_eq!(panels, 2);
    for needed in ["plain expiry: ", "grace, failing primary: nobody waited"] {
        let is_there = words.iter().any(|text| text.starts_with(needed));
        assert!(is_there, "no `{needed}` in {words:?}");
    }
}

/// In each life of a record a second one is found by chance to be due while one loads it, in two of three about; so
/// there are many lives.
#[test]
fn a_store_that_lets_all_refresh_is_found_out() {
    let runs = ["--runs", "early,grace,background", "--break", "all"];
    let many = ["--ttl-ms", "400", "--load-ms", "50", "--seconds", "4"];
    show(&[&runs[..], &many].concat()).is_found_out(&[
        "early refresh: ",
        "grace: a load before the time for it had come",
        "background refresh: a load before the time for it had come",
        " loads at the same time",
    ]);
}

#[test]
fn a_store_that_lets_nobody_refresh_is_found_out() {
    let shown = show(&[&SHORT[..], &["--runs", "early,grace", "--break", "nobody"]].concat());
    shown.is_found_out(&[
        "early refresh: not loaded anew in time, though read often enough: ",
        "reads served what is stale while nobody loaded",
    ]);
}

#[test]
fn what_can_not_be_done_is_refused_in_one_line() {
    for (args, begin) in [
        (
            ["--theads", "5"],
            "expiry: unexpected argument '--theads' found (try --help)",
        ),
        (
            ["--seconds", "5"],
            "expiry: --seconds: a run must be as long as two TTLs at least",
        ),
        // Nobody listens on port 1.
        (
            ["--redis-url", "redis://127.0.0.1:1"],
            "expiry: request `connect` to 127.0.0.1:1 failed: Connection refused",
        ),
    ] {
        let run = show(&args).run;
        assert_eq!(run.status.code(), Some(2));
        assert_eq!(run.stdout, "");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.starts_with(begin), "{}", run.stderr);
    }
}
