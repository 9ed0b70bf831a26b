//! An API server for tests: it is asked over HTTP, and answers what the test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use kube::{Client, Config};
use serde_json::{Value, json};

/// A request: "PATCH /api/v1/nodes/a/status", and its body.
pub(crate) type Asked = (String, Value);

/// Starts one that answers each request by `answer`: a status code and an object. What it was
/// asked comes out of the receiver. Call it within a runtime.
pub(crate) fn server(answer: impl Fn(&Asked) -> (u16, Value) + Send + 'static) -> (Client, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (asked, requests) = channel();
    std::thread::spawn(move || {
        // One connection at a time will do for one client.
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.expect("a connection"));
            while let Some(request) = read(&mut stream) {
                let (status, object) = answer(&request);
                respond(stream.get_mut(), status, &object);
                if asked.send(request).is_err() {
                    return;
                }
            }
        }
    });
    let config = Config::new(format!("http://{address}").parse().expect("an address"));
    (Client::try_from(config).expect("a client"), requests)
}

/// What a server says that refuses something.
pub(crate) fn refusal(code: u16, message: &str) -> (u16, Value) {
    let status =
        json!({ "kind": "Status", "status": "Failure", "message": message, "reason": "Refused", "code": code });
    (code, status)
}

/// The next request; `None` when the client has gone.
fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut line = String::new();
    stream.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split([' ', '?']);
    let what = format!("{} {}", words.next()?, words.next()?);
    let mut length = 0;
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((what, serde_json::from_slice(&body).unwrap_or_default()))
}

fn respond(stream: &mut TcpStream, status: u16, object: &Value) {
    let body = object.to_string();
    let head =
        format!("HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all((head + &body).as_bytes());
}
