//! Ranges of hosts: `kafka[1:3]` with `address: 10.77.0.1[1:3]` and `myid: "[1:3]"`.

use crate::inventory::finding::{Finding, Place};
use crate::inventory::yaml::{Key, Node, Value};

/// How many hosts one range may stand for.
const HOSTS_MAX: u64 = 1000;

/// A text with one `[FROM:TO]` in it.
struct Range<'t> {
    before: &'t str,
    after: &'t str,
    from: u64,
    to: u64,
    /// Digits to pad to: `[01:12]`.
    width: usize,
}

/// The hosts a range entry stands for; an entry without a range is its own only host.
pub fn expand(name: &Key, node: &Node, findings: &mut Vec<Finding>) -> Vec<(Key, Node)> {
    let range = match find(&name.text) {
        Ok(range) => range,
        Err(why) => {
            findings
                .push(Finding::error(name.place, format!("`{}` is not a range: {why}", name.text)));
            return Vec::new();
        }
    };
    let count = range.as_ref().map_or(1, |range| range.to - range.from + 1);
    (0..count)
        .map(|index| {
            let text = range.as_ref().map_or_else(|| name.text.clone(), |range| range.at(index));
            let key = Key { place: name.place, text };
            (key, fill(node, index, range.is_some().then_some(count), findings))
        })
        .collect()
}

impl Range<'_> {
    fn at(&self, index: u64) -> String {
        let Self { before, after, from, width, .. } = self;
        format!("{before}{:0width$}{after}", from + index)
    }
}

fn find(text: &str) -> Result<Option<Range<'_>>, String> {
    let Some((before, rest)) = text.split_once('[') else { return Ok(None) };
    let Some((inside, after)) = rest.split_once(']') else { return Ok(None) };
    let Some((from, to)) = inside.split_once(':') else { return Ok(None) };
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit())
    };
    if !digits(from) || !digits(to) {
        return Ok(None);
    }
    if after.contains('[') {
        return Err("only one `[…]` can be counted through".to_owned());
    }
    let width = if from.starts_with('0') { from.len() } else { 0 };
    let (from, to) = (from.parse().unwrap_or(0), to.parse().unwrap_or(0));
    if to < from {
        return Err(format!("it goes from {from} down to {to}"));
    }
    if to - from >= HOSTS_MAX {
        return Err(format!("it stands for more than {HOSTS_MAX} hosts"));
    }
    Ok(Some(Range { before, after, from, to, width }))
}

/// The host's values at `index`. Properties are passed through, brackets and all.
fn fill(node: &Node, index: u64, count: Option<u64>, findings: &mut Vec<Finding>) -> Node {
    let value = match &node.value {
        Value::Scalar { text, plain } => scalar(node.place, text, *plain, index, count, findings),
        Value::Sequence(items) => sequence(node.place, items, index, count, findings),
        Value::Mapping(entries) => Value::Mapping(
            entries
                .iter()
                .map(|(key, node)| {
                    let passed = key.text == "properties";
                    (
                        key.clone(),
                        if passed { node.clone() } else { fill(node, index, count, findings) },
                    )
                })
                .collect(),
        ),
    };
    Node { place: node.place, value }
}

fn scalar(
    place: Place,
    text: &str,
    plain: bool,
    index: u64,
    count: Option<u64>,
    findings: &mut Vec<Finding>,
) -> Value {
    let keep = Value::Scalar { text: text.to_owned(), plain };
    match (find(text), count) {
        (Ok(None), _) => keep,
        (Ok(Some(range)), Some(count)) if range.to - range.from + 1 == count => {
            Value::Scalar { text: range.at(index), plain: true }
        }
        (Ok(Some(range)), Some(count)) => {
            let own = range.to - range.from + 1;
            findings.push(Finding::error(
                place,
                format!("`{text}` counts {own} values where the host's name counts {count}"),
            ));
            keep
        }
        (Ok(Some(_)), None) => {
            findings.push(
                Finding::error(place, format!("`{text}` is a range, but the host's name is none"))
                    .hint("give the name a range of the same length: `kafka[1:3]`"),
            );
            keep
        }
        (Err(why), _) => {
            findings.push(Finding::error(place, format!("`{text}` is not a range: {why}")));
            keep
        }
    }
}

/// `[1:3]` without quotes is a list to YAML; no host key takes one.
fn sequence(
    place: Place,
    items: &[Node],
    index: u64,
    count: Option<u64>,
    findings: &mut Vec<Finding>,
) -> Value {
    if let [Node { value: Value::Scalar { text, .. }, .. }] = items
        && let bracketed = format!("[{text}]")
        && matches!(find(&bracketed), Ok(Some(_)))
    {
        return scalar(place, &bracketed, true, index, count, findings);
    }
    Value::Sequence(items.to_vec())
}
