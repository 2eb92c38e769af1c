//! Bytes on their way out that hyper wouldn't send by itself: header names in
//! capitals, and a body that breaks off.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::reply_rules::HeaderCase;

/// A connection that writes header names in capitals if it has to.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    case: HeaderCase,
    in_head: bool,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, case: HeaderCase) -> Self {
        Self {
            stream,
            case,
            in_head: false,
        }
    }
}

/// The end of a reply's head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// Names of headers in capitals, for as much of the head as is in here, which
/// starts with whole lines; and where the head ends.
fn shout(head: &mut [u8]) -> Option<usize> {
    let end = head.windows(HEAD_END.len()).position(|at| at == HEAD_END);
    let end = end.map(|at| at + HEAD_END.len());
    let stop = end.unwrap_or(head.len());
    for line in head[..stop].split_mut(|byte| *byte == b'\n') {
        // The status line has a space before any colon; a name has none.
        let name = line.iter().position(|byte| matches!(byte, b':' | b' '));
        if let Some(name) = name.filter(|at| line.get(*at) == Some(&b':')) {
            line[..name].make_ascii_uppercase();
        }
    }
    end
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.case != HeaderCase::Upper {
            return Pin::new(&mut self.stream).poll_write(context, bytes);
        }
        // No body of this stage starts as a status line does.
        let in_head = self.in_head || bytes.starts_with(b"HTTP/1.");
        let mut changed = bytes.to_vec();
        let end = if in_head { shout(&mut changed) } else { None };
        let written = Pin::new(&mut self.stream).poll_write(context, &changed);
        if let Poll::Ready(Ok(length)) = written {
            self.in_head = in_head && end.is_none_or(|end| length < end);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

/// The body of a reply.
#[derive(Debug)]
pub(crate) struct ReplyBody {
    data: Option<Bytes>,
    /// The length that the head tells.
    length: u64,
    next: Next,
}

/// What comes after a body's data.
#[derive(Clone, Copy, Debug)]
enum Next {
    End,
    /// A break, and before it one chance to get the data out.
    Pause,
    Break,
}

impl ReplyBody {
    pub(crate) fn whole(text: &str) -> Self {
        let data = Bytes::copy_from_slice(text.as_bytes());
        Self {
            length: data.len() as u64,
            data: Some(data).filter(|data| !data.is_empty()),
            next: Next::End,
        }
    }

    /// The same, but only its first half gets out.
    pub(crate) fn cut(self) -> Self {
        Self {
            data: self.data.map(|data| data.slice(..data.len() / 2)),
            next: Next::Pause,
            ..self
        }
    }
}

/// Why a cut body ends the connection.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reply was cut, as the stage's rules say")
    }
}

impl std::error::Error for Cut {}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.next {
            Next::End => Poll::Ready(None),
            Next::Pause => {
                // hyper writes out what it has when a body is pending.
                self.next = Next::Break;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Next::Break => Poll::Ready(Some(Err(Cut))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && matches!(self.next, Next::End)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_headers_are_in_capitals() {
        let mut head = b"HTTP/1.1 201 Created: x\r\nlocation: http://a/\r\n\r\na=b:c\r\n".to_vec();
        let end = shout(&mut head).unwrap();
        assert_eq!(&head[end..], b"a=b:c\r\n");
        assert_eq!(
            &head[..end],
            b"HTTP/1.1 201 Created: x\r\nLOCATION: http://a/\r\n\r\n"
        );
        assert_eq!(shout(&mut b"HTTP/1.1 200 OK\r\netag: a\r\n".to_vec()), None);
    }
}
