//! The two rules by which a session's password comes from its id.

/// How a session's password comes from its id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordRule {
    /// By the ensemble's key: who knows the id alone cannot take the session over.
    #[default]
    Keyed,
    /// By Apache ZooKeeper's rule, which anybody can compute: for sessions that came from there, or
    /// that shall be able to go there.
    Zookeeper,
}

impl PasswordRule {
    /// What stands behind the timeout in the body of an operation: nothing, or a byte.
    pub(crate) fn of_body(body: &[u8]) -> Self {
        if body.get(4) == Some(&1) { Self::Zookeeper } else { Self::Keyed }
    }

    /// Appends it to such a body.
    pub fn encode(self, body: &mut Vec<u8>) {
        if self == Self::Zookeeper {
            body.push(1);
        }
    }
}

/// The password by Apache ZooKeeper's rule (`ZooKeeperServer.generatePasswd`, the same in all
/// releases): nothing is stored, and nothing is secret but the id itself.
///
/// 16 bytes of Java's generator, seeded with the id and a number that is in the source.
pub fn of_session(session: i64) -> [u8; 16] {
    const MULTIPLIER: u64 = 0x5_deec_e66d;
    const MASK: u64 = (1 << 48) - 1;
    let mut seed = (session as u64 ^ 0xb341_5c00 ^ MULTIPLIER) & MASK;
    let mut password = [0; 16];
    for word in password.as_chunks_mut::<4>().0 {
        seed = seed.wrapping_mul(MULTIPLIER).wrapping_add(0xb) & MASK;
        *word = ((seed >> 16) as u32).to_le_bytes();
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a 3.8.0 gave its client.
    #[test]
    fn as_apache_zookeeper_makes_it() {
        let password = u128::from_be_bytes(of_session(0x0100_0000_0000_0001));
        assert_eq!(password, 0x054c_c74a_3732_7db2_15e7_02e2_0c73_f005);
    }
}
