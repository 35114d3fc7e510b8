//! The only module that prints: tables on stdout, progress on stderr.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the one place that prints")]

pub fn line(text: &str) {
    println!("{text}");
}

pub fn progress(text: &str) {
    eprintln!("{text}");
}
