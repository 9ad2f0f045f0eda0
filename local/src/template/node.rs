//! The template as a tree in which every node knows its line. The two spellings of an intrinsic (`!Ref X` and
//! `Ref: X`, `!GetAtt A.B` and `Fn::GetAtt: [A, B]`) are parsed to the same node.

use saphyr_parser::{Event, Parser, ScalarStyle, Span, SpannedEventReceiver, Tag};

use super::Mistake;

/// A value of the template, and the line on which it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) kind: NodeKind,
}

/// Kind of a node. Numbers and booleans are kept as text until they are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    Null,
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<NodeEntry>),
    /// An intrinsic, by its short name (`Ref`, `Sub`, …), and its argument.
    Intrinsic(String, Box<Node>),
}

/// A key, its line and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NodeEntry {
    pub(crate) key: String,
    pub(crate) line: usize,
    pub(crate) value: Node,
}

impl Node {
    pub(crate) fn scalar(line: usize, text: impl Into<String>) -> Self {
        Self { line, kind: NodeKind::Scalar(text.into()) }
    }

    /// Returns the value of `key`, if this is a mapping that contains it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Returns a mutable reference to the value of `key`.
    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        let NodeKind::Map(entries) = &mut self.kind else { return None };
        entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value)
    }

    /// Sets the value of `key` in a mapping and replaces an existing one.
    pub(crate) fn set(&mut self, key: &str, value: Node) {
        let NodeKind::Map(entries) = &mut self.kind else { return };
        entries.retain(|entry| entry.key != key);
        entries.push(NodeEntry { key: key.to_owned(), line: value.line, value });
    }

    /// Returns the entries of a mapping; for any other node, none.
    pub(crate) fn entries(&self) -> &[NodeEntry] {
        match &self.kind {
            NodeKind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Checks that every key is in `read` or in `ignored`. The error names the first one that is not.
    pub(crate) fn only(&self, what: &str, read: &[&str], ignored: &[&str]) -> Result<(), Mistake> {
        match self.entries().iter().find(|entry| !read.contains(&&*entry.key) && !ignored.contains(&&*entry.key)) {
            Some(entry) => {
                Err(Mistake::new(entry.line, format!("the property {} of {what} is not emulated", entry.key)))
            }
            None => Ok(()),
        }
    }
}

/// Parses one YAML document.
pub(crate) fn parse(text: &str) -> Result<Node, Mistake> {
    let mut builder = Builder::default();
    Parser::new_from_str(text)
        .load(&mut builder, true)
        .map_err(|error| Mistake::new(error.marker().line(), error.info().to_owned()))?;
    match (builder.mistake, builder.documents.pop(), builder.documents.is_empty()) {
        (Some(mistake), ..) => Err(mistake),
        (None, Some(document), true) => Ok(document),
        _ => Err(Mistake::new(1, "expected exactly one YAML document")),
    }
}

/// Builds the tree from the parser's events.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    documents: Vec<Node>,
    mistake: Option<Mistake>,
}

/// A list or mapping that has not ended yet.
struct Open {
    line: usize,
    tag: Option<String>,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<NodeEntry>, key: Option<(String, usize)> },
}

impl SpannedEventReceiver<'_> for Builder {
    fn on_event(&mut self, event: Event<'_>, span: Span) {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, _, tag) => self.close(scalar(line, &text, style, tag.as_deref())),
            Event::SequenceStart(_, tag) => self.open(line, tag.as_deref(), Content::List(Vec::new())),
            Event::MappingStart(_, tag) => {
                self.open(line, tag.as_deref(), Content::Map { entries: Vec::new(), key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    self.close(open.into_node());
                }
            }
            Event::Alias(_) => self.complain(line, "YAML aliases are not read here"),
            Event::DocumentStart(_) | Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => {}
        }
    }
}

impl Builder {
    fn open(&mut self, line: usize, tag: Option<&Tag>, content: Content) {
        let tag = tag.filter(|tag| !tag.is_yaml_core_schema()).map(|tag| tag.suffix.clone());
        self.open.push(Open { line, tag, content });
    }

    fn close(&mut self, node: Node) {
        let mistake = match (self.open.last_mut().map(|open| &mut open.content), node) {
            (None, node) => {
                self.documents.push(node);
                None
            }
            (Some(Content::List(items)), node) => {
                items.push(node);
                None
            }
            // In a mapping, keys and values alternate.
            (Some(Content::Map { entries, key }), node) => match (key.take(), node) {
                (Some((key, line)), value) => {
                    let twice = entries.iter().any(|entry| entry.key == key);
                    let mistake = twice.then(|| Mistake::new(line, format!("the key {key} is there twice")));
                    entries.push(NodeEntry { key, line, value });
                    mistake
                }
                (None, Node { line, kind: NodeKind::Scalar(name) }) => {
                    *key = Some((name, line));
                    None
                }
                (None, node) => Some(Mistake::new(node.line, "a key must be a plain string")),
            },
        };
        self.mistake = self.mistake.take().or(mistake);
    }

    fn complain(&mut self, line: usize, message: &str) {
        self.mistake.get_or_insert_with(|| Mistake::new(line, message));
    }
}

impl Open {
    fn into_node(self) -> Node {
        let node = match self.content {
            Content::List(items) => Node { line: self.line, kind: NodeKind::List(items) },
            Content::Map { entries, .. } => long_form(self.line, entries),
        };
        match self.tag {
            Some(tag) => intrinsic(self.line, &tag, node),
            None => node,
        }
    }
}

fn scalar(line: usize, text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Node {
    let null = style == ScalarStyle::Plain && matches!(text, "" | "~" | "null" | "Null" | "NULL");
    let node = Node { line, kind: if null { NodeKind::Null } else { NodeKind::Scalar(text.to_owned()) } };
    match tag {
        Some(tag) if tag.is_yaml_core_schema() => Node::scalar(line, text),
        Some(tag) => intrinsic(line, &tag.suffix, node),
        None => node,
    }
}

/// Converts `{"Ref": x}` and `{"Fn::Name": x}` to intrinsics, and any other entries to a mapping.
fn long_form(line: usize, mut entries: Vec<NodeEntry>) -> Node {
    let name = match entries.as_slice() {
        [only] if only.key == "Ref" => Some("Ref".to_owned()),
        [only] => only.key.strip_prefix("Fn::").map(str::to_owned),
        _ => None,
    };
    match (name, entries.pop()) {
        (Some(name), Some(only)) => intrinsic(line, &name, only.value),
        (_, last) => {
            entries.extend(last);
            Node { line, kind: NodeKind::Map(entries) }
        }
    }
}

fn intrinsic(line: usize, name: &str, argument: Node) -> Node {
    let argument = match (name, argument) {
        ("GetAtt", Node { line, kind: NodeKind::Scalar(text) }) => {
            let (resource, attribute) = text.split_once('.').unwrap_or((&text, ""));
            Node { line, kind: NodeKind::List(vec![Node::scalar(line, resource), Node::scalar(line, attribute)]) }
        }
        (_, argument) => argument,
    };
    Node { line, kind: NodeKind::Intrinsic(name.to_owned(), Box::new(argument)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_of_an_intrinsic_become_one() {
        let short = parse("a: !GetAtt Table.Arn\nb: !Ref X").unwrap();
        let long = parse("a:\n  Fn::GetAtt: [Table, Arn]\nb: {Ref: X}").unwrap();
        let kinds = |node: &Node| match &node.get("a").unwrap().kind {
            NodeKind::Intrinsic(name, argument) => (name.clone(), format!("{:?}", texts(argument))),
            other => panic!("not an intrinsic: {other:?}"),
        };
        assert_eq!(kinds(&short), kinds(&long));
        assert!(matches!(&long.get("b").unwrap().kind, NodeKind::Intrinsic(name, _) if name == "Ref"));
    }

    #[test]
    fn broken_yaml_names_its_line() {
        assert_eq!(parse("a: 1\nb: [1,\nc: }").unwrap_err().line, 3);
    }

    fn texts(node: &Node) -> Vec<&str> {
        match &node.kind {
            NodeKind::List(items) => items.iter().flat_map(texts).collect(),
            NodeKind::Scalar(text) => vec![text],
            _ => Vec::new(),
        }
    }
}
