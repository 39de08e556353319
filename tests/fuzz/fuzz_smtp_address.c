/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Paths of any octets: nothing beyond the path is read, and a canonical form is canonical.
 *
 * The input is a kind and a path.
 */
#include <assert.h>
#include <string.h>

#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_parts(const struct address *a, enum address_kind kind)
{
	const uint16_t local_most =
		kind == ADDRESS_OF_SENDER ? SMTP_SENDER_LOCAL_MAX : SMTP_LOCAL_MAX;

	assert(a->local_len <= local_most && a->domain_len <= SMTP_DOMAIN_MAX);
	assert(a->local_len > 0 || (kind == ADDRESS_OF_SENDER && a->domain_len == 0));
	assert(!a->domain_len || a->text[a->local_len] == '@');
	for (uint16_t i = 0; i < address_len(a); i++) {
		assert(a->text[i] >= ' ' && a->text[i] != 0x7f);
		assert(a->beyond_ascii || a->text[i] < 0x80);
		if (i > a->local_len)
			assert(!(a->text[i] >= 'A' && a->text[i] <= 'Z'));
		if (i > a->local_len && a->text[a->local_len + 1] != '[')
			assert(a->text[i] != '@');
	}
}

static void check_again(const struct address *a, enum address_kind kind)
{
	uint8_t path[SMTP_ADDRESS_MAX + 2];
	struct span in = {path, address_len(a) + 2u};
	struct address again;
	bool read;

	path[0] = '<';
	memcpy(path + 1, a->text, address_len(a));
	path[in.len - 1] = '>';
	read = address_read(&in, kind, &again);
	assert(read && in.len == 0);
	assert(again.local_len == a->local_len && again.domain_len == a->domain_len);
	assert(again.beyond_ascii == a->beyond_ascii);
	assert(!memcmp(again.text, a->text, address_len(a)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum address_kind kind;
	struct address a;
	struct span in;

	if (!size)
		return 0;
	kind = data[0] & 1 ? ADDRESS_OF_SENDER : ADDRESS_OF_RECIPIENT;
	in = (struct span){data + 1, size - 1};
	if (!address_read(&in, kind, &a)) {
		assert(in.bytes == data + 1 && in.len == size - 1);
		return 0;
	}
	assert(in.bytes + in.len == data + size && in.bytes[-1] == '>');
	check_parts(&a, kind);
	check_again(&a, kind);
	return 0;
}
