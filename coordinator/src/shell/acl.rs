//! ACLs as people write them: `scheme:id:cdrwa,scheme:id:r`.

use crate::wire::acl::perms;
use crate::wire::reply::AclEntry;

const LETTERS: [(char, i32); 5] = [
    ('c', perms::CREATE),
    ('d', perms::DELETE),
    ('r', perms::READ),
    ('w', perms::WRITE),
    ('a', perms::ADMIN),
];

/// The id may hold colons (`digest:user:hash:r`); scheme and permissions do not.
pub(super) fn parse(text: &str) -> Result<Vec<AclEntry>, String> {
    text.split(',').map(parse_entry).collect()
}

fn parse_entry(text: &str) -> Result<AclEntry, String> {
    let form = || format!("{text} does not have the form scheme:id:perm");
    let (scheme, rest) = text.split_once(':').ok_or_else(form)?;
    let (id, letters) = rest.rsplit_once(':').ok_or_else(form)?;
    let mut perms = 0;
    for letter in letters.chars() {
        let (_, bit) = LETTERS
            .iter()
            .find(|(known, _)| *known == letter)
            .ok_or_else(|| format!("Unknown perm type: {letter} in `{text}`"))?;
        perms |= bit;
    }
    Ok(AclEntry { perms, scheme: scheme.to_owned(), id: id.to_owned() })
}

pub(super) fn perm_letters(perms: i32) -> String {
    LETTERS.iter().filter(|(_, bit)| perms & bit != 0).map(|(letter, _)| letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_to_entries_and_back() {
        let entries = parse("world:anyone:cdrwa,digest:u:h=:rw,auth::r,ip:::1/64:a").unwrap();
        let back: Vec<String> = entries
            .iter()
            .map(|entry| format!("{}:{}:{}", entry.scheme, entry.id, perm_letters(entry.perms)))
            .collect();
        assert_eq!(back, ["world:anyone:cdrwa", "digest:u:h=:rw", "auth::r", "ip:::1/64:a"]);
        assert_eq!(parse("world:r"), Err("world:r does not have the form scheme:id:perm".into()));
        assert!(parse("world:anyone:x").unwrap_err().contains("Unknown perm type: x"));
    }
}
