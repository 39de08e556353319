/* SPDX-License-Identifier: BSD-3-Clause */
/* Thread, Time, Memory: behind.h. */
#include "behind.h"

bool behind_is_mine(const struct tcp *t, const struct tcp_conn *c)
{
	struct flow flow;

	tcp_flow(t, c, &flow);
	return flow.local_port == BEHIND_PORT;
}

static void answer(struct tcp *t, struct tcp_conn *c)
{
	static const char fine[] = "250 fine\r\n";
	struct span in;

	while ((in = tcp_read(t, c, 0)).len) {
		unsigned lines = 0;

		for (size_t i = 0; i < in.len; i++)
			lines += in.bytes[i] == '\n';
		tcp_consume(t, c, in.len);
		while (lines--)
			tcp_send(t, c, fine, sizeof(fine) - 1);
	}
}

void behind_news(struct tcp *t, struct tcp_conn *c, unsigned news)
{
	static const char greeting[] = "220 server.example ESMTP\r\n";

	if (news & TCP_ENDED)
		return;
	if (news & TCP_OPENED)
		tcp_send(t, c, greeting, sizeof(greeting) - 1);
	answer(t, c);
	if (tcp_is_peer_done(c))
		tcp_close(t, c);
}
