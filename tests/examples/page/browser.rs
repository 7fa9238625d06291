//! A headless Chromium, driven through `chromedriver` by plain `WebDriver` requests.
//!
//! <https://www.w3.org/TR/webdriver2/>. The rest uses the `DevTools` protocol under `goog/cdp`.

use std::{
    env, fs,
    path::PathBuf,
    process::{self, Child},
    sync::{
        Arc, Weak,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use serde_json::{Value, json};
use ureq::Agent;

use super::chromedriver::{self, chromium};
use crate::demo_server::agent;

/// How long the page may take to show what it should. Longer than on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// The name by which `WebDriver` refers to elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) const TAB: &str = "\u{e004}";
pub(crate) const ENTER: &str = "\u{e007}";

/// A window of the browser, for one test. It is closed with this value.
pub(crate) struct Browser {
    program: Arc<Program>,
    /// One window that works fills a small machine: the tests of a file take turns.
    _turn: MutexGuard<'static, ()>,
}

/// The browser. All tests that run or wait at the same time share it, because its start costs more
/// than most of them. It ends with the last of them.
struct Program {
    driver: Child,
    /// Made by the browser, and removed with it.
    profile: PathBuf,
    agent: Agent,
    /// `http://127.0.0.1:<port>/session/<id>`
    session: String,
    /// Stays open between two tests, because a browser without a window ends.
    first_window: Value,
}

impl Browser {
    pub(crate) fn start() -> Browser {
        static TURN: Mutex<()> = Mutex::new(());

        // Before the turn: so the browser runs on while a test waits.
        let program = Program::running();
        let browser = Browser {
            _turn: TURN.lock(),
            program,
        };
        let opened = browser.post("window/new", &json!({ "type": "window" }));
        browser.post("window", &json!({ "handle": opened["handle"] }));
        browser.post("window/rect", &json!({ "width": 1200, "height": 900 }));
        // Those of earlier tests are no matter of this one.
        browser.complaints();
        browser
    }
    pub(crate) fn open(&self, url: &str) {
        self.post("url", &json!({ "url": url }));
    }

    /// Runs a script in the page and returns what it returns.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until this JavaScript expression is true.
    pub(crate) fn until(&self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.run(&format!("return Boolean({condition})")) == true {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the page does not come to `{condition}`. It shows:\n{}",
                self.text("body")
            );
            // A page does not announce its changes.
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the element shows exactly this text.
    pub(crate) fn until_text(&self, css: &str, text: &str) {
        let text = Value::from(text);
        self.until(&format!(
            "document.querySelector({})?.textContent === {text}",
            Value::from(css)
        ));
    }

    /// The text of an element, without that of hidden ones.
    pub(crate) fn text(&self, css: &str) -> String {
        let css = Value::from(css);
        let text = self.run(&format!("return document.querySelector({css}).innerText"));
        text.as_str().expect("text").to_owned()
    }

    /// How many elements there are of a kind.
    pub(crate) fn count(&self, css: &str) -> u64 {
        let css = Value::from(css);
        let count = self.run(&format!("return document.querySelectorAll({css}).length"));
        count.as_u64().expect("a number")
    }

    /// Clicks as a mouse does: fails where another element is above.
    pub(crate) fn click(&self, css: &str) {
        let element = self.find(css);
        self.post(&format!("element/{element}/click"), &json!({}));
    }

    /// Types into a field, and replaces its contents.
    pub(crate) fn fill(&self, css: &str, text: &str) {
        let element = self.find(css);
        self.post(&format!("element/{element}/clear"), &json!({}));
        self.post(
            &format!("element/{element}/value"),
            &json!({ "text": text }),
        );
    }

    /// Presses and releases a key wherever the focus is.
    pub(crate) fn press(&self, key: &str) {
        let actions =
            json!([{ "type": "keyDown", "value": key }, { "type": "keyUp", "value": key }]);
        self.post(
            "actions",
            &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }),
        );
    }

    /// The name of the element for a screen reader.
    pub(crate) fn accessible_name(&self, css: &str) -> String {
        let element = self.find(css);
        let name = self.get(&format!("element/{element}/computedlabel"));
        name.as_str().expect("text").to_owned()
    }

    /// Makes the page this wide and high, in pixels.
    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            &json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false }),
        );
    }

    /// Sets a media feature, as `prefers-color-scheme`.
    pub(crate) fn prefer(&self, name: &str, value: &str) {
        self.devtools(
            "Emulation.setEmulatedMedia",
            &json!({ "features": [{ "name": name, "value": value }] }),
        );
    }

    /// All messages and errors of the page and the browser.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({ "type": "browser" }));
        let log = log.as_array().expect("a list");
        log.iter().map(ToString::to_string).collect()
    }

    /// The page as PNG, all of it.
    pub(crate) fn screenshot(&self, width: u32) -> Vec<u8> {
        self.resize(width, 900);
        let height = self.run("return document.documentElement.scrollHeight");
        let height = u32::try_from(height.as_u64().expect("a number")).expect("a small one");
        self.resize(width, height);
        let taken = self.get("screenshot");
        decode_base64(taken.as_str().expect("text"))
    }

    fn find(&self, css: &str) -> String {
        let found = self.post("element", &json!({ "using": "css selector", "value": css }));
        found[ELEMENT].as_str().expect("an element").to_owned()
    }

    fn devtools(&self, command: &str, params: &Value) {
        self.post(
            "goog/cdp/execute",
            &json!({ "cmd": command, "params": params }),
        );
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        let Program { agent, session, .. } = &*self.program;
        send(agent, &format!("{session}/{command}"), body)
    }

    fn get(&self, command: &str) -> Value {
        let Program { agent, session, .. } = &*self.program;
        let url = format!("{session}/{command}");
        value_of(&url, agent.get(&url).call())
    }
}

impl Drop for Browser {
    /// Without a panic, because the test may have panicked.
    fn drop(&mut self) {
        let Program {
            agent,
            session,
            first_window,
            ..
        } = &*self.program;
        let _ = agent.delete(format!("{session}/window")).call();
        let first = json!({ "handle": first_window });
        let _ = agent.post(format!("{session}/window")).send_json(first);
    }
}

impl Program {
    /// The browser that runs, or a new one.
    fn running() -> Arc<Program> {
        static RUNNING: Mutex<Weak<Program>> = Mutex::new(Weak::new());

        let mut running = RUNNING.lock();
        if let Some(program) = running.upgrade() {
            return program;
        }
        let program = Arc::new(Program::start());
        *running = Arc::downgrade(&program);
        program
    }

    fn start() -> Program {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let profile = env::temp_dir().join(format!("cache-aside-page-{}-{count}", process::id()));
        let agent = agent();
        let (driver, url) = chromedriver::start(&agent);
        let mut program = Program {
            driver,
            profile,
            agent,
            session: String::new(),
            first_window: Value::Null,
        };
        program.session = program.open_session(&url);
        let window = format!("{}/window", program.session);
        program.first_window = value_of(&window, program.agent.get(&window).call());
        program
    }

    fn open_session(&self, driver: &str) -> String {
        let mut args = vec![format!("--user-data-dir={}", self.profile.display())];
        args.extend(
            [
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--no-proxy-server",
                // The browser cannot reach any host but this one.
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
                "--hide-scrollbars",
                "--window-size=1200,900",
            ]
            .map(str::to_owned),
        );
        let wanted = json!({ "capabilities": { "alwaysMatch": {
            "goog:chromeOptions": { "binary": chromium(), "args": args },
            "goog:loggingPrefs": { "browser": "ALL" },
        } } });
        let opened = send(&self.agent, &format!("{driver}/session"), &wanted);
        let id = opened["sessionId"].as_str().expect("a session has an id");
        format!("{driver}/session/{id}")
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // This ends the browser. A killed driver would leave it running.
        if !self.session.is_empty() {
            let _ = self.agent.delete(&self.session).call();
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

fn send(agent: &Agent, url: &str, body: &Value) -> Value {
    value_of(url, agent.post(url).send_json(body))
}

/// The value inside an answer of `WebDriver`.
fn value_of(url: &str, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Value {
    let mut answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
    let status = answer.status();
    let mut body: Value = answer
        .body_mut()
        .with_config()
        // Screenshots.
        .limit(64 * 1024 * 1024)
        .read_json()
        .unwrap_or_else(|error| panic!("{url}: {error}"));
    let value = body["value"].take();
    assert!(status.is_success(), "{url}: {}", value["message"]);
    value
}

/// Plain base64 with padding, as `WebDriver` sends images.
fn decode_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut filled) = (0_u32, 0);
    for letter in text.bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => break,
        };
        bits = (bits << 6 | u32::from(six)) & 0xff_ffff;
        filled += 6;
        if filled >= 8 {
            filled -= 8;
            bytes.push((bits >> filled & 0xff).try_into().expect("eight bits"));
        }
    }
    bytes
}
