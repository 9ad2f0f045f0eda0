//! Reads of a catalog: from the cache, from the environment's own copy, and from the table, beside a bare GET of the
//! same bytes through the same handle.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use levee::cache::{CacheConfig, CacheStatus};
use levee::catalogs::{
    CATALOG_SPACE, Catalog, CatalogItem, CatalogSnapshot, Catalogs, CatalogsTable, ItemLink, Publisher, Requirement,
    WriteOutcome,
};
use levee::clock::Clock;
use levee::config::from_lookup;
use levee::stores::dynamodb::{self, DynamoDbConfig};
use levee::stores::redis::Redis;
use local::dynamodb::DynamoDb;
use local::template::Template;

use crate::client::Place;

/// Number of items of the measured catalog.
const ITEMS: usize = 60;
const CATALOG: Catalog = Catalog::Modules;
const TABLE: &str = "Catalogs";

/// ReadWay of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadWay {
    /// `cache-get`: a bare GET of the entry, which is not decoded.
    Get,
    /// `cache-hit`: a read through the cache, without the environment's own copy.
    Hit,
    /// `cache-first`: the same in an environment that has not decoded the entry yet.
    First,
    /// `cache-front`: a read for a known version, mostly from the environment's own copy.
    Front,
    /// `cache-source`: a read of the table, as after a miss.
    Source,
}

impl ReadWay {
    fn of(target: &str) -> Option<Self> {
        match target {
            "cache-get" => Some(Self::Get),
            "cache-hit" => Some(Self::Hit),
            "cache-first" => Some(Self::First),
            "cache-front" => Some(Self::Front),
            "cache-source" => Some(Self::Source),
            _ => None,
        }
    }
}

/// An environment that reads catalogs, with connections of its own.
pub(crate) struct CatalogReader {
    way: ReadWay,
    redis: Redis,
    key: String,
    table: CatalogsTable,
    shared: Arc<Redis>,
    catalogs: Catalogs,
}

impl CatalogReader {
    /// Returns true if a reader measures the target.
    pub(crate) fn measures(target: &str) -> bool {
        ReadWay::of(target).is_some()
    }

    /// Opens a reader for a target, by its name in the table. The catalog is cached by then.
    pub(crate) async fn open(place: &Place, target: &str) -> anyhow::Result<Self> {
        let way = ReadWay::of(target).with_context(|| format!("there is no target {target}"))?;
        let table = table().await?;
        let redis = Arc::new(place.redis()?);
        let catalogs = environment(&table, &redis);
        catalogs.read(CATALOG, None).await?;
        let key = format!("{{levee}}:cache:{}.{}:{CATALOG}", CATALOG_SPACE.name, CATALOG_SPACE.schema);
        Ok(Self { way, redis: place.redis()?, key, table, shared: redis, catalogs })
    }

    /// Reads the catalog once, and checks that it came the expected way.
    pub(crate) async fn ask(&mut self) -> anyhow::Result<()> {
        let items = match self.way {
            ReadWay::Get => {
                let key = &self.key;
                let get =
                    async |mut connection| redis::cmd("GET").arg(key).query_async::<Vec<u8>>(&mut connection).await;
                let bytes = self.redis.run(get).await?;
                ensure!(bytes.len() > ITEMS, "the entry is not there");
                return Ok(());
            }
            ReadWay::Source => CatalogSnapshot::new(Box::pin(self.table.read(CATALOG)).await?.items).items.len(),
            ReadWay::Hit | ReadWay::First | ReadWay::Front => {
                if self.way == ReadWay::First {
                    self.catalogs = environment(&self.table, &self.shared);
                }
                let required = (self.way == ReadWay::Front).then_some(0);
                let answer = self.catalogs.read(CATALOG, required).await?;
                if answer.status != CacheStatus::Hit {
                    bail!("not a hit: {:?}", answer.status);
                }
                answer.entry.value.as_ref().map_or(0, |snapshot| snapshot.items.len())
            }
        };
        ensure!(items == ITEMS, "{items} items");
        Ok(())
    }
}

/// Returns a new environment's reader, with a time to live that no measurement outlasts.
fn environment(table: &CatalogsTable, redis: &Arc<Redis>) -> Catalogs {
    let config = CacheConfig::new(Duration::from_secs(3_000));
    Catalogs::new(table.clone(), redis.clone(), Clock::system(), config, Duration::from_secs(10))
}

/// Returns a table with the catalog, in an emulator of its own.
async fn table() -> anyhow::Result<CatalogsTable> {
    let (address, is_up) = mpsc::channel();
    // The emulator runs on a thread of its own, as the table of a function is on another machine.
    thread::spawn(move || serve(&address));
    let address: SocketAddr = is_up.recv().context("the emulator did not start")??;
    let table = CatalogsTable::new(client(address)?, TABLE);
    let items: Vec<CatalogItem> = (0..ITEMS).map(item).collect();
    let written = table.write(CATALOG, &items, Clock::system().now()).await?;
    ensure!(matches!(written, WriteOutcome::Written(..)), "the catalog is not empty");
    Ok(table)
}

fn serve(address: &mpsc::Sender<anyhow::Result<SocketAddr>>) {
    let start = async {
        let template = Template::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../template.yaml")))?;
        DynamoDb::start(&template.tables).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        match start.await {
            Ok(emulator) => {
                let _main_has_ended = address.send(Ok(emulator.address()));
                std::future::pending::<()>().await;
            }
            Err(error) => drop(address.send(Err(error))),
        }
    });
}

fn client(address: SocketAddr) -> anyhow::Result<aws_sdk_dynamodb::Client> {
    let lookup = |name: &str| match name {
        "AWS_ENDPOINT_URL_DYNAMODB" => Some(format!("http://{address}")),
        "DYNAMODB_TIMEOUT_MS" => Some("10000".to_owned()),
        "AWS_REGION" => Some("us-east-1".to_owned()),
        name => name.starts_with("AWS_").then(|| "bench".to_owned()),
    };
    Ok(dynamodb::client(&from_lookup(lookup, DynamoDbConfig::read)?))
}

/// Returns an item of usual length.
fn item(number: usize) -> CatalogItem {
    let url = format!("https://docs.levee.example/items/{number}");
    CatalogItem {
        id: format!("item-{number:03}"),
        name: format!("Item number {number}"),
        summary: "Keeps contacts and companies in step with a CRM, in both directions, and reports conflicts."
            .to_owned(),
        category: ["crm", "data", "support"][number % 3].to_owned(),
        version: "2.1.0".to_owned(),
        publisher: Publisher { name: "Acme Logistics".to_owned(), url: Some("https://acme.example".to_owned()) },
        links: vec![ItemLink { rel: "documentation".to_owned(), url }],
        requirements: vec![Requirement { id: "platform".to_owned(), version: Some(">=3.2".to_owned()) }],
        ..CatalogItem::default()
    }
}
