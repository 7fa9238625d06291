//! Uses every function of the page once, and checks what it shows.

use super::open;

#[test]
fn a_read_shows_a_miss_then_a_hit_and_the_ttl_counts_down() {
    let page = open(50);
    let browser = &page.browser;
    page.read("MISS");
    assert_eq!(
        ["id", "name", "price_cents", "stock"].map(|name| page.field(name)),
        ["p-001", "Sourdough Loaf", "650", "42"]
    );
    assert_eq!(browser.count("#reads tbody tr.loaded .bar i"), 2);

    page.read("HIT");
    assert_eq!(browser.count("#reads tbody tr"), 2);
    assert_eq!(browser.count("#reads tbody tr:first-child.hit .bar i"), 1);
    assert_eq!(
        ["hits", "misses", "hit_rate_pct", "primary_reads_total"].map(|name| page.stat(name)),
        ["1", "1", "50 %", "1"]
    );

    let ttl = page.ttl();
    assert!((1..=120).contains(&ttl), "{ttl}");
    browser.until(&format!(
        "Number(document.getElementById('ttl-text').textContent) < {ttl}"
    ));

    for _ in 0..20 {
        page.read("HIT");
    }
    assert_eq!(browser.count("#reads tbody tr"), 20);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn an_invalidation_outdates_the_record_on_display() {
    let page = open(20);
    let browser = &page.browser;
    browser.click("#invalidate");
    browser.until_text("#read-note", "p-001 was not cached.");
    page.read("MISS");
    browser.click("#invalidate");
    browser.until_text("#read-note", "Invalidated p-001. The next read is a miss.");
    assert_eq!(browser.text("#ttl-unit"), "uncached");
    assert_eq!(browser.count("#found.old"), 1);
    page.read("MISS");
    assert_eq!(browser.count("#found.old"), 0);
}

#[test]
fn each_product_is_read_by_its_own_button() {
    let page = open(5);
    assert_eq!(page.browser.count("#products input"), 5);
    for (place, name) in [
        "Sourdough Loaf",
        "Espresso Beans 250g",
        "Olive Oil 500ml",
        "Sea Salt Flakes",
    ]
    .iter()
    .enumerate()
    {
        page.browser
            .click(&format!("#products label:nth-child({})", place + 1));
        page.read("MISS");
        assert_eq!(page.field("name"), *name);
    }
}

#[test]
fn both_updates_show_at_once() {
    let page = open(20);
    let browser = &page.browser;
    page.read("MISS");
    browser.fill("#value", "699");
    browser.click("#update");
    browser.until_text(
        "#update-note",
        "Updated price_cents of p-001 in the primary, and invalidated the cached record. \
         The next read is a miss.",
    );
    assert_eq!(browser.text("#ttl-unit"), "uncached");
    page.read("MISS");
    assert_eq!(page.field("price_cents"), "699");

    browser.click("#field option:nth-child(2)");
    browser.fill("#value", "41");
    browser.click("#update-field");
    browser.until_text(
        "#update-note",
        "Updated stock of p-001 in the primary and in the cache. The next read is a hit.",
    );
    page.read("HIT");
    assert_eq!(page.field("stock"), "41");

    browser.click("#invalidate");
    browser.until_text("#read-note", "Invalidated p-001. The next read is a miss.");
    browser.click("#update-field");
    browser.until_text(
        "#update-note",
        "Updated stock of p-001 in the primary. No record was cached, so the cache did not change.",
    );
}

#[test]
fn a_stampede_becomes_a_timeline_in_which_the_loader_stands_out() {
    let page = open(150);
    let browser = &page.browser;
    page.read("MISS");
    page.read("HIT");
    page.stampede("p-001", 50);
    assert_eq!(browser.count("#timeline rect"), 50);
    assert_eq!(browser.count("#timeline rect.loaded"), 1);
    let stands_out = "const height = (bar) => bar.getBoundingClientRect().height;
        const loaded = height(document.querySelector('#timeline .loaded'));
        return [...document.querySelectorAll('#timeline rect:not(.loaded)')]
            .every((bar) => height(bar) * 2 < loaded)";
    assert_eq!(browser.run(stands_out), true);
    let summary = browser.text("#summary");
    let time = summary
        .strip_prefix("50 readers, 1 read of the primary, ")
        .and_then(|rest| rest.strip_suffix(" ms."));
    let time: u32 = time.expect(&summary).parse().expect(&summary);
    assert!(time >= 150, "{time}");
    assert_eq!(
        browser.accessible_name("#timeline"),
        format!("Timeline. {summary}")
    );
    browser.click("#ran summary");
    assert_eq!(browser.count("#readers tbody tr"), 50);
    browser.click("#ran summary");

    page.stampede("p-002", 200);
    assert_eq!(browser.count("#timeline rect"), 200);
    assert_eq!(browser.count("#timeline rect.loaded"), 1);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn a_stampede_on_nothing_says_so() {
    // Longer than the last of 50 threads takes to begin on a busy machine: a thread that comes
    // after the load must load again.
    let page = open(1000);
    page.stampede("p-404", 50);
    assert!(
        page.browser
            .text("#summary")
            .starts_with("50 readers, 1 read of the primary, ")
    );
    assert_eq!(page.browser.count("#timeline rect.loaded"), 1);
    let more = page.browser.text("#summary-more");
    assert!(more.starts_with("There is no product p-404; "), "{more}");
}

#[test]
fn a_button_is_busy_while_it_waits() {
    let page = open(20);
    // Watched from inside the page: a request from outside may come too late.
    page.browser.run(
        "window.seen = [];
         for (const button of document.querySelectorAll('button')) {
             const note = () => seen.push(`${button.id} ${button.disabled} ${button.textContent}`);
             new MutationObserver(note).observe(button, { attributes: true, childList: true });
         }",
    );
    for (button, busy, idle) in [
        ("read", "Reading…", "Read"),
        ("invalidate", "Invalidating…", "Invalidate"),
        ("expire", "Expiring…", "Expire"),
        ("clear", "Clearing…", "Clear all"),
        ("read-many", "Reading…", "Read all products"),
        ("read-list", "Reading…", "Read the list"),
        ("update", "Updating…", "Update and invalidate"),
        ("update-field", "Updating…", "Update and set field"),
        ("stampede", "Running…", "Start the stampede"),
        ("refresh", "Asking…", "Refresh"),
        ("reset", "Resetting…", "Reset to zero"),
    ] {
        page.browser.click(&format!("#{button}"));
        page.browser.until(&format!(
            "seen.includes('{button} true {busy}') && seen.at(-1) === '{button} false {idle}'"
        ));
    }
}

#[test]
fn the_counters_are_asked_for_and_reset() {
    let page = open(5);
    page.demo.read("p-003");
    assert_eq!(page.stat("misses"), "0");
    page.browser.click("#refresh");
    page.browser.until_text("#tiles [data-stat=misses]", "1");
    page.browser.click("#reset");
    page.browser.until_text("#tiles [data-stat=misses]", "0");
    assert_eq!(page.stat("primary_reads_total"), "0");
    page.browser.click("details summary");
    assert!(page.browser.text("#rest").contains("Refused fills"));
}

#[test]
fn what_goes_wrong_is_said_in_plain_words() {
    let mut page = open(5);
    page.browser.click("#products label.none");
    page.browser.click("#update");
    page.browser
        .until_text("#update-note.bad", "There is no product p-404.");

    page.demo.interrupt();
    page.demo.wait();
    let gone = "The server does not answer. Is it still running?";
    for (button, note) in [
        ("#read", "#read-note"),
        ("#invalidate", "#read-note"),
        ("#expire", "#read-note"),
        ("#clear", "#read-note"),
        ("#read-many", "#many-note"),
        ("#read-list", "#list-note"),
        ("#grace", "#settings-note"),
        ("#update-field", "#update-note"),
        ("#stampede", "#stampede-note"),
        ("#refresh", "#stats-note"),
        ("#reset", "#stats-note"),
    ] {
        page.browser.run(&format!(
            "document.querySelector('{note}').textContent = ''"
        ));
        page.browser.click(button);
        page.browser.until_text(&format!("{note}.bad"), gone);
        page.browser
            .until(&format!("!document.querySelector('{button}').disabled"));
    }
}

#[test]
fn without_redis_reads_go_on_and_updates_say_what_they_did() {
    let mut page = open(5);
    page.redis.kill();
    page.read("NO REDIS");
    assert_eq!(page.browser.text("#ttl-unit"), "uncached");
    page.browser.click("#update");
    page.browser.until(
        "document.querySelector('#update-note.bad')?.textContent
            .startsWith('The primary has the new value, but a cached record may be old for up to ')",
    );
    page.read("NO REDIS");
    assert_eq!(page.field("price_cents"), "699");
}

#[test]
fn markup_from_the_server_stays_text() {
    let markup =
        r#"<img src=x onerror="document.title='ran'"><script>document.title='ran'</script>"#;
    let page = open(5);
    let browser = &page.browser;
    let title = browser.run("return document.title");
    browser.click("#field option:nth-child(3)");
    browser.fill("#value", markup);
    browser.click("#update");
    browser.until("document.getElementById('update-note').textContent");
    page.read("MISS");
    assert_eq!(page.field("name"), markup);
    page.stampede(markup, 2);
    let more = browser.text("#summary-more");
    assert!(
        more.starts_with(&format!("There is no product {markup}")),
        "{more}"
    );
    assert_eq!(browser.count("img"), 0);
    assert_eq!(browser.run("return document.title"), title);
    // Markup that reached the page would not run.
    browser.run(&format!(
        "document.getElementById('summary').innerHTML = {}",
        serde_json::Value::from(markup)
    ));
    browser.until("document.querySelector('img')?.complete");
    assert_eq!(browser.run("return document.title"), title);
}
