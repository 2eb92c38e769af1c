//! Builds replies: a status, headers and a text come in, hyper's response with
//! a body that can be cut goes out.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::{error, fmt};

use bytes::Bytes;
use http::{Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

/// What every handler returns.
pub(crate) type Reply = Response<ReplyBody>;

/// The connection ends without a reply.
#[derive(Debug)]
pub(crate) struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stage's rules end the connection here")
    }
}

impl error::Error for Dropped {}

/// A reply, or 500 with an error text if a rule has an invalid header.
pub(crate) fn reply(status: StatusCode, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder
        .body(ReplyBody::whole(body))
        .unwrap_or_else(|error| {
            let text = format!("a header in the stage's rules is invalid: {error}");
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
    /// The value of `Content-Length`.
    length: u64,
    next: Next,
}

/// What follows a body's data.
#[derive(Clone, Copy, Debug)]
enum Next {
    End,
    /// Pending once, so that hyper sends the data before the break.
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

    /// The same with the first half of its data only.
    pub(crate) fn cut(self) -> Self {
        Self {
            data: self.data.map(|data| data.slice(..data.len() / 2)),
            next: Next::Pause,
            ..self
        }
    }
}

/// The error with which a cut body ends the connection.
#[derive(Debug)]
pub(crate) struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stage's rules cut the reply here")
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
                // hyper sends what it has when a body is pending.
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
