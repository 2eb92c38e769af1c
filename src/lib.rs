//! A GStreamer plugin with one element, `ivswhipsink`, which publishes audio and
//! video to an Amazon IVS Real-Time stage over WHIP (RFC 9725).
//!
//! This is the manual for whoever works on it: what is where, what happens when,
//! and what must stay true. The README says how to use the element, DESIGN.md
//! why it is as it is.
//!
//! # The pipeline
//!
//! ```text
//!               ┌─ ivswhipsink, a bin ────────────────────────────────────────────┐
//!  rtpopuspay ──► sink_0 ──► clocksync ──► gate ──┐                               │
//!               │                                 ├──► webrtcbin ──► DTLS, SRTP ──► UDP
//!  rtph264pay ──► sink_1 ──► clocksync ──► gate ──┤    a fresh one each attempt   │
//!               │    black source ──► rtph264pay ──┘                               │
//!               └───────────────────────────────────────────▲─────────────────────┘
//!                             calls, by the conductor only  │  news, as values
//!                                              ┌────────────┴────────────┐
//!                                              │  driver: one async task │ ──► HTTPS: POST, PATCH, DELETE
//!                                              └─────────────────────────┘ ──► UDP: checks of its own
//! ```
//!
//! | module | what it knows | what it does not |
//! | --- | --- | --- |
//! | [`media`] | RTP, H.264, RTCP and DTLS certificates as values | AWS, I/O, clocks, GStreamer |
//! | [`whip`] | RFC 9725, SDP as text | I/O, clocks, host names |
//! | [`ivs`] | each fact about Amazon IVS, with its source | I/O, clocks |
//! | [`session`] | order, time, HTTP, when to try again | GStreamer |
//! | `element` | properties, pads, states, bus, webrtcbin | what a reply means |
//!
//! Each uses those above it; nothing points back, and no two files of a folder use
//! each other. `element` has three rooms beside the class, its settings, messages
//! and statistics:
//!
//! | room | in | out |
//! | --- | --- | --- |
//! | `input` | RTP of upstream, on its threads | media past an open gate; news of the pads |
//! | `peer` | streams to publish, an answer | an offer; news of webrtcbin, which only this room touches |
//! | `run` | news of pads, states, bus and session, as one kind of message | calls on the peer connection, signals, bus messages |
//!
//! # The life of a session
//!
//! ```text
//!  READY→PAUSED    the run begins: its driver and its conductor            waiting
//!       │
//!       ▼          the driver wants an offer
//!  PLAYING, and the caps of every linked pad  ◄───────────────────────────────────┐
//!       │          a certificate, a webrtcbin, its offer                          │
//!       ▼                                                                         │
//!  the token's claims; request-token if they rule it out               connecting │
//!       │                                                                         │
//!       ▼                                                                         │
//!  POST ──307──► POST ──201──► the answer: checked, repaired, applied             │
//!       │                                                                         │
//!       ▼          ICE, DTLS; then the peer's certificate is compared             │
//!  the gates open, video with a key frame                              publishing │
//!       │          one PATCH with candidates, where the server shows that         │
//!       │          it takes it; the far end's signs of life are counted           │
//!       │                                                                         │
//!       ├── refused for the filler, perhaps: the next mode, at once ────────────────┤
//!       ├── lost, refused for now: webrtcbin out, DELETE alongside, wait  retrying ┤
//!       ├── other media on the pads: the same without a wait ─────────────────────┘
//!       ├── refused for good, or retries used up: an error on the bus      failed
//!       ▼
//!  EOS on every pad, or PAUSED→READY: DELETE, waited for in bounds   stopping, ended
//! ```
//!
//! The driver numbers its wishes for an offer. All news of a webrtcbin carry the
//! number that it was made for, and news with an older one are dropped.
//!
//! PLAYING→PAUSED ends nothing: webrtcbin's state is locked in PLAYING.
//!
//! # Threads
//!
//! | thread | what it may do |
//! | --- | --- |
//! | streaming, upstream's | note caps and EOS, pass or drop a buffer, measure those that pass, tell the conductor |
//! | application | set properties, request pads, change states; in PAUSED→READY it shuts the gates, takes webrtcbin down and waits for the end of the session |
//! | conductor, `ivswhipsink:run`, one from start to stop | own the run: make, call and remove webrtcbin; open and shut the gates; emit the signals; post the session's messages |
//! | webrtcbin's and libnice's | tell the driver what became of the connection, count what arrives |
//! | driver, `ivswhipsink`, one for the process | HTTP, timers, checks; it never blocks, and reads a token's file on the runtime's pool |
//! | loader, `ivswhipsink:load`, once in a process | load webrtcbin's plugins ahead of the first session |
//!
//! Everything that happens to a run reaches its conductor through one channel, so
//! nothing else changes it. A stop drops the channel's sender and takes session and
//! peer connection out of the `RunView`; what an old conductor still does finds
//! nothing to work with.
//!
//! A handler of a message or signal may therefore stop the pipeline: the stop waits
//! for the driver, and only for a conductor that is making a webrtcbin, unless it is
//! the conductor itself.
//!
//! # The rule for locks
//!
//! A guard lives in one block, to take something out or to put something in. It is
//! never held over a signal, a pad or element call, a bus message or an `.await`.
//! No two of them are held together. Sending into a channel is not a call out.
//!
//! # Invariants
//!
//! Names without a path are those of tests in `tests/element` or `tests/session`.
//!
//! | what stays true | what holds it |
//! | --- | --- |
//! | A session that the server has made is deleted, once, on the host that made it, on every way out. | `redirected_published_and_deleted_where_it_was_made`, `while_publishing_twice_deletes_once`, `at_many_moments_of_the_connect`, `before_the_answer_whose_session_is_deleted_when_it_comes`, `a_lost_session_is_replaced_at_once_and_its_resource_deleted_alongside`, `an_answer_that_breaks_off_is_tried_again_and_nothing_stays_behind` |
//! | A stop is bounded, from whatever thread it comes. | `from_within_a_message_of_the_session`, `from_an_applications_own_async_runtime`, `before_the_answer_whose_session_is_deleted_when_it_comes`, `stopping_while_waiting_for_another_attempt_takes_no_time`, `unanswered_is_given_up_in_time` |
//! | The token goes to nobody but the hosts that may have it, and never from https to http. | `host_that_may_not_have_the_token_hears_nothing`, `https_to_http_is_refused_with_and_without_a_token`, `http_resource_of_a_https_session_does_not_see_the_token`, and the tables in `src/ivs/token_scope.rs` |
//! | No message, log line, graph dump, command or `Debug` shows the token, a URL's path or a secret of the connection, but for what the README says. | `graphs_properties_and_messages_in_every_state`, `log_of_every_category_at_the_highest_level`, `output_of_gst_launch_and_the_list_of_processes`, `token_is_write_only`, `none_shows_a_token_or_a_password`, `no_event_of_a_session_shows_them`, `no_failure_shows_them`, `no_event_shows_the_credential_of_an_ice_server`, `words_of_a_server_that_repeats_the_token_do_not_show_it`, `words_of_a_server_that_repeats_the_path_do_not_show_it` |
//! | No media before the peer has shown the certificate that its answer announced. | `a_wrong_certificate_gets_not_one_media_packet` |
//! | Upstream never waits for a session. | `the_other_branch_of_a_tee_loses_nothing_through_restarts` |
//! | Video begins with a key frame after each connect; without any it begins all the same. | `video_begins_with_a_key_frame_after_every_connect`; `a_stream_without_key_frames_passes_after_a_while` in `src/element/input/gate.rs` |
//! | A far end that vanished is noticed within `silence-timeout` and one interval; one that lives is not given up. | `a_frozen_stage_is_noticed_within_the_bound_and_two_seconds`, `the_network_gone_and_back`, `a_short_freeze_is_no_loss`, `a_quiet_link_that_lives_is_no_loss`, `a_pause_is_no_loss` |
//! | No server is hammered, and what no attempt can mend is not tried again. | `a_server_that_takes_and_drops_is_not_hammered` and its neighbours in `src/session/backoff.rs`; `busy_servers_are_asked_again_when_they_say`, `a_refusal_that_no_attempt_can_mend_is_final` |
//! | Media beyond a limit of IVS are a warning, once in a run, and only where the server is IVS by its host or its token. | a test for each limit in `src/ivs/limits/checks.rs`; `tests/element/limits.rs`; `good_audio_and_video_warn_of_nothing`, `each_cause_is_told_once_also_by_the_sessions_that_follow`, `a_server_that_is_not_ivs_has_limits_of_its_own` |
//! | `video-filler=auto` publishes wherever one of the filler modes is accepted, and begins with it the next time. | `tests/element/filler.rs`, a test for each path; `auto_falls_back_at_once_and_the_second_start_needs_one_request` |
//! | Reading `stats` waits for nobody. | `reading_does_not_wait_and_does_no_harm_in_any_state` |
//! | News of a webrtcbin that was replaced change nothing. | `news_of_an_older_peer_connection_are_dropped` |
//! | Gathering and trickling keep nothing waiting, and IVS gets no PATCH. | `offer_is_posted_without_waiting_for_candidates`, `a_patch_that_is_refused_or_never_answered_ends_nothing`, `ivs_gets_no_patch` |
//! | A sound answer is applied as it came. | `a_good_answer_stays_as_it_is` in `src/whip/answer_repair.rs` |
//! | A stopped element starts again, and nothing of its last run is left. | `playing_null_playing_publishes_again`, `a_failed_session_does_not_spoil_the_next`; the slow tests of `make test-long` |
//! | The plugin loads where webrtcbin is missing, and says what is. | `gst_inspect_survives_without_any_other_plugin`, `without_webrtcbin`, `without_libnices_elements` |
//! | No GStreamer type in [`media`], [`whip`], [`ivs`] and [`session`]. | `make lower` builds and tests them without the feature `element` |
//! | No `unsafe`, and no `unwrap`, `expect` or `panic!` outside tests. | the lints `unsafe_code`, `unwrap_used`, `expect_used` and `panic` |
//! | No guard over an `.await` or for the length of a `match`. | the lints `await_holding_lock` and `significant_drop_in_scrutinee`; over other calls no lint sees it, so readers have to |

#[cfg(feature = "element")]
pub mod element;
pub mod ivs;
pub mod media;
pub mod session;
pub mod whip;

#[cfg(feature = "element")]
pub use plugin::plugin_register_static;

/// The plugin's entry. Apart, because the macro's items carry no documentation.
#[cfg(feature = "element")]
#[allow(missing_docs, clippy::expect_used)]
mod plugin {
    fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        crate::element::register(plugin)
    }

    gst::plugin_define!(
        ivs,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        "https://docs.aws.amazon.com/ivs/latest/RealTimeUserGuide/",
        env!("BUILD_REL_DATE")
    );
}
