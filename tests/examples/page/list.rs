//! The list of products on the page, and what updates of products do to it.

use super::{Page, open};

impl Page {
    /// Reads the list, and waits for this verdict.
    pub(crate) fn read_list(&self, verdict: &str) {
        self.browser
            .run("document.getElementById('list-word').textContent = ''");
        self.browser.click("#read-list");
        self.browser.until_text("#list-word", verdict);
    }

    fn list_price(&self, row: u32) -> String {
        let cell = format!("#list-table tbody tr:nth-child({row}) td:last-child");
        self.browser.text(&cell)
    }
}

#[test]
fn a_new_price_loads_the_list_again_and_a_new_stock_does_not() {
    let page = open(20);
    let browser = &page.browser;
    page.read_list("MISS");
    assert_eq!(browser.count("#list-table tbody tr"), 4);
    assert_eq!(page.list_price(3), "1200");
    page.read_list("HIT");
    assert!(
        browser
            .text("#list-text")
            .starts_with("The cache returned ")
    );
    assert_eq!(browser.count("#list-since[hidden]"), 1);

    browser.click("#products label:nth-child(3)");
    browser.click("#field option:nth-child(2)");
    browser.click("#update");
    browser.until_text(
        "#list-since.calm",
        "Updated since this read: stock of p-003. The list shows no stock and stays cached.",
    );
    assert_eq!(browser.count("#list.old"), 0);
    page.read_list("HIT");

    browser.click("#field option:nth-child(1)");
    for (button, price) in [("#update", "701"), ("#update-field", "702")] {
        browser.fill("#value", price);
        browser.click(button);
        browser.until_text(
            // Not what it said of the update before.
            "#list-since:not(.calm):not([hidden])",
            "Updated since this read: price_cents of p-003. The next read loads the list again.",
        );
        assert_eq!(browser.count("#list.old"), 1);
        page.read_list("MISS");
        assert_eq!(page.list_price(3), price);
        assert_eq!(browser.count("#list.old"), 0);
        page.read_list("HIT");
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn the_end_of_the_list_stays_on_display_until_it_is_read_again() {
    let page = open(20);
    let browser = &page.browser;
    page.read_list("MISS");
    browser.click("#update");
    browser.until("document.querySelector('#list.old')");
    browser.click("#field option:nth-child(2)");
    browser.click("#update");
    browser.until("document.getElementById('update-note').textContent.includes('stock')");
    assert!(
        browser
            .text("#list-since")
            .contains("price_cents of p-001.")
    );
    page.read_list("MISS");
    browser.click("#clear");
    browser.until_text("#list-since", "Cleared since this read.");
    page.read_list("MISS");
}

#[test]
fn an_update_during_a_read_of_the_list_marks_what_it_finds() {
    let page = open(1500);
    page.browser.click("#read-list");
    page.demo.until_reads(1);
    page.browser.click("#update");
    page.browser.until_text("#list-word", "MISS");
    assert_eq!(page.list_price(1), "650");
    page.browser.until_text(
        "#list-since",
        "Changed during this read. The next read loads the list again.",
    );
    page.read_list("MISS");
    assert_eq!(page.list_price(1), "699");
}

#[test]
fn without_redis_the_list_comes_from_the_primary() {
    let mut page = open(5);
    page.read_list("MISS");
    page.redis.kill();
    page.browser.click("#update");
    page.browser.until("document.querySelector('#list.old')");
    page.read_list("NO REDIS");
    assert_eq!(page.list_price(1), "699");
}
