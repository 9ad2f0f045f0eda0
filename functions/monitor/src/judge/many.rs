//! Log codes that are harmless alone and an alert in numbers, with advice for operators.

/// Group of codes that are an alert together.
pub(super) struct Many {
    /// Key of the alert.
    pub(super) key: &'static str,
    /// Codes of breadcrumbs that are counted together.
    pub(super) codes: &'static [&'static str],
    /// Number within one minute above which an alert is raised.
    pub(super) per_minute: u64,
    /// Title of the alert.
    pub(super) what: &'static str,
    /// Advice for operators.
    pub(super) advice: &'static str,
}

pub(super) const MANY: [Many; 2] = [
    // A wrong password, and an attempt during the wait that follows several. Each may be a mistake; many suggest that
    // passwords are being guessed.
    Many {
        key: "login.guessing",
        codes: &["login.refused", "login.blocked"],
        per_minute: 30,
        what: "wrong sign-ins in a minute: passwords are possibly being guessed",
        advice: "Each address has to wait longer after each wrong password, so guessing is slow, and may keep admins out. \
                 Let one in with: levee admin unblock EMAIL. The log lines with these codes tell when \
                 it began.",
    },
    // A call is lost with its environment now and then.
    Many {
        key: "usage.abandoned",
        codes: &["usage.abandoned"],
        per_minute: 10,
        what: "AI calls in a minute never came to their end",
        advice: "What was known of each is counted, as an estimate: the provider's own report has the rest. Look for \
                 environments of the AI proxy that were killed, by the memory limit or the time-out for instance, and for \
                 ends that could not be written: usage.unwritten.",
    },
];

impl Many {
    /// Returns the group in which a code is counted.
    pub(super) fn for_code(code: &str) -> Option<&'static Self> {
        MANY.iter().find(|many| many.codes.contains(&code))
    }
}
