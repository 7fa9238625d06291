//! The audit on the page.

use super::open;

#[test]
fn a_change_that_nobody_told_the_cache_of_is_reported_on_the_page() {
    let page = open(5);
    let browser = &page.browser;
    page.switch(
        "audit",
        "A new cache on the same store, with an audit. Its counters start at zero.",
    );
    page.read("MISS");
    browser.click("#field option:nth-child(2)");
    browser.click("#update-primary");
    browser.until_text(
        "#update-note",
        "Updated stock of p-001 in the primary, and told nobody. A cached record stays old until its TTL ends. \
         The audit reports it a few seconds after a hit.",
    );
    assert_eq!(browser.count("#audit-report[hidden]"), 1);
    page.read("HIT");
    assert_eq!(page.field("stock"), "42");
    browser.until_text(
        "#audit-report:not([hidden])",
        "The audit reports: p-001 differs from the primary in stock. Nobody has invalidated it.",
    );
    assert_eq!(page.stat("inconsistencies"), "1");
    // A later hit finds it mended.
    browser.click("#invalidate");
    browser.until_text("#read-note", "Invalidated p-001. The next read is a miss.");
    page.read("MISS");
    page.read("HIT");
    browser.until("document.querySelector('#audit-report[hidden]')");
    assert_eq!(browser.complaints(), [""; 0]);
}
