//! Which hosts take part: `--limit` with names and globs.

use crate::failure::Failure;
use crate::inventory::{Host, Inventory};

/// The hosts that `pattern` names, in the inventory's order. A part that matches no host is an error:
/// a misspelt name must not end as "nothing to do".
pub fn select<'a>(
    inventory: &'a Inventory,
    pattern: Option<&str>,
) -> Result<Vec<&'a Host>, Failure> {
    let Some(pattern) = pattern else { return Ok(inventory.hosts.iter().collect()) };
    let parts: Vec<&str> =
        pattern.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let glob_of = |part: &str| part.strip_prefix('!').unwrap_or(part).to_owned();
    for part in &parts {
        if !inventory.hosts.iter().any(|host| matches(&glob_of(part), &host.name)) {
            let names: Vec<&str> = inventory.hosts.iter().map(|host| host.name.as_str()).collect();
            return Err(Failure::usage(format!("--limit: no host matches `{part}`"))
                .hint(format!("the inventory has {}", names.join(", "))));
        }
    }
    let wanted: Vec<&&str> = parts.iter().filter(|part| !part.starts_with('!')).collect();
    let unwanted: Vec<&&str> = parts.iter().filter(|part| part.starts_with('!')).collect();
    let selected: Vec<&Host> = inventory
        .hosts
        .iter()
        .filter(|host| wanted.is_empty() || wanted.iter().any(|part| matches(part, &host.name)))
        .filter(|host| !unwanted.iter().any(|part| matches(&part[1..], &host.name)))
        .collect();
    if selected.is_empty() {
        return Err(Failure::usage(format!("--limit `{pattern}` leaves no host")));
    }
    Ok(selected)
}

/// A glob with `*` and `?`.
fn matches(glob: &str, name: &str) -> bool {
    match (glob.chars().next(), name.chars().next()) {
        (None, None) => true,
        (Some('*'), _) => {
            matches(&glob[1..], name)
                || name.chars().next().is_some_and(|c| matches(glob, &name[c.len_utf8()..]))
        }
        (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
            matches(&glob[wanted.len_utf8()..], &name[found.len_utf8()..])
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_whole_names() {
        for (glob, name, expected) in [
            ("kafka1", "kafka1", true),
            ("kafka1", "kafka10", false),
            ("kafka*", "kafka10", true),
            ("*", "", true),
            ("k?fka", "kafka", true),
            ("*1*", "a1b", true),
            ("?", "", false),
        ] {
            assert_eq!(matches(glob, name), expected, "{glob} {name}");
        }
    }
}
