//! What the page says of records: where they are, which have changed, and which do not exist.

use super::{browser::Browser, open, open_on};
use crate::{
    demo_server::{Demo, command},
    support::Server,
};

const CHANGED: &str = "Changed since this read.";

#[test]
fn an_update_marks_the_record_on_display_as_read_before() {
    let page = open(20);
    let browser = &page.browser;
    page.read("MISS");
    assert_eq!(browser.count("#since[hidden]"), 1);
    browser.click("#update");
    browser.until_text("#since", CHANGED);
    assert_eq!(browser.text("#since"), CHANGED, "it is visible");
    assert_eq!(browser.text("#record del"), "650");
    assert_eq!(browser.text("#record ins"), "699");

    browser.fill("#value", "700");
    browser.click("#update-field");
    browser.until_text("#record ins", "700");
    assert_eq!(browser.text("#record del"), "650");
    // What happens to the cached record afterwards does not bring the old values back.
    browser.click("#invalidate");
    browser.until_text("#read-note", "p-001 was not cached.");
    assert_eq!(browser.text("#since"), CHANGED);

    page.read("MISS");
    assert_eq!(page.field("price_cents"), "700");
    assert_eq!(browser.count("#since[hidden]"), 1);
    assert_eq!(browser.count("#found.old"), 0);

    // Another product than the one on display.
    browser.click("#products label:nth-child(2)");
    browser.click("#update");
    browser.until("document.getElementById('update-note').textContent.includes('p-002')");
    assert_eq!(browser.count("#since[hidden]"), 1);
}

#[test]
fn an_update_that_does_not_reach_the_cache_marks_the_record_too() {
    let mut page = open(5);
    page.read("MISS");
    page.redis.kill();
    page.browser.click("#update");
    page.browser.until_text("#since", CHANGED);
    assert_eq!(page.browser.text("#record ins"), "699");
}

#[test]
fn an_update_during_a_read_marks_what_it_finds() {
    let page = open(1500);
    page.browser.click("#read");
    page.demo.until_reads(1);
    page.browser.click("#update");
    page.browser.until_text("#verdict-word", "MISS");
    assert_eq!(page.field("price_cents"), "650");
    assert_eq!(page.browser.text("#since"), "Changed during this read.");
}

#[test]
fn whatever_ends_a_cached_record_is_said_of_the_one_on_display() {
    let page = open(20);
    for (button, since) in [
        ("invalidate", "Invalidated since this read."),
        ("invalidate", "No longer cached."),
        ("expire", "No longer cached."),
        ("stampede", "Invalidated and loaded again since this read."),
        ("expire", "Expired since this read."),
        ("clear", "Cleared since this read."),
    ] {
        if since.starts_with("Invalidated since") {
            page.read("MISS");
        }
        page.browser.click(&format!("#{button}"));
        page.browser.until_text("#since", since);
    }
}

#[test]
fn a_product_that_does_not_exist_is_not_found_and_one_of_the_last_reads() {
    let page = open(20);
    let browser = &page.browser;
    page.read("MISS");
    browser.click("#products label.none");
    page.read("NOT FOUND");
    let words = browser.text("#verdict-text");
    assert!(
        words.starts_with("The primary has no product p-404. "),
        "{words}"
    );
    assert_eq!(browser.count("#record[hidden]"), 1);
    assert_eq!(browser.count("#ttl[hidden]"), 1);
    assert_eq!(browser.text("#read-note"), "");
    assert_eq!(page.stat("misses"), "2");

    assert_eq!(browser.count("#reads tbody tr"), 2);
    let row = "#reads tbody tr:first-child.missing";
    assert_eq!(browser.text(&format!("{row} .id")), "p-404");
    assert_eq!(browser.text(&format!("{row} .how")), "not found");
    assert_eq!(browser.count(&format!("{row} .bar i")), 2);

    page.watch_until("missing");
    let legend = browser.text("#watch-key .missing");
    assert!(legend.ends_with(" not found"), "{legend}");
}

#[test]
fn a_read_that_fails_is_one_of_the_last_reads() {
    let page = open(20);
    page.switch("primary_fails", "The primary fails");
    page.browser.click("#read");
    page.browser
        .until("document.querySelector('#reads tbody tr.failed')");
    assert_eq!(page.browser.text("#reads .failed .how"), "failed");
}

#[test]
fn the_badge_says_where_the_records_are_and_how_to_change_that() {
    let page = open_on(Server::start_on_port, 5, 30);
    assert_eq!(
        page.browser.text("#store"),
        format!("Records are in Redis at 127.0.0.1:{}", page.redis.port())
    );
    assert_eq!(
        page.browser.text("#other"),
        "Start with --store memory to do without Redis."
    );
    drop(page);

    let browser = Browser::start();
    let demo = Demo::start_command(command().args(["--port", "0", "--store", "memory"]));
    browser.open(&demo.url);
    browser.until("document.body.dataset.ready");
    assert_eq!(
        browser.text("#store"),
        "Records are in this process's memory"
    );
    assert_eq!(
        browser.text("#other"),
        "Start without --store memory to use Redis."
    );
    assert_eq!(browser.text("#other code"), "--store memory");
}

#[test]
fn no_reads_have_no_hit_rate() {
    let page = open(5);
    let rate = "#tiles [data-stat=hit_rate_pct]";
    assert_eq!(page.browser.text(rate), "–");
    page.read("MISS");
    assert_eq!(page.browser.text(rate), "0 %");
    page.browser.click("#reset");
    page.browser.until_text(rate, "–");
}

#[test]
fn the_label_of_a_switch_has_two_words_at_most() {
    let page = open(5);
    for switch in 1..=5 {
        let label = page.browser.run(&format!(
            "return document.querySelector('#switches label:nth-of-type({switch}) span')
                .firstChild.textContent"
        ));
        let label = label.as_str().unwrap();
        assert!((1..=2).contains(&label.split(' ').count()), "{label}");
    }
}

#[test]
fn the_new_value_follows_the_field_until_the_user_types_one() {
    let page = open(5);
    let browser = &page.browser;
    let value = "return document.getElementById('value').value";
    browser.click("#field option:nth-child(2)");
    assert_eq!(browser.run(value), "41");
    browser.fill("#value", "12");
    browser.click("#field option:nth-child(1)");
    assert_eq!(browser.run(value), "12");
}
