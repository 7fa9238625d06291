//! The SQLite example: its figures are consistent, it finds stale reads, and it handles its files.
//!
//! Short forms of `cargo run --release --example sqlite`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::example::{self, Run};
use crate::support::Server;
use rusqlite::Connection;
use tempfile::TempDir;

/// Longer than any of these runs may take on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server and a folder, for runs of the example.
struct Place {
    server: Server,
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            server: Server::start(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn shop(&self) -> PathBuf {
        self.folder.path().join("shop.sqlite")
    }

    fn plot(&self) -> PathBuf {
        self.folder.path().join("plot.svg")
    }

    fn run(&self, args: &[&str]) -> Run {
        let url = self.server.url();
        let (shop, plot) = (self.shop(), self.plot());
        let here = [
            "--redis-url",
            &url,
            "--db",
            text(&shop),
            "--plot",
            text(&plot),
        ];
        let small = ["--rows", "1000", "--seed", "1"];
        example::run("sqlite", &[&here[..], &small, args].concat(), PATIENCE)
    }

    /// The shortest run there is.
    fn glance(&self) -> Run {
        self.run(&["--operations", "1"])
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("names of temporary files are text")
}

fn must_succeed(run: &Run) {
    assert!(run.status.success(), "{}{}", run.stdout, run.stderr);
}

/// The counts behind a label.
fn counts(run: &Run, label: &str) -> Vec<u64> {
    let words = run.says(label).split_whitespace();
    let counts = words.map(|word| word.replace(',', "").parse());
    counts.filter_map(Result::ok).collect()
}

fn both(run: &Run, label: &str) -> [u64; 2] {
    let counts = counts(run, label);
    counts.try_into().expect("there are two columns")
}

/// The count at the beginning of a line that has four latencies behind it.
fn count(run: &Run, label: &str) -> u64 {
    let line = run.says(label).split_whitespace();
    let latencies = line.filter(|word| ["µs", "ms", "s"].contains(word));
    assert_eq!(latencies.count(), 4, "{}", run.stdout);
    counts(run, label)[0]
}

#[test]
fn both_sides_do_the_same_and_the_cache_spares_the_primary() {
    let place = Place::new();
    let run = place.run(&["--operations", "1000"]);
    must_succeed(&run);

    let [alone, cached] = both(&run, "Reads ");
    let writes = [
        count(&run, "Writes, SQLite"),
        count(&run, "Writes, with cache"),
    ];
    assert_eq!(alone, cached);
    assert_eq!(writes[0], writes[1]);
    assert_eq!(alone + writes[0], 1000);
    assert!(
        (20..100).contains(&writes[0]),
        "5 % of 1000 are about 50: {writes:?}"
    );

    // On one side every read is one of the primary. On the other side only the misses are.
    let [by_all, by_few] = both(&run, "  from SQLite");
    let hits = count(&run, "  hit  ");
    assert_eq!(by_all, alone);
    assert_eq!(by_few, count(&run, "  loaded"));
    assert!(hits > 0 && hits + by_few <= cached, "{}", run.stdout);
    assert_eq!(count(&run, "Reads, SQLite"), alone);
    assert_eq!(count(&run, "Reads, with cache"), cached);

    assert_eq!(both(&run, "Stale reads"), [0, alone + cached]);
    place.server.assert_every_key_expires();
}

#[test]
fn the_plot_has_a_rising_curve_for_each_side() {
    let place = Place::new();
    let run = place.run(&["--operations", "400"]);
    must_succeed(&run);
    assert_eq!(run.says("Plot"), text(&place.plot()));

    let plot = fs::read_to_string(place.plot()).unwrap();
    let plot = roxmltree::Document::parse(&plot).expect("an SVG is XML");
    let curves: Vec<_> = plot
        .descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "polyline")))
        // Axes are polylines, too.
        .filter(|node| node.attribute("stroke-width") == Some("3"))
        .collect();
    let [one, other] = curves[..] else {
        panic!("{} curves", curves.len())
    };
    assert_ne!(one.attribute("stroke"), other.attribute("stroke"));
    let ends = [one, other].map(|curve| {
        let points = points(curve.attribute("points").unwrap());
        // `y` grows downwards.
        assert!(
            points.is_sorted_by(|a, b| a.0 <= b.0 && a.1 >= b.1),
            "{points:?}"
        );
        (points[0].1, points[points.len() - 1].1)
    });
    assert_eq!(ends[0], ends[1], "both rise from nobody to everybody");
    assert!(ends[0].0 > ends[0].1);

    let words: String = plot.descendants().filter_map(|node| node.text()).collect();
    for needed in ["SQLite alone", "behind the cache", "100 %"] {
        assert!(words.contains(needed), "no `{needed}` in {words}");
    }
}

#[test]
fn a_run_without_reads_ends_as_well() {
    let place = Place::new();
    let run = place.run(&["--operations", "100", "--writes", "100"]);
    must_succeed(&run);
    assert_eq!(count(&run, "Writes, with cache"), 100);
    assert_eq!(both(&run, "Reads "), [0, 0]);
    assert!(place.plot().exists());
}

/// `72,409 73,409 …`
fn points(text: &str) -> Vec<(f64, f64)> {
    let point = |text: &str| {
        let (x, y) = text.split_once(',')?;
        Some((x.parse().ok()?, y.parse().ok()?))
    };
    let points = text.split_whitespace().map(point);
    points
        .collect::<Option<_>>()
        .expect("points are pairs of numbers")
}

#[test]
fn stale_reads_are_found_where_writes_do_not_invalidate() {
    let place = Place::new();
    let run = place.run(&["--operations", "1000", "--writes", "20", "--forget"]);
    assert_eq!(run.status.code(), Some(1), "{}{}", run.stdout, run.stderr);
    assert!(both(&run, "Stale reads")[0] > 0, "{}", run.stdout);
    assert!(
        run.stdout.contains("(Hit), after the write of version"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_shop_is_made_once_and_stays_as_it_was() {
    let place = Place::new();
    let first = place.glance();
    must_succeed(&first);
    assert!(first.says("Shop").ends_with(", made"), "{}", first.stdout);
    let made = fs::read(place.shop()).unwrap();

    let second = place.run(&["--operations", "100", "--writes", "50"]);
    must_succeed(&second);
    assert!(
        second.says("Shop").ends_with(", found"),
        "{}",
        second.stdout
    );
    assert!(
        fs::read(place.shop()).unwrap() == made,
        "a run has changed it"
    );

    // Only it and the plot are left.
    assert_eq!(fs::read_dir(place.folder.path()).unwrap().count(), 2);
}

#[test]
fn a_shop_that_is_of_no_use_is_made_anew() {
    let place = Place::new();
    must_succeed(&place.glance());
    let whole = fs::read(place.shop()).unwrap();
    let middle = whole.len() / 2;
    let pragma = |name: &str, value: u32| {
        let shop = Connection::open(place.shop()).unwrap();
        shop.pragma_update(None, name, value).unwrap();
    };
    let spoil: [(&str, &dyn Fn()); 5] = [
        ("is half-made", &|| pragma("user_version", 0)),
        ("is of version 1000", &|| pragma("user_version", 1000)),
        ("can't be read: ", &|| {
            fs::write(place.shop(), &whole[..middle]).unwrap();
        }),
        ("is damaged", &|| {
            let mut spoiled = whole.clone();
            spoiled[middle..middle + 4096].fill(0xee);
            fs::write(place.shop(), spoiled).unwrap();
        }),
        ("has 999 products", &|| {
            let shop = Connection::open(place.shop()).unwrap();
            shop.execute_batch(
                "DELETE FROM rating WHERE product = 7; DELETE FROM product WHERE id = 7",
            )
            .unwrap();
        }),
    ];
    for (flaw, spoil) in spoil {
        spoil();
        let run = place.glance();
        must_succeed(&run);
        let why = format!("made anew, because the old one {flaw}");
        assert!(run.says("Shop").contains(&why), "{}", run.stdout);
        assert!(
            fs::read(place.shop()).unwrap() == whole,
            "another shop after: {flaw}"
        );
    }
}

#[test]
fn a_file_that_is_no_shop_stays_as_it_is() {
    let place = Place::new();
    let somebodys = place.folder.path().join("somebodys.sqlite");
    let database = Connection::open(&somebodys).unwrap();
    database
        .execute_batch("CREATE TABLE dear (to_me TEXT)")
        .unwrap();
    drop(database);
    for content in [
        fs::read(&somebodys).unwrap(),
        b"a letter\n".to_vec(),
        Vec::new(),
    ] {
        fs::write(place.shop(), &content).unwrap();
        let run = place.glance();
        assert_eq!(run.status.code(), Some(2), "{}", run.stdout);
        let shop = place.shop();
        let why = "is no shop of this program's; choose another --db";
        assert_eq!(run.stderr, format!("sqlite: {} {why}\n", text(&shop)));
        assert!(fs::read(place.shop()).unwrap() == content, "it was changed");
    }
}

#[test]
fn a_wrong_flag_and_an_unreachable_server_are_refused_in_one_line() {
    // Nobody listens on port 1.
    for (args, begin) in [
        (
            ["--raws", "5"],
            "sqlite: unexpected argument '--raws' found (try --help)",
        ),
        (
            ["--redis-url", "redis://127.0.0.1:1"],
            "sqlite: request `connect` to 127.0.0.1:1 failed: Connection refused",
        ),
    ] {
        let run = example::run("sqlite", &args, PATIENCE);
        assert_eq!(run.status.code(), Some(2));
        assert_eq!(run.stdout, "");
        assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
        assert!(run.stderr.starts_with(begin), "{}", run.stderr);
    }
}
