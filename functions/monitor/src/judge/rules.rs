//! Error codes of which a single breadcrumb is an alert, with advice for operators.

use levee::breadcrumbs::Breadcrumb;

/// Error code of which a single breadcrumb is an alert.
pub(super) struct Rule {
    /// Code of the breadcrumb.
    pub(super) code: &'static str,
    /// Property by which breadcrumbs are split into separate alerts.
    by: By,
    title: &'static str,
    /// Advice for operators.
    pub(super) advice: &'static str,
}

/// Property by which errors of one code are split into separate alerts.
enum By {
    Nothing,
    Function,
    Connection,
}

pub(super) const RULES: [Rule; 21] = [
    Rule {
        code: "redis.gone",
        by: By::Nothing,
        title: "Limits are not enforced: Redis cannot be reached",
        advice: "Requests pass unchecked until Redis answers. Each environment tries again by itself, every 2 to 30 s. \
                 Look at the ElastiCache group and at the functions' security groups.",
    },
    Rule {
        code: "redis.refused",
        by: By::Nothing,
        title: "Some limits are not enforced: Redis refuses commands",
        advice: "Requests whose command was refused pass unchecked. The log lines with this code say why: a full memory, a \
                 replica in the primary's place, a password or permission that is missing, a key of another type. Look at \
                 the ElastiCache group.",
    },
    Rule {
        code: "limits.odd_reply",
        by: By::Nothing,
        title: "Limits are not enforced: Redis answers what the limiter does not understand",
        advice: "Requests pass unchecked. Look for another program on the same Redis, and for functions of another version \
                 than the script they call.",
    },
    Rule {
        code: "limits.clock_skew",
        by: By::Function,
        title: "A function's clock is off by more than 2 s",
        advice: "Limits are decided with Redis's time meanwhile. The log lines with this code say by how much, in skew_ms. One \
                 environment goes with time; where it is all of them, Redis's clock is off: look at the ElastiCache node.",
    },
    Rule {
        code: "statistics.unfolded",
        by: By::Nothing,
        title: "The statistics of limits are not written",
        advice: "Tallies wait in Redis for 3 hours and are folded by the first run that can; what is older is lost to the \
                 statistics. Limits hold. Look at the usage table, and at the monitor's permissions on it.",
    },
    Rule {
        code: "statistics.unrestored",
        by: By::Nothing,
        title: "What Redis has lost of long windows is not restored",
        advice: "Limits per hour, day and month let more calls pass than they should, until a run of the monitor can read \
                 the statistics. Look at the usage and accounts tables, and at the monitor's permissions on them.",
    },
    Rule {
        code: "statistics.odd_row",
        by: By::Nothing,
        title: "A row of statistics cannot be read",
        advice: "Its subject's calls are in no statistics from now on, all others' are. The log line names the row: mend or \
                 delete it in the usage table.",
    },
    Rule {
        code: "accounts.odd_block",
        by: By::Nothing,
        title: "A block is not enforced: it cannot be read",
        advice: "All other blocks hold. Somebody else than levee has written it: find it in the accounts table, among what \
                 holds for everyone, delete it there, and add it anew with: levee block add.",
    },
    Rule {
        code: "accounts.unreachable",
        by: By::Nothing,
        title: "Callers cannot be known: the accounts table cannot be read",
        advice: "Keys that were seen in the last 15 minutes go on working, all others get 503. Look at DynamoDB's health \
                 and at the throttling of the accounts table.",
    },
    Rule {
        code: "peppers.unreadable",
        by: By::Nothing,
        title: "Keys under a new pepper are refused: the peppers cannot be read",
        advice: "Keys under the peppers that are held go on working. Look at the secret with the peppers: at its form, and \
                 at the authorizer's way to it.",
    },
    Rule {
        code: "usage.unwritten",
        by: By::Nothing,
        title: "The usage of AI calls was not written",
        advice: "Each call is whole in the log of the AI proxy, in the field 'record' of the line with this code, and is not \
                 in the account's sums. Look at the usage table, then bring them back with: levee usage replay.",
    },
    Rule {
        code: "usage.unopened",
        by: By::Nothing,
        title: "The beginning of AI calls was not written",
        advice: "Their ends are written all the same; of a call that was killed, the line with this code in the log of the AI \
                 proxy is all that there is, in its field 'record'. Look at the usage table, then bring them back with: \
                 levee usage replay.",
    },
    Rule {
        code: "usage.lost_track",
        by: By::Nothing,
        title: "AI calls were cut off before their usage was known",
        advice: "Once they are overdue the monitor counts what was known of them, as estimates: the provider's own report \
                 has the rest. Where their beginning was not written either, what was known is in the field 'record' of the \
                 line with this code: bring it back with: levee usage replay. Look for killed environments and for calls \
                 that outlast the function.",
    },
    Rule {
        code: "usage.unsettled",
        by: By::Nothing,
        title: "AI calls that never came to their end are not settled",
        advice: "What is known of them is in no account's sums until a run of the monitor can write it: each run tries \
                 again. Look at the usage table, and at the monitor's permissions on it and on its index.",
    },
    Rule {
        code: "usage.odd_record",
        by: By::Nothing,
        title: "The record of an AI call cannot be read",
        advice: "It is not settled; all others are. The log line names it: correct or delete it in the usage table.",
    },
    Rule {
        code: "provider.refused",
        by: By::Connection,
        title: "An AI provider refuses the platform's credentials",
        advice: "Every call to this provider fails until its credentials are replaced: look at the secret that AI_PROVIDERS \
                 names, and at the account with the provider.",
    },
    Rule {
        code: "provider.unpaid",
        by: By::Connection,
        title: "The platform's prepaid credit with an AI provider is used up",
        advice: "Its calls go to the next provider, as long as there is one; it is tried again every few minutes. Add credit \
                 to the platform's account there.",
    },
    Rule {
        code: "context.unreadable",
        by: By::Function,
        title: "A function cannot read what the authorizer says of requests",
        advice: "Their callers get 503. The authorizer and the function may be of different versions: deploy both from one \
                 template.",
    },
    Rule {
        code: "panic",
        by: By::Function,
        title: "A function panicked",
        advice: "The request failed, the environment goes on. This is a mistake in the code: the message names its place.",
    },
    Rule {
        code: "start.failed",
        by: By::Function,
        title: "A function cannot start",
        advice: "Its new environments serve nothing. The message says what they lack.",
    },
    Rule {
        code: "deadline.near",
        by: By::Function,
        title: "Requests outlast their function",
        advice: "Lambda cuts them off. The story of the request says what it waited for.",
    },
];

impl Rule {
    /// Returns the rule for a code.
    pub(super) fn for_code(code: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.code == code)
    }

    /// Returns the key and the title of the alert about `breadcrumb`.
    pub(super) fn about(&self, breadcrumb: &Breadcrumb) -> (String, String) {
        let about = match self.by {
            By::Nothing => None,
            By::Function => Some(&breadcrumb.function),
            By::Connection => breadcrumb.connection.as_ref(),
        };
        match about {
            None => (self.code.to_owned(), self.title.to_owned()),
            Some(about) => (format!("{}/{about}", self.code), format!("{}: {about}", self.title)),
        }
    }
}
