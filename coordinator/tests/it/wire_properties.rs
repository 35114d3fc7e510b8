//! What must hold for any bytes: no panic, and what decodes survives a round trip.
//! Shared by the tests and the fuzzer.

use coordinator::wire::frame::{self, Next};
use coordinator::wire::handshake::{ConnectRequest, ConnectResponse};
use coordinator::wire::jute::Reader;
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::{Reply, ReplyHeader, WatcherEvent};
use coordinator::wire::request::{Request, RequestHeader};

fn operations() -> impl Iterator<Item = OpCode> {
    (-20..200).filter_map(OpCode::from_i32)
}

/// Everything a server reads from a client.
pub(crate) fn requests(bytes: &[u8]) {
    for first in [true, false] {
        match frame::next(bytes, first, 1000) {
            Next::Frame(payload) => assert!(payload.len() + 4 <= bytes.len()),
            Next::NeedMore(count) => assert!(count > 0),
            Next::BadLength(_) | Next::Word(_) => assert!(bytes.len() >= 4),
        }
    }
    let _ = RequestHeader::decode(&mut Reader::new(bytes));
    if let Ok(request) = ConnectRequest::decode(bytes) {
        let mut again = Vec::new();
        request.encode(&mut again);
        assert_eq!(ConnectRequest::decode(&again), Ok(request));
    }
    for op in operations() {
        if let Ok(request) = Request::decode(op, bytes) {
            let mut again = Vec::new();
            request.encode(&mut again);
            assert_eq!(Request::decode(op, &again), Ok(request), "{op:?} of {bytes:02x?}");
            assert!(again.len() <= bytes.len(), "{op:?} grew from {bytes:02x?}");
        }
    }
}

/// Everything a client reads from a server.
pub(crate) fn replies(bytes: &[u8]) {
    if let Ok(response) = ConnectResponse::decode(bytes) {
        let mut again = Vec::new();
        response.encode(&mut again);
        assert_eq!(ConnectResponse::decode(&again), Ok(response));
    }
    let _ = ReplyHeader::decode(&mut Reader::new(bytes));
    let _ = WatcherEvent::decode(&mut Reader::new(bytes));
    for op in operations() {
        let mut reader = Reader::new(bytes);
        if Reply::decode(op, &mut reader).is_ok() {
            assert!(reader.remaining() <= bytes.len());
        }
    }
}
