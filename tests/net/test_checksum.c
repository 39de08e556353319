/* SPDX-License-Identifier: BSD-3-Clause */
/* The fast checksum against the plainest one. */
#include <string.h>
#include <time.h>

#include "common/random.h"
#include "frames.h"
#include "net/checksum.h"

static uint16_t complemented(uint64_t sum)
{
	return rte_be_to_cpu_16((uint16_t)~checksum_fold(sum));
}

static void the_example_of_rfc_1071_sums_to_ddf2(void **state)
{
	static const uint8_t octets[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	assert_int_equal(rte_be_to_cpu_16(checksum_fold(checksum_add(octets, 8))), 0xddf2);
}

static void sums_of_any_length_and_alignment_agree(void **state)
{
	uint8_t octets[600];
	uint64_t seed = test_seed((uint64_t)time(NULL));

	for (unsigned i = 0; i < sizeof(octets); i++)
		octets[i] = (uint8_t)test_random(&seed);
	for (unsigned at = 0; at < 16; at++) {
		for (unsigned len = 0; at + len <= sizeof(octets); len++)
			assert_int_equal(complemented(checksum_add(octets + at, len)),
					 plain_checksum(octets + at, len, 0));
	}
}

static void no_carry_is_lost_in_a_packet_of_ones(void **state)
{
	static uint8_t ones[65535];

	memset(ones, 0xff, sizeof(ones));
	for (unsigned len = 0; len <= sizeof(ones); len += 1021)
		assert_int_equal(complemented(checksum_add(ones, len)),
				 plain_checksum(ones, len, 0));
}

static void sums_of_chains_agree_wherever_they_are_split(void **state)
{
	uint64_t seed = test_seed((uint64_t)time(NULL));

	for (unsigned round = 0; round < 4000; round++) {
		struct frame f = {.len = (uint32_t)(test_random(&seed) % 1200)};
		uint16_t splits[6];
		uint32_t offset = (uint32_t)(test_random(&seed) % (f.len + 1));
		uint32_t len = (uint32_t)(test_random(&seed) % (f.len - offset + 1));
		struct rte_mbuf *m;

		for (unsigned i = 0; i < f.len; i++)
			f.octets[i] = (uint8_t)test_random(&seed);
		for (unsigned i = 0; i < RTE_DIM(splits); i++)
			splits[i] = (uint16_t)(test_random(&seed) % (round % 2 ? 8 : 400));
		m = frame_mbuf_exact(&f, splits, RTE_DIM(splits));
		assert_int_equal(complemented(checksum_add_chain(m, offset, len)),
				 plain_checksum(f.octets + offset, len, 0));
		rte_pktmbuf_free(m);
	}
}

static void pseudo_headers_of_both_versions_agree(void **state)
{
	uint64_t seed = test_seed((uint64_t)time(NULL));

	for (unsigned round = 0; round < 2000; round++) {
		struct ip_addr from, to;
		uint32_t len = (uint32_t)(test_random(&seed) & 0xffff);
		bool v6 = round & 1;
		uint16_t plain;

		for (unsigned i = 0; i < 16; i++) {
			from.octets[i] = (uint8_t)test_random(&seed);
			to.octets[i] = (uint8_t)test_random(&seed);
		}
		if (v6) {
			plain = plain_checksum(
				NULL, 0, plain_pseudo_sum(true, from.octets, to.octets, 58, len));
		} else {
			from = ip_addr_from_v4(from.octets);
			to = ip_addr_from_v4(to.octets);
			plain = plain_checksum(NULL, 0,
					       plain_pseudo_sum(false, from.octets + 12,
								to.octets + 12, 58, len));
		}
		assert_int_equal(complemented(checksum_add_pseudo(&from, &to, 58, len)), plain);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_rfc_1071_sums_to_ddf2),
		cmocka_unit_test(sums_of_any_length_and_alignment_agree),
		cmocka_unit_test(no_carry_is_lost_in_a_packet_of_ones),
		cmocka_unit_test(sums_of_chains_agree_wherever_they_are_split),
		cmocka_unit_test(pseudo_headers_of_both_versions_agree),
	};

	return cmocka_run_group_tests(tests, frames_setup, frames_teardown);
}
