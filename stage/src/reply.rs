//! Replies: the type that every route returns, and a body that can break off.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::{error, fmt};

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

/// What every route answers with.
pub(crate) type Reply = Response<ReplyBody>;

/// No reply: the connection ends.
#[derive(Debug)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the connection was dropped, as the stage's rules say")
    }
}

impl error::Error for Dropped {}

/// A reply; 500 with a sentence if a rule holds a header that can't be sent.
pub(crate) fn reply(status: StatusCode, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder
        .body(ReplyBody::whole(body))
        .unwrap_or_else(|error| {
            let text = format!("a rule of this stage can't be followed: {error}");
            let mut reply = Response::new(ReplyBody::whole(&text));
            *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            reply
        })
}

pub(crate) fn pairs(headers: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
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

impl error::Error for Cut {}

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
