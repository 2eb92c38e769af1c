//! Parses the command line: arguments come in, a [`Command`] goes out.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ivs_stage::{Feedback, KeySource, Lifetime, Profile, Rules, TokenWish, VideoRule};
use lexopt::prelude::*;
use lexopt::{Error, Parser};

pub(crate) const HELP: &str = "\
A local stand-in for an Amazon IVS Real-Time stage.

Usage:
  ivs-stage serve [options]    run a stage and print each event as a JSON line
  ivs-stage token [options]    print a participant token for the stage
  ivs-stage report [options] [FILE]
                               describe a run in words, from its JSON lines

serve:
  --port N            port of the global endpoint (default: a free one)
  --regional-port N   port of the regional host (default: a free one)
  --profile NAME      answer like another server (default: ivs): mediamtx,
                      janus, janus-strict, janus-no-trickle, livekit,
                      livekit-ingress, srs, broadcast-box, broadcast-box-2023,
                      cloudflare, galene, live777, livepeer, eyevinn,
                      ovenmediaengine, pion-example, twitch, monibuca, go2rtc
  --hops N            redirects from the global endpoint to the regional host
                      (at most 32; default: 1, or the profile's)
  --video RULE        the H.264 section that an offer must have
                      (default: any, or the profile's):
                        any                     also an inactive one
                        refuse-inactive         one that sends
                        refuse-silent           one that sends, with ssrc, msid
                        refuse-silent-before=N  one that sends; the first N
                                                such offers are refused too
                        needs-frames=SECONDS    one that sends; a session
                                                without video packets ends
                                                after this time
                        not-needed              none
  --feedback KIND     RTCP by which the publisher learns how much gets through
                      (default: twcc):
                        twcc     transport-wide feedback, if it is offered
                        remb     an estimate every half second
                        rr       receiver reports only
                        none     no RTCP at all
                      All but none request a missing video packet up to five
                      times.
  --key-file FILE     key for tokens; made if the file doesn't exist (default:
                      ivs-stage-key.pem in $XDG_RUNTIME_DIR, or else in the
                      temporary directory)
  --media-address A   address for media (default: the first IPv4 address that
                      isn't loopback or link-local)
  --events FILE       write the JSON lines to FILE, not to standard output
  SIGINT and SIGTERM end all sessions, then the stage.

token:
  --key-file FILE     key for tokens, as for serve
  --minutes N         minutes until the token expires; 0 or less makes an
                      expired one (default: 60)
  --no-publish        leave out the capability to publish
  --user-id U         value of the user_id claim (default: none)

report:
  --require MEDIA     media that must have arrived: audio (default), video or av
  Without FILE it reads standard input. It exits with 1 and says what is missing
  if the last session lacks a connection, the required media or a DELETE
  answered with 200, or if there was no offer.
";

/// What to do.
pub(crate) enum Command {
    Help,
    /// The path is the file for the events.
    Serve(Box<Rules>, Option<PathBuf>),
    /// The path is the key file.
    Token(PathBuf, TokenWish),
    /// The path is the file to read.
    Report(RequiredMedia, Option<PathBuf>),
}

/// Media that must have arrived in a run.
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
            _ => Err(format!("unknown command {name:?}: expected serve, token or report").into()),
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
            // Read before the other options, which change its rules.
            Long("profile") => drop(parser.value()?),
            Long("port") => rules.port = parser.value()?.parse()?,
            Long("regional-port") => rules.regional_port = parser.value()?.parse()?,
            Long("hops") => rules.hops = parser.value()?.parse()?,
            Long("video") => rules.video = parser.value()?.parse_with(video_rule)?,
            Long("feedback") => rules.feedback = parser.value()?.parse_with(feedback)?,
            Long("key-file") => rules.key = KeySource::File(parser.value()?.into()),
            Long("media-address") => rules.media_address = Some(parser.value()?.parse()?),
            Long("events") => events = Some(parser.value()?.into()),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Serve(Box::new(rules), events))
}

/// The last `--profile`, wherever it stands.
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

fn feedback(text: &str) -> Result<Feedback, &'static str> {
    match text {
        "twcc" => Ok(Feedback::TransportWide),
        "remb" => Ok(Feedback::Remb),
        "rr" => Ok(Feedback::ReceiverReports),
        "none" => Ok(Feedback::None),
        _ => Err("expected twcc, remb, rr or none"),
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

/// The key file that `serve` and `token` share without `--key-file`.
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
    fn serve_takes_each_kind_of_feedback() {
        let kinds = [
            ("twcc", Feedback::TransportWide),
            ("remb", Feedback::Remb),
            ("rr", Feedback::ReceiverReports),
            ("none", Feedback::None),
        ];
        for (name, feedback) in kinds {
            let Ok(Command::Serve(rules, None)) = parsed(&format!("serve --feedback {name}"))
            else {
                panic!("not serve");
            };
            assert_eq!(rules.feedback, feedback);
        }
        assert!(complaint("serve --feedback all").contains("twcc, remb, rr or none"));
    }

    #[test]
    fn other_options_change_a_profile() {
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
    fn token_takes_claims() {
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
