//! What was asked for on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ivs_stage::{KeySource, Lifetime, Rules, TokenWish, VideoRule};
use lexopt::prelude::*;
use lexopt::{Error, Parser};

pub(crate) const HELP: &str = "\
A local stand-in for an Amazon IVS Real-Time stage.

Usage:
  ivs-stage serve [options]    run a stage; one JSON line for each event
  ivs-stage token [options]    print a participant token for it
  ivs-stage report [options] [FILE]
                               tell what a run saw, from its JSON lines

serve:
  --port N            port of the global endpoint (default: a free one)
  --regional-port N   port of the regional host (default: a free one)
  --hops N            redirects on the way to the regional host (default: 1)
  --video RULE        what an offer's H.264 section must be: any (default),
                      refuse-inactive, or refuse-silent
  --key-file FILE     key that tokens are checked with; made where there is none
                      (default: ivs-stage-key.pem in the runtime or temporary
                      directory, as for token)
  --media-address A   address to take media on (default: the first that isn't
                      loopback)
  --events FILE       write the JSON lines there and not to standard output
  SIGINT and SIGTERM end all sessions, and then the stage.

token:
  --key-file FILE     key to sign with; made where there is none
  --minutes N         how long the token holds; 0 or less: expired (default: 60)
  --no-publish        without the capability to publish
  --user-id U         the user_id claim

report:
  --require WHAT      media that must have come: audio (default), video, or av
  Reads standard input without FILE. Exits with 1 and says what's missing if
  there was no offer, connection, required media, or DELETE answered with 200.
";

/// What to do.
pub(crate) enum Command {
    Help,
    /// With the file for the events.
    Serve(Box<Rules>, Option<PathBuf>),
    /// With the key file.
    Token(PathBuf, TokenWish),
    /// With the file to read.
    Report(Need, Option<PathBuf>),
}

/// Media that a run must have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Audio,
    Video,
    Both,
}

impl FromStr for Need {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "audio" => Ok(Self::Audio),
            "video" => Ok(Self::Video),
            "av" => Ok(Self::Both),
            _ => Err("expected audio, video or av".into()),
        }
    }
}

pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Command, Error> {
    let mut parser = Parser::from_args(arguments);
    match parser.next()? {
        Some(Short('h') | Long("help")) => Ok(Command::Help),
        Some(Value(name)) => match name.to_str() {
            Some("serve") => serve(parser),
            Some("token") => token(parser),
            Some("report") => report(parser),
            Some("help") => Ok(Command::Help),
            _ => Err(format!("there is no command {name:?}").into()),
        },
        Some(option) => Err(option.unexpected()),
        None => Err("expected a command: serve, token or report".into()),
    }
}

fn serve(mut parser: Parser) -> Result<Command, Error> {
    let mut rules = Rules {
        key: KeySource::File(default_key()),
        media_interval: Some(Duration::from_secs(1)),
        ..Rules::default()
    };
    let mut events = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("port") => rules.port = parser.value()?.parse()?,
            Long("regional-port") => rules.regional_port = parser.value()?.parse()?,
            Long("hops") => rules.hops = parser.value()?.parse()?,
            Long("video") => rules.video = parser.value()?.parse_with(video_rule)?,
            Long("key-file") => rules.key = KeySource::File(parser.value()?.into()),
            Long("media-address") => rules.media_address = Some(parser.value()?.parse()?),
            Long("events") => events = Some(parser.value()?.into()),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Serve(Box::new(rules), events))
}

fn token(mut parser: Parser) -> Result<Command, Error> {
    let mut key = default_key();
    let mut wish = TokenWish::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("key-file") => key = parser.value()?.into(),
            Long("minutes") => wish.lifetime = lifetime(parser.value()?.parse()?),
            Long("no-publish") => wish.allow_publish = false,
            Long("user-id") => wish.user_id = Some(parser.value()?.string()?),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Token(key, wish))
}

fn report(mut parser: Parser) -> Result<Command, Error> {
    let mut need = Need::Audio;
    let mut file = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("require") => need = parser.value()?.parse()?,
            Value(path) if file.is_none() => file = Some(path.into()),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Report(need, file))
}

fn video_rule(text: &str) -> Result<VideoRule, String> {
    match text {
        "any" => Ok(VideoRule::Any),
        "refuse-inactive" => Ok(VideoRule::RefuseInactive),
        "refuse-silent" => Ok(VideoRule::RefuseSilent),
        _ => Err("expected any, refuse-inactive or refuse-silent".into()),
    }
}

fn lifetime(minutes: i32) -> Lifetime {
    let time = Duration::from_secs(60 * u64::from(minutes.unsigned_abs()));
    if minutes > 0 {
        Lifetime::For(time)
    } else {
        Lifetime::ExpiredSince(time)
    }
}

/// Where `serve` and `token` find the same key without being told.
fn default_key() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|path| !path.is_empty());
    let directory = runtime.map_or_else(std::env::temp_dir, PathBuf::from);
    directory.join("ivs-stage-key.pem")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        parse(line.split(' ').map(OsString::from)).map_err(|error| error.to_string())
    }

    fn complaint(line: &str) -> String {
        parsed(line).err().unwrap()
    }

    #[test]
    fn serve_sets_rules() {
        let line = "serve --port 80 --hops 2 --video refuse-inactive --media-address 192.0.2.1";
        let Ok(Command::Serve(rules, None)) = parsed(line) else {
            panic!("not serve");
        };
        assert_eq!((rules.port, rules.hops), (80, 2));
        assert_eq!(rules.video, VideoRule::RefuseInactive);
        assert!(rules.media_address.is_some());
    }

    #[test]
    fn token_takes_wishes() {
        let line = "token --key-file k --minutes -5 --no-publish --user-id u";
        let Ok(Command::Token(key, wish)) = parsed(line) else {
            panic!("not token");
        };
        assert_eq!(key, PathBuf::from("k"));
        assert_eq!(
            wish.lifetime,
            Lifetime::ExpiredSince(Duration::from_secs(300))
        );
        assert!(!wish.allow_publish);
        assert_eq!(wish.user_id.as_deref(), Some("u"));
    }

    #[test]
    fn complaints_name_what_was_wrong() {
        assert!(complaint("play").contains("play"));
        assert!(complaint("serve --port x").contains('x'));
        assert!(complaint("serve --fast").contains("--fast"));
        assert!(complaint("report --require all").contains("audio, video or av"));
        assert!(complaint("report a b").contains('b'));
    }
}
