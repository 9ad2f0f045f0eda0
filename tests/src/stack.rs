//! The running stack: starts the built `levee-local`, provides the addresses of its parts, and stops it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::Answer;

/// Time-out of a start, on a machine that is busy.
const START: Duration = Duration::from_secs(60);
/// Time-out of a stop.
const STOP: Duration = Duration::from_secs(20);

/// Options of a stack.
#[derive(Debug)]
pub struct Builder {
    with_demo: bool,
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
    template: PathBuf,
}

impl Builder {
    /// Sets another template than the product's, given by its path from the workspace.
    pub fn template(mut self, path: impl AsRef<Path>) -> Self {
        self.template = workspace().join(path);
        self
    }

    /// Sets a variable of all functions whose template entry declares it.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Sets a parameter of the template.
    pub fn parameter(self, name: &str, value: &str) -> Self {
        self.argument("--parameter").argument(&format!("{name}={value}"))
    }

    /// Seeds the demo's accounts and their month of usage as well, which takes about a second.
    pub fn with_demo(mut self) -> Self {
        self.with_demo = true;
        self
    }

    /// Sets numbers of environments, as `authorizer=3,ai-proxy=2`.
    pub fn environments(self, numbers: &str) -> Self {
        self.argument("--environments").argument(numbers)
    }

    /// Reduces the time-outs of a provider to 300 ms: for its first token, for a whole answer and between two pieces.
    pub fn impatient(self) -> Self {
        self.env("AI_FIRST_TOKEN_TIMEOUT_MS", "300")
            .env("AI_CALL_TIMEOUT_MS", "300")
            .env("AI_STREAM_GAP_TIMEOUT_MS", "300")
    }

    /// Uses only one provider, the stand-in `primary`, so that its failures reach the client unchanged.
    pub fn only_primary(self) -> Self {
        self.argument("--providers").argument("primary").one_attempt()
    }

    /// Turns off the breaker and retries: each call tries each provider once at most, regardless of earlier failures.
    /// After a failure the next provider is still tried.
    pub fn one_attempt(self) -> Self {
        self.env("AI_RETRY_BUDGET_PERCENT", "0").env("BREAKER_MODE", "dry-run")
    }

    /// Turns off all limits on callers.
    pub fn without_limits(self) -> Self {
        let limits = [
            "LIMIT_AI_PER_ADDRESS",
            "LIMIT_KEY_PER_MINUTE",
            "LIMIT_INTEGRATION_PER_MINUTE",
            "LIMIT_ACCOUNT_AI_PER_MINUTE",
            "LIMIT_COUNT_TOKENS_PER_MINUTE",
            "LIMIT_ACCOUNT_SELF_PER_MINUTE",
            "LIMIT_ACCOUNT_PER_MINUTE",
            "LIMIT_ACCOUNT_IN_FLIGHT",
            "LIMIT_GLOBAL_PER_MINUTE",
            "LIMIT_GLOBAL_IN_FLIGHT",
        ];
        limits.iter().fold(self, |builder, name| builder.env(name, "0"))
    }

    /// Serves under a stage.
    pub fn stage(self, name: &str) -> Self {
        self.argument("--stage").argument(name)
    }

    /// Serves HTTPS.
    pub fn tls(self) -> Self {
        self.argument("--tls")
    }

    /// Adds an argument of `levee-local`.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Starts the stack and waits until it is up.
    pub async fn start(self) -> Stack {
        self.try_start().await.unwrap_or_else(|output| panic!("the stack did not start:\n{output}"))
    }

    /// Works as [`Builder::start`]; the error is the output of a `levee-local` that has ended.
    pub async fn try_start(self) -> Result<Stack, String> {
        let _already_installed = rustls::crypto::ring::default_provider().install_default();
        let state = TempDir::new().expect("a temporary folder");
        // Start the process and collect its output.
        let mut process = self.command(state.path()).spawn().expect("levee-local runs");
        let output = Output::default();
        let (ready, is_ready) = mpsc::channel();
        output.follow(process.stdout.take().expect("a pipe"), Some(ready));
        output.follow(process.stderr.take().expect("a pipe"), None);
        // Wait for the ready line.
        let began = Instant::now();
        while is_ready.try_recv().is_err() {
            if process.try_wait().expect("a child").is_some() {
                // Wait for the last lines of output.
                tokio::time::sleep(Duration::from_millis(100)).await;
                return Err(output.text());
            }
            assert!(began.elapsed() < START, "not up after {START:?}:\n{}", output.text());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let local = std::fs::read(state.path().join("local.json")).expect("local.json");
        let local: Value = serde_json::from_slice(&local).expect("local.json is JSON");
        let client = client(&local);
        Ok(Stack { process, state, output, local, client })
    }

    fn command(&self, state: &Path) -> Command {
        let binaries = binaries();
        let program = binaries.join("levee-local");
        assert!(
            program.is_file(),
            "{} is missing: build it and the functions first, with `cargo build --workspace --bins`",
            program.display()
        );
        // Stores and providers of the developer's environment are not passed on.
        let mut command = Command::new(program);
        command
            .arg("--template")
            .arg(&self.template)
            .arg("--bin-dir")
            .arg(binaries)
            .arg("--state-dir")
            .arg(state)
            .args(["--port", "0"])
            .args((!self.with_demo).then_some("--no-demo"))
            .args(&self.arguments)
            .env_remove("REDIS_URL")
            .env_remove("AI_PROVIDERS")
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}

/// A running stack. Dropping it stops it.
#[derive(Debug)]
pub struct Stack {
    process: Child,
    state: TempDir,
    output: Output,
    local: Value,
    client: reqwest::Client,
}

impl Stack {
    /// Returns a builder for the product's template with three changes to the defaults. Time-outs of the stores are
    /// long, because a busy machine must not look like a store outage. No call goes to the backup unless the primary
    /// fails. There is no demo data.
    pub fn builder() -> Builder {
        let variables = [("REDIS_BUDGET_MS", "1000"), ("DYNAMODB_TIMEOUT_MS", "5000"), ("AI_WARM_PERCENT", "0")];
        Builder {
            with_demo: false,
            arguments: Vec::new(),
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            template: workspace().join("template.yaml"),
        }
    }

    /// Returns the value of `name` in local.json, or an empty string.
    pub fn local(&self, name: &str) -> &str {
        self.local[name].as_str().unwrap_or_default()
    }

    /// Returns the keys of the demo's integrations, by `account/integration`.
    pub fn demo_keys(&self) -> BTreeMap<String, String> {
        serde_json::from_value(self.local["demo_keys"].clone()).expect("a map of keys")
    }

    /// Returns the URL of a path of the API.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.local("url"))
    }

    /// Returns the fixed key, which has all scopes.
    pub fn api_key(&self) -> &str {
        self.local("api_key")
    }

    /// Returns the account of the fixed keys.
    pub fn account_id(&self) -> &str {
        self.local("account_id")
    }

    /// Returns e-mail address and password of the operator among the platform admins.
    pub fn admin(&self) -> (&str, &str) {
        self.credentials("admin")
    }

    /// Returns e-mail address and password of the viewer among the platform admins.
    pub fn viewer(&self) -> (&str, &str) {
        self.credentials("viewer")
    }

    fn credentials(&self, admin: &str) -> (&str, &str) {
        let text = |name: &str| self.local[admin][name].as_str().expect("an admin in local.json");
        (text("email"), text("password"))
    }

    /// Returns a client that trusts the stack's certificate, opens a connection for each request and does not follow
    /// redirects.
    pub fn client(&self) -> &reqwest::Client {
        &self.client
    }

    /// Sends a request to the control address; `Value::Null` sends no body.
    pub async fn control(&self, method: &str, path: &str, body: Value) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, format!("{}{path}", self.local("control_url")));
        if !body.is_null() {
            request = request.json(&body);
        }
        Answer::read(request.send().await.expect("the control address answers")).await
    }

    /// POSTs to a path of the control address, which has to succeed.
    pub async fn order(&self, path: &str) {
        let answer = self.control("POST", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }

    /// Returns the state of a function's environments, as in `GET /functions`.
    pub async fn environments(&self, function: &str) -> Vec<Value> {
        let all = self.control("GET", "/functions", Value::Null).await.json();
        all[function].as_array().unwrap_or_else(|| panic!("no function {function} in {all}")).clone()
    }

    /// Returns the number of calls that each environment of a function has taken.
    pub async fn invocations(&self, function: &str) -> Vec<u64> {
        self.environments(function).await.iter().map(|it| it["invocations"].as_u64().unwrap_or_default()).collect()
    }

    /// Waits until an environment is in a call, and returns its number.
    pub async fn busy_environment(&self, function: &str) -> usize {
        let busy = |environments: Vec<Value>| environments.iter().position(|it| it["state"] == "busy");
        wait_for(async || busy(self.environments(function).await)).await
    }

    /// Moves the functions' clock forward.
    pub async fn advance(&self, seconds: u64) {
        let answer = self.control("POST", "/time/advance", serde_json::json!({ "seconds": seconds })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Returns the folder of local.json and the logs.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Returns the process id of `levee-local`.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Returns everything that the stack has printed.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Sends a signal to `levee-local` and waits for its end. Returns true if it exited successfully.
    pub fn stop_by(&mut self, signal: rustix::process::Signal) -> bool {
        signal_to(self.process.id(), signal);
        let began = Instant::now();
        while began.elapsed() < STOP {
            if let Ok(Some(status)) = self.process.try_wait() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _gone_by_itself = self.process.kill();
        let _nothing_more_to_do = self.process.wait();
        false
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if !matches!(self.process.try_wait(), Ok(Some(_))) {
            self.stop_by(rustix::process::Signal::TERM);
        }
        if std::thread::panicking() {
            eprintln!("--- what the stack said ---\n{}", self.output());
        }
    }
}

/// Repeats `ask` until it returns a value.
pub async fn wait_for<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(began.elapsed() < START, "it did not happen within {START:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Sends a signal to a process, which may have ended already.
pub fn signal_to(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let _gone = rustix::process::kill_process(pid, signal);
}

/// Returns the folder of the workspace.
pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

/// Returns the folder of the built binaries: that of this test, without `deps`.
pub fn binaries() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let folder = test.parent().expect("a folder");
    if folder.ends_with("deps") { folder.parent().expect("a folder").to_owned() } else { folder.to_owned() }
}

fn client(local: &Value) -> reqwest::Client {
    let mut builder = reqwest::Client::builder()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true);
    if let Some(file) = local["tls_cert"].as_str() {
        let certificate = std::fs::read(file).expect("the certificate");
        let certificate = reqwest::Certificate::from_pem(&certificate).expect("a certificate");
        builder = builder.tls_certs_only([certificate]);
    } else {
        builder = builder.tls_certs_only([]);
    }
    builder.build().expect("a client")
}

/// Collector of output lines.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Mutex<Vec<String>>>);

impl Output {
    fn follow(&self, pipe: impl std::io::Read + Send + 'static, ready: Option<mpsc::Sender<()>>) {
        let lines = self.0.clone();
        std::thread::spawn(move || {
            for line in std::io::BufRead::lines(std::io::BufReader::new(pipe)).map_while(Result::ok) {
                let is_ready = line.starts_with("Levee is up at ");
                lines.lock().expect("a lock").push(line);
                if let Some(ready) = ready.as_ref().filter(|_| is_ready) {
                    let _nobody_waits_any_more = ready.send(());
                }
            }
        });
    }

    fn text(&self) -> String {
        self.0.lock().expect("a lock").join("\n")
    }
}
