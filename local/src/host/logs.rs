//! Where the output of functions goes: to levee-local's own standard error, a prefix before each line, and to one file a
//! function.

use std::{
    collections::VecDeque,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Lines kept to explain the death of a process.
const REMEMBERED: usize = 20;

/// The folder of the log files.
#[derive(Clone, Debug)]
pub struct Logs {
    folder: PathBuf,
}

impl Logs {
    /// Makes the folder `logs` in `state`, without the files of an earlier run.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn new(state: &Path) -> std::io::Result<Self> {
        let folder = state.join("logs");
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => std::fs::create_dir_all(&folder)?,
        }
        Ok(Self { folder })
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The output of one environment of `function`, or of another child.
    pub(crate) fn of(&self, function: &str, prefix: String) -> std::io::Result<Output> {
        let path = self.folder.join(format!("{function}.log"));
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Output { prefix, file: Arc::new(file), last: Arc::default() })
    }
}

/// Takes the lines of one child.
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

    /// Says something of its own.
    pub(crate) fn line(&self, line: &str) {
        eprintln!("[{}] {line}", self.prefix);
        // One write a line: environments of one function share the file.
        let _unwritable_log_costs_only_the_line = (&*self.file).write_all(format!("{line}\n").as_bytes());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == REMEMBERED {
            last.pop_front();
        }
        last.push_back(line.to_owned());
    }

    /// The last lines, for an error message.
    pub(crate) fn last_lines(&self) -> String {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.iter().map(|line| format!("\n  {line}")).collect()
    }

    /// Forgets the lines of the process before.
    pub(crate) fn forget(&self) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
