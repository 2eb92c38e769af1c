//! What was asked for on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ivs_stage::{KeySource, Lifetime, Profile, Rules, TokenWish, VideoRule};
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
  --profile NAME      answer as another server does (default: ivs): mediamtx,
                      janus, janus-strict, janus-no-trickle, livekit,
                      livekit-ingress, srs, broadcast-box, broadcast-box-2023,
                      cloudflare, galene, live777, livepeer, eyevinn,
                      ovenmediaengine, pion-example, twitch, monibuca, go2rtc
  --hops N            redirects on the way to the regional host (default: 1,
                      or as the profile has it)
  --video RULE        what an offer's H.264 section must be: any (default),
                      refuse-inactive, refuse-silent (ssrc and msid are
                      needed too), refuse-silent-before=N (the first N that
                      send are refused as well), needs-frames=SECONDS
                      (ends the session without them), or not-needed
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
    Report(RequiredMedia, Option<PathBuf>),
}

/// Media that a run must have seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequiredMedia {
    Audio,
    Video,
    Both,
}

impl FromStr for RequiredMedia {
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
        ..Rules::profile(profile(parser.clone())?)
    };
    let mut events = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            // Taken before all others, which change what it says.
            Long("profile") => drop(parser.value()?),
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

/// The last profile named, wherever it stands.
fn profile(parser: Parser) -> Result<Profile, Error> {
    let mut profile = Profile::default();
    let mut words = parser;
    let words = words.raw_args()?;
    let mut words = words.map(|word| word.to_string_lossy().into_owned());
    while let Some(word) = words.next() {
        let name = match word.strip_prefix("--profile") {
            Some("") => words.next(),
            Some(rest) => rest.strip_prefix('=').map(str::to_owned),
            None => None,
        };
        if let Some(name) = name {
            profile = name
                .parse()
                .map_err(|error| Error::Custom(Box::new(error)))?;
        }
    }
    Ok(profile)
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
    let mut required = RequiredMedia::Audio;
    let mut file = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Long("require") => required = parser.value()?.parse()?,
            Value(path) if file.is_none() => file = Some(path.into()),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Report(required, file))
}

fn video_rule(text: &str) -> Result<VideoRule, String> {
    const EXPECTED: &str = "expected any, refuse-inactive, refuse-silent, \
        refuse-silent-before=N, needs-frames=SECONDS or not-needed";
    let number = |text: &str| text.parse().map_err(|_| EXPECTED.to_owned());
    match text.split_once('=').unwrap_or((text, "")) {
        ("any", "") => Ok(VideoRule::Any),
        ("refuse-inactive", "") => Ok(VideoRule::RefuseInactive),
        ("refuse-silent", "") => Ok(VideoRule::RefuseSilent),
        ("refuse-silent-before", posts) => number(posts).map(VideoRule::RefuseSilentBefore),
        ("needs-frames", seconds) => Ok(VideoRule::NeedsFrames {
            within: Duration::from_secs(number(seconds)?.into()),
        }),
        ("not-needed", "") => Ok(VideoRule::NotNeeded),
        _ => Err(EXPECTED.into()),
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
    fn a_profile_is_the_ground_for_the_other_options() {
        let line = "serve --hops 2 --video needs-frames=3 --profile pion-example";
        let Ok(Command::Serve(rules, None)) = parsed(line) else {
            panic!("not serve");
        };
        assert_eq!((rules.hops, rules.content_type), (2, None));
        let within = Duration::from_secs(3);
        assert_eq!(rules.video, VideoRule::NeedsFrames { within });
        assert!(complaint("serve --profile=red5").contains("mediamtx"));
        assert!(complaint("serve --profile").contains("--profile"));
        assert!(complaint("serve --video refuse-silent-before=x").contains("=N"));
        for profile in Profile::all() {
            assert!(HELP.contains(profile.name()), "{profile}");
        }
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
