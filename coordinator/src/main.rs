//! `coordinator`: arguments, then serve, shell, status or check.

fn main() {}
