//! The emulator with the template's tables, and the content of the usage table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use levee::clock::Timestamp;
use levee::metering::call::step;
use levee::metering::months::total;
use levee::metering::{Ledger, Month, Months, Record, RecordState, Service, Tally};
use local::dynamodb::Faults;

use crate::emulator::{Emulator, TIMEOUT};

/// Retention time of a record.
const KEPT_SECS: u64 = 90 * 24 * 3600;

/// Sums by account, month, day, integration, model and way of serving, which records of earlier versions do not have.
pub type Sums = BTreeMap<(String, String, u8, String, String, Option<Service>), Tally>;

pub struct Bench {
    emulator: Emulator,
    pub client: Client,
}

impl Bench {
    pub async fn start() -> Self {
        let emulator = Emulator::start().await;
        Self { client: emulator.client(), emulator }
    }

    /// Returns a ledger as in a new environment.
    pub fn ledger(&self) -> Ledger {
        Ledger::new(self.client.clone(), "Usage", TIMEOUT)
    }

    pub fn months(&self) -> Months {
        Months::new(self.client.clone(), "Usage")
    }

    pub async fn inject(&self, conflict_ratio: f64, lost_ratio: f64, seed: u64) {
        self.emulator.inject(Some(Faults { conflict_ratio, lost_ratio, seed: Some(seed) })).await;
    }

    pub async fn mend(&self) {
        self.emulator.inject(None).await;
    }

    async fn items(&self) -> Vec<HashMap<String, AttributeValue>> {
        let items = self.client.scan().table_name("Usage").consistent_read(true).into_paginator().items().send();
        items.collect::<Result<Vec<_>, _>>().await.unwrap()
    }

    /// Returns all records by the ids of their calls, and checks that each expires 90 days after its call began.
    pub async fn records(&self) -> BTreeMap<String, Record> {
        let mut records = BTreeMap::new();
        for item in self.items().await {
            if item["pk"].as_s().unwrap().starts_with("CALL#") {
                let expires_at: u64 = item["expires_at"].as_n().unwrap().parse().unwrap();
                let is_open = item.contains_key("open") && item.contains_key("due");
                let record: Record = serde_dynamo::from_item(item).unwrap();
                assert_eq!(expires_at, record.call.started_at + KEPT_SECS);
                assert_eq!(is_open, record.state == RecordState::Open, "what is over is in no index: {record:?}");
                records.insert(record.call.id.clone(), record);
            }
        }
        records
    }

    /// Returns the output tokens of each shard of the sums of days.
    pub async fn parts(&self) -> Vec<i64> {
        let items = self.items().await;
        let parts = items.iter().filter(|item| item["sk"].as_s().unwrap().starts_with("DAY#"));
        parts.map(|part| part["output"].as_n().unwrap().parse().unwrap()).collect()
    }

    /// Reads the sums of all accounts and months that have records.
    pub async fn sums(&self) -> Sums {
        let records = self.records().await;
        let months =
            records.values().map(|it| (it.call.account.clone(), Month::from_timestamp(it.call.started_at()).0));
        let months: BTreeSet<_> = months.collect();
        let mut sums = Sums::new();
        for (account, month) in months {
            let lines = self.months().read(&account, month).await.unwrap();
            assert_eq!(self.months().total(&account, month).await.unwrap(), total(&lines), "{account} {month}");
            for line in lines {
                let service = (!line.provider.is_empty()).then_some(line.service);
                let key = (account.clone(), month.to_string(), line.day, line.integration, line.model, service);
                assert!(line.tally.values().iter().all(|figure| *figure >= 0), "{key:?}: {:?}", line.tally);
                assert_eq!(sums.insert(key, line.tally), None, "lines of one kind are merged");
            }
        }
        sums
    }

    /// Returns the ids of the calls that are open in the index.
    pub async fn open(&self) -> BTreeSet<String> {
        let open = self.ledger().overdue(Timestamp::from_secs(u64::from(u32::MAX)), 10_000).await.unwrap();
        super::ids(open.iter().map(|record| &record.call))
    }
}

/// Computes the sums over `records`.
pub fn expected(records: &BTreeMap<String, Record>) -> Sums {
    let mut sums = Sums::new();
    for record in records.values() {
        let call = &record.call;
        let (month, day) = Month::from_timestamp(call.started_at());
        for (service, tally) in step(None, record).unwrap().lines {
            let (account, integration, model) = (&call.account, &call.integration, &call.model);
            let key = (account.clone(), month.to_string(), day, integration.clone(), model.clone(), service);
            let sum = sums.entry(key).or_default();
            *sum = sum.plus(&tally);
        }
    }
    sums.retain(|_, sum| !sum.is_zero());
    sums
}
