//! The session's state, as applications see it.

/// The states of a session, as in the property `session-state` and the element
/// message `ivswhipsink-session-state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstIvsWhipSinkSessionState")]
pub enum SessionState {
    /// No session: the element is in NULL or READY.
    #[default]
    #[enum_value(name = "No session", nick = "idle")]
    Idle,
    /// The element waits for PLAYING and for the caps of every linked pad.
    #[enum_value(name = "Waiting for PLAYING and media", nick = "waiting")]
    Waiting,
    /// The offer is made; the answer or the media connection is pending.
    #[enum_value(name = "Connecting", nick = "connecting")]
    Connecting,
    /// Media flows.
    #[enum_value(name = "Publishing", nick = "publishing")]
    Publishing,
    /// The session failed or was lost, and another attempt follows.
    #[enum_value(name = "Waiting to retry", nick = "retrying")]
    Retrying,
    /// The session is being deleted on the server.
    #[enum_value(name = "Stopping", nick = "stopping")]
    Stopping,
    /// The session has ended: by end of stream, or by stop.
    #[enum_value(name = "Ended", nick = "ended")]
    Ended,
    /// The session failed; an error is on the bus.
    #[enum_value(name = "Failed", nick = "failed")]
    Failed,
}

impl SessionState {
    /// The state's name in messages, such as `publishing`.
    pub fn nick(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Publishing => "publishing",
            Self::Retrying => "retrying",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}
