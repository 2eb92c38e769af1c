//! HTTP/1.1 messages of a server: requests to read, replies to write.

use std::io::{self, BufRead, Read, Write};

/// A received request.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// `POST`, `DELETE` …
    pub(crate) method: String,
    /// Path and query.
    pub(crate) path: String,
    /// In order of arrival, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    /// Reads the next request of a connection; `None` when the client has
    /// closed it.
    pub(super) fn read(reader: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut first = String::new();
        if reader.read_line(&mut first)? == 0 {
            return Ok(None);
        }
        let mut words = first.split(' ').map(str::to_owned);
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut request = Self {
            method,
            path,
            headers: read_headers(reader)?,
            body: String::new(),
        };
        let coding = request.header("transfer-encoding");
        assert_eq!(coding, None, "this server reads bodies of known length");
        if let Some(length) = request.header("content-length") {
            let length = length.parse().unwrap();
            reader.take(length).read_to_string(&mut request.body)?;
        }
        Ok(Some(request))
    }

    /// The value of a header; `name` is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let of_name = self.headers.iter().find(|(key, _)| key == name);
        of_name.map(|(_, value)| value.as_str())
    }

    pub(crate) fn authorization(&self) -> Option<&str> {
        self.header("authorization")
    }

    /// Method and path, so that assertions read as a list of requests.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

fn read_headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => return Ok(headers),
        }
    }
}

/// A reply to write. Its body can be complete, stall or break off.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    rest: Rest,
}

/// What follows the body that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// The body is complete.
    Nothing,
    /// More is announced but never sent.
    Stall,
    /// More is announced, but the connection is closed.
    Close,
    /// This many more bytes.
    Padding(usize),
}

impl Reply {
    /// A reply without a body.
    pub(crate) fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            rest: Rest::Nothing,
        }
    }

    /// Adds a header. `Content-Length` is added automatically.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Announces a longer body than is sent, and leaves the connection open.
    pub(crate) fn stalling(mut self) -> Self {
        self.rest = Rest::Stall;
        self
    }

    /// Announces a longer body than is sent, and closes the connection.
    pub(crate) fn broken_off(mut self) -> Self {
        self.rest = Rest::Close;
        self
    }

    /// Appends this many bytes to the body, generated while they are written.
    pub(crate) fn padded(mut self, bytes: usize) -> Self {
        self.rest = Rest::Padding(bytes);
        self
    }

    /// Writes the reply and returns what to do with the connection:
    /// [`Rest::Nothing`], unless the body stalls or breaks off.
    pub(super) fn write(&self, wire: &mut (impl Write + ?Sized)) -> io::Result<Rest> {
        let more = match self.rest {
            Rest::Nothing => 0,
            Rest::Stall | Rest::Close => 1000,
            Rest::Padding(bytes) => bytes,
        };
        let mut head = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        // RFC 9110 8.6: a 204 has no Content-Length.
        if self.status != 204 {
            head += &format!("Content-Length: {}\r\n", self.body.len() + more);
        }
        wire.write_all(format!("{head}\r\n").as_bytes())?;
        wire.write_all(&self.body)?;
        if let Rest::Padding(bytes) = self.rest {
            pad(wire, bytes)?;
        }
        wire.flush()?;
        Ok(match self.rest {
            Rest::Padding(_) => Rest::Nothing,
            rest => rest,
        })
    }
}

fn pad(wire: &mut (impl Write + ?Sized), mut bytes: usize) -> io::Result<()> {
    let chunk = [b'x'; 16 * 1024];
    while bytes > 0 {
        let part = &chunk[..bytes.min(chunk.len())];
        wire.write_all(part)?;
        bytes -= part.len();
    }
    Ok(())
}
