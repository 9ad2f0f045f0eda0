//! What is nothing by itself and an alert in numbers, and what to do then.

/// Lines of which one is nothing and many are an alert.
pub(super) struct Many {
    /// The alert's key.
    pub(super) key: &'static str,
    /// The breadcrumbs' codes, counted together.
    pub(super) codes: &'static [&'static str],
    /// More than so many within one minute are an alert.
    pub(super) per_minute: u64,
    /// The alert's title.
    pub(super) title: &'static str,
    /// What to do.
    pub(super) advice: &'static str,
}

pub(super) const MANY: [Many; 2] = [
    // A sign-in with a wrong password, and one during the wait after several: each is somebody's mistake, many are
    // somebody who guesses.
    Many {
        key: "login.guessing",
        codes: &["login.refused", "login.blocked"],
        per_minute: 30,
        title: "More than 30 wrong sign-ins in a minute: somebody may guess passwords",
        advice: "Each address has to wait longer after each wrong password, up to five minutes, so guessing is slow, and \
                 may keep admins out. Let one in with: levee admin unblock EMAIL. The log lines with these codes tell when \
                 it began.",
    },
    // A call dies with its environment, now and then.
    Many {
        key: "usage.abandoned",
        codes: &["usage.abandoned"],
        per_minute: 10,
        title: "More than 10 AI calls in a minute never came to their end",
        advice: "What was known of each is counted, as an estimate: the provider's own report has the rest. Look for \
                 environments of the AI proxy that were killed, by the memory limit or the time-out for instance, and for \
                 ends that could not be written: usage.unwritten.",
    },
];

impl Many {
    /// Where the lines with a code are counted.
    pub(super) fn of(code: &str) -> Option<&'static Self> {
        MANY.iter().find(|many| many.codes.contains(&code))
    }
}
