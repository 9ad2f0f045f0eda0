//! Readable format of times and numbers, with zone and unit.

use std::time::Duration;

use maud::{Markup, html};

use crate::clock::Timestamp;
use crate::text::grouped;

/// Formats a time, to the second.
pub fn time(moment: Timestamp) -> Markup {
    let datetime = Timestamp::from_secs(moment.as_secs()).to_rfc3339();
    html! { time datetime=(datetime) { (datetime.replace('T', " ").replace('Z', " UTC")) } }
}

/// Formats a number of things: `1,234 calls`, `1 call`.
pub fn count(number: u64, of: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {of}{plural}", grouped(number))
}

/// Formats a percentage: `12.5 %`.
pub fn percent(percent: f64) -> String {
    format!("{percent:.1} %")
}

/// Formats a number of bytes in the largest unit of which there is at least one: `1.5 MiB`.
pub fn bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.into_iter().find(|(_, bits)| bytes >> bits > 0) {
        None => count(bytes, "byte"),
        Some((unit, bits)) => format!("{:.1} {unit}", bytes as f64 / f64::from(1u32 << bits)),
    }
}

/// Formats a duration in its largest unit, rounded down: `5 minutes`.
pub fn duration(length: Duration) -> String {
    let secs = length.as_secs();
    let units = [("day", 24 * 3600), ("hour", 3600), ("minute", 60)];
    match units.into_iter().find(|(_, unit)| secs >= *unit) {
        None => count(secs, "second"),
        Some((name, unit)) => count(secs / unit, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_its_zone_and_every_number_its_unit() {
        let moment = Timestamp::from_millis(1_795_310_118_999);
        assert_eq!(
            time(moment).into_string(),
            r#"<time datetime="2026-11-22T01:15:18Z">2026-11-22 01:15:18 UTC</time>"#
        );
        assert_eq!(
            [count(0, "call"), count(1, "call"), count(1_234_567, "call")],
            ["0 calls", "1 call", "1,234,567 calls"]
        );
        assert_eq!([grouped(999), grouped(1_000), grouped(100_000)], ["999", "1,000", "100,000"]);
        assert_eq!([bytes(1), bytes(1_536), bytes(5 << 30)], ["1 byte", "1.5 KiB", "5.0 GiB"]);
        assert_eq!(percent(12.5), "12.5 %");
        let shown = [59, 60, 7_199, 200_000].map(|secs| duration(Duration::from_secs(secs)));
        assert_eq!(shown, ["59 seconds", "1 minute", "1 hour", "2 days"]);
    }
}
