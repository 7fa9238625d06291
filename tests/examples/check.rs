//! The check of event logs: that it passes runs of the right protocol, and refutes broken ones.

use std::{fs, path::Path, time::Duration};

use tempfile::TempDir;

use crate::{
    checker::{Checked, history},
    demo_server::Demo,
    example,
    support::Server,
};

/// Reading a short trace takes a fraction of a second.
const PATIENCE: Duration = Duration::from_secs(60);

struct Recorded {
    folder: TempDir,
    run: Checked,
}

impl Recorded {
    fn history(args: &[&str]) -> Recorded {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        let record = ["--record", path.to_str().unwrap()];
        let run = history(&[args, &record].concat());
        Recorded { folder, run }
    }

    fn check(&self) -> Checked {
        check(&self.folder.path().join("trace.jsonl"))
    }
}

fn check(path: &Path) -> Checked {
    Checked(example::run("check", &[path.to_str().unwrap()], PATIENCE))
}

#[test]
fn a_recorded_run_of_the_right_protocol_passes() {
    let recorded = Recorded::history(&["--near", "--grace", "--seconds", "2"]);
    recorded.run.finds_nothing();
    let checked = recorded.check();
    assert!(checked.0.status.success(), "{}", checked.0.stdout);
    assert!(checked.says("Verdict").starts_with("holds: "));
    assert!(checked.counts("Lookups judged") > 100);
    assert_eq!(checked.counts("Refuted"), 0);
}

#[test]
fn so_does_one_under_tags() {
    let recorded = Recorded::history(&["--tags", "--operations=3000"]);
    let checked = recorded.check();
    assert!(checked.0.status.success(), "{}", checked.0.stdout);
}

#[test]
fn broken_protocols_are_refuted_with_a_picture() {
    for rule in ["fill", "floor", "tag-join", "push"] {
        let broken = ["--break", rule, "--seconds=60", "--operations=10000000"];
        let recorded = Recorded::history(&broken);
        assert_eq!(recorded.run.0.status.code(), Some(1));
        let checked = recorded.check();
        let text = &checked.0.stdout;
        assert_eq!(checked.0.status.code(), Some(1), "{rule}: {text}");
        assert!(checked.says("Verdict").starts_with("refuted: "));
        assert!(text.contains("| lookup                * process"), "{text}");
    }
}

#[test]
fn a_demo_that_is_recorded_passes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let redis = Server::start();
    let args = [
        "--primary-latency-ms",
        "5",
        "--record",
        path.to_str().unwrap(),
    ];
    let mut demo = Demo::start(&redis.url(), &args);
    for (switch, price) in [("near_cache=on", 1), ("grace=on", 2), ("background=on", 3)] {
        demo.post("/settings", switch);
        for _ in 0..5 {
            demo.read("p-001");
            demo.get("/list");
        }
        let form = format!("id=p-001&field=price_cents&value={price}");
        assert_eq!(demo.post("/update", &form).0, 200);
        assert_eq!(demo.post("/update_field", &form).0, 200);
        demo.read("p-001");
        demo.post("/clear", "all=1");
        demo.post("/stampede", "id=p-002&concurrency=10");
    }
    demo.interrupt();
    assert_eq!(demo.wait().0, Some(0));
    let checked = check(&path);
    assert!(checked.0.status.success(), "{}", checked.0.stdout);
    assert!(checked.counts("Lookups judged") > 50);
    assert!(checked.counts("  near") > 0);
}

/// A trace that proves nothing is not taken for a proof.
#[test]
fn a_trace_with_a_gap_is_incomplete() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let open = r#"{"at":1,"p":"a","e":"open","error":1}"#;
    let load = r#"{"at":9,"p":"a","e":"load","key":"k","began":5,"hash":"1"}"#;
    let lookup = r#"{"at":20,"p":"a","e":"lookup","key":"k","began":10,"from":"hit","hash":"1"}"#;
    let close = r#"{"at":30,"p":"a","e":"close"}"#;
    let lost = r#"{"p":"a","e":"lost","count":3}"#;
    let step = r#"{"p":"a","e":"step","by":3000000}"#;
    let verdict = |lines: &[&str]| {
        fs::write(&path, lines.join("\n")).unwrap();
        check(&path).0.status.code()
    };
    assert_eq!(verdict(&[open, load, lookup, close]), Some(0));
    assert_eq!(verdict(&[open, load, lookup]), Some(2));
    assert_eq!(verdict(&[open, load, lost, lookup, close]), Some(2));
    assert_eq!(verdict(&[open, load, step, lookup, close]), Some(2));
    assert_eq!(verdict(&[open, load, &lookup[..30], close]), Some(2));
    assert_eq!(verdict(&[open, close]), Some(2));
    assert_eq!(verdict(&[]), Some(2));
    // What is missing before the lookup may be the load that makes it right.
    let end = r#"{"at":15,"p":"a","e":"end","key":"k","began":14,"outcome":"done"}"#;
    let old = lookup.replace("\"began\":10", "\"began\":18");
    assert_eq!(verdict(&[open, load, end, &old, close]), Some(1));
    assert_eq!(verdict(&[open, load, end, lost, &old, close]), Some(2));
    assert_eq!(verdict(&[open, load, end, &old, lost, close]), Some(1));
}

/// Nobody waits for what a process does after it has closed its log.
#[test]
fn a_process_that_goes_on_after_its_close_refutes_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let lines = [
        r#"{"at":1,"p":"a","e":"open","error":1}"#,
        r#"{"at":2,"p":"b","e":"open","error":1}"#,
        r#"{"at":10,"p":"a","e":"end","key":"k","began":9,"outcome":"done"}"#,
        r#"{"at":12,"p":"a","e":"close"}"#,
        r#"{"at":20,"p":"b","e":"lookup","key":"k","began":15,"from":"hit","hash":"1"}"#,
        r#"{"at":30,"p":"b","e":"close"}"#,
        r#"{"p":"a","e":"lost","count":1}"#,
    ];
    let verdict = |lines: &[&str]| {
        fs::write(&path, lines.join("\n")).unwrap();
        check(&path)
    };
    assert_eq!(verdict(&lines[..6]).0.status.code(), Some(1));
    let checked = verdict(&lines);
    assert_eq!(checked.0.status.code(), Some(2));
    assert!(checked.says("Verdict").starts_with("incomplete"));
}

#[test]
fn a_verdict_says_of_how_many_lookups_too_little_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.jsonl");
    let lines = [
        r#"{"at":1,"p":"a","e":"open","error":1}"#,
        r#"{"at":9,"p":"a","e":"load","key":"k","began":5,"hash":"1"}"#,
        r#"{"at":20,"p":"a","e":"lookup","key":"k","began":10,"from":"hit","hash":"1"}"#,
        r#"{"at":25,"p":"a","e":"lookup","key":"k","began":21,"from":"hit"}"#,
        r#"{"at":30,"p":"a","e":"close"}"#,
    ];
    fs::write(&path, lines.join("\n")).unwrap();
    let checked = check(&path);
    assert!(checked.0.status.success());
    let verdict = checked.says("Verdict");
    assert!(
        verdict.contains("of 1 lookups too little is known"),
        "{verdict}"
    );
}

#[test]
fn a_file_that_is_missing_is_refused_in_one_line() {
    let checked = check(Path::new("no/such/file"));
    assert_eq!(checked.0.status.code(), Some(2));
    assert_eq!(checked.0.stderr.lines().count(), 1);
}
