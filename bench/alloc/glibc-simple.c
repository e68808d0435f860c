/* SPDX-License-Identifier: MIT */
/*
 * glibc-simple: blocks of one size, a small or a large number of them: all are allocated, half are
 * freed in the order of allocation, allocated again, and all are freed backwards. The best case of
 * every cache that an allocator has.
 *
 * Pattern: the bench-malloc-simple of the GNU C library's benchtests, the pattern only, written
 * anew.
 */
#include "common.h"

#define MAX_COUNT 1600
#define REPEATS 4000

static const uint16_t sizes[] = {8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096};
static const uint16_t counts[] = {25, 100, 400, MAX_COUNT};

struct shared {
	const struct options *options;
	uint64_t repeats; /* of blocks of one size; each has MAX_COUNT allocations */
	uint64_t operations[MAX_THREADS], checksum[MAX_THREADS];
};

/* One repeat: count blocks; returns the sum of the tags. */
static uint64_t once(struct slot *slots, unsigned count, size_t size, uint64_t tag)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < count; i++)
		slot_fill(&slots[i], size, tag + i);
	for (unsigned i = 0; i < count / 2; i++)
		sum += slot_empty(&slots[i]);
	for (unsigned i = 0; i < count / 2; i++)
		slot_fill(&slots[i], size, tag ^ i);
	for (unsigned i = count; i-- > 0;)
		sum += slot_empty(&slots[i]);
	return sum;
}

static void work(unsigned index, void *argument)
{
	struct shared *shared = argument;
	const uint64_t repeats = share(shared->repeats, shared->options->threads, index);
	struct slot *slots = get_block(MAX_COUNT * sizeof(*slots));
	uint64_t sum = 0, operations = 0;

	for (uint64_t i = 0; i < repeats; i++) {
		size_t size = sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
		unsigned count = counts[i / 10 % (sizeof(counts) / sizeof(counts[0]))];

		for (unsigned done = 0; done < MAX_COUNT; done += count) {
			sum += once(slots, count, size, mix64(i * MAX_COUNT + done));
			operations += count + count / 2;
		}
	}
	free(slots);
	shared->operations[index] = operations;
	shared->checksum[index] = sum;
}

int main(int argc, char **argv)
{
	static struct shared shared;
	struct options options;
	uint64_t operations = 0, checksum = 0;

	parse_options(&options, argc, argv);
	shared.options = &options;
	shared.repeats = scaled(&options, REPEATS);
	run_threads(options.threads, work, &shared);
	for (unsigned i = 0; i < options.threads; i++) {
		operations += shared.operations[i];
		checksum += shared.checksum[i];
	}
	print_metric("operations", operations);
	print_metric("checksum", checksum);
	return 0;
}
