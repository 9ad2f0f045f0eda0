//! Tracing layer that turns events into breadcrumbs.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::mask::{identifier, mask, name};
use super::trail::Trail;
use super::{Breadcrumb, Severity};

/// Most bytes that are read of each field.
const LONGEST_FIELD: usize = 4096;

/// Turns tracing events into breadcrumbs: each error, and each warning with a `code`.
///
/// It reads the fields `code`, `message`, `error`, `request.id`, `account.id`, and `provider` or `connection`.
/// Other fields may hold anything and are ignored. Events of this module are skipped, so that writing a breadcrumb
/// does not create another.
#[derive(Debug, Clone)]
pub struct TrailLayer(pub(super) Trail);

impl<S: Subscriber> Layer<S> for TrailLayer {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let metadata = event.metadata();
        let severity = match *metadata.level() {
            Level::ERROR => Severity::Error,
            Level::WARN if metadata.fields().field("code").is_some() => Severity::Warning,
            _ => return,
        };
        if metadata.target().starts_with("levee::breadcrumbs") {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.take_in(|function, now| fields.into_breadcrumb(function, severity, now.as_millis()));
    }
}

#[derive(Default)]
struct Fields {
    code: Option<String>,
    message: Option<String>,
    error: Option<String>,
    request: Option<String>,
    account: Option<String>,
    connection: Option<String>,
}

impl Fields {
    fn take(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        let place = match field.name() {
            "code" => &mut self.code,
            "message" => &mut self.message,
            "error" => &mut self.error,
            "request.id" => &mut self.request,
            "account.id" => &mut self.account,
            "provider" | "connection" => &mut self.connection,
            _ => return,
        };
        let mut text = Beginning::default();
        // Fails if the text is longer than `LONGEST_FIELD`; the beginning is kept.
        let _cut = text.write_fmt(value);
        *place = Some(text.0);
    }

    fn into_breadcrumb(self, function: &str, severity: Severity, at: u64) -> Breadcrumb {
        let some = |text: Option<String>, mask: fn(&str) -> String| {
            text.map(|text| mask(&text)).filter(|text| !text.is_empty())
        };
        let code = some(self.code, name).unwrap_or_else(|| "unclassified".to_owned());
        // Without a message, use the error; without both, the code.
        let message = match (self.message, self.error) {
            (Some(message), Some(error)) => format!("{message}: {error}"),
            (Some(text), None) | (None, Some(text)) => text,
            (None, None) => code.clone(),
        };
        Breadcrumb {
            first_at: at,
            last_at: at,
            function: function.to_owned(),
            severity,
            code,
            message: mask(&message),
            request_id: some(self.request, identifier),
            more_request_ids: Vec::new(),
            account: some(self.account, identifier),
            connection: some(self.connection, name),
            count: 1,
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.take(field, format_args!("{value:?}"));
    }
}

/// Beginning of a text, cut after a whole word: the mask would not recognize half a secret.
#[derive(Default)]
struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST_FIELD - self.0.len();
        if text.len() <= room {
            self.0.push_str(text);
            return Ok(());
        }
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        let end = self.0.rfind(char::is_whitespace).unwrap_or(0);
        self.0.truncate(end);
        Err(fmt::Error)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::breadcrumbs::trail::tests::waiting;

    /// Returns the breadcrumbs of the events that `events` logs.
    fn breadcrumbs(events: impl FnOnce()) -> Vec<Breadcrumb> {
        let trail = Trail::new("function");
        let subscriber = tracing_subscriber::registry().with(trail.layer());
        tracing::subscriber::with_default(subscriber, events);
        waiting(&trail)
    }

    #[test]
    fn an_error_becomes_a_breadcrumb_with_what_is_known_of_it() {
        let error = std::io::Error::other("no answer from 192.0.2.1:443");
        let mut all = breadcrumbs(|| {
            tracing::error!(
                target: "function", code = "provider.unreachable", request.id = "r-1=", account.id = %"acme", provider = "primary",
                %error, prompt = "a secret", "a {} cannot be reached", "provider"
            );
        });
        let one = all.remove(0);
        assert!(all.is_empty() && one.first_at > 1_600_000_000_000 && one.last_at == one.first_at);
        let expected = Breadcrumb {
            first_at: one.first_at,
            last_at: one.last_at,
            function: "function".to_owned(),
            severity: Severity::Error,
            code: "provider.unreachable".to_owned(),
            message: "a provider cannot be reached: no answer from [address]:443".to_owned(),
            request_id: Some("r-1=".to_owned()),
            more_request_ids: Vec::new(),
            account: Some("acme".to_owned()),
            connection: Some("primary".to_owned()),
            count: 1,
        };
        assert_eq!(one, expected);
    }

    #[test]
    fn warnings_with_a_code_become_breadcrumbs_and_other_events_do_not() {
        let all = breadcrumbs(|| {
            tracing::warn!(target: "function", code = "redis.gone", connection = "redis", "Redis is unavailable");
            tracing::warn!(target: "function", "no code");
            tracing::info!(target: "function", code = "fine", "no warning");
            tracing::error!(target: "levee::breadcrumbs::trail", code = "breadcrumbs.unwritten", "our own");
        });
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].severity, all[0].connection.as_deref()), (Severity::Warning, Some("redis")));
    }

    #[test]
    fn an_error_without_code_or_words_is_kept_all_the_same() {
        let all = breadcrumbs(|| {
            tracing::error!(target: "function", error = ?Some(5));
            tracing::error!(target: "function", status = 7);
            tracing::error!(target: "function", code = "", request.id = " ", account.id = 5, "words");
        });
        let mut all: Vec<_> = all.iter().map(|one| (one.code.as_str(), one.message.as_str(), &one.account)).collect();
        all.sort_unstable();
        let five = Some("5".to_owned());
        let expected = [
            ("unclassified", "Some(5)", &None),
            ("unclassified", "unclassified", &None),
            ("unclassified", "words", &five),
        ];
        assert_eq!(all, expected);
    }

    #[test]
    fn of_a_very_long_field_no_half_secret_is_kept() {
        let padding = "x ".repeat(LONGEST_FIELD / 2 - 8);
        let mut text = Beginning::default();
        assert!(write!(text, "{padding}sk-0123456789abcdef0123456789abcdef").is_err());
        assert!(text.0.ends_with(" x") && !text.0.contains("sk-"), "{}", text.0);

        let mut word = Beginning::default();
        assert!(write!(word, "{}", "é".repeat(LONGEST_FIELD)).is_err());
        assert_eq!(word.0, "");
    }
}
