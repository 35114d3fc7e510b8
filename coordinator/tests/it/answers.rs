//! Bytes on a raw connection: who is answered, and in which order. Apache `ZooKeeper` beside ours.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use coordinator::client::{Client, CreateOptions};
use coordinator::wire::code::Code;

use crate::engine::{Engine, Ensemble};

#[test]
fn answers_of_apache_zookeeper() {
    let test = "answers_of_apache_zookeeper";
    if Engine::Apache.is_there(test) {
        in_order(Ensemble::start(Engine::Apache, test, 1).address(0));
    }
}

#[test]
fn answers_of_ours() {
    let ensemble = Ensemble::start(Engine::Ours, "answers_of_ours", 1);
    in_order(ensemble.address(0));
    words_of_half_closed_clients(ensemble.address(0));
}

#[test]
fn answers_of_a_follower_of_ours() {
    let ensemble = Ensemble::start(Engine::Ours, "answers_of_a_follower_of_ours", 3);
    let follower = (ensemble.leader() + 1) % 3;
    in_order(ensemble.address(follower));
    words_of_half_closed_clients(ensemble.address(follower));
}

fn in_order(address: &str) {
    a_ping_with_the_hello_is_answered_behind_it(address);
    a_ping_is_answered_behind_the_writes_before_it(address);
    an_unknown_mode_of_a_watch(address);
    cons_shows_the_last_real_request(address);
}

const PING: i32 = 11;
const CREATE: i32 = 1;
const ADD_WATCH: i32 = 106;
const PING_XID: i32 = -2;

fn framed(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as i32).to_be_bytes()[..], payload].concat()
}

fn request(xid: i32, op: i32, body: &[u8]) -> Vec<u8> {
    framed(&[&xid.to_be_bytes()[..], &op.to_be_bytes(), body].concat())
}

fn ping() -> Vec<u8> {
    request(PING_XID, PING, &[])
}

fn hello() -> Vec<u8> {
    let password = framed(&[0; 16]);
    framed(&[&[0; 12][..], &10_000i32.to_be_bytes(), &[0; 8], &password, &[0]].concat())
}

fn create(xid: i32, path: &str) -> Vec<u8> {
    let acl =
        [&1i32.to_be_bytes()[..], &31i32.to_be_bytes(), &framed(b"world"), &framed(b"anyone")];
    let body = [&framed(path.as_bytes())[..], &framed(b""), &acl.concat(), &[0; 4]].concat();
    request(xid, CREATE, &body)
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn read_frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut frame = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut frame).unwrap();
    frame
}

/// xid and code of a reply.
fn head(frame: &[u8]) -> (i32, i32) {
    let int = |at: usize| i32::from_be_bytes(frame[at..at + 4].try_into().unwrap());
    (int(0), int(12))
}

fn is_connect_response(frame: &[u8]) -> bool {
    matches!(frame.len(), 36 | 37) && frame[..4] == [0; 4] && frame[8..16] != [0; 8]
}

fn a_ping_with_the_hello_is_answered_behind_it(address: &str) {
    for _ in 0..20 {
        let mut stream = connect(address);
        stream.write_all(&[hello(), ping(), ping()].concat()).unwrap();
        let first = read_frame(&mut stream);
        assert!(is_connect_response(&first), "{first:?}");
        assert_eq!(head(&read_frame(&mut stream)), (PING_XID, 0));
        assert_eq!(head(&read_frame(&mut stream)), (PING_XID, 0));
    }
}

fn a_ping_is_answered_behind_the_writes_before_it(address: &str) {
    let mut stream = connect(address);
    stream.write_all(&hello()).unwrap();
    assert!(is_connect_response(&read_frame(&mut stream)));
    for round in 0..20 {
        let xid = round * 2 + 1;
        let both = [
            create(xid, &format!("/ping-{round}-a")),
            ping(),
            create(xid + 1, &format!("/ping-{round}-b")),
        ];
        stream.write_all(&both.concat()).unwrap();
        let answers = [(); 3].map(|()| head(&read_frame(&mut stream)));
        assert_eq!(answers, [(xid, 0), (PING_XID, 0), (xid + 1, 0)]);
    }
}

fn an_unknown_mode_of_a_watch(address: &str) {
    let mut stream = connect(address);
    let body = [&framed(b"/")[..], &7i32.to_be_bytes()].concat();
    stream.write_all(&[hello(), request(1, ADD_WATCH, &body)].concat()).unwrap();
    read_frame(&mut stream);
    assert_eq!(head(&read_frame(&mut stream)), (1, Code::MarshallingError.as_i32()));
}

/// Agents read the lines of `cons` by one pattern.
fn cons_shows_the_last_real_request(address: &str) {
    let mut stream = connect(address);
    stream.write_all(&[hello(), create(77, "/seen-by-cons"), ping()].concat()).unwrap();
    for _ in 0..3 {
        read_frame(&mut stream);
    }
    let me = stream.local_addr().unwrap();
    let cons = coordinator::client::word(address, "cons", Duration::from_secs(5)).unwrap();
    let line = cons.lines().find(|line| line.contains(&format!("/{me}"))).expect("a line");
    assert!(line.contains("lop=PING") && line.contains("lcxid=0x4d"), "{line}");
}

/// As `echo srvr | nc -N` asks, and read-only clients of Java and Python `isro`. A neighbour comes
/// and goes meanwhile: each gets what it has asked for.
fn words_of_half_closed_clients(address: &str) {
    let mut bystander = Client::connect(address).unwrap();
    bystander.create("/bystander", Some(b"x"), CreateOptions::default()).unwrap();
    for round in 0..300 {
        let (word, expected) = [("srvr", "Zookeeper version"), ("isro", "rw")][round % 2];
        let mut asking = connect(address);
        asking.write_all(word.as_bytes()).unwrap();
        asking.shutdown(Shutdown::Write).unwrap();
        let leaving = round % 3 == 0;
        let mut next = connect(address);
        next.write_all(&hello()).unwrap();
        if leaving {
            drop(asking); // its answer finds nobody
        } else {
            let mut answer = String::new();
            asking.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with(expected), "{word}: {answer:?}");
        }
        let frame = read_frame(&mut next);
        assert!(is_connect_response(&frame), "{}", String::from_utf8_lossy(&frame));
        assert_eq!(bystander.get_data("/bystander", false).unwrap().0.as_deref(), Some(&b"x"[..]));
    }
}
