//! The switches, the reads over time, and the read of all products.

use std::{thread, time::Duration};

use super::{Page, open, open_with};

impl Page {
    /// Turns a switch, and waits until the page reports the effect.
    pub(crate) fn switch(&self, name: &str, says: &str) {
        self.browser
            .run("document.getElementById('settings-note').textContent = ''");
        self.browser.click(&format!("#{name}"));
        self.browser.until(&format!(
            "document.getElementById('settings-note').textContent.startsWith('{says}')"
        ));
    }

    /// Waits until the chart of reads shows bars of this kind.
    pub(crate) fn until_bars(&self, source: &str) {
        self.browser
            .until(&format!("document.querySelector('#watch-line .{source}')"));
    }

    /// Starts the chart of reads, and waits for bars of this kind.
    pub(crate) fn watch_until(&self, source: &str) {
        self.browser.click("#watch");
        self.until_bars(source);
        self.browser.click("#watch");
    }
}

#[test]
fn all_switches_are_off_at_first() {
    let page = open(5);
    assert_eq!(page.browser.count("#switches input"), 8);
    assert_eq!(page.browser.count("#switches input:checked"), 0);
    assert_eq!(page.browser.count("#tiles > div"), 5);
    assert_eq!(page.browser.count("#watched[hidden]"), 1);
}

#[test]
fn a_near_hit_has_a_colour_and_a_counter_of_its_own() {
    let page = open(20);
    let browser = &page.browser;
    page.read("MISS");
    page.read("HIT");
    let colour = "return getComputedStyle(document.getElementById('verdict-word')).color";
    let of_a_hit = browser.run(colour);
    page.switch(
        "near_cache",
        "A new cache on the same store, with a near cache. Its counters start at zero.",
    );
    assert_eq!(page.stat("misses"), "0");
    browser.until(
        "(document.getElementById('refresh').click(),
          document.getElementById('near-what').textContent === 'receives changes')",
    );
    // This read brings it into the near cache.
    page.read("HIT");
    page.read("NEAR HIT");
    assert_eq!(browser.count("#reads tr.near .bar i"), 1);
    assert_eq!(browser.count("#reads-key .near"), 1);
    assert_ne!(browser.run(colour), of_a_hit);
    assert_eq!(page.stat("near_hits"), "1");
    assert!((1..=120).contains(&page.ttl()));

    page.switch(
        "near_cache",
        "A new cache on the same store, without a near cache. ",
    );
    assert_eq!(browser.count("[data-stat=near_hits]"), 0);
    page.read("HIT");
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_primary_that_fails_is_an_error_without_grace_and_a_stale_record_with_it() {
    let page = open(20);
    let browser = &page.browser;
    page.switch("primary_fails", "The primary fails from now on.");
    browser.click("#read");
    let why = "The loader failed: the primary store is down.";
    browser.until_text("#read-note.bad", why);
    page.switch("primary_fails", "The primary works again.");

    page.switch("grace", "A new cache on the same store, with grace. ");
    page.read("MISS");
    page.switch("primary_fails", "The primary fails from now on.");
    page.read("HIT");
    browser.click("#expire");
    browser.until_text(
        "#read-note",
        "p-001 is stale. The next read loads it again. Until then, other readers get the stale record.",
    );
    assert_eq!(browser.text("#ttl-unit"), "s grace");
    page.read("STALE");
    assert_eq!(
        browser.text("#verdict-text"),
        "Past its TTL. Returned because the loader failed: the primary store is down."
    );
    assert_eq!(page.field("name"), "Sourdough Loaf");
    assert_eq!(
        ["stale_hits", "refresh_errors"].map(|name| page.stat(name)),
        ["1", "1"]
    );

    page.switch("primary_fails", "The primary works again.");
    // No read for as long as a lease lasts: two seconds.
    page.watch_until("refreshed");
    assert_eq!(page.stat("refreshes"), "1");
}

#[test]
fn with_background_refresh_the_bars_stay_low_while_the_primary_is_slow() {
    let page = open_with(300, 2);
    let browser = &page.browser;
    page.switch("grace", "A new cache on the same store, with grace. ");
    let says = "A new cache on the same store, with background refresh. ";
    page.switch("background", says);
    page.read("MISS");
    browser.click("#watch");
    page.until_bars("stale");
    // Two reloads, and no bar of a read that waited for one.
    browser.until(
        "(document.getElementById('refresh').click(),
          Number(document.querySelector('[data-stat=background_loads]').textContent) >= 2)",
    );
    for waited in ["refreshed", "loaded"] {
        assert_eq!(browser.count(&format!("#watch-line .{waited}")), 0);
    }
    browser.click("#watch");
}

#[test]
fn with_a_hard_timeout_a_read_fails_and_a_later_one_hits() {
    let page = open(400);
    let browser = &page.browser;
    page.switch(
        "hard_timeout",
        "A new cache on the same store, with a hard timeout. ",
    );
    assert_eq!(
        browser.text("#hard-what"),
        "no single read waits longer than 200 ms; its load goes on"
    );
    browser.click("#read");
    browser.until(
        "document.getElementById('read-note').textContent.startsWith('The load had not ended after ')",
    );
    browser.until(
        "(document.getElementById('refresh').click(),
          document.querySelector('[data-stat=load_timeouts]').textContent === '1')",
    );
    // The load goes on, and fills.
    while page.demo.get("/read?id=p-001").0 != 200 {
        thread::sleep(Duration::from_millis(20));
    }
    page.read("HIT");
}

#[test]
fn without_grace_to_expire_is_to_invalidate() {
    let page = open(20);
    page.browser.click("#expire");
    page.browser
        .until_text("#read-note", "p-001 was not cached.");
    page.read("MISS");
    page.browser.click("#expire");
    page.browser.until_text(
        "#read-note",
        "Without grace, Expire removes the record. The next read of p-001 is a miss.",
    );
    assert_eq!(page.browser.text("#ttl-unit"), "uncached");
    page.read("MISS");
}

#[test]
fn a_clear_says_how_many_records_there_were() {
    let page = open(5);
    page.browser.click("#clear");
    page.browser
        .until_text("#read-note", "The cache was empty.");
    page.demo.read("p-002");
    page.read("MISS");
    page.browser.click("#clear");
    page.browser.until_text("#read-note", "Removed 2 records.");
    assert_eq!(page.browser.text("#ttl-unit"), "uncached");
}

#[test]
fn reads_over_time_become_bars_with_a_legend() {
    let page = open_with(150, 2);
    let browser = &page.browser;
    browser.click("#watch");
    page.until_bars("hit");
    // A miss, hits, and after two seconds the next miss.
    browser.until("document.querySelectorAll('#watch-line .loaded').length >= 2");
    let stands_out = "const height = (source) =>
            document.querySelector(`#watch-line .${source}`).getBoundingClientRect().height;
        return height('loaded') > height('hit')";
    assert_eq!(browser.run(stands_out), true);

    page.switch(
        "early_refresh",
        "A new cache on the same store, with early refresh. Its counters start at zero.",
    );
    page.until_bars("refreshed");
    page.switch("primary_fails", "The primary fails from now on.");
    page.until_bars("failed");
    browser.until_text(
        "#watch-note.bad",
        "The loader failed: the primary store is down.",
    );
    page.switch("primary_fails", "The primary works again.");
    page.switch("grace", "A new cache on the same store, with grace. ");
    // The previous cache filled without grace. So it starts with a hit on a record that this one
    // loaded.
    for counter in ["loads", "hits"] {
        browser.click("#reset");
        browser.until(&format!(
            "(document.getElementById('refresh').click(),
              Number(document.querySelector('[data-stat={counter}]').textContent) > 0)"
        ));
    }
    page.switch("primary_fails", "The primary fails from now on.");
    page.until_bars("stale");
    browser.until_text(
        "#watch-note",
        "Answered, although the loader failed: the primary store is down.",
    );
    browser.click("#watch");
    let name = browser.accessible_name("#watch-line");
    for kind in ["hit", "stale", "refreshed", "loaded", "failed"] {
        assert!(name.contains(&format!(" {kind}")), "{name}");
        assert_eq!(browser.count(&format!("#watch-key .{kind}")), 1, "{kind}");
    }
}

#[test]
fn reads_over_time_end_with_the_server() {
    let mut page = open(5);
    page.browser.click("#watch");
    page.until_bars("hit");
    page.demo.interrupt();
    page.demo.wait();
    page.browser.until_text(
        "#watch-note.bad",
        "The server does not answer. Is it still running?",
    );
    page.browser
        .until("!document.getElementById('watch').checked");
}

#[test]
fn a_read_of_all_products_says_what_it_cost() {
    let page = open(20);
    let browser = &page.browser;
    browser.click("#read-many");
    browser.until("!document.getElementById('many').hidden");
    let summary = browser.text("#many-summary");
    assert!(summary.starts_with("4 products in "), "{summary}");
    assert!(
        summary.ends_with(" ms: 3 round trips and 1 read of the primary."),
        "{summary}"
    );
    assert_eq!(
        browser.text("#many-more"),
        "One by one: 12 round trips and 4 reads of the primary."
    );
    assert_eq!(browser.count("#many-table tr.loaded"), 4);

    browser.click("#read-many");
    browser.until("document.querySelectorAll('#many-table tr.hit').length === 4");
    assert_eq!(
        browser.text("#many-more"),
        "One by one: 4 round trips and 0 reads of the primary."
    );
}
