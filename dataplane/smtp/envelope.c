/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A transaction's sender and recipients: text packed into the envelope and then into pages, in the
 * order it came. Recipients that wait for an answer are behind those that were taken; when the
 * answers come the refused ones are closed up, which never moves one backwards past where it was.
 *
 * Thread, Time, Memory: smtp.h. Rules: none.
 */
#include <string.h>

#include "smtp/session.h"

enum { RECIPIENT_ALIGN = 4 };

static size_t recipient_size(const struct smtp_recipient *r)
{
	const size_t len = sizeof(*r) + smtp_recipient_address(r).len + r->orcpt_len;

	return (len + RECIPIENT_ALIGN - 1) / RECIPIENT_ALIGN * RECIPIENT_ALIGN;
}

static struct page *page_new(struct smtp *m)
{
	uint32_t index = slab_take(&m->pages);
	struct whole_page *whole;

	if (index == SLAB_NONE) {
		counter_add(&m->counters->smtp_no_page, 1);
		return NULL;
	}
	whole = slab_at(&m->pages, index);
	whole->page = (struct page){.bytes = whole->room, .size = sizeof(whole->room)};
	return &whole->page;
}

/* Gives back the pages behind one. */
static void pages_free_behind(struct smtp *m, struct page *page)
{
	struct page *next = page->next;

	page->next = NULL;
	while (next) {
		struct page *after = next->next;

		slab_give(&m->pages, slab_index(&m->pages, next));
		next = after;
	}
}

uint16_t envelope_begin(const struct envelope *e)
{
	const unsigned len = e->sender_len + e->envid_len;

	return (uint16_t)((len + RECIPIENT_ALIGN - 1) / RECIPIENT_ALIGN * RECIPIENT_ALIGN);
}

struct envelope *envelope_new(struct smtp *m, const struct address *sender,
			      const struct parameters *p)
{
	uint32_t index = slab_take(&m->envelopes);
	struct envelope *e;

	if (index == SLAB_NONE) {
		counter_add(&m->counters->smtp_no_envelope, 1);
		return NULL;
	}
	e = slab_at(&m->envelopes, index);
	memset(e, 0, offsetof(struct envelope, room));
	e->begun_ms = m->now_ms;
	e->declared_size = p->size;
	e->eight_bit_mime = p->eight_bit_mime;
	e->smtputf8 = p->smtputf8;
	e->ret = p->ret;
	e->sender_local_len = sender->local_len;
	e->sender_len = address_len(sender);
	e->envid_len = (uint16_t)p->envid.len;
	memcpy(e->room, sender->text, e->sender_len);
	if (p->envid.len)
		memcpy(e->room + e->sender_len, p->envid.bytes, p->envid.len);
	e->first = (struct page){
		.bytes = e->room,
		.size = sizeof(e->room),
		.used = envelope_begin(e),
	};
	e->last = &e->first;
	e->asked = (struct place){&e->first, e->first.used};
	return e;
}

void envelope_free(struct smtp *m, struct envelope *e)
{
	pages_free_behind(m, &e->first);
	slab_give(&m->envelopes, slab_index(&m->envelopes, e));
}

bool envelope_add(struct smtp *m, struct envelope *e, const struct address *recipient,
		  const struct parameters *p)
{
	const struct smtp_recipient head = {
		.local_len = recipient->local_len,
		.domain_len = recipient->domain_len,
		.orcpt_len = (uint16_t)p->orcpt.len,
		.notify = p->notify,
	};
	const size_t size = recipient_size(&head);
	struct smtp_recipient *r;

	if (e->last->used + size > e->last->size) {
		struct page *page = page_new(m);

		if (!page)
			return false;
		e->last = e->last->next = page;
	}
	r = (struct smtp_recipient *)(e->last->bytes + e->last->used);
	*r = head;
	memcpy(r->bytes, recipient->text, address_len(recipient));
	if (p->orcpt.len)
		memcpy(r->bytes + address_len(recipient), p->orcpt.bytes, p->orcpt.len);
	e->last->used = (uint16_t)(e->last->used + size);
	e->n_asked++;
	return true;
}

struct smtp_recipient *envelope_next(struct place *from)
{
	struct smtp_recipient *r;

	while (from->used == from->page->used) {
		if (!from->page->next)
			return NULL;
		*from = (struct place){from->page->next, 0};
	}
	r = (struct smtp_recipient *)(from->page->bytes + from->used);
	from->used = (uint16_t)(from->used + recipient_size(r));
	return r;
}

/* Moves a recipient to `to`, or to the next page where it does not fit: it was packed by the same
 * rule behind more, so that is not behind where it is now. */
static void move_recipient(struct place *to, const struct smtp_recipient *r)
{
	const size_t size = recipient_size(r);

	if (to->used + size > to->page->size) {
		to->page->used = to->used;
		*to = (struct place){to->page->next, 0};
	}
	memmove(to->page->bytes + to->used, r, size);
	to->used = (uint16_t)(to->used + size);
}

void envelope_settle(struct smtp *m, struct envelope *e, const struct smtp_answer *answers)
{
	struct place from = e->asked, to = e->asked;
	struct smtp_recipient *r;

	for (unsigned i = 0; i < e->n_asked; i++) {
		r = envelope_next(&from);
		if (answers[i].reply != REPLY_RECIPIENT_TAKEN)
			continue;
		r->tag = answers[i].tag;
		move_recipient(&to, r);
		e->n_taken++;
	}
	e->n_asked = 0;
	to.page->used = to.used;
	pages_free_behind(m, to.page);
	e->last = to.page;
	e->asked = to;
}
