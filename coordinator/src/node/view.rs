//! The node as operators see it.

use super::Node;
use super::client::ConnId;

impl Node {
    /// A four-letter word.
    pub(super) fn word(&mut self, conn: ConnId, word: [u8; 4]) {
        let text = match &word {
            b"ruok" => "imok".to_owned(),
            _ => String::new(),
        };
        if let Some(client) = self.clients.get_mut(conn) {
            client.output.extend_from_slice(text.as_bytes());
        }
        self.close_client(conn);
    }
}
