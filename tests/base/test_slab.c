/* SPDX-License-Identifier: BSD-3-Clause */
/* The slab. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/slab.h"

static void all_are_handed_out_once_and_no_more(void **state)
{
	bool seen[100] = {false};
	struct slab s;

	assert_true(slab_init(&s, 24, 16, 100));
	assert_int_equal(s.size, 32);
	for (unsigned i = 0; i < 100; i++) {
		uint32_t index = slab_take(&s);

		assert_in_range(index, 0, 99);
		assert_false(seen[index]);
		seen[index] = true;
		assert_int_equal(slab_index(&s, slab_at(&s, index)), index);
		assert_int_equal((uintptr_t)slab_at(&s, index) % 16, 0);
		memset(slab_at(&s, index), 0xff, 24);
	}
	assert_int_equal(slab_take(&s), SLAB_NONE);
	assert_int_equal(s.in_use, 100);
	slab_release(&s);
}

static void the_last_given_back_is_the_next_handed_out(void **state)
{
	uint32_t a, b;
	struct slab s;

	assert_true(slab_init(&s, 64, 64, 1000));
	a = slab_take(&s);
	b = slab_take(&s);
	slab_give(&s, a);
	slab_give(&s, b);
	assert_int_equal(slab_take(&s), b);
	assert_int_equal(slab_take(&s), a);
	assert_int_equal(slab_take(&s), 2);
	assert_int_equal(s.touched, 3);
	slab_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_are_handed_out_once_and_no_more),
		cmocka_unit_test(the_last_given_back_is_the_next_handed_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
