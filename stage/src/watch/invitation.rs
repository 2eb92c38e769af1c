//! What a publisher needs to publish to this stage: its endpoint, a token, and a
//! command to copy.

use std::time::Duration;

use serde_json::{Value, json};

use crate::participant_token::{Lifetime, MintError, TokenWish};
use crate::state::StageState;

/// How long the tokens are valid: as long as IVS's by default.
const LIFETIME: Duration = Duration::from_secs(720 * 60);

/// A token to publish with, one to watch with, and the command.
pub(crate) fn invitation(state: &StageState) -> Result<Value, MintError> {
    let endpoint = state.endpoint();
    let wish = TokenWish {
        lifetime: Lifetime::For(LIFETIME),
        whip_url: Some(endpoint.trim_end_matches('/').to_owned()),
        ..TokenWish::default()
    };
    let publish = state.key.mint(&TokenWish {
        allow_subscribe: false,
        ..wish.clone()
    })?;
    let watch = state.key.mint(&TokenWish {
        allow_publish: false,
        ..wish
    })?;
    Ok(json!({
        "endpoint": endpoint,
        "publish": publish,
        "watch": watch,
        "command": command(&endpoint, &publish),
    }))
}

/// The token is in the environment: other users can see a command's arguments.
fn command(endpoint: &str, token: &str) -> String {
    format!(
        "export IVS_STAGE_TOKEN='{token}'\n\
         gst-launch-1.0 -e ivswhipsink name=whip whip-endpoint={endpoint} \\\n  \
         videotestsrc is-live=true pattern=ball \\\n    \
         ! video/x-raw,width=1280,height=720,framerate=30/1 ! timeoverlay ! whip. \\\n  \
         audiotestsrc is-live=true wave=ticks ! whip."
    )
}
