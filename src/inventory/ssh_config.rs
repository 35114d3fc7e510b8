//! An OpenSSH client configuration by its own grammar (`readconf.c`): which hosts it names, and what
//! it says about each. The first value that matches a host holds.

/// `Include` inside `Include` inside …: as deep as OpenSSH goes.
const INCLUDE_DEPTH_MAX: usize = 16;
/// Configurations are pages of text; what is much longer is something else.
const LINES_MAX: usize = 100_000;

/// One line that says something, with the condition it stands under.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Directive {
    condition: Condition,
    /// In lower case.
    keyword: String,
    arguments: Vec<String>,
}

/// When a directive holds: all of these do. `Include` under a `Host` nests them.
type Condition = Vec<Block>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Block {
    /// `Host`: patterns, `!` in front excludes.
    Host(Vec<String>),
    /// `Match host`: the same, against the name that `HostName` has led to so far.
    HostName(Vec<String>),
    All,
    /// A `Match` that depends on more than the name.
    Unknown,
}

/// A whole configuration, includes and all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SshConfig {
    directives: Vec<Directive>,
    /// What could not be read, as comments for the person: file, line and why.
    pub remarks: Vec<String>,
}

/// What the configuration says about one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The name by which ssh knows it.
    pub name: String,
    /// `HostName`, tokens expanded; the name itself where there is none.
    pub host_name: String,
    pub port: Option<u16>,
    pub user: Option<String>,
    pub identity_files: Vec<String>,
    /// What else is said, by keyword as written in the manual's lower case.
    pub others: Vec<String>,
}

/// Reads the files an `Include` names: pattern in, (name, text) of each match out.
pub type Includer<'i> = &'i mut dyn FnMut(&str) -> Vec<(String, String)>;

impl SshConfig {
    pub fn parse(file: &str, text: &str, include: Includer<'_>) -> Self {
        let mut config = Self::default();
        config.read(file, text, &Vec::new(), include, 0);
        config.leave_out_prose();
        config
    }

    fn read(
        &mut self,
        file: &str,
        text: &str,
        outer: &Condition,
        include: Includer<'_>,
        depth: usize,
    ) {
        // What stands before the first `Host` holds for every host.
        let mut condition = outer.clone();
        let (text, escapes) = without_escapes(text.trim_start_matches('\u{feff}'));
        if escapes > 0 {
            self.remarks
                .push(format!("{file}: {escapes} escape codes of a terminal were left out"));
        }
        for (index, line) in text.lines().take(LINES_MAX).enumerate() {
            let at = |why: &str| format!("{file}:{}: {why}", index + 1);
            let words = match split(line) {
                Ok(words) => words,
                Err(why) => {
                    self.remarks.push(at(why));
                    continue;
                }
            };
            let Some((keyword, arguments)) = words.split_first() else { continue };
            let keyword = keyword.to_ascii_lowercase();
            match keyword.as_str() {
                _ if arguments.is_empty() => self.remarks.push(at("a keyword without a value")),
                "host" => {
                    condition.clone_from(outer);
                    condition.push(Block::Host(arguments.to_vec()));
                    // The line itself is kept: an empty block names its hosts too.
                    let (condition, keyword) = (condition.clone(), keyword);
                    self.directives.push(Directive { condition, keyword, arguments: Vec::new() });
                }
                "match" => {
                    condition.clone_from(outer);
                    let block = matched(arguments);
                    if block == Block::Unknown {
                        self.remarks
                            .push(at("`Match` depends on more than the name: left aside here"));
                    }
                    condition.push(block);
                }
                "include" if depth == INCLUDE_DEPTH_MAX => {
                    self.remarks.push(at("`Include` goes too deep"));
                }
                "include" => {
                    for pattern in arguments {
                        let files = include(pattern);
                        if files.is_empty() {
                            self.remarks.push(at(&format!("`Include {pattern}` names no file")));
                        }
                        for (name, text) in files {
                            self.read(&name, &text, &condition, include, depth + 1);
                        }
                    }
                }
                _ => self.directives.push(Directive {
                    condition: condition.clone(),
                    keyword,
                    arguments: arguments.to_vec(),
                }),
            }
        }
    }

    /// What prints a configuration may print a warning before it that begins with the word `Host`: a sentence.
    fn leave_out_prose(&mut self) {
        let says = |condition: &Condition| {
            self.directives.iter().any(|one| one.condition == *condition && one.keyword != "host")
        };
        let mut prose = Vec::new();
        for directive in self.directives.iter().filter(|one| one.keyword == "host") {
            let Some(Block::Host(words)) = directive.condition.last() else { continue };
            let stop = |word: &String| word.ends_with([',', '.', ':', ';', '!', ')']);
            let plain = |word: &String| word.bytes().all(|byte| byte.is_ascii_alphabetic());
            let silent = !says(&directive.condition);
            if words.iter().any(stop) || (silent && words.len() > 2 && words.iter().all(plain)) {
                prose.push(directive.condition.clone());
            } else if silent && words.len() == 1 && plain(&words[0]) {
                self.remarks
                    .push(format!("nothing is said of `Host {}`: is it a machine?", words[0]));
            }
        }
        for condition in prose {
            if let Some(Block::Host(words)) = condition.last() {
                self.remarks
                    .push(format!("`Host {}` reads as a sentence: left out", words.join(" ")));
            }
            self.directives.retain(|one| one.keyword != "host" || one.condition != condition);
        }
    }

    /// The machines that are named: no patterns, each once, in the file's order. Several names in one
    /// `Host` line are one machine when they lead to the same place.
    pub fn machines(&self) -> Vec<Machine> {
        let mut machines: Vec<Machine> = Vec::new();
        for names in self.named() {
            let mut of_line: Vec<Machine> = Vec::new();
            for name in names {
                let machine = self.machine(name);
                let known = machines.iter().any(|other| other.name == machine.name);
                let alias = of_line.iter().any(|other| {
                    (&other.host_name, other.port) == (&machine.host_name, machine.port)
                });
                if !known && !alias {
                    of_line.push(machine);
                }
            }
            machines.extend(of_line);
        }
        machines
    }

    /// The literal names of each `Host` line.
    fn named(&self) -> Vec<Vec<&str>> {
        let mut lines: Vec<Vec<&str>> = Vec::new();
        for directive in &self.directives {
            if directive.keyword == "host"
                && let Some(Block::Host(patterns)) = directive.condition.last()
            {
                let names: Vec<&str> = patterns
                    .iter()
                    .map(String::as_str)
                    .filter(|name| !name.contains(['*', '?']) && !name.starts_with('!'))
                    .collect();
                if !names.is_empty() && !lines.contains(&names) {
                    lines.push(names);
                }
            }
        }
        lines
    }

    fn machine(&self, name: &str) -> Machine {
        let mut machine = Machine { name: name.to_owned(), ..Machine::default() };
        let mut host_name = None;
        for directive in &self.directives {
            if !holds(&directive.condition, name, host_name.as_deref().unwrap_or(name)) {
                continue;
            }
            let Some(value) = directive.arguments.first() else { continue };
            match directive.keyword.as_str() {
                "hostname" if host_name.is_none() => host_name = Some(expand(value, name)),
                "port" if machine.port.is_none() => machine.port = value.parse().ok(),
                "user" if machine.user.is_none() => machine.user = Some(value.clone()),
                "identityfile" => machine.identity_files.push(value.clone()),
                "hostname" | "port" | "user" => {}
                other => {
                    if !machine.others.iter().any(|known| known == other) {
                        machine.others.push(other.to_owned());
                    }
                }
            }
        }
        machine.host_name = host_name.unwrap_or_else(|| name.to_owned());
        machine
    }
}

/// Text without what a terminal takes for commands (ECMA-48: `ESC [ … letter`, `ESC ] … BEL`, `ESC` and one
/// more), and how many there were.
fn without_escapes(text: &str) -> (String, usize) {
    let (mut out, mut count) = (String::with_capacity(text.len()), 0);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\u{1b}' && c != '\u{9b}' {
            out.push(c);
            continue;
        }
        count += 1;
        let kind = if c == '\u{9b}' { Some('[') } else { chars.next_if(|c| !c.is_control()) };
        match kind {
            Some('[') => {
                while chars.next_if(|c| !c.is_control()).is_some_and(|c| !('@'..='~').contains(&c))
                {
                }
            }
            Some(']') => while chars.next_if(|c| *c != '\n').is_some_and(|c| c != '\u{7}') {},
            _ => {}
        }
    }
    (out, count)
}

/// One line to words: blanks or one `=` after the keyword, quotes of both kinds, backslashes, and a
/// comment where a word would begin.
fn split(line: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|c| matches!(c, ' ' | '\t' | '\r' | '\u{c}')).is_some() {}
        // `keyword=value` and `keyword = value` say what `keyword value` says.
        if words.len() == 1 && chars.next_if_eq(&'=').is_some() {
            while chars.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        }
        match chars.peek() {
            None | Some('#') => return Ok(words),
            Some(_) => {}
        }
        let mut word = String::new();
        let mut quote = None;
        while let Some(&c) = chars.peek() {
            match (quote, c) {
                (None, ' ' | '\t' | '\r' | '\u{c}') => break,
                (None, '=') if words.is_empty() => break,
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), _) if c == open => quote = None,
                (_, '\\') => {
                    chars.next();
                    match (quote, chars.peek()) {
                        (_, Some(&next @ ('\\' | '"' | '\''))) | (None, Some(&next @ ' ')) => {
                            word.push(next);
                        }
                        _ => {
                            word.push('\\');
                            continue;
                        }
                    }
                }
                _ => word.push(c),
            }
            chars.next();
        }
        if quote.is_some() {
            return Err("a quote is not closed");
        }
        words.push(word);
    }
}

/// `Match all`, and `Match host` or `originalhost` with patterns; the rest needs a running ssh.
fn matched(arguments: &[String]) -> Block {
    let patterns = |text: &String| text.split(',').map(ToOwned::to_owned).collect();
    match arguments {
        [kind] if kind.eq_ignore_ascii_case("all") => Block::All,
        [kind, text] if kind.eq_ignore_ascii_case("host") => Block::HostName(patterns(text)),
        [kind, text] if kind.eq_ignore_ascii_case("originalhost") => Block::Host(patterns(text)),
        _ => Block::Unknown,
    }
}

fn holds(condition: &Condition, name: &str, host_name: &str) -> bool {
    condition.iter().all(|block| match block {
        Block::All => true,
        Block::Unknown => false,
        Block::Host(patterns) => listed(patterns, name),
        Block::HostName(patterns) => listed(patterns, host_name),
    })
}

/// Some pattern fits, and none of those with `!` in front does.
fn listed(patterns: &[String], name: &str) -> bool {
    let excluded =
        |pattern: &String| pattern.strip_prefix('!').is_some_and(|pattern| fits(pattern, name));
    !patterns.iter().any(excluded) && patterns.iter().any(|pattern| fits(pattern, name))
}

/// `*` is any text, `?` one character.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    let mut star = None;
    while n < name.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == name[n]) {
            (p, n) = (p + 1, n + 1);
        } else if let Some((at, from)) = star {
            (p, n) = (at + 1, from + 1);
            star = Some((at, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// `%h` is the name, `%%` a percent sign.
fn expand(value: &str, name: &str) -> String {
    let mut text = String::new();
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        match chars.next() {
            Some('h' | 'n') => text.push_str(name),
            Some('%') | None => text.push('%'),
            Some(other) => text.extend(['%', other]),
        }
    }
    text
}
