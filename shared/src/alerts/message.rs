//! Messages to people: one alert, or a digest of many.

use std::collections::HashMap;

use super::defang::{cut, line};
use super::{LONGEST_KEY, LONGEST_TITLE, PER_HOUR, Raised};
use crate::clock::Timestamp;

/// Longest subject, in bytes: "must be less than 100 characters long"
/// (<https://docs.aws.amazon.com/sns/latest/api/API_Publish.html>).
const LONGEST_SUBJECT: usize = 99;
/// Longest body, in bytes.
const LONGEST_BODY: usize = 8 * 1024;
/// Bytes of the body that the lines of a digest may take.
const LONGEST_LIST: usize = LONGEST_BODY - 1024;
const WHERE_TO_LOOK: &str = "Where to look: the System Health board (/admin) lists recent errors and alerts, and tells the story of each request.";

/// Message that is safe to send to anyone: defanged, bounded, and with a subject of printable ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    subject: String,
    body: String,
}

impl Message {
    /// Creates the message about one alert.
    pub fn alert(alert: &Raised) -> Self {
        let often = match alert.repeats {
            0 => "once".to_owned(),
            more => format!("once, and {more} more since"),
        };
        let body = format!(
            "{title}\n\nWhat: {key}\nWhen: {when}\nRaised: {often}\n\n{detail}\n\n{WHERE_TO_LOOK}\n\
             The same alert is not sent again while it cools down.\n",
            title = alert.title,
            key = line(&alert.key, LONGEST_KEY),
            when = Timestamp::from_secs(alert.raised_at).to_rfc3339(),
            detail = alert.detail,
        );
        Self::new(&alert.title, &body)
    }

    /// Creates the digest of the alerts that were held, oldest first: each title with its number of occurrences.
    pub fn digest(alerts: &[Raised]) -> Self {
        let lines = digest_lines(alerts);
        let subject = format!("{} more alerts", alerts.len());
        let mut body = format!(
            "In one hour, no more than {PER_HOUR} alerts are sent one by one. These {} were held:\n\n",
            alerts.len()
        );
        let mut left = lines.len();
        // Add lines while there is room, and count those that are left out.
        for line in lines {
            if body.len() + line.len() > LONGEST_LIST {
                break;
            }
            body.push_str(&line);
            left -= 1;
        }
        if left > 0 {
            body.push_str(&format!("and {left} others that have no room here.\n"));
        }
        Self::new(&subject, &format!("{body}\n{WHERE_TO_LOOK}\n"))
    }

    fn new(subject: &str, body: &str) -> Self {
        // Keep the subject within printable ASCII.
        let subject = format!("Levee: {}", line(subject, LONGEST_TITLE));
        let subject: String = subject.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).collect();
        Self { subject: cut(&subject, LONGEST_SUBJECT), body: cut(body, LONGEST_BODY) }
    }

    /// Returns the subject: one line of 1 to 99 printable ASCII characters.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Returns the body: lines of text, at most 8 KiB.
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// Returns one line for each title, in order of first appearance.
fn digest_lines(alerts: &[Raised]) -> Vec<String> {
    // Count by title, and keep the order in which the titles appeared.
    let mut order: Vec<&str> = Vec::new();
    let mut counts: HashMap<&str, (u64, u64)> = HashMap::new();
    for alert in alerts {
        let (count, _) = counts.entry(&alert.title).or_insert_with(|| {
            order.push(&alert.title);
            (0, alert.raised_at)
        });
        *count = count.saturating_add(1).saturating_add(alert.repeats);
    }
    let line = |title: &str| {
        let (count, first_at) = counts.get(title).copied().unwrap_or_default();
        format!("{count} x {title} (first at {})\n", Timestamp::from_secs(first_at).to_rfc3339())
    };
    order.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::alerts::Alert;

    fn raised(title: &str, repeats: u64) -> Raised {
        Raised {
            key: "redis.gone".to_owned(),
            title: title.to_owned(),
            detail: "Look at Redis.".to_owned(),
            raised_at: 1_795_310_118,
            sent_at: None,
            repeats,
        }
    }

    #[test]
    fn a_message_says_what_happened_when_how_often_and_where_to_look() {
        let message = Message::alert(&raised("Limits are not enforced", 3));
        assert_eq!(message.subject(), "Levee: Limits are not enforced");
        insta::assert_snapshot!(message.body(), @r"
        Limits are not enforced

        What: redis[.]gone
        When: 2026-11-22T01:15:18Z
        Raised: once, and 3 more since

        Look at Redis.

        Where to look: the System Health board (/admin) lists recent errors and alerts, and tells the story of each request.
        The same alert is not sent again while it cools down.
        ");
    }

    #[test]
    fn a_digest_counts_by_title() {
        let message = Message::digest(&[raised("One", 2), raised("Two", 0), raised("One", 0)]);
        assert_eq!(message.subject(), "Levee: 3 more alerts");
        insta::assert_snapshot!(message.body(), @r"
        In one hour, no more than 10 alerts are sent one by one. These 3 were held:

        4 x One (first at 2026-11-22T01:15:18Z)
        1 x Two (first at 2026-11-22T01:15:18Z)

        Where to look: the System Health board (/admin) lists recent errors and alerts, and tells the story of each request.
        ");
    }

    #[test]
    fn a_digest_of_very_many_says_how_many_have_no_room() {
        let alerts: Vec<Raised> = (0..500).map(|n| raised(&format!("Alert number {n} of very many"), 0)).collect();
        let message = Message::digest(&alerts);
        let shown = message.body().matches("1 x Alert number").count();
        assert!(message.body().contains(&format!("and {} others that have no room here.", 500 - shown)));
        assert!(shown > 50 && message.body().ends_with("each request.\n"));
    }

    proptest! {
        #[test]
        fn every_message_is_one_that_sns_takes(title in ".{0,300}", key: String, detail: String, repeats: u64, many in 1_usize..200) {
            let alert = Alert { key, title, detail: detail.repeat(many), cool_down: Duration::ZERO };
            let raised = Raised { repeats, ..Raised::new(&alert, Timestamp::from_secs(1_795_310_118)) };
            for message in [Message::alert(&raised), Message::digest(&vec![raised; many])] {
                let subject = message.subject();
                prop_assert!((1..100).contains(&subject.len()) && !subject.starts_with(' '), "{subject:?}");
                prop_assert!(subject.bytes().all(|b| (b' '..=b'~').contains(&b)), "{subject:?}");
                prop_assert!(message.body().len() <= 8192 && !message.body().contains('@'));
            }
        }
    }
}
