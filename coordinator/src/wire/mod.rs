//! What stands on the clients' wire: frames, jute, requests, replies.
