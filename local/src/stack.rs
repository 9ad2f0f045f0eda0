//! Starts the parts of the stack in order, and stops all of them.

use std::{
    collections::BTreeMap,
    io::Write,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::{
    Options,
    aws::{CloudWatchLogs, Sns},
    bindings,
    clock::Clock,
    control::{self, Controlled},
    dynamodb::DynamoDb,
    gateway::{Front, Gateway, Server, Tls},
    host::{Function, FunctionConfig, Logs},
    progress::Progress,
    providers::{EXAMPLE_MODEL, STAND_INS, StandIn},
    redis::Redis,
    schedule, seed,
    state_files::StateFiles,
    template::Template,
    variables::{self, Sources},
};

/// Secret of the platform's own proxy. It protects nothing here, as the address is this machine's.
const PROXY_SECRET: &str = "the-local-proxy-has-no-secrets";
/// Table without which nothing is seeded, as in templates of tests.
const SEEDED_TABLE: &str = "Accounts";

/// Runs the stack until Ctrl-C or SIGTERM, or until a part has ended that cannot be restarted.
///
/// # Errors
/// Names the part that could not be started, or that has ended.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (deaths, mut death) = mpsc::channel(1);
    // Run until a signal arrives or the stack fails.
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let up = async {
        let stack = start(&options, deaths).await?;
        announce(&stack)?;
        match death.recv().await {
            Some(death) => bail!("Redis is gone, and the stack with it: {death}"),
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = stopped => {
            eprintln!("Levee is down");
            Ok(())
        }
        failed = up => failed,
    }
}

/// Results of the start, and the files to remove at the end.
struct Stack {
    url: String,
    certificate: Option<PathBuf>,
    api_key: Option<String>,
    admins: Option<seed::SeededAdmins>,
    _files: StateFiles,
}

async fn start(options: &Options, deaths: mpsc::Sender<String>) -> anyhow::Result<Stack> {
    // Read the template and check the options against it.
    let mut progress = Progress::begin();
    std::fs::create_dir_all(&options.state_dir)
        .with_context(|| format!("cannot make the folder {}", options.state_dir.display()))?;
    let state = options.state_dir.canonicalize()?;
    let template = Template::load_with(&options.template, &options.parameters.iter().cloned().collect())?;
    check(&template, options)?;
    progress.done("template", format!("{} functions, {} routes", template.functions.len(), template.routes.len()));

    // Bind the address first: other parts need it, and a port in use is reported at once.
    let server = Server::bind(options.port).await?;
    let certificate = options.tls.then(|| state.join("tls-cert.pem"));
    let tls = certificate.as_deref().map(Tls::self_signed).transpose()?;
    let front = Front {
        stage: options.stage.clone(),
        scheme: if options.tls { "https" } else { "http" },
        port: server.address.port(),
    };
    let host = if options.tls { "localhost" } else { "127.0.0.1" };
    let prefix = front.stage.as_ref().map(|stage| format!("/{stage}")).unwrap_or_default();
    let url = format!("{}://{host}:{}{prefix}", front.scheme, front.port);

    // Start the stores.
    let logs = Logs::new(&state).with_context(|| format!("cannot write logs to {}", state.display()))?;
    let redis = match variables::own("REDIS_URL") {
        Some(url) => Redis::given(url),
        None => Redis::start(options.redis_server.as_deref(), &logs, deaths.clone()).await?,
    };
    progress.done("redis", redis.shown());

    let dynamodb = DynamoDb::start(&template.tables).await?;
    let dynamodb_url = format!("http://{}", dynamodb.address());
    progress.done("dynamodb", format!("{dynamodb_url}, {} tables", template.tables.len()));

    // Start the stand-ins for AI providers and AWS services.
    let stand_ins = try_join_all(STAND_INS.map(StandIn::start)).await?;
    progress.done("providers", stand_ins.iter().map(|it| it.base_url()).collect::<Vec<_>>().join(", "));

    let groups: BTreeMap<_, _> = template
        .functions
        .values()
        .map(|function| (bindings::log_group(&function.name), function.name.clone()))
        .collect();
    let log_groups = groups.keys().cloned().collect();
    let sns = Sns::new(&bindings::alert_topic());
    let sns_url = sns.serve().await?;
    let logs_url = CloudWatchLogs::serve(logs.folder().to_owned(), groups).await?;
    progress.done("aws", format!("SNS {sns_url}, CloudWatch Logs {logs_url}"));

    // Seed the tables.
    let seeded = seed(&template, options, &redis.url, &dynamodb_url).await?;
    progress.done("seed", if seeded.is_some() { "keys and data" } else { "nothing to seed in this template" });

    // Compute the functions' variables, for this machine and for containers.
    let clock = Arc::new(Clock::new(state.join("clock-offset"))?);
    let inputs = bindings::Inputs {
        redis_url: redis.url.clone(),
        dynamodb_url: dynamodb_url.clone(),
        gateway_url: url.clone(),
        providers: preferred(&stand_ins, options),
        proxy_secret: PROXY_SECRET.to_owned(),
        key_peppers: bindings::key_peppers(),
        sns_url,
        logs_url,
        log_groups,
    };
    let for_containers = match &options.docker_host {
        None => inputs.clone(),
        Some(host) => {
            let inputs = host.reroute(inputs.clone()).await?;
            progress.done("for Docker", format!("{}, {}", inputs.redis_url, inputs.dynamodb_url));
            inputs
        }
    };
    let sources = Sources {
        bindings: &bindings::overrides(&inputs),
        dynamodb_url: &dynamodb_url,
        clock_file: &state.join("clock-offset"),
        bin_dir: &options.bin_dir,
        template_file: &options.template,
    };
    // Start all functions at the same time.
    let mut for_sam = BTreeMap::new();
    let mut starting = Vec::new();
    for (id, function) in &template.functions {
        let declared = variables::declared(&template, function, &sources)?;
        let config = FunctionConfig {
            name: function.name.clone(),
            arn: function.arn(),
            program: program(&options.bin_dir, &function.binary),
            variables: variables::all(function, &declared, &sources),
            timeout: function.timeout,
            environments: options.environments.count(&function.name),
            freeze: !options.no_freeze,
        };
        let logs = &logs;
        starting
            .push(async move { Ok::<_, anyhow::Error>((id.clone(), Arc::new(Function::start(config, logs).await?))) });
        let bindings = bindings::overrides(&for_containers);
        let declared = variables::declared(&template, function, &Sources { bindings: &bindings, ..sources })?;
        for_sam.insert(id.clone(), with_stores(declared, &for_containers));
    }
    let functions: BTreeMap<String, Arc<Function>> = try_join_all(starting).await?.into_iter().collect();
    progress.done("functions", functions.values().map(|it| it.config.name.as_str()).collect::<Vec<_>>().join(", "));

    // Start the schedules, the gateway and the control address.
    for schedule in &template.schedules {
        if let Some(function) = functions.get(&schedule.function) {
            tokio::spawn(schedule::keep(schedule.clone(), function.clone()));
        }
    }
    let gateway = Gateway::new(&template, functions.clone(), front);
    tokio::spawn(server.run(Arc::new(gateway), tls));
    let by_name = functions.into_values().map(|function| (function.config.name.clone(), function)).collect();
    let redis_url = redis.url.clone();
    let controlled =
        Controlled { redis: Arc::new(redis), dynamodb: Arc::new(dynamodb), functions: Arc::new(by_name), clock };
    let control = control::serve(controlled, stand_ins, sns).await?;
    progress.done("gateway", &url);

    // Write local.json and sam-env.json last: tests take them as a sign that the stack is up.
    let api_key = seeded.as_ref().map(|seeded| seeded.api_key.clone());
    let admins = seeded.as_ref().and_then(|seeded| seeded.admins.as_ref());
    let mut local = json!({
        "url": url,
        "api_key": api_key,
        "plain_api_key": seeded.as_ref().map(|seeded| &seeded.plain_api_key),
        "account_id": seeded.as_ref().map(|seeded| &seeded.account_id),
        "demo_keys": seeded.as_ref().map(|seeded| &seeded.demo_keys),
        "admin": admins.map(|admins| json!({ "email": admins.operator, "password": admins.password })),
        "viewer": admins.map(|admins| json!({ "email": admins.viewer, "password": admins.password })),
        "key_environment": seed::ENVIRONMENT,
        "key_peppers": bindings::key_peppers(),
        "redis_url": redis_url,
        "dynamodb_url": dynamodb_url,
        "tables": tables(&template),
        "control_url": format!("http://{control}"),
        "proxy_secret": PROXY_SECRET,
        "pid": std::process::id(),
    });
    if let (Some(certificate), Value::Object(local)) = (&certificate, &mut local) {
        local.insert("tls_cert".to_owned(), certificate.display().to_string().into());
    }
    let files = StateFiles::write(&state, &local, &for_sam)?;
    Ok(Stack { url, certificate, api_key, admins: admins.cloned(), _files: files })
}

/// Checks options and binaries early, so that the start does not fail half-way.
fn check(template: &Template, options: &Options) -> anyhow::Result<()> {
    let names: Vec<&str> = template.functions.values().map(|function| function.name.as_str()).collect();
    if let Some(name) = options.environments.0.keys().find(|name| !names.contains(&name.as_str())) {
        bail!("--environments names {name}, but the template's functions are {}", names.join(", "));
    }
    if variables::own("ALLOWED_ORIGIN").is_some() {
        bail!("ALLOWED_ORIGIN is the template's parameter AllowedOrigin: start with --parameter AllowedOrigin=…");
    }
    for function in template.functions.values() {
        let file = program(&options.bin_dir, &function.binary);
        if !file.is_file() {
            let name = &function.binary;
            bail!(
                "the binary {} of the function {} is missing; build it: cargo build --bin {name}",
                file.display(),
                function.name
            );
        }
    }
    Ok(())
}

fn program(folder: &Path, binary: &str) -> PathBuf {
    let file = folder.join(binary);
    file.canonicalize().unwrap_or(file)
}

async fn seed(
    template: &Template,
    options: &Options,
    redis_url: &str,
    dynamodb_url: &str,
) -> anyhow::Result<Option<seed::Seeded>> {
    if !template.tables.contains_key(SEEDED_TABLE) {
        return Ok(None);
    }
    let targets = seed::Targets {
        dynamodb_url: dynamodb_url.to_owned(),
        redis_url: redis_url.to_owned(),
        tables: tables(template),
        demo: !options.no_demo,
        key_peppers: bindings::key_peppers(),
    };
    seed::seed(&targets).await.context("the tables cannot be seeded").map(Some)
}

/// Returns name, base URL and key of the stand-ins that the functions are to call, in order of preference.
fn preferred(stand_ins: &[Arc<StandIn>], options: &Options) -> Vec<(String, String, String)> {
    let named = |name: &&str| stand_ins.iter().find(|it| it.name() == *name);
    let found = options.providers.names().iter().filter_map(named);
    found.map(|it| (it.name().to_owned(), it.base_url(), it.api_key().to_owned())).collect()
}

/// Returns the table names by logical id.
fn tables(template: &Template) -> BTreeMap<String, String> {
    template.tables.iter().map(|(id, table)| (id.clone(), table.name.clone())).collect()
}

/// Returns the variables for `sam local`: those of the stores are this stack's, even if levee-local's own environment
/// overrides them.
fn with_stores(mut declared: BTreeMap<String, String>, inputs: &bindings::Inputs) -> BTreeMap<String, String> {
    declared.insert("AWS_ENDPOINT_URL_DYNAMODB".to_owned(), inputs.dynamodb_url.clone());
    declared.entry("REDIS_URL".to_owned()).and_modify(|url| url.clone_from(&inputs.redis_url));
    declared
}

/// Prints the line that tests wait for, and for developers an example call and the address of the board.
fn announce(stack: &Stack) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "Levee is up at {}", stack.url)?;
    if let Some(key) = &stack.api_key {
        let trust = stack.certificate.as_ref().map(|file| format!(" --cacert {}", file.display())).unwrap_or_default();
        let body = format!(
            r#"{{"model":"{EXAMPLE_MODEL}","max_tokens":64,"messages":[{{"role":"user","content":"Hello"}}]}}"#
        );
        writeln!(
            out,
            "\n  curl{trust} {}/v1/messages \\\n    -H 'x-api-key: {key}' \\\n    -H 'anthropic-version: 2023-06-01' \\\n    \
             -H 'content-type: application/json' \\\n    -d '{body}'\n",
            stack.url
        )?;
    }
    if let Some(admins) = &stack.admins {
        writeln!(out, "  {}/admin for {}, {}\n", stack.url, admins.operator, admins.password)?;
    }
    out.flush()
}
