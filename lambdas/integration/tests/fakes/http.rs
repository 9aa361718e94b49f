//! As much of HTTP/1.1 as the two fakes speak: requests with a known length, on connections that are kept open.

use std::io::{BufRead, BufReader, Read, Write};
use std::thread;
use std::time::Duration;

pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

pub struct Response {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
    /// Half of the body is sent, and after this the connection is closed.
    pub cut_off: Option<Duration>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Response {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut_off: None,
        }
    }
}

/// Answers requests until the other side, or `answer` with `None`, closes the connection.
pub fn serve<S: Read + Write>(stream: S, mut answer: impl FnMut(Request) -> Option<Response>) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream) {
        let Some(response) = answer(request) else {
            return;
        };
        let headers: String = response
            .headers
            .iter()
            .flat_map(|(name, value)| [name, ": ", value.as_str(), "\r\n"])
            .collect();
        let head = format!(
            "HTTP/1.1 {} Status\r\n{headers}content-length: {}\r\n\r\n",
            response.status,
            response.body.len()
        );
        let sent = match response.cut_off {
            Some(_) => &response.body[..response.body.len() / 2],
            None => &response.body,
        };
        let bytes = [head.as_bytes(), sent].concat();
        if stream
            .get_mut()
            .write_all(&bytes)
            .and_then(|()| stream.get_mut().flush())
            .is_err()
        {
            return;
        }
        if let Some(time) = response.cut_off {
            thread::sleep(time);
            return;
        }
    }
}

fn read<S: Read + Write>(stream: &mut BufReader<S>) -> Option<Request> {
    let line = |stream: &mut BufReader<S>| {
        let mut line = String::new();
        stream
            .read_line(&mut line)
            .ok()
            .filter(|length| *length > 0)?;
        Some(line.trim_end().to_owned())
    };
    let start = line(stream)?;
    let mut words = start.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let header = line(stream)?;
        let Some((name, value)) = header.split_once(':') else {
            break;
        };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let mut request = Request {
        method,
        path,
        headers,
        body: Vec::new(),
    };
    assert_eq!(
        request.header("transfer-encoding"),
        None,
        "the fake reads no chunks"
    );
    if request.header("expect").is_some() {
        stream
            .get_mut()
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .ok()?;
        stream.get_mut().flush().ok()?;
    }
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    request.body = vec![0; length];
    stream.read_exact(&mut request.body).ok()?;
    Some(request)
}
