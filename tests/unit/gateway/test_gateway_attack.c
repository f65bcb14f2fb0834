/* SPDX-License-Identifier: Apache-2.0 */
/* What a client or a next hop with bad intent could gain: one test for each hole that was closed.
 */
#include "world.h"

#include <stdio.h>

static void say_message_begin(struct actor *a)
{
    client_say(a, "MAIL FROM:<a@example.net>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n");
    client_hear(a, "250 2.1.0");
    client_hear(a, "250 2.1.5");
    client_hear(a, "354");
}

/* The next hop gives up in mid-body, with and without a cut. The rest of the body is never taken
 * for commands. */
static void rest_of_a_refused_body_is_no_command(void **state)
{
    static const char *const refusals[] = {"421 4.3.2 closing\r\n", "552 5.3.4 too big\r\n",
                                           "250 2.0.0 so soon\r\n", "nonsense\r\n"};

    (void)state;
    for (unsigned i = 0; i < 16; i++) {
        struct world *w = world_new(
            i + 1, NULL, "next_hop = \"hop1.example:25\"; tls = { level = \"none\"; };", NULL);
        struct actor *a = client_ready(w);
        say_message_begin(a);
        client_say(a, i & 8 ? "Subject: x\r\n" : "Subject: x\r\n\r\nfirst\r\n");
        struct actor *hop = w->hops[0].actors;
        const char *refusal = refusals[i % 4];
        dp_sim_peer_send(hop->peer, refusal, strlen(refusal));
        if (i & 4) {
            dp_sim_peer_reset(hop->peer);
            hop->closed = true;
        }
        client_say(a, "RSET\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<c@example.org>\r\n");
        client_hear_nothing(a);
        client_say(a, ".\r\nNOOP\r\n");
        client_hear(a, i % 4 == 1 && !(i & 4) ? "552 5.3.4" : i % 4 == 1 ? "" : "451 4.");
        client_hear(a, "250 2.0.0");
        client_hear_nothing(a);
        assert_int_equal(w->hops[0].messages, 0);
        world_free(w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rest_of_a_refused_body_is_no_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
