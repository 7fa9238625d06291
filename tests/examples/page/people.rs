//! The page for different people: on a phone, by keyboard, with a screen reader, in the README.

use std::{collections::BTreeSet, env, fs};

use super::{
    browser::{ENTER, TAB},
    open, open_on,
};
use crate::support::Server;

#[test]
fn a_phone_needs_no_sideways_scrolling() {
    let page = open(20);
    page.read("MISS");
    page.browser.fill("#value", &"wide".repeat(40));
    page.browser.click("#field option:nth-child(3)");
    page.browser.click("#update");
    page.browser
        .until("document.getElementById('update-note').textContent");
    page.read("MISS");
    page.stampede("p-001", 200);
    page.browser.click("#watch");
    // More than fit.
    page.browser
        .run("for (let n = 0; n < 300; n += 1) watched.push({ source: 'hit', time: 1 })");
    page.until_bars("hit");
    page.browser.click("#watch");
    page.browser.click("#read-many");
    page.browser
        .until("!document.getElementById('many').hidden");
    page.read_list("MISS");
    page.browser
        .run("for (const each of document.querySelectorAll('details')) each.open = true");
    for width in [360, 320, 700, 900, 1200] {
        page.browser.resize(width, 740);
        page.browser.until(&format!("innerWidth === {width}"));
        // The drawings are redrawn for the new width.
        for drawing in ["timeline", "watch-line"] {
            page.browser.until(&format!(
                "Math.abs(document.getElementById('{drawing}').viewBox.baseVal.width
                    - document.getElementById('{drawing}').clientWidth) <= 1"
            ));
        }
        let needs = page
            .browser
            .run("return document.documentElement.scrollWidth");
        assert_eq!(needs, width);
    }
}

#[test]
fn the_numbers_of_a_row_of_counters_are_on_one_line() {
    let page = open(5);
    let browser = &page.browser;
    for name in ["near_cache", "grace", "background", "hard_timeout"] {
        page.switch(name, "A new cache");
    }
    // The numbers that are not on the line of their row, and how many labels take two lines.
    let looked = "const tiles = [...document.querySelectorAll('#tiles > div')];
        const edge = (element, side) => element.getBoundingClientRect()[side];
        const number = (tile) => edge(tile.querySelector('dd'), 'bottom');
        const height = (tile) => edge(tile.querySelector('dt'), 'height');
        const lowest = Math.min(...tiles.map(height));
        return {
            off: tiles.filter((one) => tiles.some((other) => edge(one, 'top') === edge(other, 'top')
                && Math.abs(number(one) - number(other)) > 0.5)).length,
            two: tiles.filter((tile) => height(tile) > 1.5 * lowest).length,
        }";
    for width in [420, 1200] {
        browser.resize(width, 900);
        browser.until(&format!("innerWidth === {width}"));
        let looked = browser.run(looked);
        assert_eq!(looked["off"], 0, "{width}");
        assert!(
            looked["two"].as_u64() > Some(0),
            "no label wraps at {width}"
        );
    }
}

#[test]
fn every_control_has_a_name_and_is_reached_by_keyboard() {
    let page = open(20);
    let browser = &page.browser;
    page.stampede("p-001", 5);
    page.read("HIT");
    page.watch_until("hit");
    browser.click("#read-many");
    browser.until("!document.getElementById('many').hidden");
    page.read_list("MISS");
    browser.run(
        "for (const each of document.querySelectorAll('details')) each.open = true;
         let number = 0;
         const controls = 'button, input, select, summary, [tabindex]';
         for (const each of document.querySelectorAll(controls)) each.dataset.control = ++number;
         document.activeElement.blur(); scrollTo(0, 0)",
    );
    let controls = browser.count("[data-control]");
    for control in 1..=controls {
        let name = browser.accessible_name(&format!("[data-control='{control}']"));
        assert!(!name.is_empty(), "control {control} has no name");
    }
    for drawing in [
        "#timeline",
        "#watch-line",
        "#reads",
        "#many-table",
        "#list-table",
        "#record",
        "#ttl",
    ] {
        assert!(!browser.accessible_name(drawing).is_empty(), "{drawing}");
    }

    // The Tab key reaches one of a group of radio buttons, arrow keys the others.
    let expected: BTreeSet<u64> = (1..=controls)
        .filter(|control| {
            browser.count(&format!(
                "[data-control='{control}']:not([type=radio]:not(:checked))"
            )) == 1
        })
        .collect();
    browser.run("document.activeElement.blur()");
    let mut reached = BTreeSet::new();
    for _ in 0..controls + 5 {
        browser.press(TAB);
        let at = browser.run("return Number(document.activeElement.dataset.control ?? 0)");
        reached.extend(at.as_u64().filter(|at| *at > 0));
        if reached == expected {
            break;
        }
    }
    assert_eq!(reached, expected);

    // The keyboard is enough to use it.
    browser.run("document.querySelector('#products input').focus()");
    browser.press("\u{e014}");
    browser.until("document.querySelector('#products input:checked').value === 'p-002'");
    browser.press(ENTER);
    browser.until_text("#record [data-field=id] td", "p-002");
    browser.run("document.getElementById('invalidate').focus()");
    browser.press(ENTER);
    browser.until_text("#read-note", "Invalidated p-002. The next read is a miss.");
    browser.until("document.activeElement.id === 'invalidate'");
}

#[test]
fn reduced_motion_shows_no_animation() {
    let page = open(20);
    // First a timeline with an animation: otherwise nothing would be tested.
    page.stampede("p-001", 5);
    let animations =
        "return document.getElementById('timeline').getAnimations({ subtree: true }).length";
    let drawn_anew = format!("drawTimeline(true); {animations}");
    assert_eq!(page.browser.run(&drawn_anew), 5);
    page.browser.prefer("prefers-reduced-motion", "reduce");
    assert_eq!(page.browser.run(&drawn_anew), 0);
}

/// `SCREENSHOT=examples/server/screenshot.png cargo test --test examples page::` makes a new
/// screenshot. `SCREENSHOT_WIDTH` and `SCREENSHOT_SCHEME=dark` picture other screens.
#[test]
fn a_full_page_can_be_pictured() {
    // The defaults of the demo, on a typical server.
    let page = open_on(Server::start_on_port, 150, 30);
    let browser = &page.browser;
    if let Ok(scheme) = env::var("SCREENSHOT_SCHEME") {
        browser.prefer("prefers-color-scheme", &scheme);
    }
    browser.click("#watch");
    page.until_bars("hit");
    page.switch("near_cache", "A new cache");
    page.until_bars("near");
    page.switch("grace", "A new cache");
    browser.until("document.querySelectorAll('#watch-line .near').length > 12");
    browser.click("#expire");
    page.until_bars("refreshed");
    browser.until("document.querySelectorAll('#watch-line .near').length > 25");
    page.switch("primary_fails", "The primary fails");
    browser.click("#expire");
    page.until_bars("stale");
    browser.click("#invalidate");
    page.until_bars("failed");
    page.switch("primary_fails", "The primary works");
    browser.until("document.querySelectorAll('#watch-line .near').length > 50");
    browser.click("#watch");
    browser.click("#read-many");
    page.read_list("MISS");
    // Whether each is a hit depends on the speed, and does not matter here.
    let read = |product: u32, times: u32| {
        browser.click(&format!("#products label:nth-child({product})"));
        for _ in 0..times {
            browser.click("#read");
            browser.until("!document.getElementById('read').disabled");
        }
    };
    read(1, 3);
    read(2, 4);
    read(3, 3);
    read(1, 1);
    browser.click("#update");
    browser.until("document.getElementById('update-note').textContent");
    read(1, 4);
    page.stampede("p-001", 50);
    read(1, 5);
    // The bars have grown by then.
    browser.until("document.getAnimations().length === 0");
    let width = env::var("SCREENSHOT_WIDTH").map_or(1200, |width| width.parse().unwrap());
    let png = browser.screenshot(width);
    assert!(png.starts_with(b"\x89PNG"));
    if let Ok(file) = env::var("SCREENSHOT") {
        fs::write(file, png).unwrap();
    }
}
