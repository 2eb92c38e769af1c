//! Parses the command line: arguments come in, a [`Command`] goes out.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ivs_stage::{
    Feedback, KeySource, Lifetime, MediaLimits, Profile, Rate, Rules, TokenReuse, TokenWish,
    VideoRule,
};
use lexopt::prelude::*;
use lexopt::{Error, Parser};

/// Publishers of an IVS stage (documented: service quotas).
const IVS_PUBLISHERS: usize = 12;

/// How long an IVS publisher may publish (documented: service quotas).
const IVS_PUBLISH_TIME: Duration = Duration::from_secs(24 * 3600);

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
  --page-port N       port of the page that shows who publishes, with picture,
                      sound and numbers (default: a free one; standard error
                      says where)
  --no-page           no page
  --bind A            address of the endpoint, the regional host and the page,
                      for publishers and browsers on other machines (default:
                      loopback). Whoever reaches the page can watch, and get a
                      token to publish
  --enforce-limits    end a session where IVS ends it:
                        over 1280x720, or over 8.5 Mbit/s in all for 3 seconds
                                       (documented; how long is a guess)
                        B-frames       (documented for RTMP; inferred for WHIP)
                        after 24 hours (documented)
                        a second POST with the same token ends the older session
                                       (documented for joins; inferred for WHIP)
                        12 publishers; one more gets code 2005 (the number is
                                       documented, the code seen in AWS's SDK)
  --publish-hours H   end a session after this time, such as 0.01
  --rate N/SECONDS    take N POSTs in this time; more get 429, code 2013, with
                      Retry-After (code and status seen in AWS's SDK, the rate
                      of IVS isn't known; default: no limit)
  --media-address A   address for media (default: the first IPv4 address that
                      isn't loopback or link-local)
  --events FILE       write the JSON lines to FILE, not to standard output
  SIGINT and SIGTERM end all sessions, then the stage.

token:
  --key-file FILE     key for tokens, as for serve
  --minutes N         minutes until the token expires; 0 or less makes an
                      expired one (default: 60)
  --no-publish        leave out the capability to publish
  --no-subscribe      leave out the capability to subscribe
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
        page_port: Some(0),
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
            Long("page-port") => rules.page_port = Some(parser.value()?.parse()?),
            Long("no-page") => rules.page_port = None,
            Long("bind") => rules.bind = Some(parser.value()?.parse()?),
            Long("enforce-limits") => enforce_limits(&mut rules),
            Long("publish-hours") => {
                rules.publish_time = Some(parser.value()?.parse_with(hours)?);
            }
            Long("rate") => rules.rate = Some(parser.value()?.parse_with(rate)?),
            Long("events") => events = Some(parser.value()?.into()),
            _ => return Err(argument.unexpected()),
        }
    }
    Ok(Command::Serve(Box::new(rules), events))
}

/// The limits of IVS; `--publish-hours` may stand before or after.
fn enforce_limits(rules: &mut Rules) {
    rules.media_limits = MediaLimits::Enforced;
    rules.token_reuse = TokenReuse::EndsOlder;
    rules.limits.sessions = IVS_PUBLISHERS;
    rules.publish_time.get_or_insert(IVS_PUBLISH_TIME);
}

fn hours(text: &str) -> Result<Duration, &'static str> {
    let hours = text.parse::<f64>().ok().filter(|hours| *hours > 0.0);
    let time = hours.and_then(|hours| Duration::try_from_secs_f64(hours * 3600.0).ok());
    // The stage adds it to a time of day.
    time.filter(|time| *time < Duration::from_secs(365 * 24 * 3600))
        .ok_or("expected hours above 0, such as 24 or 0.5, and less than a year")
}

fn rate(text: &str) -> Result<Rate, &'static str> {
    const EXPECTED: &str = "expected POSTs/SECONDS, such as 5/1, both above 0";
    let (posts, seconds) = text.split_once('/').ok_or(EXPECTED)?;
    let posts: u16 = posts.parse().map_err(|_| EXPECTED)?;
    let seconds: u16 = seconds.parse().map_err(|_| EXPECTED)?;
    if posts == 0 || seconds == 0 {
        return Err(EXPECTED);
    }
    Ok(Rate {
        posts: posts.into(),
        within: Duration::from_secs(seconds.into()),
    })
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
            Long("no-subscribe") => wish.allow_subscribe = false,
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
    fn the_limits_of_ivs_are_enforced_on_demand() {
        let rules = |line: &str| match parsed(line) {
            Ok(Command::Serve(rules, None)) => rules,
            _ => panic!("not serve"),
        };
        let free = rules("serve");
        assert_eq!(free.media_limits, MediaLimits::Reported);
        assert_eq!((free.publish_time, free.page_port), (None, Some(0)));
        let ivs = rules("serve --enforce-limits --rate 5/2 --no-page --bind 192.0.2.1");
        assert_eq!(ivs.media_limits, MediaLimits::Enforced);
        assert_eq!(ivs.token_reuse, TokenReuse::EndsOlder);
        assert_eq!((ivs.limits.sessions, ivs.page_port), (12, None));
        assert_eq!(ivs.publish_time, Some(Duration::from_secs(86_400)));
        assert_eq!(
            ivs.rate.map(|rate| (rate.posts, rate.within.as_secs())),
            Some((5, 2))
        );
        for line in [
            "--enforce-limits --publish-hours 0.5",
            "--publish-hours 0.5 --enforce-limits",
        ] {
            let half = Some(Duration::from_secs(1800));
            assert_eq!(rules(&format!("serve {line}")).publish_time, half);
        }
        for bad in [
            "--publish-hours -1",
            "--publish-hours inf",
            "--rate 5",
            "--rate 0/1",
            "--rate 1/0",
        ] {
            assert!(
                complaint(&format!("serve {bad}")).contains("expected"),
                "{bad}"
            );
        }
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
