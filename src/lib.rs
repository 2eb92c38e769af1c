//! A GStreamer plugin with one element, `ivswhipsink`, which publishes audio and video
//! to an Amazon IVS Real-Time stage over WHIP (RFC 9725).
//!
//! This is the manual for developers of the plugin: its modules, the life of a session,
//! the threads, and the invariants. The README and docs/ describe how to use the element;
//! DESIGN.md gives the reasons for the design.
//!
//! # The pipeline
//!
//! ```text
//!               ┌─ ivswhipsink, a bin ────────────────────────────────────────────────────────────┐
//!  microphone ──► sink_0 ──► clocksync ──► chain ──► gate ───────────┐                            │
//!               │                                                    ├──► webrtcbin ──► DTLS, SRTP ──► UDP
//!  camera     ──► sink_1 ──► clocksync ──► chain ──► gate ──► pacer ─┤    a new one each attempt  │
//!               │                       black source ──► rtph264pay ─┘                            │
//!               └───────────────────────────────────────────▲─────────────────────────────────────┘
//!                             calls, by the conductor only  │  events, as values
//!                                              ┌────────────┴────────────┐
//!                                              │  driver: one async task │ ──► HTTPS: POST, PATCH, DELETE
//!                                              └─────────────────────────┘ ──► UDP: its own STUN checks
//! ```
//!
//! | module | covers | independent of |
//! | --- | --- | --- |
//! | [`media`] | RTP, H.264, RTCP, timestamps and DTLS certificates as values | AWS, I/O, clocks, GStreamer |
//! | [`whip`] | RFC 9725, SDP as text | I/O, clocks, host names |
//! | [`ivs`] | the facts about Amazon IVS, each with its source | I/O, clocks |
//! | [`session`] | the order of steps, timers, HTTP, retries | GStreamer |
//! | `element` | properties, pads, states, bus, webrtcbin | the meaning of replies |
//!
//! A module uses only those above it in the table. The files of a folder have no
//! circular dependencies. `element` holds the class, its settings, messages and
//! statistics, and three folders:
//!
//! | folder | in | out |
//! | --- | --- | --- |
//! | `input` | media from upstream, on upstream's threads | RTP through an open gate; changes of the pads |
//! | `peer` | the streams to publish, an answer | an offer; events of webrtcbin, which only this folder touches |
//! | `run` | changes of pads, states, bus and session, as one message type | calls on the peer connection, signals, bus messages |
//!
//! # The life of a session
//!
//! ```text
//!  READY→PAUSED    the run begins: its driver and its conductor            waiting
//!       │
//!       ▼          the driver connects to the endpoint, and asks for an offer
//!  PLAYING, and caps of the linked pads, awaited for up to 5 s  ◄─────────────────┐
//!       │          a certificate, a webrtcbin, its offer                          │
//!       ▼                                                                         │
//!  the token's claims; request-token if they rule out publishing       connecting │
//!       │                                                                         │
//!       ▼                                                                         │
//!  POST ──307──► POST ──201──► the answer: checked, repaired, applied             │
//!       │                                                                         │
//!       ▼          ICE, DTLS; then the peer's certificate is compared             │
//!  the gates open, video with a key frame                              publishing │
//!       │          one PATCH with candidates, if the server accepts PATCH;        │
//!       │          packets from the far end are counted, to notice its loss       │
//!       │                                                                         │
//!       ├── refused, maybe for the filler: the next filler mode, at once ─────────┤
//!       ├── lost, or refused for now: webrtcbin out, DELETE, wait        retrying ┤
//!       ├── other media on the pads: the same without a wait ─────────────────────┘
//!       ├── refused for good, or no retries left: an error on the bus      failed
//!       ▼
//!  EOS on every pad, or PAUSED→READY: DELETE, with a bounded wait    stopping, ended
//! ```
//!
//! The DELETE of a lost session runs in the background.
//!
//! The driver numbers its requests for an offer. Every event of a webrtcbin carries the
//! number that it was made for. The driver drops events with an older number.
//!
//! PLAYING→PAUSED does not end the session: webrtcbin's state is locked in PLAYING.
//!
//! # Threads
//!
//! | thread | what it does |
//! | --- | --- |
//! | streaming threads of upstream | note caps and EOS, align timestamps, insert metadata, pass or drop buffers, measure those that pass, push what is due to webrtcbin, send messages to the conductor |
//! | application | sets properties, requests pads, queues metadata, changes states; in PAUSED→READY it closes the gates, shuts webrtcbin down and waits for the end of the session |
//! | conductor, `ivswhipsink:run`, one from start to stop | owns the run: makes, calls and removes webrtcbin; opens and closes the gates; emits `webrtcbin-ready`; posts the session's messages; every 10 ms, or 30 on a wide network, estimates the bandwidth, sets the encoder, notifies `target-bitrate` |
//! | `ivswhipsink:rtp`, one for each video pad that is paced, up to its release or the stop | pushes the packets and events that had to wait to webrtcbin, each at its time |
//! | `ivswhipsink:token`, one for each request | emits `request-token` |
//! | threads of webrtcbin and libnice | report changes of the connection to the driver, count what arrives, number what leaves, read feedback, bound what is sent again |
//! | driver, `ivswhipsink`, one per process | HTTP, timers, STUN checks; never blocks; reads token files on the runtime's blocking pool |
//! | loader, `ivswhipsink:load`, once per process | loads webrtcbin's plugins before the first session |
//!
//! Everything that happens to a run reaches its conductor through one channel, and only
//! the conductor changes the run. A stop drops the channel's sender and takes the
//! session and the peer connection out of the `RunView`. A conductor that is still busy
//! then has no peer connection to act on.
//!
//! A handler of a message or signal may therefore stop the pipeline. The stop waits for
//! the driver. It waits for the conductor only while the conductor makes or closes a
//! webrtcbin, and never on the conductor's own thread.
//!
//! # The rule for locks
//!
//! A guard lives in one block that takes a value out or puts one in. It is never held
//! across a signal, a pad or element call, a bus message or an `.await`. No two guards
//! are held at once. Sending into a channel under a guard is allowed.
//!
//! # Invariants
//!
//! A name without a path is a test in `tests/element` or `tests/session`.
//!
//! | invariant | tests and lints |
//! | --- | --- |
//! | Every session that the server created is deleted once, on the host that created it, however it ends. | `redirected_published_and_deleted_where_it_was_made`, `while_publishing_twice_deletes_once`, `at_many_moments_of_the_connect`, `before_the_answer_waits_for_it_and_deletes_its_session`, `a_lost_session_is_replaced_at_once_and_its_resource_deleted_alongside`, `an_answer_that_breaks_off_is_tried_again_and_nothing_stays_behind` |
//! | A stop takes a bounded time, from any thread. | `from_within_a_message_of_the_session`, `from_an_applications_own_async_runtime`, `before_the_answer_waits_for_it_and_deletes_its_session`, `stopping_while_waiting_for_another_attempt_takes_no_time`, `unanswered_is_given_up_in_time` |
//! | The token goes only to hosts that may have it, and never from https to http. | `host_that_may_not_have_the_token_hears_nothing`, `https_to_http_is_refused_with_and_without_a_token`, `http_resource_of_a_https_session_does_not_see_the_token`, and the tables in `src/ivs/token_scope.rs` |
//! | No message, log line, graph dump, command line or `Debug` output shows the token, a URL's path or a secret of the connection. docs/secrets.md lists the exceptions. | `graphs_properties_and_messages_in_every_state`, `log_of_every_category_at_the_highest_level`, `output_of_gst_launch_and_the_list_of_processes`, `token_is_write_only`, `none_shows_a_token_or_a_password`, `no_event_of_a_session_shows_them`, `no_failure_shows_them`, `no_event_shows_the_credential_of_an_ice_server`, `words_of_a_server_that_repeats_the_token_do_not_show_it`, `words_of_a_server_that_repeats_the_path_do_not_show_it` |
//! | No media is sent before the peer has shown the certificate that its answer announced. | `a_wrong_certificate_gets_not_one_media_packet`; `a_session_that_ends_within_a_burst_leaves_nothing_of_it_to_the_next` in `src/element/input/pad_stream_tests.rs` |
//! | A pad that can't be published, or a packet that webrtcbin does not take, harms no other pad and no later session. | `on_air_a_pad_that_can_not_be_published_is_a_warning_and_hurts_nothing`, `a_packet_that_webrtcbin_does_not_take_is_a_lost_session`, and the tables in `src/element/run/lineup.rs` |
//! | A run without a fault logs nothing at WARNING or above, GLib's criticals included, except a line of GStreamer 1.22 about `nicesrc`. | `tests/element/clean_log.rs` |
//! | Failed attempts and lost sessions leave no descriptors, threads or memory behind. | `refused_connections_leave_none_behind`; `twenty_publishers_with_random_faults_leave_nothing` of `make test-long`; `one_publisher_is_back_on_air_after_each_fault` of `make soak` |
//! | A session never blocks upstream. | `the_other_branch_of_a_tee_loses_nothing_through_restarts` |
//! | Live media are sent as they come, whatever their timestamps, and streams of one clock stay in sync. | `tests/element/on_time.rs`, and the tables in `src/media/time_alignment.rs` |
//! | After each connect video begins with a key frame; a stream without key frames begins after a wait. | `video_begins_with_a_key_frame_after_every_connect`; `a_stream_without_key_frames_passes_after_a_while` in `src/element/input/gate.rs` |
//! | A far end that vanished is noticed within `silence-timeout` and one check interval; a live one is not given up. | `a_frozen_stage_is_noticed_within_the_bound_and_two_seconds`, `the_network_gone_and_back`, `a_short_freeze_is_no_loss`, `a_quiet_link_that_lives_is_no_loss`, `a_pause_is_no_loss`, `a_deaf_media_socket_is_lost_although_the_far_end_answers_checks` |
//! | Retries do not flood a server, and what a retry can't fix is not retried. | `a_server_that_takes_and_drops_is_not_hammered` and its neighbours in `src/session/backoff.rs`; `busy_servers_are_asked_again_when_they_say`, `a_refusal_that_no_attempt_can_mend_is_final`, `on_air_only_a_code_of_ivs_is_final` |
//! | Each kind of IVS limit violation is one warning per run, and only if the host or the token shows that the server is IVS. | a test for each limit in `src/ivs/limits/checks.rs`; `tests/element/limits.rs`; `good_audio_and_video_warn_of_nothing`, `each_cause_is_told_once_also_by_the_sessions_that_follow`, `a_server_that_is_not_ivs_has_limits_of_its_own` |
//! | `video-filler=auto` publishes wherever one of the filler modes is accepted, and starts with that mode the next time. | `tests/element/filler.rs`, a test for each path; `auto_falls_back_at_once_and_the_second_start_needs_one_request` |
//! | An encoder is never set above what its user has set, keeps what the user sets meanwhile, and has the user's bit rate after a stop. | `an_encoder_in_a_straight_line_starts_low_and_rises_to_what_the_user_set`, `what_the_user_sets_meanwhile_is_the_new_ceiling_and_stays`, `a_stop_gives_the_encoder_back_what_the_user_set`; `src/element/input/known_encoders.rs` |
//! | Audio is neither paced nor left out. A far end without feedback is sent to as without congestion control. | `without_any_feedback_it_is_as_without_congestion_control`, `none_offers_paces_and_sets_nothing`; `what_is_reached_on_simulated_networks` in `src/media/bandwidth/simulation` |
//! | Retransmissions are bounded, whatever the far end asks for. | `what_the_far_end_asks_for_is_sent_again_within_bounds`; `src/media/bandwidth/retransmission_budget.rs` |
//! | Metadata keep AWS's bounds, wait for a frame that leaves, and leave with it or not at all. | `tests/element/metadata.rs`; `what_is_ahead_of_a_frame_shares_its_fate_while_frames_are_left_out` in `src/element/input/outgoing.rs` |
//! | Raw video leaves as constrained baseline with a slice a frame, and a key frame at least every 2 s. | `tests/element/raw_video.rs`; `the_last_picture_in_time_becomes_the_key_frame` in `src/element/input/chain/encoder_watch.rs` |
//! | Reading `stats` never blocks. | `reading_does_not_wait_and_does_no_harm_in_any_state` |
//! | Events of a replaced webrtcbin have no effect. | `news_of_an_older_peer_connection_are_dropped` |
//! | Gathering and trickling delay nothing, and IVS gets no PATCH. | `offer_is_posted_without_waiting_for_candidates`, `a_patch_that_is_refused_or_never_answered_ends_nothing`, `ivs_gets_no_patch` |
//! | A valid answer is applied unchanged. | `a_good_answer_stays_as_it_is` in `src/whip/answer_repair.rs` |
//! | A stopped element can start again, and nothing of its last run is left. | `playing_null_playing_publishes_again`, `a_failed_session_does_not_spoil_the_next`; the slow tests of `make test-long` |
//! | The plugin loads where webrtcbin is missing, and names what is missing. | `gst_inspect_survives_without_any_other_plugin`, `without_webrtcbin`, `without_libnices_elements` |
//! | No GStreamer type in [`media`], [`whip`], [`ivs`] and [`session`]. | `make lower` builds and tests them without the feature `element` |
//! | No `unsafe`, and no `unwrap`, `expect` or `panic!` outside tests. | the lints `unsafe_code`, `unwrap_used`, `expect_used` and `panic` |
//! | No guard is held across an `.await` or for the length of a `match`. | the lints `await_holding_lock` and `significant_drop_in_scrutinee`; no lint covers other calls, so reviewers check them |

#[cfg(feature = "element")]
pub mod element;
pub mod ivs;
pub mod media;
#[cfg(test)]
mod random;
pub mod session;
pub mod whip;

#[cfg(feature = "element")]
pub use plugin::plugin_register_static;

/// The plugin's entry point, in its own module because the macro's items have no docs.
#[cfg(feature = "element")]
#[allow(missing_docs, clippy::expect_used)]
mod plugin {
    fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        crate::element::register(plugin)
    }

    // GStreamer takes only licences of its own list, and none with a choice. There is no
    // URL of the project yet.
    gst::plugin_define!(
        ivs,
        concat!(
            env!("CARGO_PKG_DESCRIPTION"),
            " (",
            env!("CARGO_PKG_LICENSE"),
            ")"
        ),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        concat!(env!("CARGO_PKG_NAME"), ", with its manual in README.md"),
        env!("BUILD_REL_DATE")
    );
}
