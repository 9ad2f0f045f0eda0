//! A running `cargo xtask up`, as a person at a terminal sees it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::shell;

const READY: &str = "Levee is up at ";
/// What is printed with the ready line is all there by then.
const AFTER_READY: Duration = Duration::from_secs(2);

/// The stack, and what it printed until it was ready.
pub(super) struct Stack {
    child: Child,
    /// The address from the ready line.
    pub(super) url: String,
    /// Everything on standard output from the ready line on, until it fell silent.
    pub(super) greeting: String,
    /// Goes on taking what it prints, so that it never waits for us.
    _lines: Receiver<String>,
}

impl Stack {
    /// Starts the command and waits for its ready line.
    pub(super) fn start(mut command: Command, limit: Duration) -> anyhow::Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start the stack")?;
        let stdout = child.stdout.take().context("the stack has no standard output")?;
        let (sender, lines) = sync_channel(4096);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                println!("    {line}");
                // Nobody reads on after the greeting; printing does.
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

    /// Ctrl-C: the terminal sends SIGINT to the whole foreground process group.
    pub(super) fn interrupt(&mut self, limit: Duration) -> anyhow::Result<ExitStatus> {
        let group = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process_group(group, rustix::process::Signal::INT)?;
        shell::wait(&mut self.child, limit)?.with_context(|| format!("still there {} s after Ctrl-C", limit.as_secs()))
    }
}

/// The address in a ready line.
fn address(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once(READY)?;
    rest.split_whitespace().next()
}

/// The first curl command in what the stack printed, with the lines that it continues on.
pub(super) fn printed_curl(greeting: &str) -> Option<String> {
    let mut lines = greeting.lines().map(str::trim).skip_while(|line| !line.starts_with("curl "));
    let mut command = lines.next()?.to_owned();
    // A backslash at the end, or an open quote, and the command goes on.
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
