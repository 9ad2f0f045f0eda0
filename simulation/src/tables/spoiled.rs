//! The table of calls that a sick provider spoils while another one is well.

use std::ops::Range;

use simulation::designs::Which;
use simulation::{Faults, Outcome, Scenario, Settings, run};

use super::{FLEETS, on_all_cores};

/// Means over all seeds.
#[derive(Clone, Copy, Default)]
struct Mean {
    bad: f64,
    on_backup: f64,
    reduced_after: Option<f64>,
    whole_after: Option<f64>,
    transitions: f64,
}

impl Mean {
    fn of(outcomes: &[Outcome]) -> Self {
        let mean = |figure: &dyn Fn(&Outcome) -> Option<f64>| {
            let figures: Vec<f64> = outcomes.iter().filter_map(figure).collect();
            (!figures.is_empty()).then(|| figures.iter().sum::<f64>() / figures.len() as f64)
        };
        Self {
            bad: mean(&|it| Some(it.bad as f64)).unwrap_or(0.0),
            on_backup: mean(&|it| Some(it.on_backup())).unwrap_or(0.0),
            reduced_after: mean(&|it| it.reduced_after),
            whole_after: mean(&|it| it.whole_after),
            transitions: mean(&|it| Some(f64::from(it.transitions))).unwrap_or(0.0),
        }
    }
}

/// Row of a table.
pub struct Row {
    rate: f64,
    scenario: Scenario,
    means: [Mean; Which::ALL.len()],
}

/// Runs every design through every scenario.
pub fn rows(seeds: Range<u64>) -> Vec<Row> {
    let row = |((rate, environments), scenario)| {
        let means = Which::ALL.map(|which| {
            let live = |seed| {
                let settings = Settings { scenario, rate, environments, seed, faults: Faults::default() };
                run(which.build(&settings).as_mut(), &settings)
            };
            Mean::of(&seeds.clone().map(live).collect::<Vec<_>>())
        });
        Row { rate, scenario, means }
    };
    let kinds = FLEETS.into_iter().flat_map(|fleet| Scenario::ALL.map(|scenario| (fleet, scenario)));
    on_all_cores(kinds.collect(), row)
}

/// Prints a table for each fleet.
pub fn print(rows: &[Row], seeds: u64) {
    for (rate, environments) in FLEETS {
        println!(
            "{rate} calls a second, {environments} environments: bad attempts at the primary, mean of {seeds} runs"
        );
        let heads: String = Which::ALL.iter().map(|which| format!("{:>16}", which.name())).collect();
        println!("{:20}{heads}   levee: below 10 % after, 100 % again after, on the backup", "");
        for row in rows.iter().filter(|row| row.rate == rate) {
            println!("{}", line(row));
        }
        println!();
    }
}

/// Prints if Levee spoils no more calls than the design that it started from, and returns true if so.
pub fn check(rows: &[Row]) -> bool {
    let worse = rows.iter().filter(|row| row.means[3].bad > row.means[2].bad).count();
    let (than, of) = (Which::Windowed.name(), rows.len());
    match worse {
        0 => println!("target: no more bad attempts than {than}, everywhere: met"),
        worse => println!("target: no more bad attempts than {than}: missed in {worse} of {of}"),
    }
    worse == 0
}

fn line(row: &Row) -> String {
    let bad: String = row.means.iter().map(|mean| format!("{:>16.1}", mean.bad)).collect();
    let Mean { on_backup, reduced_after, whole_after, .. } = row.means[3];
    let seconds = |secs: Option<f64>| secs.map_or("-".to_owned(), |secs| format!("{secs:.0} s"));
    let (reduced, whole) = (seconds(reduced_after), seconds(whole_after));
    format!("{:20}{bad}   {reduced:>8} {whole:>8} {:>5.1} %", row.scenario.name(), on_backup * 100.0)
}

/// Returns the rows as JSON.
pub fn json(rows: &[Row]) -> serde_json::Value {
    let row = |row: &Row| {
        let design = |(which, mean): (Which, &Mean)| {
            let Mean { bad, on_backup, reduced_after, whole_after, transitions } = *mean;
            let figures = serde_json::json!({
                "bad": bad, "on_backup": on_backup, "reduced_after": reduced_after, "whole_after": whole_after,
                "transitions": transitions,
            });
            (which.name().to_owned(), figures)
        };
        let designs: serde_json::Map<_, _> = Which::ALL.into_iter().zip(&row.means).map(design).collect();
        serde_json::json!({ "rate": row.rate, "scenario": row.scenario.name(), "designs": designs })
    };
    rows.iter().map(row).collect()
}
