//! The users of a JAAS file, in the grammar of Java's `com.sun.security.auth.login.ConfigFile`:
//!
//! ```text
//! Server {
//!     org.apache.zookeeper.server.auth.DigestLoginModule required
//!     user_super="…"
//!     user_kafka="…";
//! };
//! ```
//!
//! `//` and `/* */` begin comments, `#` begins none. Messages name the line and never a password.

use std::fmt;

use super::Users;

/// A file of more bytes than this holds no list of users.
const BYTES_MAX: usize = 1 << 20;

const DIGEST_MODULE: &str = "org.apache.zookeeper.server.auth.DigestLoginModule";

/// What is wrong with the file; a sentence without its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JaasError {
    pub line: usize,
    pub message: String,
}

impl fmt::Display for JaasError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

/// The users of `section`; `None` when the file has no such section.
pub fn server_users(contents: &[u8], section: &str) -> Result<Option<Users>, JaasError> {
    find(contents, section)?.map(Section::users).transpose()
}

/// User and password of a client's `section`; `None` when the file has no such section.
pub fn client_login(contents: &[u8], section: &str) -> Result<Option<(String, String)>, JaasError> {
    find(contents, section)?.map(Section::login).transpose()
}

/// The last section of that name counts.
fn find(contents: &[u8], section: &str) -> Result<Option<Section>, JaasError> {
    let at_start = |message: &str| JaasError { line: 1, message: message.to_owned() };
    if contents.len() > BYTES_MAX {
        return Err(at_start("the file has more than 1 MiB"));
    }
    let text = std::str::from_utf8(contents).map_err(|_| at_start("the file is not UTF-8"))?;
    let mut parser = Parser { tokens: Tokens { text, line: 1 }, names: Vec::new() };
    let mut found = None;
    while let Some(modules) = parser.section()? {
        if modules.section == section {
            found = Some(modules);
        }
    }
    Ok(found)
}

struct Module {
    line: usize,
    class: String,
    options: Vec<(usize, String, String)>,
}

struct Section {
    section: String,
    modules: Vec<Module>,
}

impl Section {
    fn login(self) -> Result<(String, String), JaasError> {
        let mut line = 1;
        for module in self.modules {
            line = module.line;
            if module.class != DIGEST_MODULE {
                return Err(unknown_module(&module));
            }
            let option = |wanted: &str| {
                let mut options = module.options.iter();
                options.find(|(_, key, _)| key == wanted).map(|(_, _, value)| value.clone())
            };
            if let (Some(user), Some(password)) = (option("username"), option("password")) {
                return Ok((user, password));
            }
        }
        let message = format!("section `{}` has no username and password", self.section);
        Err(JaasError { line, message })
    }

    fn users(self) -> Result<Users, JaasError> {
        let mut users = Users::default();
        for module in self.modules {
            if module.class != DIGEST_MODULE {
                return Err(unknown_module(&module));
            }
            for (line, key, password) in module.options {
                let Some(user) = key.strip_prefix("user_") else { continue };
                let wrong = |what: &str| {
                    let message = format!("user `{user}` {what}");
                    Err(JaasError { line, message })
                };
                if user.is_empty() {
                    return wrong("has no name");
                }
                if password.is_empty() {
                    return wrong("has an empty password");
                }
                if !users.add(user, &password) {
                    return wrong("is given twice");
                }
            }
        }
        Ok(users)
    }
}

fn unknown_module(module: &Module) -> JaasError {
    let message = if module.class.contains("Krb5") {
        "Kerberos is not supported, its libraries are C: use the DigestLoginModule with users, or TLS with client certificates".to_owned()
    } else {
        format!("the login module `{}` is not known, {DIGEST_MODULE} is", module.class)
    };
    JaasError { line: module.line, message }
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A bare word or a quoted string.
    Text(String),
    Sign(char),
}

struct Tokens<'a> {
    text: &'a str,
    line: usize,
}

impl Tokens<'_> {
    fn error<T>(&self, message: impl Into<String>) -> Result<T, JaasError> {
        Err(JaasError { line: self.line, message: message.into() })
    }

    fn take(&mut self) -> Option<char> {
        let letter = self.text.chars().next()?;
        self.text = &self.text[letter.len_utf8()..];
        self.line += usize::from(letter == '\n');
        Some(letter)
    }

    fn skip_blanks(&mut self) -> Result<(), JaasError> {
        loop {
            if self.text.starts_with("/*") {
                let Some(end) = self.text[2..].find("*/") else {
                    return self.error("a comment begins here and never ends");
                };
                for _ in 0..self.text[..end + 4].chars().count() {
                    self.take();
                }
            } else if self.text.starts_with('/') {
                // One slash is enough for Java's tokenizer.
                while !self.text.is_empty() && !self.text.starts_with('\n') {
                    self.take();
                }
            } else if self.text.starts_with(|c: char| c <= ' ') {
                self.take();
            } else {
                return Ok(());
            }
        }
    }

    fn next(&mut self) -> Result<Option<Token>, JaasError> {
        self.skip_blanks()?;
        let Some(first) = self.text.chars().next() else { return Ok(None) };
        if matches!(first, '"' | '\'') {
            return self.quoted(first).map(Some);
        }
        let begins = |c: char| c.is_ascii_alphabetic() || "$_*".contains(c) || c >= '\u{a0}';
        let goes_on = |c: char| begins(c) || c.is_ascii_digit() || "-.".contains(c);
        if begins(first) || first == '-' {
            let end = self.text.find(|c| !goes_on(c)).unwrap_or(self.text.len());
            let word = self.text[..end].to_owned();
            self.text = &self.text[end..];
            return Ok(Some(Token::Text(word)));
        }
        if first.is_ascii_digit() || first == '.' {
            return self.error("a word that begins with a digit must stand in quotes");
        }
        self.take();
        Ok(Some(Token::Sign(first)))
    }

    /// Java's `StreamTokenizer`: C's escapes, and a string ends with its line.
    fn quoted(&mut self, quote: char) -> Result<Token, JaasError> {
        self.take();
        let mut value = String::new();
        loop {
            if self.text.is_empty() || self.text.starts_with(['\n', '\r']) {
                return self.error("a quoted text does not end on its line");
            }
            match self.take() {
                Some(letter) if letter == quote => return Ok(Token::Text(value)),
                Some('\\') => {
                    if self.text.starts_with(['\n', '\r']) {
                        return self.error("a quoted text does not end on its line");
                    }
                    if let Some(letter) = self.escaped() {
                        value.push(letter);
                    }
                }
                Some(letter) => value.push(letter),
                None => {}
            }
        }
    }

    fn escaped(&mut self) -> Option<char> {
        if self.text.starts_with(|c| matches!(c, '0'..='7')) {
            let most = if self.text.starts_with(|c| matches!(c, '0'..='3')) { 3 } else { 2 };
            let mut code = 0;
            for _ in 0..most {
                let Some(digit) = self.text.chars().next().and_then(|c| c.to_digit(8)) else {
                    break;
                };
                code = code * 8 + digit;
                self.take();
            }
            return char::from_u32(code);
        }
        Some(match self.take()? {
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            other => other,
        })
    }
}

struct Parser<'a> {
    tokens: Tokens<'a>,
    names: Vec<String>,
}

impl Parser<'_> {
    fn text(&mut self, what: &str) -> Result<String, JaasError> {
        match self.tokens.next()? {
            Some(Token::Text(text)) => Ok(text),
            Some(Token::Sign(sign)) => self.tokens.error(format!("{what} expected, not `{sign}`")),
            None => self.tokens.error(format!("{what} expected, the file ends")),
        }
    }

    fn sign(&mut self, expected: char) -> Result<(), JaasError> {
        match self.tokens.next()? {
            Some(Token::Sign(sign)) if sign == expected => Ok(()),
            Some(Token::Sign(sign)) => {
                self.tokens.error(format!("`{expected}` expected, not `{sign}`"))
            }
            // The text may be a password.
            Some(Token::Text(_)) => self.tokens.error(format!("`{expected}` expected, not a word")),
            None => self.tokens.error(format!("`{expected}` expected, the file ends")),
        }
    }

    /// `Name { class flag key=value …; … };`
    fn section(&mut self) -> Result<Option<Section>, JaasError> {
        let name = match self.tokens.next()? {
            None => return Ok(None),
            Some(Token::Text(name)) => name,
            Some(Token::Sign(sign)) => {
                let hint = if sign == '#' { "; comments begin with `//`" } else { "" };
                return self.tokens.error(format!("a section expected, not `{sign}`{hint}"));
            }
        };
        if self.names.contains(&name) {
            return self.tokens.error(format!("section `{name}` is given twice"));
        }
        self.names.push(name.clone());
        self.sign('{')?;
        let mut modules = Vec::new();
        loop {
            match self.tokens.next()? {
                Some(Token::Sign('}')) => break,
                Some(Token::Text(class)) => modules.push(self.module(class)?),
                _ => return self.tokens.error("a login module or `}` expected"),
            }
        }
        self.sign(';')?;
        Ok(Some(Section { section: name, modules }))
    }

    fn module(&mut self, class: String) -> Result<Module, JaasError> {
        let line = self.tokens.line;
        let flag = self.text("one of required, requisite, sufficient, optional")?;
        let flags = ["required", "requisite", "sufficient", "optional"];
        if !flags.iter().any(|known| flag.eq_ignore_ascii_case(known)) {
            return self.tokens.error(format!("`{flag}` is none of {}", flags.join(", ")));
        }
        let mut options = Vec::new();
        loop {
            match self.tokens.next()? {
                Some(Token::Sign(';')) => return Ok(Module { line, class, options }),
                Some(Token::Text(key)) => {
                    let line = self.tokens.line;
                    self.sign('=')?;
                    let value = self.text("a value")?;
                    if value.contains("${") {
                        return self.tokens.error(format!(
                            "the value of `{key}` holds `${{`: properties are not expanded"
                        ));
                    }
                    options.push((line, key, value));
                }
                _ => return self.tokens.error("an option or `;` expected"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Result<Vec<String>, String> {
        server_users(text.as_bytes(), "Server")
            .map(|users| users.unwrap_or_default().names().map(str::to_owned).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn kazoos_file_is_read() {
        let text = "\nServer {\n    org.apache.zookeeper.server.auth.DigestLoginModule required\n    user_super=\"super_secret\"\n    user_jaasuser=\"jaas_password\";\n};\n";
        assert_eq!(names(text).unwrap(), ["jaasuser", "super"]);
    }

    #[test]
    fn comments_quotes_escapes_and_other_sections() {
        let text = "Client { a.B optional x=y; c.D SUFFICIENT; };\n/* all\n of it */ 'Server' {\n org.apache.zookeeper.server.auth.DigestLoginModule Required // why\n \"user_a b\"='p\\\"\\101' user_käthe=\"x\" debug=true;\n};";
        let users = server_users(text.as_bytes(), "Server").unwrap().unwrap();
        let mut expected = Users::default();
        assert!(expected.add("a b", "p\"A") && expected.add("käthe", "x"));
        assert_eq!(users, expected);
        assert_eq!(server_users(text.as_bytes(), "Other").unwrap(), None);
        assert_eq!(server_users(b"", "Server").unwrap(), None);
    }

    #[test]
    fn damaged_files_are_refused_with_their_line() {
        let module = "org.apache.zookeeper.server.auth.DigestLoginModule";
        for (text, expected) in [
            ("# users\nServer { };".to_owned(), "line 1: a section expected, not `#`"),
            ("Server {".to_owned(), "line 1: a login module or `}` expected"),
            (format!("Server {{\n {module} user_a=\"b\";\n}};"), "line 2: `user_a` is none of"),
            (format!("Server {{ {module} required user_a=\"b\n;}};"), "line 1: a quoted text"),
            (format!("Server {{ {module} required\nuser_a=1;}};"), "line 2: a word that begins"),
            (format!("Server {{ {module} required user_a=\"b\"; }}"), "line 1: `;` expected, the"),
            (format!("Server {{ {module} required user_a=\"\"; }};"), "line 1: user `a` has an"),
            (format!("Server {{ {module} required user_a=b user_a=c; }};"), "line 1: user `a` is"),
            (format!("Server {{ {module} required user_a=\"${{x}}\"; }};"), "line 1: the value"),
            ("A { };\nA { };".to_owned(), "line 2: section `A` is given twice"),
            ("/* x".to_owned(), "line 1: a comment begins"),
            (
                "Server { com.sun.security.auth.module.Krb5LoginModule required; };".to_owned(),
                "line 1: Kerberos is not supported",
            ),
            ("Server { x.Y required; };".to_owned(), "line 1: the login module `x.Y`"),
        ] {
            let error = names(&text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
