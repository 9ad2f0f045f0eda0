//! Output of commands: JSON for programs, aligned text for people.

use std::io::Write;

use levee::clock::Timestamp;
use levee::text::mark_invisible;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::effect::Effect;

/// Text for a missing value.
pub(crate) const NOTHING: &str = "-";

/// Standard output, in the chosen format.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `value` as JSON for programs, or `text` for people.
    pub(crate) fn say(&self, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        let mut text = if self.json { serde_json::to_string_pretty(value)? } else { tame_lines(&text()) };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        write(&text)
    }

    /// Prints CSV, and keeps its line ends.
    pub(crate) fn csv(&self, text: &str) -> anyhow::Result<()> {
        write(&tame_csv(text))
    }

    /// Prints a list. For people, an empty list is a note on standard error.
    pub(crate) fn list<T: Serialize>(
        &self,
        rows: &[T],
        headers: &[&str],
        none: &str,
        row: impl Fn(&T) -> Vec<String>,
    ) -> anyhow::Result<()> {
        if rows.is_empty() && !self.json {
            aside(none);
            return Ok(());
        }
        self.say(&rows, || table(headers, &rows.iter().map(row).collect::<Vec<_>>()))
    }
}

fn write(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Changes that a command makes; empty if everything is as wanted already.
#[derive(Debug, Default)]
pub(crate) struct Changes(Vec<Change>);

#[derive(Debug)]
enum Change {
    FromTo(&'static str, String, String),
    /// Replacement of a value that must not be shown.
    Replaced(&'static str),
}

impl Changes {
    /// Adds a change, unless the values are equal.
    pub(crate) fn add(mut self, field: &'static str, from: impl ToString, to: impl ToString) -> Self {
        let (from, to) = (from.to_string(), to.to_string());
        if from != to {
            self.0.push(Change::FromTo(field, from, to));
        }
        self
    }

    /// Adds the replacement of a value that must not be shown.
    pub(crate) fn replaced(mut self, field: &'static str) -> Self {
        self.0.push(Change::Replaced(field));
        self
    }

    pub(crate) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the changes in one sentence: `name 'A' -> 'B', status 'active' -> 'suspended'`.
    pub(crate) fn sentence(&self) -> String {
        let parts = self.0.iter().map(|change| match change {
            Change::FromTo(field, from, to) => format!("{field} '{from}' -> '{to}'"),
            Change::Replaced(field) => format!("{field} replaced"),
        });
        parts.collect::<Vec<_>>().join(", ")
    }

    /// Returns the changes by field, for programs.
    pub(crate) fn to_json(&self) -> Value {
        let changed = self.0.iter().map(|change| match change {
            Change::FromTo(field, from, to) => ((*field).to_owned(), json!({ "from": from, "to": to })),
            Change::Replaced(field) => ((*field).to_owned(), json!("replaced")),
        });
        changed.collect::<Map<_, _>>().into()
    }

    /// Prints the changes of the `subject`, such as `account`, with the given id. Also prints the time of effect, if
    /// requests have to notice the changes.
    pub(crate) fn tell(
        &self,
        output: &Output,
        subject: &str,
        id: &str,
        effective: Option<Effect>,
    ) -> anyhow::Result<()> {
        let mut json = json!({ "id": id, "changed": self.to_json() });
        if let Some(effective) = effective {
            effective.tell();
            json["effective"] = json!(effective);
        }
        output.say(&json, || match self.are_none() {
            true => format!("{subject} {id} already has these values; nothing was changed"),
            false => format!("{subject} {id}: {}", tame(&self.sentence())),
        })
    }
}

/// Formats rows under headers, in columns.
pub(crate) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    // Replace characters that a terminal would obey.
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| tame(cell)).collect()).collect();
    let headers: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&headers).chain(&rows).collect();
    // Make each column as wide as its widest cell.
    let width = |column: usize| all.iter().filter_map(|row| row.get(column)).map(|it| it.chars().count()).max();
    let widths: Vec<usize> = (0..headers.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    all.iter().map(line).collect()
}

/// Formats labels and values, one pair a line.
pub(crate) fn fields<L: AsRef<str>>(pairs: &[(L, String)]) -> String {
    let width = pairs.iter().map(|(label, _)| label.as_ref().chars().count()).max().unwrap_or(0);
    pairs.iter().map(|(label, value)| format!("{:width$}  {}\n", label.as_ref(), tame(value))).collect()
}

/// Formats a moment in Unix seconds as RFC 3339.
pub(crate) fn moment(secs: Option<u64>) -> Option<String> {
    secs.map(|secs| Timestamp::from_secs(secs).to_rfc3339())
}

/// Returns the text of a value, or [`NOTHING`] if it is missing.
pub(crate) fn or_nothing(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(|| NOTHING.to_owned())
}

/// Prints a sentence for people, on standard error.
pub(crate) fn aside(sentence: &str) {
    eprintln!("{}", tame(sentence));
}

/// Returns `text` in one line. Characters that a terminal obeys and invisible characters are replaced.
pub(crate) fn tame(text: &str) -> String {
    mark_invisible(text, |_| false)
}

/// Applies [`tame`] to each line.
fn tame_lines(text: &str) -> String {
    text.split('\n').map(tame).collect::<Vec<_>>().join("\n")
}

/// Applies [`tame`] to CSV, but keeps its line ends.
fn tame_csv(text: &str) -> String {
    text.split("\r\n").map(tame).collect::<Vec<_>>().join("\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["acme".to_owned(), "Zoë & Söhne".to_owned()], vec!["b".to_owned(), NOTHING.to_owned()]];
        assert_eq!(table(&["ID", "NAME"], &rows), "ID    NAME\nacme  Zoë & Söhne\nb     -\n");
        assert_eq!(
            fields(&[("id", "acme".to_owned()), ("status", "active".to_owned())]),
            "id      acme\nstatus  active\n"
        );
    }

    #[test]
    fn nothing_in_a_table_reaches_the_terminal_as_a_command() {
        let text = table(&["NAME"], &[vec!["\u{1b}[2Jgone\nroot".to_owned()]]);
        assert_eq!(text, "NAME\n\u{fffd}[2Jgone\u{fffd}root\n");
    }

    #[test]
    fn what_turns_text_around_or_is_not_seen_is_shown_to_be_there() {
        for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{200d}', '\u{2028}', '\u{feff}', '\u{9b}', '\u{e0041}'] {
            assert_eq!(tame(&format!("a{hidden}b")), "a\u{fffd}b", "{hidden:?}");
        }
        assert_eq!(tame("Zoë & Söhne — 東京"), "Zoë & Söhne — 東京");
        assert_eq!(tame_lines("a\u{1b}\n\nb\u{202e}\n"), "a\u{fffd}\n\nb\u{fffd}\n");
        assert_eq!(tame_csv("a,b\r\n\u{1b}[2J,\"c\nd\"\r\n"), "a,b\r\n\u{fffd}[2J,\"c\u{fffd}d\"\r\n");
    }

    #[test]
    fn a_change_to_the_same_is_none() {
        let changes = Changes::default().add("name", "A", "A").add("status", "active", "suspended");
        assert_eq!(changes.sentence(), "status 'active' -> 'suspended'");
        assert!(Changes::default().add("name", "A", "A").are_none());
    }
}
