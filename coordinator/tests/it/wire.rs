//! Protocol vectors: bytes beside their meaning, both directions.
//!
//! A case is a comment, a line that says what the bytes are, the bytes (hex, `"text"`, `16x00`),
//! and the meaning behind `=`. Whatever decodes must encode to the same bytes, unless the line
//! says `one-way`. `UPDATE_CASES=1 cargo test` writes the meanings anew; read the diff like code.

use std::fmt::Write as _;

use coordinator::wire::acl::put_acls;
use coordinator::wire::frame::{self, Next};
use coordinator::wire::handshake::{ConnectRequest, ConnectResponse};
use coordinator::wire::jute::{DecodeError, Reader, put_buffer, put_int, put_string, put_strings};
use coordinator::wire::multi::{self, MultiResult};
use coordinator::wire::opcode::OpCode;
use coordinator::wire::reply::{
    AclEntry, EventKind, Reply, ReplyHeader, WatcherEvent, put_error_response, put_notification,
};
use coordinator::wire::request::{Request, RequestHeader};

use crate::vectors::{Vector, parse, path};

#[test]
fn handshake() {
    check("handshake.txt");
}

#[test]
fn requests() {
    check("requests.txt");
}

#[test]
fn replies() {
    check("replies.txt");
}

#[test]
fn malformed() {
    check("malformed.txt");
}

#[test]
fn frames() {
    check("frames.txt");
}

/// Every operation a client may send has at least one vector as a request.
#[test]
fn every_client_operation_has_a_vector() {
    let text = std::fs::read_to_string(path("requests.txt")).unwrap();
    let missing: Vec<OpCode> = (-200..200)
        .filter_map(OpCode::from_client)
        .filter(|op| !matches!(op, OpCode::Ping | OpCode::CloseSession))
        .filter(|op| !text.lines().any(|line| line == format!("request {}", op.as_i32())))
        .collect();
    assert_eq!(missing, []);
}

fn check(file: &str) {
    let text = std::fs::read_to_string(path(file)).unwrap();
    let mut recorded = Vec::new();
    let mut cases = 0;
    for block in text.trim_end().split("\n\n") {
        let Some(case) = parse(block) else {
            recorded.push(block.to_owned());
            continue;
        };
        cases += 1;
        let meaning = meaning(&case);
        let head = block.find("\n=").map_or(block, |at| &block[..at]);
        recorded.push(format!("{head}\n{}", meaning.trim_end()));
    }
    assert!(cases > 0, "{file} has no cases");
    let recorded = recorded.join("\n\n") + "\n";
    if std::env::var_os("UPDATE_CASES").is_some() {
        std::fs::write(path(file), recorded).unwrap();
    } else if recorded != text {
        let wrong: Vec<_> =
            recorded.lines().zip(text.lines()).filter(|(now, then)| now != then).take(5).collect();
        panic!("{file}: (now, recorded) {wrong:#?}");
    }
}

fn meaning(case: &Vector) -> String {
    let mut words = case.what.split(' ');
    let kind = words.next().unwrap();
    let one_way = case.what.ends_with("one-way");
    let number = |word: Option<&str>| word.unwrap().parse::<i32>().unwrap();
    let mut out = Vec::new();
    let bytes = case.bytes.as_slice();
    let mut reader = Reader::new(bytes);
    let meaning = match kind {
        "connect-request" => {
            show(ConnectRequest::decode(bytes).inspect(|record| record.encode(&mut out)))
        }
        "connect-response" => {
            show(ConnectResponse::decode(bytes).inspect(|record| record.encode(&mut out)))
        }
        "request-header" => {
            show(RequestHeader::decode(&mut reader).inspect(|header| header.encode(&mut out)))
        }
        "reply-header" => {
            show(ReplyHeader::decode(&mut reader).inspect(|header| header.encode(&mut out)))
        }
        "event" => show(WatcherEvent::decode(&mut reader).inspect(|event| event.encode(&mut out))),
        "request" => {
            let op = OpCode::from_i32(number(words.next())).unwrap();
            show(Request::decode(op, bytes).inspect(|request| {
                assert_eq!(request.op(), op);
                request.encode(&mut out);
            }))
        }
        "reply" => {
            let op = OpCode::from_i32(number(words.next())).unwrap();
            show(Reply::decode(op, &mut reader).inspect(|reply| {
                encode_reply(op, reply, &mut out);
            }))
        }
        "frame" | "frame-first" => {
            let length_max = number(words.next()) as usize;
            return show_frame(frame::next(bytes, kind == "frame-first", length_max));
        }
        _ => panic!("unknown kind of case `{}`", case.what),
    };
    if !one_way && !meaning.starts_with("= error") {
        assert_eq!(out, case.bytes, "encoded again, of `{}`\n{meaning}", case.what);
    }
    meaning
}

fn show<T: std::fmt::Debug>(decoded: Result<T, DecodeError>) -> String {
    match decoded {
        Ok(record) => format!("= {record:?}"),
        Err(error) => format!("= error: {error}"),
    }
}

fn show_frame(next: Next<'_>) -> String {
    match next {
        Next::Frame(payload) => format!("= frame of {} bytes", payload.len()),
        Next::NeedMore(count) => format!("= {count} bytes more"),
        Next::BadLength(prefix) => format!("= close, began with `{}`", prefix.escape_ascii()),
        Next::Word(word) => format!("= word `{}`", word.escape_ascii()),
    }
}

/// Replies as the server puts them together: by the encoders of `wire`.
fn encode_reply(op: OpCode, reply: &Reply, out: &mut Vec<u8>) {
    match reply {
        Reply::Done if op == OpCode::AddWatch => {
            put_error_response(out, coordinator::wire::code::Code::Ok);
        }
        Reply::Done => {}
        Reply::Path(path) => put_string(out, path),
        Reply::PathStat(path, stat) => {
            put_string(out, path);
            stat.encode(out);
        }
        Reply::Stat(stat) => stat.encode(out),
        Reply::DataStat(data, stat) => {
            put_buffer(out, data.as_deref());
            stat.encode(out);
        }
        Reply::AclStat(acl, stat) => {
            put_acls(out, acl.iter().map(AclEntry::as_acl));
            stat.encode(out);
        }
        Reply::Strings(names) => put_strings(out, names.iter().map(String::as_str)),
        Reply::StringsStat(names, stat) => {
            put_strings(out, names.iter().map(String::as_str));
            stat.encode(out);
        }
        Reply::Count(count) => put_int(out, *count),
        Reply::Token(token) => put_buffer(out, token.as_deref()),
        Reply::Identities(identities) => {
            put_int(out, identities.len() as i32);
            for (scheme, user) in identities {
                put_string(out, scheme);
                put_string(out, user);
            }
        }
        Reply::Multi(results) => {
            for result in results {
                encode_result(result, out);
            }
            multi::put_end(out);
        }
    }
}

fn encode_result(result: &MultiResult, out: &mut Vec<u8>) {
    let op = match result {
        MultiResult::Create(_) => OpCode::Create,
        MultiResult::Create2(..) => OpCode::Create2,
        MultiResult::SetData(_) => OpCode::SetData,
        MultiResult::Delete => OpCode::Delete,
        MultiResult::Check => OpCode::Check,
        MultiResult::GetData(..) => OpCode::GetData,
        MultiResult::GetChildren(_) => OpCode::GetChildren,
        MultiResult::Error(number) => {
            let code = coordinator::wire::code::Code::from_i32(*number).unwrap();
            return multi::put_result_error(out, code);
        }
    };
    multi::put_result_header(out, op);
    match result {
        MultiResult::Create(path) => put_string(out, path),
        MultiResult::Create2(path, stat) => {
            put_string(out, path);
            stat.encode(out);
        }
        MultiResult::SetData(stat) => stat.encode(out),
        MultiResult::GetData(data, stat) => {
            put_buffer(out, data.as_deref());
            stat.encode(out);
        }
        MultiResult::GetChildren(names) => put_strings(out, names.iter().map(String::as_str)),
        MultiResult::Delete | MultiResult::Check | MultiResult::Error(_) => {}
    }
}

/// The whole frame of a notification, against bytes a 3.8 server sent.
#[test]
fn notification_frame() {
    let mut out = Vec::new();
    put_notification(&mut out, EventKind::NodeDataChanged, "/a");
    let mut hex = String::new();
    for byte in &out {
        write!(hex, "{byte:02x}").unwrap();
    }
    let expected = "0000001e".to_owned()
        + "ffffffff"
        + "ffffffffffffffff"
        + "00000000"
        + "00000003"
        + "00000003"
        + "00000002"
        + "2f61";
    assert_eq!(hex, expected);
}
