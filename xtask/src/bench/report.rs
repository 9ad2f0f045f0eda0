//! Report of the limiter's benchmark: tables, targets, and the same as JSON.

use std::thread;

use serde_json::{Value, json};

use super::limits::Measured;
use super::numbers::Summary;

/// Rows of the table: the label, the targets of which the best is shown, and true for other limiters.
const ROWS: [(&str, &[&str], bool); 17] = [
    ("PING", &["ping"], false),
    ("INCR", &["incr"], false),
    ("EVALSHA of 3 INCRBYs, no limits", &["evalsha"], false),
    ("Levee, 1 policy", &["levee-1"], false),
    ("Levee, 3 policies", &["levee-3"], false),
    ("Levee, 6 policies", &["levee-6"], false),
    ("Levee, a default AI call", &["levee-ai"], false),
    ("rate-limiter-flexible", &["rate-limiter-flexible", "rate-limiter-flexible/32"], true),
    ("@upstash/ratelimit, fixed window", &["upstash", "upstash/32"], true),
    ("limits (Python), fixed window", &["limits"], true),
    ("express-rate-limit, over HTTP", &["express"], true),
    ("refused: Levee, 3 policies", &["levee-3/refused"], false),
    ("refused: Levee, asking each time", &["levee-3/refused-asked"], false),
    ("refused: rate-limiter-flexible", &["rate-limiter-flexible/refused"], false),
    ("refused: @upstash/ratelimit", &["upstash/refused"], false),
    ("refused: limits (Python)", &["limits/refused"], false),
    ("refused: express-rate-limit", &["express/refused"], false),
];

/// Result of one target.
pub(super) struct Verdict {
    what: String,
    ratio: Option<f64>,
    target: f64,
    /// True if the target was met; `None` if it could not be judged.
    pub(super) is_met: Option<bool>,
}

/// Judges the targets.
pub(super) fn verdicts(measured: &Measured) -> Vec<Verdict> {
    let of = |target, connections| measured.summaries.get(&(target, connections));
    let time = of("levee-3", 1).zip(of("ping", 1)).and_then(|(levee, ping)| levee.times_as_long_as(ping));
    let peers = ROWS.iter().filter(|(.., is_peer)| *is_peer);
    let best = peers.filter_map(|(label, targets, _)| Some((best(measured, targets)?, *label)));
    let best = best.max_by(|(one, _), (other, _)| one.rate.total_cmp(&other.rate));
    let rate = of("levee-3", 32).zip(best).and_then(|(levee, (best, _))| levee.times_as_many_as(best));
    let whom = best.map_or("the best other limiter", |(_, label)| label);
    vec![
        Verdict {
            what: "1 connection: p50 of 3 policies / p50 of PING, at most".to_owned(),
            ratio: time,
            target: 2.0,
            is_met: time.map(|time| time <= 2.0),
        },
        Verdict {
            what: format!("32 connections: decisions/s of 3 policies / those of {whom}, at least"),
            ratio: rate,
            target: 2.0,
            is_met: rate.map(|rate| rate >= 2.0),
        },
    ]
}

/// Returns the summary with the most decisions per second on 32 connections.
fn best<'a>(measured: &'a Measured, targets: &[&'static str]) -> Option<&'a Summary> {
    let all = targets.iter().filter_map(|target| measured.summaries.get(&(*target, 32)));
    all.max_by(|one, other| one.rate.total_cmp(&other.rate))
}

/// Prints the whole report.
pub(super) fn print(measured: &Measured, verdicts: &[Verdict]) {
    println!("{}, {} cores, {} rounds", measured.redis, cores(), measured.rounds);
    if let Some(others) = measured.others_percent {
        let so = if others > 5.0 { ": too much for numbers that mean something" } else { "" };
        println!("other processes used {others:.0} % of the machine meanwhile{so}");
    }
    let versions: Vec<_> = measured.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    println!("{}\n", versions.join(", "));
    // Time of decisions.
    let empty = || ["-", "-", "-"].map(str::to_owned);
    let cells = |summary: Option<&Summary>| {
        summary.map_or_else(empty, |it| [it.p50, it.p99, it.rate].map(|value| format!("{value:.0}")))
    };
    println!("{:<34} {:>27} | {:>27}", "", "1 connection", "32 connections");
    println!(
        "{:<34} {:>8} {:>8} {:>9} | {:>8} {:>8} {:>9}",
        "", "p50 µs", "p99 µs", "per s", "p50 µs", "p99 µs", "per s"
    );
    for (label, targets, _) in ROWS {
        let (one, many) = (measured.summaries.get(&(targets[0], 1)), best(measured, targets));
        if one.is_some() || many.is_some() {
            let ([a, b, c], [d, e, f]) = (cells(one), cells(many));
            println!("{label:<34} {a:>8} {b:>8} {c:>9} | {d:>8} {e:>8} {f:>9}");
        }
    }
    // Cost of decisions and of accounts.
    if !measured.costs.is_empty() {
        println!(
            "\n{:<34} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "a decision costs the server", "script µs", "CPU µs", "1/CPU /s", "bytes in", "out"
        );
    }
    for (target, cost) in &measured.costs {
        let of = |name: &str| cost[name].as_f64().unwrap_or_default();
        let (script, cpu) = (of("script_us"), of("cpu_us"));
        let [per_second, bytes_in, bytes_out] = [1e6 / cpu, of("bytes_in"), of("bytes_out")];
        println!("{target:<34} {script:>9.1} {cpu:>9.1} {per_second:>9.0} {bytes_in:>9.0} {bytes_out:>9.0}");
    }
    if let Some(memory) = measured.memory.as_object() {
        let facts = memory.iter().map(|(name, value)| format!("{name} {:.0}", value.as_f64().unwrap_or_default()));
        let facts = facts.collect::<Vec<_>>().join(", ");
        println!("memory, after a default AI call of each account within one minute: {facts}");
    }
    // The targets.
    println!();
    for Verdict { what, ratio, target, is_met } in verdicts {
        let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let word = is_met.map_or("not judged", |is_met| if is_met { "met" } else { "NOT MET" });
        println!("{what} {target:.1}: {ratio}, {word}");
    }
}

/// Returns the whole report as JSON.
pub(super) fn json(measured: &Measured, verdicts: &[Verdict]) -> Value {
    let summaries = measured.summaries.iter().map(|((target, connections), it)| {
        json!({ "target": target, "connections": connections, "p50_us": it.p50, "p99_us": it.p99, "per_second": it.rate })
    });
    let verdicts =
        verdicts.iter().map(|it| json!({ "what": it.what, "ratio": it.ratio, "target": it.target, "met": it.is_met }));
    json!({
        "machine": { "cores": cores(), "redis": measured.redis, "versions": measured.versions },
        "rounds": measured.rounds,
        "others_percent": measured.others_percent,
        "decisions": summaries.collect::<Vec<_>>(),
        "costs": measured.costs.iter().map(|(target, cost)| (*target, cost)).collect::<std::collections::BTreeMap<_, _>>(),
        "memory": measured.memory,
        "targets": verdicts.collect::<Vec<_>>(),
    })
}

fn cores() -> usize {
    thread::available_parallelism().map_or(0, usize::from)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::bench::numbers::Block;

    fn measured(rows: &[(&'static str, u32, f64, usize)]) -> Measured {
        let summary = |micros, count| Summary::of(&[Block { seconds: 1.0, micros: vec![micros; count] }]).unwrap();
        let summaries =
            rows.iter().map(|(target, connections, micros, count)| ((*target, *connections), summary(*micros, *count)));
        Measured {
            redis: "redis-server 7".to_owned(),
            versions: BTreeMap::new(),
            rounds: 1,
            others_percent: None,
            summaries: summaries.collect(),
            costs: Vec::new(),
            memory: Value::Null,
        }
    }

    #[test]
    fn a_target_is_judged_against_the_best_of_the_others() {
        let rows = [
            ("ping", 1, 20.0, 1),
            ("levee-3", 1, 40.0, 1),
            ("levee-3", 32, 1.0, 300),
            ("upstash", 32, 1.0, 100),
            ("upstash/32", 32, 1.0, 200),
            ("limits", 32, 1.0, 50),
        ];
        let verdicts = verdicts(&measured(&rows));
        assert_eq!(verdicts.iter().map(|it| it.ratio).collect::<Vec<_>>(), [Some(2.0), Some(1.5)]);
        assert_eq!(verdicts.iter().map(|it| it.is_met).collect::<Vec<_>>(), [Some(true), Some(false)]);
        assert!(verdicts[1].what.contains("@upstash/ratelimit"), "{}", verdicts[1].what);
    }

    #[test]
    fn what_was_not_measured_is_not_judged() {
        let verdicts = verdicts(&measured(&[("levee-3", 1, 40.0, 1)]));
        assert!(verdicts.iter().all(|it| it.ratio.is_none() && it.is_met.is_none()));
    }
}
