//! The tables of `cargo xtask bench breaker`.

pub mod goodput;
pub mod spoiled;

use std::panic::resume_unwind;
use std::thread;

/// Calls a second, and a number of environments that is large enough for them.
pub const FLEETS: [(f64, usize); 3] = [(50.0, 200), (5.0, 40), (0.5, 10)];

/// Runs all of `work` in parallel, and returns the results in the same order.
fn on_all_cores<T: Send, R: Send>(work: Vec<T>, run: impl Fn(T) -> R + Sync) -> Vec<R> {
    let run = &run;
    thread::scope(|scope| {
        let running: Vec<_> = work.into_iter().map(|item| scope.spawn(move || run(item))).collect();
        // A panic in one run is a panic of the whole program.
        running.into_iter().map(|row| row.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}
