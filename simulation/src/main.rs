//! `simulation [--seeds N] [--first SEED] [--json FILE] [--check]`: the tables of `cargo xtask bench breaker`.
#![allow(clippy::print_stdout, reason = "tables are what it is for")]

use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread;

use clap::Parser;
use simulation::designs::Which;
use simulation::{Faults, Outcome, Scenario, Settings, run};

/// Calls a second, and a fleet that suits them.
const FLEETS: [(f64, usize); 3] = [(50.0, 200), (5.0, 40), (0.5, 10)];

#[derive(Parser)]
struct Options {
    /// How many runs of each kind
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The seed of the first run; the constants were chosen on 0 to 15
    #[arg(long, default_value_t = 100)]
    first: u64,
    /// Write what was found to this file, too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail where levee spoils more calls than the design that it set out from
    #[arg(long)]
    check: bool,
}

/// The means over all seeds.
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

/// One line of a table.
struct Row {
    rate: f64,
    scenario: Scenario,
    means: [Mean; Which::ALL.len()],
}

fn main() -> ExitCode {
    let options = Options::parse();
    let rows = rows(&options);
    for (rate, environments) in FLEETS {
        println!(
            "{rate} calls a second, {environments} environments: bad attempts at the primary, mean of {} runs",
            options.seeds
        );
        let heads: String = Which::ALL.iter().map(|which| format!("{:>16}", which.name())).collect();
        println!("{:20}{heads}   levee: below 10 % after, 100 % again after, on the backup", "");
        for row in rows.iter().filter(|row| row.rate == rate) {
            println!("{}", line(row));
        }
        println!();
    }
    if let Some(file) = &options.json
        && let Err(error) = std::fs::write(file, json(&rows))
    {
        println!("{} cannot be written: {error}", file.display());
        return ExitCode::FAILURE;
    }
    let worse: Vec<&Row> = rows.iter().filter(|row| row.means[3].bad > row.means[2].bad).collect();
    match worse.as_slice() {
        [] => println!("target: no more bad attempts than {}, everywhere: met", Which::Windowed.name()),
        worse => println!(
            "target: no more bad attempts than {}: missed in {} of {}",
            Which::Windowed.name(),
            worse.len(),
            rows.len()
        ),
    }
    if options.check && !worse.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn rows(options: &Options) -> Vec<Row> {
    let seeds = options.first..options.first + options.seeds;
    let row = |(rate, environments), scenario| {
        let means = Which::ALL.map(|which| {
            let live = |seed| {
                let settings = Settings { scenario, rate, environments, seed, faults: Faults::default() };
                run(which.build(&settings).as_mut(), &settings)
            };
            Mean::of(&seeds.clone().map(live).collect::<Vec<_>>())
        });
        Row { rate, scenario, means }
    };
    let row = &row;
    thread::scope(|scope| {
        let kinds = FLEETS.into_iter().flat_map(|fleet| Scenario::ALL.map(|scenario| (fleet, scenario)));
        let running: Vec<_> = kinds.map(|(fleet, scenario)| scope.spawn(move || row(fleet, scenario))).collect();
        // A run that panicked is none that went well.
        running.into_iter().map(|row| row.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

fn line(row: &Row) -> String {
    let bad: String = row.means.iter().map(|mean| format!("{:>16.1}", mean.bad)).collect();
    let Mean { on_backup, reduced_after, whole_after, .. } = row.means[3];
    let seconds = |secs: Option<f64>| secs.map_or("-".to_owned(), |secs| format!("{secs:.0} s"));
    let (reduced, whole) = (seconds(reduced_after), seconds(whole_after));
    format!("{:20}{bad}   {reduced:>8} {whole:>8} {:>5.1} %", row.scenario.name(), on_backup * 100.0)
}

fn json(rows: &[Row]) -> String {
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
    format!("{:#}\n", serde_json::Value::Array(rows.iter().map(row).collect()))
}
