//! Chromium, operated as by a user: it opens pages of the stack, signs in, and reports problems of the pages.
//!
//! `cargo xtask test` provides `chromium`, `chromedriver` and axe-core, or leaves out the tests that need them.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::{Stack, binaries};

/// Tags of the axe-core rules that pages have to pass: WCAG 2.2 up to level AA, and best practices.
const RULES: [&str; 6] = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/// Window size and preferences for viewing a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Name, used in the names of pictures.
    pub name: &'static str,
    /// Width in CSS pixels.
    pub width: u32,
    /// Height in CSS pixels.
    pub height: u32,
    /// True if the user prefers dark pages.
    pub is_dark: bool,
}

impl View {
    /// A laptop.
    pub const DESKTOP: Self = Self { name: "desktop", width: 1280, height: 900, is_dark: false };
    /// A laptop of a user who prefers dark pages.
    pub const DARK: Self = Self { name: "dark", is_dark: true, ..Self::DESKTOP };
    /// A phone, held upright.
    pub const PHONE: Self = Self { name: "phone", width: 390, height: 844, is_dark: false };
    /// A screen on a wall.
    pub const WIDE: Self = Self { name: "wide", width: 2560, height: 1440, is_dark: false };
}

/// A running browser with one window, which ends with the test.
#[derive(Debug)]
pub struct Chromium {
    client: Client,
    driver: Child,
    _profile: TempDir,
}

impl Chromium {
    /// Starts a browser with an empty profile.
    pub async fn start() -> Self {
        Self::start_as(false).await
    }

    /// Starts a browser that sends the reports of the Reporting API within a second, to `localhost` too. It trusts every
    /// certificate.
    pub async fn start_reporting() -> Self {
        Self::start_as(true).await
    }

    async fn start_as(sends_reports: bool) -> Self {
        // Start the driver and read its port from its output.
        let mut driver = Command::new("chromedriver")
            .args(["--port=0", "--allowed-ips=127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver runs: cargo xtask test installs it with Chromium");
        let lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
        let mut ports = lines.filter_map(|line| {
            let (_, port) = line.split_once("started successfully on port ")?;
            port.trim_end_matches('.').parse::<u16>().ok()
        });
        let port = ports.next().expect("chromedriver says on which port it listens");
        // Start Chromium through it.
        let profile = TempDir::new().expect("a temporary folder");
        let client = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new())
            .capabilities(capabilities(&profile, sends_reports))
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("Chromium starts");
        Self { client, driver, _profile: profile }
    }

    /// Opens a page and returns its title.
    pub async fn open(&self, url: &str) -> String {
        self.client.goto(url).await.expect("a page");
        self.client.title().await.expect("a title")
    }

    /// Signs in to the board with its form, and waits for the board.
    pub async fn sign_in(&self, stack: &Stack, (email, password): (&str, &str)) {
        self.open(&stack.url("/login")).await;
        for (field, text) in [("input[name=email]", email), ("input[name=password]", password)] {
            let field = self.client.find(Locator::Css(field)).await.expect("a field");
            field.send_keys(text).await.expect("a field that takes text");
        }
        let button = self.client.find(Locator::Css("main form button")).await.expect("a button");
        button.click().await.expect("a button that can be pressed");
        self.client.wait().for_url(&stack.url("/admin").parse().expect("a URL")).await.expect("the board");
    }

    /// Clicks the button with the accessible name `name`, and waits for the next page.
    pub async fn press(&self, name: &str) {
        let button = format!("//button[@aria-label='{name}' or (not(@aria-label) and normalize-space()='{name}')]");
        let button = self.client.find(Locator::XPath(&button)).await.unwrap_or_else(|_| panic!("no button {name}"));
        button.click().await.expect("a button that can be pressed");
        self.client.wait().for_element(Locator::Css("main")).await.expect("a page");
    }

    /// Resizes the window and sets the user's preferences.
    pub async fn look_at(&self, view: View) {
        let View { width, height, is_dark, .. } = view;
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.command("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if is_dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", features).await;
    }

    /// Lets pages of `origin` send reports while they are closed, which the Reporting API needs.
    pub async fn allow_reports(&self, origin: &str) {
        let permission = json!({ "origin": origin, "permissions": ["backgroundSync"] });
        self.command("Browser.grantPermissions", permission).await;
    }

    /// Runs a script in the page and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Returns the violations that axe-core finds on the page, one line for each rule and element.
    pub async fn findings(&self) -> Vec<String> {
        self.run(&axe()).await;
        // Allow the board to refresh itself: without a script, a reload is the only way to stay current.
        let rules = json!({ "meta-refresh": { "enabled": false } });
        let options = json!({ "runOnly": RULES, "resultTypes": ["violations"], "rules": rules });
        let script =
            format!("const done = arguments[0]; axe.run(document, {options}).then(done, error => done(String(error)))");
        let results = self.client.execute_async(&script, Vec::new()).await.expect("axe-core runs");
        let violations = results["violations"].as_array().unwrap_or_else(|| panic!("axe-core: {results}"));
        let line = |violation: &Value, node: &Value| {
            format!("{}: {}: {} {}", violation["id"], violation["help"], node["target"], node["failureSummary"])
        };
        let nodes = violations
            .iter()
            .flat_map(|it| it["nodes"].as_array().into_iter().flatten().map(move |node| line(it, node)));
        nodes.collect()
    }

    /// Returns the elements that extend beyond the sides of the window and are not inside a scrolling part of the
    /// page.
    pub async fn overflow(&self) -> Vec<String> {
        let found = self.run(OVERFLOW).await;
        let found = found.as_array().unwrap_or_else(|| panic!("no list: {found}"));
        found.iter().map(|element| element.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Returns the browser's complaints since the last call: violations of policies and errors of scripts.
    pub async fn complaints(&self) -> Vec<String> {
        let log = self.client.issue_cmd(Log).await.expect("a log");
        let entries = log.as_array().into_iter().flatten();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Saves a picture of the whole page as `target/levee/screens/<name>.png`.
    pub async fn save(&self, name: &str) {
        let options = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.command("Page.captureScreenshot", options).await;
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64");
        let folder = target().join("levee/screens");
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        std::fs::write(folder.join(format!("{name}.png")), bytes).expect("a file for a picture");
    }

    /// Sends a command of the DevTools protocol.
    async fn command(&self, method: &'static str, parameters: Value) -> Value {
        let command = DevTools { method, parameters };
        self.client.issue_cmd(command).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // Chromium ends with its driver.
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// A command of Chromium's DevTools protocol (<https://chromedevtools.github.io/devtools-protocol/>).
#[derive(Debug)]
struct DevTools {
    method: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "cmd": self.method, "params": self.parameters }).to_string()))
    }
}

/// Command that returns the lines of the browser's console since the last call.
#[derive(Debug)]
struct Log;

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

/// Returns the capabilities of a headless Chromium that does not connect to the internet by itself.
fn capabilities(profile: &TempDir, sends_reports: bool) -> Map<String, Value> {
    let mut arguments = vec![
        "--headless".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-quic".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--no-first-run".to_owned(),
        "--disable-component-update".to_owned(),
        "--disable-sync".to_owned(),
        "--hide-scrollbars".to_owned(),
        format!("--user-data-dir={}", profile.path().display()),
    ];
    if sends_reports {
        // Chromedriver disables what reports need, unless it is told to leave that out.
        arguments.extend(["--short-reporting-delay", "--ignore-certificate-errors"].map(str::to_owned));
    } else {
        arguments.push("--disable-background-networking".to_owned());
    }
    // Chromium's sandbox does not work as root, for example in a container.
    if rustix::process::geteuid().is_root() {
        arguments.push("--no-sandbox".to_owned());
    }
    let mut options = json!({ "args": arguments });
    if sends_reports {
        options["excludeSwitches"] = json!(["disable-background-networking"]);
    }
    let logging = json!({ "browser": "ALL" });
    Map::from_iter([("goog:chromeOptions".to_owned(), options), ("goog:loggingPrefs".to_owned(), logging)])
}

/// Returns the source of axe-core, as installed by `cargo xtask test`.
fn axe() -> String {
    let file = target().join("tools/sdk-axe/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|_| panic!("{} is missing: run cargo xtask test", file.display()))
}

fn target() -> PathBuf {
    binaries().parent().expect("a build directory").to_owned()
}

/// Script that lists elements beyond the window. They are allowed inside a scrolling element. Those that are
/// completely outside are hidden on purpose.
const OVERFLOW: &str = "
    const width = document.documentElement.clientWidth;
    const scrolls = element => element && element !== document.body && element !== document.documentElement &&
        (['auto', 'scroll'].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
    return [...document.body.querySelectorAll('*')]
        .filter(element => {
            const box = element.getBoundingClientRect();
            const sticksOut = box.right > width + 1 || (box.left < -1 && box.right > 0);
            return box.width > 0 && sticksOut && !scrolls(element.parentElement);
        })
        .slice(0, 10)
        .map(element => element.outerHTML.slice(0, 120));
";
