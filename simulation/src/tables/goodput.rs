//! The table of calls that were served, of those that a provider would have served.

use std::ops::Range;

use simulation::goodput::routers::Which;
use simulation::goodput::{Goodput, LEAST, LEAST_OF_CAPACITY, MOST_ASKED, Scene, Settings, run};

use super::{FLEETS, on_all_cores};

/// Numbers of providers to simulate.
const PROVIDERS: [usize; 3] = [1, 2, 3];
/// Row of the tables.
pub struct Row {
    rate: f64,
    scene: Scene,
    providers: usize,
    sums: [Goodput; Which::ALL.len()],
}

impl Row {
    fn name(&self) -> String {
        let providers = if self.providers == 1 { "provider" } else { "providers" };
        format!("{}, {} {providers}", self.scene.name(), self.providers)
    }

    /// Returns a description of the target that Levee misses, if any.
    fn miss(&self) -> Option<String> {
        let miss = self.scene.miss(self.rate, &self.sums[Which::ALL.len() - 1])?;
        Some(format!("{} at {} a second: {miss}", self.name(), self.rate))
    }
}

/// Runs every router through every scene.
pub fn rows(seeds: Range<u64>) -> Vec<Row> {
    let row = |((rate, environments), scene, providers)| {
        let sums = Which::ALL.map(|which| {
            let live = |seed| {
                let settings = Settings { scene, providers, rate, environments, seed };
                run(which.build(&settings).as_mut(), &settings)
            };
            seeds.clone().map(live).sum()
        });
        Row { rate, scene, providers, sums }
    };
    // One row for each fleet, scene and number of providers.
    let mut kinds = Vec::new();
    for fleet in FLEETS {
        for scene in Scene::ALL {
            kinds.extend(PROVIDERS.into_iter().filter(|many| scene.is_for(*many)).map(|many| (fleet, scene, many)));
        }
    }
    on_all_cores(kinds, row)
}

/// Prints a table for each fleet.
pub fn print(rows: &[Row], seeds: u64) {
    for (rate, environments) in FLEETS {
        println!(
            "{rate} calls a second, {environments} environments: calls served of those that a provider would have"
        );
        println!(
            "served (of the capacity, where it is limited), and attempts that failed for each of these; {seeds} runs"
        );
        let heads: String = Which::ALL.iter().map(|which| format!("{:>18}", which.name())).collect();
        println!("{:50}{heads}", "");
        for row in rows.iter().filter(|row| row.rate == rate) {
            let cell = |sum: &Goodput| format!("{:>11.2} % {:>5.2}", sum.ratio() * 100.0, sum.failures());
            let cells: String = row.sums.iter().map(cell).collect();
            println!("{:50}{cells}", row.name());
        }
        println!();
    }
}

/// Prints if Levee meets its targets, and returns true if so.
pub fn check(rows: &[Row]) -> bool {
    let misses: Vec<String> = rows.iter().filter_map(Row::miss).collect();
    let target = format!(
        "target: {} % of what a provider would serve, {} % of a limited capacity with at most {} times the calls",
        LEAST * 100.0,
        LEAST_OF_CAPACITY * 100.0,
        MOST_ASKED
    );
    match misses.as_slice() {
        [] => println!("{target}: met"),
        misses => println!("{target}: missed by\n  {}", misses.join("\n  ")),
    }
    misses.is_empty()
}

/// Returns the rows as JSON.
pub fn json(rows: &[Row]) -> serde_json::Value {
    let row = |row: &Row| {
        let router = |(which, sum): (Which, &Goodput)| {
            let Goodput { servable, served, attempts, failed } = *sum;
            let figures = serde_json::json!({
                "servable": servable, "served": served, "attempts": attempts, "failed": failed,
            });
            (which.name().to_owned(), figures)
        };
        let routers: serde_json::Map<_, _> = Which::ALL.into_iter().zip(&row.sums).map(router).collect();
        serde_json::json!({
            "rate": row.rate, "scene": row.scene.name(), "providers": row.providers, "routers": routers,
        })
    };
    rows.iter().map(row).collect()
}
