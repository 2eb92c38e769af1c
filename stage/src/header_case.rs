//! A connection that writes header names in upper case, which hyper can't:
//! hyper's replies come in, the same bytes with other names go out.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

use crate::reply_rules::HeaderCase;

/// A connection that writes header names in upper case if the rules say so.
#[derive(Debug)]
pub(crate) struct CasedStream {
    stream: Pin<Box<TimeoutStream<TcpStream>>>,
    case: HeaderCase,
    in_head: bool,
}

impl CasedStream {
    pub(crate) fn new(stream: TimeoutStream<TcpStream>, case: HeaderCase) -> Self {
        Self {
            stream: Box::pin(stream),
            case,
            in_head: false,
        }
    }
}

/// The end of a reply's head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Puts header names into upper case. `head` starts at the start of a line and
/// may be a part of the head; the result is the end of the head, if it is here.
fn uppercase_names(head: &mut [u8]) -> Option<usize> {
    let end = head.windows(HEAD_END.len()).position(|at| at == HEAD_END);
    let end = end.map(|at| at + HEAD_END.len());
    let stop = end.unwrap_or(head.len());
    for line in head[..stop].split_mut(|byte| *byte == b'\n') {
        // The status line has a space before any colon, a header name has none.
        let name = line.iter().position(|byte| matches!(byte, b':' | b' '));
        if let Some(name) = name.filter(|at| line.get(*at) == Some(&b':')) {
            line[..name].make_ascii_uppercase();
        }
    }
    end
}

impl AsyncWrite for CasedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.case != HeaderCase::Upper {
            return self.stream.as_mut().poll_write(context, bytes);
        }
        // No body of this stage starts like a status line.
        let in_head = self.in_head || bytes.starts_with(b"HTTP/1.");
        let mut changed = bytes.to_vec();
        let end = if in_head {
            uppercase_names(&mut changed)
        } else {
            None
        };
        let written = self.stream.as_mut().poll_write(context, &changed);
        if let Poll::Ready(Ok(length)) = written {
            self.in_head = in_head && end.is_none_or(|end| length < end);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_shutdown(context)
    }
}

impl AsyncRead for CasedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream.as_mut().poll_read(context, into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_headers_are_in_capitals() {
        let mut head = b"HTTP/1.1 201 Created: x\r\nlocation: http://a/\r\n\r\na=b:c\r\n".to_vec();
        let end = uppercase_names(&mut head).unwrap();
        assert_eq!(&head[end..], b"a=b:c\r\n");
        assert_eq!(
            &head[..end],
            b"HTTP/1.1 201 Created: x\r\nLOCATION: http://a/\r\n\r\n"
        );
        assert_eq!(
            uppercase_names(&mut b"HTTP/1.1 200 OK\r\netag: a\r\n".to_vec()),
            None
        );
    }
}
