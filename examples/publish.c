/* Publishes a test picture and tone, and tells how it goes.
 *
 *     cc examples/publish.c -o publish $(pkg-config --cflags --libs gstreamer-1.0)
 *     IVS_STAGE_TOKEN=… ./publish [ENDPOINT]
 *
 * The endpoint defaults to Amazon IVS. Ctrl-C and SIGTERM stop the program. If the
 * variable IVS_TOKEN_COMMAND is set, its command prints a new token when one is needed.
 * Debian: libgstreamer1.0-dev and what the plugin needs. */

#include <glib-unix.h>
#include <gst/gst.h>

/* For a camera and a microphone: autovideosrc and autoaudiosrc. The element encodes. */
static const char *const PIPELINE =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1"
    "    ! queue ! whip. "
    "audiotestsrc is-live=true ! queue ! whip. "
    "ivswhipsink name=whip";

static GMainLoop *loop;
static gboolean failed = FALSE;

static gboolean on_message(GstBus *bus, GstMessage *message, gpointer data) {
    const GstStructure *structure = gst_message_get_structure(message);
    GError *error = NULL;
    switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_ELEMENT:
        if (gst_structure_has_name(structure, "ivswhipsink-session-state"))
            g_print("The session is %s.\n", gst_structure_get_string(structure, "state"));
        break;
    case GST_MESSAGE_WARNING:
        /* Failures among them are no reason to stop: the element tries again. */
        gst_message_parse_warning(message, &error, NULL);
        g_printerr("Warning: %s\n", error->message);
        break;
    case GST_MESSAGE_ERROR:
        gst_message_parse_error(message, &error, NULL);
        g_printerr("Error: %s\n", error->message);
        failed = TRUE;
        g_main_loop_quit(loop);
        break;
    case GST_MESSAGE_EOS:
        g_main_loop_quit(loop);
        break;
    default:
        break;
    }
    g_clear_error(&error);
    return G_SOURCE_CONTINUE;
}

/* Called on a thread of its own. The element frees the text. NULL leaves it without a
 * new token. */
static char *fetch_token(GstElement *sink, gpointer command) {
    char *printed = NULL;
    if (!g_spawn_command_line_sync(command, &printed, NULL, NULL, NULL)) return NULL;
    g_strstrip(printed);
    if (*printed == '\0') g_clear_pointer(&printed, g_free);
    return printed;
}

static gboolean print_statistics(gpointer sink) {
    GstStructure *stats;
    guint64 packets, rate;
    g_object_get(sink, "stats", &stats, NULL);
    /* A field that is not known yet is absent. */
    if (gst_structure_get_uint64(stats, "audio-packets", &packets) &&
        gst_structure_get_uint64(stats, "video-bit-rate", &rate))
        g_print("Sent %" G_GUINT64_FORMAT " packets of audio; video has %" G_GUINT64_FORMAT
                " kbit/s.\n", packets, rate / 1000);
    gst_structure_free(stats);
    return G_SOURCE_CONTINUE;
}

static void quit(gpointer data) { g_main_loop_quit(loop); }

static gboolean stop(gpointer pipeline) {
    /* The element deletes its session and posts EOS. The wait for that has a limit,
     * since a source that is stuck passes no end of stream on. */
    gst_element_send_event(pipeline, gst_event_new_eos());
    g_timeout_add_once(10 * 1000, quit, NULL);
    return G_SOURCE_CONTINUE;
}

int main(int argc, char *argv[]) {
    GError *error = NULL;
    gst_init(&argc, &argv);
    GstElement *pipeline = gst_parse_launch(PIPELINE, &error);
    if (error) {
        g_printerr("Error: %s\n", error->message);
        return 1;
    }
    /* Reads the token from IVS_STAGE_TOKEN: other users could see it in the arguments. */
    GstElement *sink = gst_bin_get_by_name(GST_BIN(pipeline), "whip");
    if (argc > 1) g_object_set(sink, "whip-endpoint", argv[1], NULL);
    char *command = (char *)g_getenv("IVS_TOKEN_COMMAND");
    if (command) g_signal_connect(sink, "request-token", G_CALLBACK(fetch_token), command);

    loop = g_main_loop_new(NULL, FALSE);
    GstBus *bus = gst_element_get_bus(pipeline);
    gst_bus_add_watch(bus, on_message, NULL);
    g_unix_signal_add(SIGINT, stop, pipeline);
    g_unix_signal_add(SIGTERM, stop, pipeline);
    g_timeout_add_seconds(1, print_statistics, sink);
    /* If it fails, the reason is on the bus. */
    gst_element_set_state(pipeline, GST_STATE_PLAYING);
    g_main_loop_run(loop);
    /* Deletes a session that is left, and waits for that, at most 3 seconds. */
    gst_element_set_state(pipeline, GST_STATE_NULL);

    gst_bus_remove_watch(bus);
    gst_object_unref(bus);
    gst_object_unref(sink);
    gst_object_unref(pipeline);
    g_main_loop_unref(loop);
    return failed ? 1 : 0;
}
