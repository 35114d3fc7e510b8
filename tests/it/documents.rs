//! What documents refer to is there: decisions by number, tests by the commands that run them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::root;

fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                files.push(path);
            }
        }
    }
    files
}

fn documents() -> Vec<PathBuf> {
    let mut files = files_in(&root().join("docs"), "md");
    files.extend(
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"]
            .map(|name| root().join(name)),
    );
    assert!(files.len() > 40, "the documents were not found");
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each has a number of its own, the one in its heading, and whoever names it means one that is there.
#[test]
fn decisions_are_numbered() {
    let mut decisions = BTreeMap::new();
    for path in files_in(&root().join("docs/decisions"), "md") {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let number = name.split('-').next().expect("a number").to_owned();
        let heading = format!("# {number}: ");
        assert!(
            read(&path).starts_with(&heading),
            "{} does not begin with `{heading}`",
            path.display()
        );
        if let Some(other) = decisions.insert(number, name.clone()) {
            panic!("{name} and {other} have one number: the later one takes the next free one");
        }
    }
    let mut files = documents();
    for folder in
        ["src", "tests/it", "coordinator/src", "coordinator/sim", "coordinator/tests", "bench/src"]
    {
        files.extend(files_in(&root().join(folder), "rs"));
    }
    for path in files {
        for (index, line) in read(&path).lines().enumerate() {
            for named in line.split("decisions/").skip(1) {
                let named = named
                    .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
                    .next()
                    .expect("a part");
                let number = named
                    .get(..4)
                    .filter(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
                let Some(number) = number else { continue };
                let there =
                    decisions.get(number).is_some_and(|name| named == number || named == name);
                assert!(there, "{}:{}: there is no decision {named}", path.display(), index + 1);
            }
        }
    }
}

/// The names of the tests below a folder, as cargo has them but for `tests` of a module in the same file.
fn tests_below(folder: &str) -> Vec<String> {
    let folder = root().join(folder);
    let mut names = Vec::new();
    for path in files_in(&folder, "rs") {
        let modules = path.strip_prefix(&folder).expect("below").with_extension("");
        let modules: Vec<&str> = modules
            .iter()
            .filter_map(|part| part.to_str())
            .filter(|part| !["mod", "main", "lib"].contains(part))
            .collect();
        let mut is_test = false;
        for line in read(&path).lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("fn ").filter(|_| is_test) {
                let name = rest.split('(').next().expect("a name");
                names.push(format!("{}::{name}", modules.join("::")));
            }
            is_test = line == "#[test]" || (is_test && line.starts_with(['#', '/']));
        }
    }
    assert!(names.len() > 20, "the tests below {} were not found", folder.display());
    names
}

/// Filters of a `cargo test` command, and whether they stand behind `--`.
fn filters(words: &[&str]) -> (Vec<String>, bool) {
    let (mut filters, mut behind, mut value) = (Vec::new(), false, false);
    for &word in words {
        if std::mem::take(&mut value) {
            continue;
        }
        match word {
            "--" => behind = true,
            "-p" | "--test" | "--bin" | "--profile" if !behind => value = true,
            _ if word.starts_with('-') => {}
            _ => filters.push(word.trim_end_matches([')', ',', '.']).to_owned()),
        }
    }
    (filters, behind)
}

#[test]
fn commands_name_tests_that_are_there() {
    let zkprov = [tests_below("src"), tests_below("tests/it")];
    let coordinator = [tests_below("coordinator/src"), tests_below("coordinator/tests/it")];
    let mut checked = 0;
    for path in documents() {
        for (index, line) in read(&path).lines().enumerate() {
            for command in line.split("cargo test").skip(1) {
                let command = command.split(['`', ';', '#', '|']).next().expect("a part");
                let words: Vec<&str> = command.split_whitespace().collect();
                let at = format!("{}:{}: `cargo test{command}`", path.display(), index + 1);
                let (filters, behind) = filters(&words);
                assert!(
                    behind || filters.len() < 2,
                    "{at}: cargo takes a second filter only behind `--`"
                );
                let [unit, whole] =
                    if words.contains(&"coordinator") { &coordinator } else { &zkprov };
                for filter in filters {
                    let found = |names: &[String]| names.iter().any(|name| name.contains(&filter));
                    let there = match (words.contains(&"--lib"), words.contains(&"--test")) {
                        (true, _) => found(unit),
                        (_, true) => found(whole),
                        _ => found(unit) || found(whole),
                    };
                    assert!(there, "{at}: no test has `{filter}` in its name");
                    checked += 1;
                }
            }
        }
    }
    assert!(checked > 50, "only {checked} filters were found");
}

/// Wider than prose may be: pages that programs write, and those that are not wrapped yet.
const WIDE: [&str; 7] = [
    "docs/benchmarks.md",
    "docs/benchmarks-notes.md",
    "docs/benchmarks-zkprov.md",
    "docs/coordinator.md",
    "docs/status.md",
    "docs/works-with.md",
    "README.md",
];
/// Prose is wrapped at 100 columns; a word that has no break in it may stand out.
const COLUMNS_MAX: usize = 110;

#[test]
fn prose_is_wrapped() {
    let mut wrong = Vec::new();
    for path in documents() {
        let name = path.strip_prefix(root()).expect("below").display().to_string();
        if WIDE.contains(&name.as_str()) {
            continue;
        }
        let mut fenced = false;
        for (index, line) in read(&path).lines().enumerate() {
            let fence = line.trim_start().starts_with("```");
            fenced ^= fence;
            let prose = !fence
                && !fenced
                && !line.starts_with(['|', '#', '<'])
                && !line.starts_with("    ");
            let columns = line.chars().count();
            if prose && columns > COLUMNS_MAX && line.trim_start().contains(' ') {
                wrong.push(format!("{name}:{}: {columns} columns", index + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "wrap at 100 columns:\n{}", wrong.join("\n"));
}

/// Everything that the program may say, white space made single and broken literals joined.
fn sayings() -> String {
    let mut texts = String::new();
    for folder in ["src", "templates", "coordinator/src", "tests/cases"] {
        for extension in ["rs", "sh", "case", "service", "properties"] {
            for path in files_in(&root().join(folder), extension) {
                texts.push_str(&read(&path).replace("\\\n", " "));
                texts.push('\n');
            }
        }
    }
    texts.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Runs of words that no value interrupts: what stands there whoever the host is.
fn wordings(said: &str) -> Vec<String> {
    let value = |word: &str| {
        let letters = word.trim_matches(|c: char| !c.is_alphanumeric());
        word.contains(|c: char| c.is_ascii_digit() || "…/`{#[@".contains(c))
            || letters.contains('.')
            || !letters.contains(|c: char| c.is_lowercase())
            || ["member", "broker", "host", "demo"].contains(&letters.trim_end_matches('s'))
    };
    let (mut wordings, mut words) = (Vec::new(), Vec::new());
    for word in said.split_whitespace().chain(["…"]) {
        let ends = value(word);
        if !ends {
            words.push(word.trim_end_matches([':', ';', ',', '.', ')']).trim_start_matches('('));
        }
        if ends || word.ends_with([':', ';', ',']) {
            if words.len() > 2 {
                wordings.push(words.join(" "));
            }
            words.clear();
        }
    }
    wordings
}

/// What the runbook quotes is what the commands say today: messages in its tables, lines of its transcripts.
#[test]
fn the_runbook_quotes_the_commands() {
    let sayings = sayings();
    let text = read(&root().join("docs/operations.md"));
    let (mut checked, mut wrong) = (0, Vec::new());
    for (index, line) in text.lines().enumerate() {
        let quoted: Vec<&str> = match line.strip_prefix("| ") {
            // Of a table's first column what stands in backticks.
            Some(row) => {
                row.split(" | ").next().unwrap_or_default().split('`').skip(1).step_by(2).collect()
            }
            None if line.starts_with("    ") && !line.starts_with("    $") && !is_table(line) => {
                vec![line]
            }
            None => continue,
        };
        for said in quoted.into_iter().flat_map(wordings) {
            checked += 1;
            if !sayings.contains(&said) {
                wrong.push(format!("docs/operations.md:{}: nothing says `{said}`", index + 1));
            }
        }
    }
    assert!(checked > 40, "only {checked} quotations were found");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A line of a table as the commands print it: its words are cells.
fn is_table(line: &str) -> bool {
    line.trim().matches("  ").count() > 3
}

/// The transcript of a roll in the runbook is the one of a case, whole lines of which may be left out.
#[test]
fn the_runbook_shows_a_roll_that_is_a_case() {
    let text = read(&root().join("docs/operations.md"));
    let case = read(&root().join("tests/cases/rolls/leader-last.case"));
    let mut printed = case.split(crate::SEPARATOR).nth(1).expect("an output").lines();
    let mut shown =
        text.lines().skip_while(|line| *line != "    $ zkprov restart inventory.yaml --all --yes");
    assert!(shown.next().is_some(), "docs/operations.md shows no restart");
    let mut checked = 0;
    for line in shown.map_while(|line| line.strip_prefix("    ")).filter(|line| line.trim() != "…")
    {
        assert!(printed.any(|printed| printed == line), "no roll prints, in this order: {line}");
        checked += 1;
    }
    assert!(checked > 8, "only {checked} lines were found");
}
