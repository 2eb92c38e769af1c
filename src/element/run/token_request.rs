//! Asks the application for a token.

use std::thread;

use gst::prelude::*;

use super::conductor_message::Message;
use super::run_state::Run;
use crate::element::settings::parse_token;
use crate::element::{bus_messages, signals};
use crate::session::Input;

/// Emits `request-token` on a thread of its own: a handler may take its time, and must
/// not hold up the run's state and end. The reply comes as [`Message::TokenReply`].
/// While handlers are running there is no second request.
pub(super) fn request_token(run: &mut Run, element: &gst::Element) {
    let Some(messages) = run.messages.upgrade() else {
        return;
    };
    if std::mem::replace(&mut run.asks_for_token, true) {
        return;
    }
    let asked = element.clone();
    let ask = move || {
        let reply = asked.emit_by_name::<Option<String>>(signals::REQUEST_TOKEN, &[]);
        // Fails only if the conductor has ended.
        let _ = messages.send(Message::TokenReply(reply));
    };
    let thread = thread::Builder::new().name("ivswhipsink:token".to_owned());
    if let Err(error) = thread.spawn(ask) {
        run.asks_for_token = false;
        let text = format!("No thread could be started for request-token: {error}.");
        bus_messages::post_warning(element, &text);
        run.session.tell(Input::NoNewToken);
    }
}

/// Gives the token to the session, and keeps it for later runs too.
pub(super) fn on_token_reply(run: &mut Run, element: &gst::Element, reply: Option<String>) {
    run.asks_for_token = false;
    match reply.as_deref().map(parse_token).transpose() {
        Ok(Some(token)) => {
            run.state.set_auth_token(reply);
            run.config.tokens.give(Some(token));
            run.session.tell(Input::NewToken);
        }
        Ok(None) => run.session.tell(Input::NoNewToken),
        Err(error) => {
            bus_messages::post_settings_warning(element, &error);
            run.session.tell(Input::NoNewToken);
        }
    }
}
