//! `cargo xtask language`: how plain the code reads, in three numbers.
//!
//! The numbers are counted on lines, not on a syntax tree: comments are no part of one. docs/STYLE.md has the rules that they
//! stand for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::workspace::Workspace;

/// Folders of the product. Tests and tools are counted for doc lines and names alone.
const PRODUCT: [&str; 4] = ["shared", "functions", "cli", "local"];
/// Folders of everything else that is Rust.
const OTHERS: [&str; 5] = ["xtask", "bench", "simulation", "tests", "events"];
/// Words with which a doc line does not begin.
const QUESTIONS: [&str; 9] = ["What", "Who", "Whom", "Whose", "Whether", "How", "When", "Where", "Why"];
/// The name that may stand for any number of types: each command of the CLI has one, as clap's examples have it.
const COMMON_NAME: &str = "Command";
/// The most doc lines that may begin with a question word, percent.
const MOST_QUESTIONS: f64 = 3.0;
/// The fewest explaining comments inside the product's functions, percent of its lines of code.
const FEWEST_COMMENTS: f64 = 3.0;
/// The most types of one name.
const MOST_TYPES: usize = 3;

/// Measure how plain the code reads: doc lines, comments and names
///
/// Prints the share of doc lines that begin with What, Who, Whether, How, When, Where or Why, the explaining comments inside
/// functions, and the names that stand for several types. Fails where one of them is beyond its limit.
#[derive(Default, clap::Args)]
pub(crate) struct Language {
    /// List each doc line and each name that counts against the limits
    #[arg(long)]
    list: bool,
}

/// Lines of one kind or another.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lines {
    /// Doc comments, as their text.
    docs: Vec<(usize, String)>,
    /// Comments that explain, outside of doc comments.
    comments: usize,
    /// Lines of code that are not tests.
    code: usize,
    /// The names of types that are declared.
    types: Vec<String>,
}

impl Language {
    pub(crate) fn run(self, workspace: &Workspace) -> anyhow::Result<()> {
        let (mut docs, mut questions) = (0, Vec::new());
        let (mut comments, mut code) = (0, 0);
        let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for folder in PRODUCT.iter().chain(&OTHERS) {
            for file in sources(&workspace.root.join(folder))? {
                let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
                let name = file.strip_prefix(&workspace.root).unwrap_or(&file).display().to_string();
                let lines = Lines::read(&text, is_test(&file));
                docs += lines.docs.len();
                let asking = lines.docs.iter().filter(|(_, text)| is_question(text));
                questions.extend(asking.map(|(line, text)| format!("{name}:{line}: {text}")));
                if PRODUCT.contains(folder) {
                    comments += lines.comments;
                    code += lines.code;
                    lines.types.into_iter().for_each(|it| types.entry(it).or_default().push(name.clone()));
                }
            }
        }
        types.retain(|name, places| places.len() > MOST_TYPES && name != COMMON_NAME);

        let asking = percent(questions.len(), docs);
        let explained = percent(comments, code);
        println!("doc lines that begin with a question word  {asking:5.1} % of {docs} (at most {MOST_QUESTIONS} %)");
        println!(
            "comments inside functions                  {explained:5.1} % of {code} lines of code (at least {FEWEST_COMMENTS} %)"
        );
        println!("names of more than {MOST_TYPES} types                 {:5}   (none)", types.len());
        if self.list {
            questions.iter().for_each(|line| println!("{line}"));
            types.iter().for_each(|(name, places)| println!("{name}: {}", places.join(", ")));
        }
        if asking > MOST_QUESTIONS || explained < FEWEST_COMMENTS || !types.is_empty() {
            bail!("the code reads less plainly than it should; --list names the places, docs/STYLE.md the rules");
        }
        Ok(())
    }
}

impl Lines {
    /// Reads a file's text. Code below `#[cfg(test)]`, or of a file of tests, is no code of the product.
    fn read(text: &str, is_test: bool) -> Self {
        let mut lines = Self::default();
        let mut is_test = is_test;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            is_test |= line == "#[cfg(test)]";
            if let Some(doc) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) {
                lines.docs.push((number, doc.trim().to_owned()));
            } else if line.starts_with("//") {
                lines.comments += usize::from(!is_test);
            } else if !line.is_empty() && !is_test {
                lines.code += 1;
                lines.types.extend(declared(line));
            }
        }
        lines
    }
}

/// Returns the name of the type that a line of code declares.
fn declared(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| matches!(*word, "struct" | "enum" | "trait"))?;
    // Nothing but a visibility stands before it.
    if !words[..at].iter().all(|word| word.starts_with("pub") || word.ends_with(')') || *word == "in") {
        return None;
    }
    let name: String = words.get(at + 1)?.chars().take_while(|it| it.is_alphanumeric()).collect();
    (!name.is_empty()).then_some(name)
}

fn is_question(doc: &str) -> bool {
    let first = doc.split(|it: char| !it.is_alphabetic()).next().unwrap_or_default();
    QUESTIONS.contains(&first)
}

fn is_test(file: &Path) -> bool {
    file.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

fn percent(part: usize, whole: usize) -> f64 {
    // Counts of lines are far below 2^52.
    100.0 * part as f64 / whole.max(1) as f64
}

/// Returns the Rust files below `folder`, in order.
fn sources(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut entries =
        std::fs::read_dir(folder).with_context(|| folder.display().to_string())?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::path);
    for entry in entries {
        let path = entry.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|it| it == "rs") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        let text = "//! What it is.\n\n/// A thing.\npub(crate) struct Thing;\n// A step.\nfn f() {}\n\
                    #[cfg(test)]\nmod tests {\n    // Not counted.\n    struct Hidden;\n}\n";
        let expected = Lines {
            docs: vec![(1, "What it is.".to_owned()), (3, "A thing.".to_owned())],
            comments: 1,
            code: 2,
            types: vec!["Thing".to_owned()],
        };
        assert_eq!(Lines::read(text, false), expected);
        assert_eq!(Lines::read(text, true).code, 0);
    }

    #[test]
    fn a_question_is_known_by_its_first_word() {
        for (doc, expected) in
            [("What came", true), ("Whether, or", true), ("Whatever", false), ("whether", false), ("[`What`]", false)]
        {
            assert_eq!(is_question(doc), expected, "{doc}");
        }
    }

    #[test]
    fn types_are_known_by_their_declaration() {
        for (line, expected) in [
            ("pub struct A<'a> {", Some("A")),
            ("pub(crate) enum B {", Some("B")),
            ("pub(in crate::x) trait C: D {", Some("C")),
            ("struct E(u8);", Some("E")),
            ("let struct_of = 1;", None),
            ("impl F for G {", None),
        ] {
            assert_eq!(declared(line).as_deref(), expected, "{line}");
        }
    }
}
