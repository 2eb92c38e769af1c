//! An empty page of another origin, on which a test's scripts run.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

pub(crate) struct Site(SocketAddr);

impl Site {
    /// It is served until the process ends.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 53\r\n\
                    Connection: close\r\n\r\n<!doctype html><link rel=icon href=data:,><title>x</>";
                // A browser opens connections that it may not use.
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(page.as_bytes());
            }
        });
        Self(address)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.0)
    }
}
