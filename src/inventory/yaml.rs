//! The only module that knows YAML: text to a tree of nodes that keep what was written and where.
//!
//! Scalars stay as written; what they mean is decided by the key they belong to, so nothing is
//! reinterpreted on the way (`3.10` stays `3.10`, `no` stays `no`).

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span};

use crate::inventory::finding::{Finding, Place};

/// A person's inventory of a thousand hosts has about 100 kB; more is a mistake.
pub const BYTES_MAX: usize = 1024 * 1024;
/// Nodes after aliases are expanded: what an anchor bomb runs into.
const NODES_MAX: usize = 100_000;
const DEPTH_MAX: usize = 32;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    pub place: Place,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub enum Value {
    /// Text as written, without the quotes; `plain` if there were none.
    Scalar {
        text: String,
        plain: bool,
    },
    Sequence(Vec<Node>),
    /// In the file's order, keys unique.
    Mapping(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub struct Key {
    pub place: Place,
    pub text: String,
}

impl Node {
    /// Nothing was written: an empty value, `~` or `null`.
    pub fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    pub fn mapping(&self) -> &[(Key, Self)] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    /// The value under `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.mapping().iter().find(|(name, _)| name.text == key).map(|(_, node)| node)
    }

    fn weight(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::Sequence(items) => items.iter().map(Self::weight).sum(),
            Value::Mapping(entries) => entries.iter().map(|(_, node)| 1 + node.weight()).sum(),
        }
    }
}

/// The text of a file, or why it is none. The byte order mark is taken off.
pub fn decode(bytes: &[u8]) -> Result<&str, Finding> {
    let start = Place { line: 1, column: 1, length: 1 };
    if bytes.len() > BYTES_MAX {
        return Err(Finding::error(
            start,
            format!("the file has {} bytes; an inventory may have {BYTES_MAX}", bytes.len()),
        )
        .hint("is this really an inventory?"));
    }
    let utf16 = match bytes {
        [0xff, 0xfe, ..] => Some("UTF-16 (little endian)"),
        [0xfe, 0xff, ..] => Some("UTF-16 (big endian)"),
        [_, 0, ..] | [0, _, ..] => Some("UTF-16 or binary"),
        _ => None,
    };
    if let Some(encoding) = utf16 {
        return Err(Finding::error(start, format!("the file is {encoding}, not UTF-8"))
            .hint("save it as UTF-8"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let byte = bytes[error.valid_up_to()];
        Finding::error(
            Place { line, column, length: 1 },
            format!("byte 0x{byte:02x} is not UTF-8 text"),
        )
        .hint("save the file as UTF-8; in Latin-1 an umlaut or an accent looks like this")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Parses one document whose top is a mapping. On a syntax error there is no tree; duplicate keys
/// and the like are reported beside the tree.
pub fn parse(text: &str, findings: &mut Vec<Finding>) -> Option<Node> {
    let mut builder =
        Builder { findings, anchors: HashMap::new(), open: Vec::new(), root: None, nodes: 0 };
    for event in Parser::new_from_str(text) {
        let step = match event {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => Err(syntax(text, &error)),
        };
        if let Err(finding) = step {
            builder.findings.push(finding);
            return None;
        }
    }
    let root = builder.root;
    match root {
        Some(node) if matches!(node.value, Value::Mapping(_)) => Some(node),
        Some(node) if !node.is_null() => {
            findings.push(
                Finding::error(node.place, "an inventory is a mapping: `key: value` lines")
                    .hint("`zkprov init` writes a starter inventory"),
            );
            None
        }
        _ => {
            findings.push(
                Finding::error(Place { line: 1, column: 1, length: 1 }, "the inventory is empty")
                    .hint("`zkprov init` writes a starter inventory"),
            );
            None
        }
    }
}

fn syntax(text: &str, error: &ScanError) -> Finding {
    let (line, column) = (error.marker().line().max(1), error.marker().col() + 1);
    let finding =
        Finding::error(Place { line, column, length: 1 }, format!("not YAML: {}", error.info()));
    let written = text.lines().nth(line - 1).unwrap_or_default();
    let indent: String = written.chars().take_while(|c| c.is_whitespace()).collect();
    if indent.contains('\t') {
        finding.hint("indent with spaces: YAML does not allow tabs there")
    } else if written.contains('[') && written.contains('{') {
        finding.hint("inside `{ … }` a value with `[`, `]` or `,` needs quotes")
    } else {
        finding
    }
}

/// A collection whose end has not come yet.
enum Open {
    Sequence {
        place: Place,
        anchor: usize,
        items: Vec<Node>,
    },
    Mapping {
        place: Place,
        anchor: usize,
        entries: Vec<(Key, Node)>,
        /// The keys so far: a hundred thousand of them must not be compared pairwise.
        seen: HashMap<String, Place>,
        key: Option<Key>,
        merges: Vec<Node>,
    },
}

struct Builder<'f> {
    findings: &'f mut Vec<Finding>,
    anchors: HashMap<usize, Node>,
    open: Vec<Open>,
    root: Option<Node>,
    nodes: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Finding> {
        let place = place(&span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(place, tag.is_some());
                let plain = style == ScalarStyle::Plain;
                let node = Node { place, value: Value::Scalar { text: text.into_owned(), plain } };
                self.complete(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(place, tag.is_some());
                self.deeper(place)?;
                self.open.push(Open::Sequence { place, anchor, items: Vec::new() });
                Ok(())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(place, tag.is_some());
                self.deeper(place)?;
                let (entries, merges, seen) = (Vec::new(), Vec::new(), HashMap::new());
                self.open.push(Open::Mapping { place, anchor, entries, seen, key: None, merges });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some(node) => {
                    let weight = node.weight();
                    self.count(weight, place)?;
                    self.complete(Node { place, ..node }, 0)
                }
                None => Err(Finding::error(place, "the alias stands inside the value it names")),
            },
            Event::DocumentStart(..) if self.root.is_some() => Err(Finding::error(
                place,
                "a second document begins here; an inventory is one document",
            )
            .hint("take the `---` away, or make two files")),
            _ => Ok(()),
        }
    }

    fn refuse_tag(&mut self, place: Place, tagged: bool) {
        if tagged {
            self.findings
                .push(Finding::error(place, "tags such as `!!str` mean nothing in an inventory"));
        }
    }

    fn deeper(&self, place: Place) -> Result<(), Finding> {
        if self.open.len() < DEPTH_MAX {
            return Ok(());
        }
        Err(Finding::error(place, format!("nested more than {DEPTH_MAX} levels deep")))
    }

    fn count(&mut self, weight: usize, place: Place) -> Result<(), Finding> {
        self.nodes += weight;
        if self.nodes <= NODES_MAX {
            return Ok(());
        }
        Err(Finding::error(
            place,
            format!("more than {NODES_MAX} values once aliases are expanded"),
        ))
    }

    fn close(&mut self) -> Result<(), Finding> {
        match self.open.pop() {
            Some(Open::Sequence { place, anchor, items }) => {
                self.complete(Node { place, value: Value::Sequence(items) }, anchor)
            }
            Some(Open::Mapping { place, anchor, mut entries, mut seen, merges, .. }) => {
                for merged in merges {
                    for (key, node) in merged.mapping() {
                        if seen.insert(key.text.clone(), key.place).is_none() {
                            entries.push((key.clone(), node.clone()));
                        }
                    }
                }
                self.complete(Node { place, value: Value::Mapping(entries) }, anchor)
            }
            None => Ok(()),
        }
    }

    /// A node is whole: it is the root, an item, a key, or a key's value.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Finding> {
        self.count(1, node.place)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open::Sequence { items, .. }) => items.push(node),
            Some(Open::Mapping { entries, seen, key, merges, .. }) => match key.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => *key = Some(Key { place: node.place, text }),
                    _ => {
                        return Err(Finding::error(node.place, "a key must be a word")
                            .hint("a value that begins with `{` or `[` needs a key, or quotes"));
                    }
                },
                Some(name) if name.text == "<<" => merge(self.findings, merges, node),
                Some(name) => {
                    if let Some(first) = seen.get(&name.text) {
                        self.findings.push(
                            Finding::error(name.place, format!("`{}` is here twice", name.text))
                                .also(*first, "first here"),
                        );
                    } else {
                        seen.insert(name.text.clone(), name.place);
                        entries.push((name, node));
                    }
                }
            },
        }
        Ok(())
    }
}

/// `<<: *defaults`: what the other mapping has and this one does not say itself.
fn merge(findings: &mut Vec<Finding>, merges: &mut Vec<Node>, node: Node) {
    match node.value {
        Value::Mapping(_) => merges.push(node),
        Value::Sequence(items) => items.into_iter().for_each(|item| merge(findings, merges, item)),
        Value::Scalar { .. } => {
            findings.push(Finding::error(node.place, "`<<` takes a mapping, such as `*defaults`"));
        }
    }
}

fn place(span: &Span) -> Place {
    let (start, end) = (&span.start, &span.end);
    let length = if end.line() == start.line() { end.col().saturating_sub(start.col()) } else { 1 };
    Place { line: start.line().max(1), column: start.col() + 1, length }
}
