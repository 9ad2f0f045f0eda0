//! Documents and the workflow: links that lead somewhere, and commands that are written down twice.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::root;

/// Longest README, in lines.
const LONGEST_README: usize = 200;

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Returns the paths of all documents from the root of the repository.
fn documents() -> Vec<PathBuf> {
    let in_folder = |folder: &str| {
        let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let folder = PathBuf::from(folder);
        entries.map(move |name| folder.join(name)).filter(|path| path.extension().is_some_and(|it| it == "md"))
    };
    [".", "docs", ".github"].into_iter().flat_map(in_folder).collect()
}

/// Returns the lines outside of fenced blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_fenced = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        !is_fenced && !is_fence
    })
}

/// Returns the anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    text.chars().filter(|it| it.is_alphanumeric() || *it == '-' || *it == '_').collect()
}

#[test]
fn every_link_in_a_document_leads_to_a_file_and_to_a_heading_in_it() {
    let mut links = 0;
    for document in documents() {
        let text = read(&document);
        for line in prose(&text) {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if link.starts_with("http") {
                    continue;
                }
                let (path, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = if path.is_empty() { document.clone() } else { document.with_file_name("").join(path) };
                assert!(root().join(&target).exists(), "{}: there is no {link}", document.display());
                if !heading.is_empty() {
                    let text = read(&target);
                    let mut headings = prose(&text).filter(|line| line.starts_with('#'));
                    assert!(headings.any(|it| anchor(it) == heading), "{}: no heading {link}", document.display());
                }
                links += 1;
            }
        }
    }
    assert!(links > 20, "only {links} links were found");
}

#[test]
fn the_readme_is_short_and_its_picture_names_every_function() {
    let readme = read("README.md");
    assert!(readme.lines().count() <= LONGEST_README, "{} lines", readme.lines().count());
    let picture = readme.split_once("```mermaid\n").unwrap().1.split_once("\n```").unwrap().0;
    for function in std::fs::read_dir(root().join("functions")).unwrap() {
        let name = function.unwrap().file_name().into_string().unwrap();
        assert!(picture.contains(&name), "{name}");
    }
}

#[test]
fn the_changelog_begins_with_what_is_unreleased() {
    let changelog = read("CHANGELOG.md");
    assert_eq!(prose(&changelog).find(|line| line.starts_with("## ")), Some("## [Unreleased]"));
}

#[test]
fn the_workflow_runs_the_commands_of_ci_run_and_every_part_of_the_tests() {
    let (script, workflow) = (read(".ci/run"), read(".github/workflows/ci.yml"));
    let commands: BTreeSet<&str> = script.lines().filter_map(|line| line.strip_prefix("run ")).collect();
    assert!(commands.contains("cargo xtask test"), "{commands:?}");
    let run: Vec<&str> = workflow.lines().filter_map(|line| line.trim().strip_prefix("- run: ")).collect();
    for command in &commands {
        assert!(run.iter().any(|it| it.split(" -- ").next() == Some(command)), "{command} is not in the workflow");
    }
    // The matrix has as many parts as the tests are divided into.
    let divided = workflow.split_once("--partition hash:${{ matrix.part }}/").unwrap().1;
    let parts: usize = divided.lines().next().unwrap().parse().unwrap();
    let matrix = workflow.split_once("part: [").unwrap().1.split_once(']').unwrap().0;
    assert_eq!(matrix, (1..=parts).map(|part| part.to_string()).collect::<Vec<_>>().join(", "));
}

#[test]
fn the_workflows_install_the_version_of_rust_that_the_packages_ask_for() {
    let manifest = read("Cargo.toml");
    let version = manifest.split_once("rust-version = \"").unwrap().1.split_once('"').unwrap().0;
    for file in [".github/workflows/ci.yml", ".github/workflows/weekly.yml", ".devcontainer/Dockerfile"] {
        let text = read(file);
        let mut installed = text.split("rustup toolchain install ").skip(1).peekable();
        assert!(installed.peek().is_some(), "{file}");
        assert!(installed.all(|rest| rest.split(' ').next() == Some(version)), "{file} installs another version");
    }
    assert!(read("README.md").contains(&format!("Rust {version}")), "README.md names another version");
}
