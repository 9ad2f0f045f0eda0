//! The clock that functions read: the system clock plus an offset in seconds, which is kept in a file.

use std::{io, path::PathBuf};

use tokio::sync::Mutex;

/// The file with the offset, and the offset itself.
#[derive(Debug)]
pub(crate) struct Clock {
    file: PathBuf,
    offset: Mutex<i64>,
}

impl Clock {
    /// Creates a clock without an offset.
    pub(crate) fn new(file: PathBuf) -> io::Result<Self> {
        std::fs::write(&file, "0")?;
        Ok(Self { file, offset: Mutex::new(0) })
    }

    /// Moves the clock by `seconds` and returns the new offset. Readers see the old number or the new one, never a
    /// partial write.
    pub(crate) async fn advance(&self, seconds: i64) -> io::Result<i64> {
        let mut offset = self.offset.lock().await;
        let next = offset.saturating_add(seconds);
        let draft = self.file.with_extension("draft");
        std::fs::write(&draft, next.to_string())?;
        std::fs::rename(&draft, &self.file)?;
        *offset = next;
        Ok(next)
    }
}
