//! The page of the demo, in a real browser.

mod audit;
mod browser;
mod chromedriver;

mod colours;
mod list;
mod people;
mod records;
mod switches;
mod uses;

use crate::demo_server::Demo;
use crate::support::Server;
use browser::Browser;

/// The page and everything behind it. The browser ends first.
struct Page {
    browser: Browser,
    demo: Demo,
    redis: Server,
}

/// Opens the page of a demo whose primary takes this many milliseconds. Records live two minutes:
/// no test takes that long, however busy the machine.
fn open(latency: u32) -> Page {
    open_with(latency, 120)
}

fn open_with(latency: u32, ttl: u32) -> Page {
    open_on(Server::start, latency, ttl)
}

fn open_on(start_redis: fn() -> Server, latency: u32, ttl: u32) -> Page {
    // First, because it waits for its turn.
    let browser = Browser::start();
    let redis = start_redis();
    let (latency, ttl) = (latency.to_string(), ttl.to_string());
    let args = ["--primary-latency-ms", &latency, "--ttl", &ttl];
    let demo = Demo::start(&redis.url(), &args);
    browser.open(&demo.url);
    browser.until("document.body.dataset.ready");
    Page {
        browser,
        demo,
        redis,
    }
}

impl Page {
    fn read(&self, verdict: &str) {
        // So that the result of an earlier read cannot be taken for this one's.
        self.browser
            .run("document.getElementById('verdict-word').textContent = ''");
        self.browser.click("#read");
        self.browser.until_text("#verdict-word", verdict);
    }

    fn stat(&self, name: &str) -> String {
        let value = self.browser.run(&format!(
            "return document.querySelector('[data-stat={name}]').textContent"
        ));
        value.as_str().unwrap().to_owned()
    }

    fn field(&self, name: &str) -> String {
        self.browser
            .text(&format!("#record [data-field={name}] td"))
    }

    fn stampede(&self, id: &str, readers: u32) {
        self.browser.fill("#stampede-id", id);
        self.browser.fill("#concurrency", &readers.to_string());
        self.browser
            .run("document.getElementById('summary').textContent = ''");
        self.browser.click("#stampede");
        self.browser.until(&format!(
            "document.getElementById('summary').textContent.startsWith('{readers} readers')"
        ));
    }

    fn ttl(&self) -> u32 {
        self.browser.text("#ttl-text").parse().unwrap()
    }
}
