//! Files that describe the running stack for other programs. They exist only while it is up.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

/// Written files, removed on drop.
#[derive(Debug)]
pub(crate) struct StateFiles(Vec<PathBuf>);

impl StateFiles {
    /// Writes local.json and sam-env.json to `folder`.
    pub(crate) fn write(
        folder: &Path,
        local: &Value,
        variables: &BTreeMap<String, BTreeMap<String, String>>,
    ) -> anyhow::Result<Self> {
        let mut files = Self(Vec::new());
        for (name, content) in [
            ("sam-env.json", serde_json::to_string_pretty(variables)?),
            ("local.json", serde_json::to_string_pretty(local)?),
        ] {
            let file = folder.join(name);
            // Write a draft and rename it, so that readers never see a partial file.
            let draft = file.with_extension("draft");
            files.0.push(file.clone());
            std::fs::write(&draft, content + "\n")
                .and_then(|()| std::fs::rename(&draft, &file))
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(files)
    }
}

impl Drop for StateFiles {
    fn drop(&mut self) {
        for file in &self.0 {
            let _already_gone = std::fs::remove_file(file);
        }
    }
}
