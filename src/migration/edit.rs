//! The one word of an inventory that a move changes, as bytes: everything else of the file stays.

/// The text with `engine: TO` in the place of `engine: FROM`; `None` where not exactly one line says that.
pub fn with_engine(text: &str, from: &str, to: &str) -> Option<String> {
    let says = |line: &str| {
        let rest = line.trim_start().strip_prefix("engine:")?;
        let value = rest.split('#').next().unwrap_or_default().trim();
        (value == from).then(|| line.len() - rest.len() + rest.find(from).unwrap_or(0))
    };
    let mut changed = String::with_capacity(text.len() + 16);
    let mut found = 0;
    for line in text.split_inclusive('\n') {
        match says(line.trim_end_matches(['\r', '\n'])) {
            Some(at) => {
                found += 1;
                changed.push_str(&line[..at]);
                changed.push_str(to);
                changed.push_str(&line[at + from.len()..]);
            }
            None => changed.push_str(line),
        }
    }
    (found == 1).then_some(changed)
}

/// The text without the line of `apache`, as `zkprov adopt` writes it.
pub fn without_apache(text: &str) -> Option<String> {
    let of = |line: &str| line.starts_with("  apache: {") && line.trim_end().ends_with('}');
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let found = lines.iter().filter(|line| of(line)).count();
    (found == 1).then(|| lines.into_iter().filter(|line| !of(line)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_and_no_more() {
        let text = "# engine: zookeeper\r\ncoordinator:\r\n  engine: zookeeper # ours soon\n  apache: { a: b }\n";
        let moved = with_engine(text, "zookeeper", "coordinator").expect("one line");
        assert_eq!(moved, text.replace("  engine: zookeeper", "  engine: coordinator"));
        assert_eq!(with_engine(&moved, "coordinator", "zookeeper").as_deref(), Some(text));
        assert_eq!(
            with_engine("coordinator: { engine: zookeeper }\n", "zookeeper", "coordinator"),
            None
        );
        assert_eq!(with_engine(&format!("{text}{text}"), "zookeeper", "coordinator"), None);
        assert_eq!(
            without_apache(text).as_deref(),
            Some(&text[..text.len() - "  apache: { a: b }\n".len()])
        );
    }
}
