//! The catalogs: their table on the emulator, and reads of it through the cache.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use levee::cache::{CacheConfig, CacheStatus};
use levee::catalogs::{
    Catalog, CatalogItem, Catalogs, CatalogsTable, CatalogsTableError, ItemStatus, MOST_ITEMS, MOST_WRITES, Publisher,
    WriteOutcome, publish,
};
use levee::clock::Timestamp;
use levee::limits::{Ask, Decision};

use crate::emulator::{Asked, Emulator, TIMEOUT};
use crate::redis_server::Server;

const TABLE: &str = "Catalogs";
const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

fn item(id: &str, name: &str, revision: u64) -> CatalogItem {
    CatalogItem {
        id: id.to_owned(),
        name: name.to_owned(),
        summary: "What it does.".to_owned(),
        category: "crm".to_owned(),
        version: "1.0".to_owned(),
        publisher: Publisher { name: "Acme".to_owned(), url: None },
        revision,
        ..CatalogItem::default()
    }
}

async fn write(table: &CatalogsTable, items: &[CatalogItem]) -> WriteOutcome {
    table.write(Catalog::Modules, items, NOW).await.unwrap()
}

fn is_written(outcome: &WriteOutcome) -> bool {
    matches!(outcome, WriteOutcome::Written(..))
}

#[tokio::test]
async fn items_are_written_together_by_their_revisions_and_listed_by_id() {
    let emulator = Emulator::start().await;
    let table = CatalogsTable::new(emulator.client(), TABLE);
    assert_eq!((table.version().await.unwrap(), table.read(Catalog::Modules).await.unwrap().version), (0, 0));
    let WriteOutcome::Written(written, version) = write(&table, &[item("b", "B", 0), item("a", "A", 0)]).await else {
        panic!("overtaken")
    };
    assert_eq!((version, written[0].revision, written[0].updated_at), (NOW.as_millis(), 1, NOW.as_secs()));
    // One item that was changed meanwhile keeps all from being written.
    let outcome = write(&table, &[item("a", "A2", 1), item("b", "B2", 7), item("c", "C", 0)]).await;
    let WriteOutcome::Overtaken(overtaken) = outcome else { panic!("written") };
    assert_eq!(overtaken.iter().map(|it| (it.id.as_str(), it.expected, it.present)).collect::<Vec<_>>(), [("b", 7, 1)]);
    assert_eq!(table.item(Catalog::Modules, "a").await.unwrap().unwrap().name, "A");
    assert_eq!(table.item(Catalog::Modules, "c").await.unwrap(), None);
    // A second write has a newer version, by the clock or not.
    assert!(is_written(&write(&table, &[item("a", "A2", 1), item("c", "C", 0)]).await));
    assert_eq!(table.version().await.unwrap(), NOW.as_millis() + 1);
    let stored = table.read(Catalog::Modules).await.unwrap();
    assert_eq!(stored.version, NOW.as_millis() + 1);
    let names: Vec<_> = stored.items.iter().map(|item| (item.name.as_str(), item.revision)).collect();
    assert_eq!(names, [("A2", 2), ("B", 1), ("C", 1)]);
    // Other catalogs are not touched, and share the version.
    assert_eq!(table.read(Catalog::StarterPacks).await.unwrap(), Default::default());
    table.write(Catalog::StarterPacks, &[item("a", "A", 0)], NOW).await.unwrap();
    assert_eq!(table.version().await.unwrap(), NOW.as_millis() + 2);

    let page = |after: Option<&'static str>| table.items(Catalog::Modules, after, 2);
    let ids = |(items, next): (Vec<CatalogItem>, Option<String>)| {
        (items.into_iter().map(|item| item.id).collect::<Vec<_>>().join(" "), next)
    };
    assert_eq!(ids(page(None).await.unwrap()), ("a b".to_owned(), Some("b".to_owned())));
    assert_eq!(ids(page(Some("b")).await.unwrap()), ("c".to_owned(), None));
}

#[tokio::test]
async fn of_several_who_write_at_once_nobody_undoes_anothers_write() {
    let emulator = Emulator::start().await;
    let table = CatalogsTable::new(emulator.client(), TABLE);
    let names: Vec<String> = (0..6).map(|number| format!("item-{number}")).collect();
    let different = join_all(names.iter().map(|name| {
        let (table, items) = (table.clone(), [item(name, name, 0)]);
        async move { table.write(Catalog::Modules, &items, NOW).await.unwrap() }
    }));
    assert!(different.await.iter().all(is_written));
    let same = join_all(names.iter().map(|name| {
        let (table, items) = (table.clone(), [item("item-0", name, 1)]);
        async move { table.write(Catalog::Modules, &items, NOW).await.unwrap() }
    }));
    assert_eq!(same.await.iter().filter(|outcome| is_written(outcome)).count(), 1);
    let stored = table.read(Catalog::Modules).await.unwrap();
    assert_eq!((stored.items.len(), stored.items[0].revision), (6, 2));
    assert_eq!(stored.version, NOW.as_millis() + 6);
}

#[tokio::test]
async fn a_catalog_does_not_grow_without_bound() {
    let emulator = Emulator::start().await;
    let table = CatalogsTable::new(emulator.client(), TABLE);
    let all: Vec<CatalogItem> = (0..MOST_ITEMS).map(|number| item(&format!("i{number:03}"), "I", 0)).collect();
    for part in all.chunks(MOST_WRITES) {
        assert!(is_written(&write(&table, part).await));
    }
    let too_much = |result: Result<WriteOutcome, CatalogsTableError>| match result {
        Err(CatalogsTableError::TooMuch(message)) => message,
        other => panic!("{other:?}"),
    };
    let further = table.write(Catalog::Modules, &[item("one-more", "I", 0)], NOW).await;
    assert!(too_much(further).contains("501 items, of at most 500"));
    let long = "\u{6771}".repeat(500);
    let large: Vec<CatalogItem> =
        all.iter().map(|it| CatalogItem { summary: long.clone(), revision: 1, ..it.clone() }).collect();
    // 98 items of some 1.7 KB are 170 KB; the fifth part goes beyond the limit of 768 KiB.
    let mut refused = None;
    for part in large.chunks(MOST_WRITES) {
        let written = table.write(Catalog::Modules, part, NOW).await;
        refused = refused.or(written.is_err().then_some(written));
    }
    assert!(too_much(refused.unwrap()).contains("bytes, of at most 786432"));
    assert!(too_much(table.write(Catalog::Modules, &all[..MOST_WRITES + 1], NOW).await).contains("in one write"));
    // All of it is one query, and one cached value.
    let (client, asked) = emulator.counted();
    let stored = CatalogsTable::new(client, TABLE).read(Catalog::Modules).await.unwrap();
    assert_eq!((stored.items.len(), asked.take()["Query"]), (MOST_ITEMS, 1));
}

/// Environments that share a Redis and a table.
struct Environments {
    server: Server,
    emulator: Emulator,
    table: CatalogsTable,
    asked: Asked,
}

impl Environments {
    async fn start() -> Self {
        let emulator = Emulator::start().await;
        let (client, asked) = emulator.counted();
        Self { server: Server::start().await, emulator, table: CatalogsTable::new(client, TABLE), asked }
    }

    fn environment(&self) -> Catalogs {
        let config = CacheConfig { wait: TIMEOUT, ..CacheConfig::new(Duration::from_secs(300)) };
        Catalogs::new(self.table.clone(), Arc::new(self.server.redis()), self.server.clock(), config, TIMEOUT)
    }

    /// Writes an item and publishes it.
    async fn write(&self, item: CatalogItem) {
        let now = self.server.clock().now();
        assert!(is_written(&self.table.write(Catalog::Modules, &[item], now).await.unwrap()));
        publish(&self.table, &self.server.redis()).await.unwrap();
    }

    /// Returns the version that the authorizer passes on.
    async fn required(&self) -> Option<u64> {
        let limiter = self.server.limiter();
        let (decision, catalogs) = limiter.check_with_catalogs(Ask::default(), limiter.now()).await;
        assert_eq!(decision, Decision::Allowed(Vec::new()));
        catalogs
    }
}

#[tokio::test]
async fn within_the_ttl_ten_thousand_reads_make_no_request_to_dynamodb() {
    let bench = Environments::start().await;
    assert_eq!(bench.required().await, Some(0), "nothing was published yet");
    bench.write(item("a", "A", 0)).await;
    let required = bench.required().await;
    assert_eq!(required, Some(bench.table.version().await.unwrap()));
    let environments: Vec<_> = (0..4).map(|_| bench.environment()).collect();
    bench.asked.take();
    let cold = environments.iter().flat_map(|it| (0..250).map(move |_| it.read(Catalog::Modules, required)));
    for answer in join_all(cold).await {
        assert_eq!(answer.unwrap().entry.value.as_ref().unwrap().items.len(), 1);
    }
    assert_eq!(bench.asked.take().into_iter().collect::<Vec<_>>(), [("Query".to_owned(), 1)]);
    for turn in 0..10_000 {
        // Without a version, the front is not used, and Redis is read.
        let required = if turn % 5 == 0 { None } else { required };
        let answer = environments[turn % 4].read(Catalog::Modules, required).await.unwrap();
        assert_eq!(answer.status, CacheStatus::Hit);
    }
    assert_eq!(bench.asked.take().values().sum::<u64>(), 0);
}

#[tokio::test]
async fn after_a_write_the_next_read_in_another_environment_is_new_also_where_the_front_had_the_old_one() {
    let bench = Environments::start().await;
    bench.write(item("a", "old", 0)).await;
    let environments = [bench.environment(), bench.environment()];
    let before = bench.required().await;
    for environment in &environments {
        environment.read(Catalog::Modules, before).await.unwrap();
        assert!(environment.read(Catalog::Modules, before).await.unwrap().is_front);
    }
    bench.write(item("a", "new", 1)).await;
    let required = bench.required().await;
    assert!(required > before);
    for environment in &environments {
        let answer = environment.read(Catalog::Modules, required).await.unwrap();
        let item = answer.entry.value.as_ref().unwrap().item("a").unwrap();
        assert!(item.body.contains("\"new\""), "{item:?}");
        assert!(environment.read(Catalog::Modules, required).await.unwrap().is_front);
    }
    // A write to another catalog makes each be read once more.
    let packs = [item("p", "P", 0)];
    bench.table.write(Catalog::StarterPacks, &packs, bench.server.clock().now()).await.unwrap();
    publish(&bench.table, &bench.server.redis()).await.unwrap();
    let required = bench.required().await;
    assert_eq!(environments[0].read(Catalog::Modules, required).await.unwrap().status, CacheStatus::Miss);
    assert_eq!(environments[1].read(Catalog::Modules, required).await.unwrap().status, CacheStatus::Hit);
}

#[tokio::test]
async fn a_catalog_without_items_is_remembered_and_an_odd_row_costs_only_itself() {
    let bench = Environments::start().await;
    let environment = bench.environment();
    assert!(environment.read(Catalog::Modules, Some(0)).await.unwrap().entry.value.is_none());
    bench.asked.take();
    assert!(bench.environment().read(Catalog::Modules, None).await.unwrap().entry.value.is_none());
    assert!(bench.asked.take().is_empty());

    bench.write(item("a", "A", 0)).await;
    let odd = [("pk", "CATALOG#modules"), ("sk", "ITEM#b"), ("id", "b")];
    let odd = odd.map(|(name, value)| (name.to_owned(), aws_sdk_dynamodb::types::AttributeValue::S(value.to_owned())));
    bench.emulator.client().put_item().table_name(TABLE).set_item(Some(odd.into())).send().await.unwrap();
    let answer = environment.read(Catalog::Modules, bench.required().await).await.unwrap();
    let snapshot = answer.entry.value.as_ref().unwrap();
    assert_eq!(snapshot.items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["a"]);
    assert_eq!(item("a", "A", 0).status, ItemStatus::Available);
}

#[tokio::test]
async fn without_redis_a_catalog_that_was_not_written_costs_one_small_read() {
    let bench = Environments::start().await;
    bench.write(item("a", "old", 0)).await;
    let environment = bench.environment();
    environment.read(Catalog::Modules, bench.required().await).await.unwrap();
    bench.server.stop();
    bench.asked.take();
    for _ in 0..3 {
        environment.read(Catalog::Modules, None).await.unwrap();
    }
    assert_eq!(bench.asked.take().into_iter().collect::<Vec<_>>(), [("GetItem".to_owned(), 3)]);
    // A write is seen at once all the same.
    let now = bench.server.clock().now();
    bench.table.write(Catalog::Modules, &[item("a", "new", 1)], now).await.unwrap();
    let answer = environment.read(Catalog::Modules, None).await.unwrap();
    assert!(answer.entry.value.as_ref().unwrap().item("a").unwrap().body.contains("\"new\""));
}
