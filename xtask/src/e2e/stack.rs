//! A running `cargo xtask up`, as used from a terminal.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::shell;

const READY: &str = "Levee is up at ";
/// Time in which the rest of the greeting is printed after the ready line.
const AFTER_READY: Duration = Duration::from_secs(2);

/// The running stack and its greeting.
pub(super) struct Stack {
    child: Child,
    /// Address from the ready line.
    pub(super) url: String,
    /// Standard output from the ready line on, until a pause.
    pub(super) greeting: String,
    /// Keeps the channel open for the thread that reads the output.
    _lines: Receiver<String>,
}

impl Stack {
    /// Starts the command and waits for its ready line.
    pub(super) fn start(mut command: Command, limit: Duration) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the stack")?;
        let stdout = child.stdout.take().context("the stack has no standard output")?;
        let (sender, lines) = sync_channel(4096);
        // Keep reading the output, so that the stack never blocks on it.
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("    {line}");
                // Lines after the greeting are only printed.
                let _ = sender.try_send(line);
            }
        });
        let deadline = Instant::now() + limit;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = lines.recv_timeout(left) else {
                let ended = shell::wait(&mut child, Duration::from_secs(1))?;
                match ended {
                    Some(status) => bail!("the stack ended before it was ready: {status}"),
                    None => bail!("the stack was not ready within {} s", limit.as_secs()),
                }
            };
            // Collect the greeting once the ready line is there.
            let Some(url) = address(&line) else { continue };
            let mut greeting = line.clone();
            let fell_silent = Instant::now() + AFTER_READY;
            while let Ok(line) = lines.recv_timeout(fell_silent.saturating_duration_since(Instant::now())) {
                greeting.push('\n');
                greeting.push_str(&line);
            }
            return Ok(Self { child, url: url.to_owned(), greeting, _lines: lines });
        }
    }

    /// Sends SIGINT to the process group, as Ctrl-C in a terminal does, and waits for the end.
    pub(super) fn interrupt(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let group = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, rustix::process::Signal::INT)?;
        shell::wait(&mut self.child, limit)?.with_context(|| format!("still there {} s after Ctrl-C", limit.as_secs()))
    }
}

/// Returns the address in a ready line.
fn address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(READY)?;
    rest.split_whitespace().next()
}

/// Returns the first curl command in the stack's output, with its continuation lines.
pub(super) fn printed_curl(greeting: &str) -> Option<String> {
    let mut lines = greeting.lines().map(str::trim).skip_while(|line| !line.starts_with("curl "));
    let mut command = lines.next()?.to_owned();
    // The command continues after a backslash, or within an open quote.
    while command.ends_with('\\') || command.matches('\'').count() % 2 == 1 {
        command.push('\n');
        command.push_str(lines.next()?);
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_ends_where_the_word_does() {
        assert_eq!(address("Levee is up at http://127.0.0.1:8080"), Some("http://127.0.0.1:8080"));
        assert_eq!(
            address("\u{1b}[1mLevee is up at http://127.0.0.1:8080 (Ctrl-C stops it)"),
            Some("http://127.0.0.1:8080")
        );
        assert_eq!(address("authorizer | started"), None);
    }

    #[test]
    fn a_curl_is_found_with_its_continued_lines() {
        let greeting = "Levee is up at http://x\n\n  curl http://x/v1/messages \\\n    -H 'x-api-key: k' \\\n    -d '{\n}'\n\nmore";
        let expected = "curl http://x/v1/messages \\\n-H 'x-api-key: k' \\\n-d '{\n}'";
        assert_eq!(printed_curl(greeting).as_deref(), Some(expected));
    }

    #[test]
    fn a_greeting_without_curl_has_none() {
        assert_eq!(printed_curl("Levee is up at http://x"), None);
    }
}
