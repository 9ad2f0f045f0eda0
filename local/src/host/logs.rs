//! Output of the functions. Each line is written to the standard error of levee-local, with a prefix, and to one file
//! per function.

use std::{
    collections::VecDeque,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Number of lines kept to explain the end of a process.
const REMEMBERED: usize = 20;

/// Folder of the log files.
#[derive(Clone, Debug)]
pub struct Logs {
    folder: PathBuf,
}

impl Logs {
    /// Creates the folder `logs` in `state` and removes the files of an earlier run.
    ///
    /// # Errors
    /// Fails if the folder cannot be written.
    pub fn new(state: &Path) -> std::io::Result<Self> {
        let folder = state.join("logs");
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&folder)?,
        }
        Ok(Self { folder })
    }

    /// Returns the path of the folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Opens the log for one environment of `function`, or for another child process.
    pub(crate) fn output(&self, function: &str, prefix: String) -> std::io::Result<Output> {
        let path = self.folder.join(format!("{function}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Output { prefix, file: Arc::new(file), last: Arc::default() })
    }
}

/// Log of one child process.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    prefix: String,
    file: Arc<std::fs::File>,
    last: Arc<Mutex<VecDeque<String>>>,
}

impl Output {
    /// Copies lines until the pipe ends.
    pub(crate) fn follow(&self, pipe: impl AsyncRead + Unpin + Send + 'static) -> tokio::task::JoinHandle<()> {
        let this = self.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(pipe).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                this.line(&String::from_utf8_lossy(&line));
            }
        })
    }

    /// Writes one line.
    pub(crate) fn line(&self, line: &str) {
        eprintln!("[{}] {line}", self.prefix);
        // Write each line at once: environments of one function share the file.
        let _unwritable_log_costs_only_the_line = (&*self.file).write_all(format!("{line}\n").as_bytes());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    }

    /// Returns the last lines, for an error message.
    pub(crate) fn last_lines(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().map(|line| format!("\n  {line}")).collect()
    }

    /// Discards the lines of the previous process.
    pub(crate) fn forget(&self) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
