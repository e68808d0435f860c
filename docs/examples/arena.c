/* SPDX-License-Identifier: MIT */
/*
 * Example: requests with an arena each, memory of the program's own on 64 KiB pages, and what
 * was got.
 *
 *     cc arena.c $(pkg-config --cflags --libs pg64) -o arena && ./arena
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <pg64.h>

/* One request: many small pieces, all freed at once. */
static size_t serve(struct pg64_arena *arena, int request)
{
	size_t words = 0;
	char *last = NULL;

	for (int i = 0; i < 10000; i++) {
		char *word = pg64_arena_alloc(arena, 32, 0);

		if (!word)
			return 0;
		snprintf(word, 32, "request %d word %d", request, i);
		words += last == NULL || strcmp(last, word) != 0;
		last = word;
	}
	if (pg64_arena_reset(arena) < 0)
		return 0;
	return words;
}

/* A table that the program maps itself. */
static int map_table(size_t len)
{
	void *table = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (table == MAP_FAILED)
		return 1;
	/* Ask before the first touch. -EOPNOTSUPP says that this kernel has nothing to offer. */
	int ret = pg64_advise(table, len, PG64_MEM_ANON);
	memset(table, 1, len);
	printf("table: %s\n", ret == 0 ? "asked for 64 KiB pages" : "on base pages");
	return munmap(table, len);
}

int main(void)
{
	struct pg64_arena *arena = pg64_arena_create();
	struct pg64_stats stats = {.size = sizeof(stats)};

	if (!arena) {
		perror("pg64_arena_create");
		return 1;
	}
	for (int request = 0; request < 10; request++)
		if (serve(arena, request) != 10000)
			return 1;
	if (pg64_arena_destroy(arena) < 0 || map_table(8 << 20) < 0 || pg64_stats_get(&stats) < 0)
		return 1;
	printf("heap: %" PRIu64 " bytes committed, backend %s\n", stats.heap_committed_bytes,
		pg64_backend_name(stats.backend[PG64_MEM_HEAP]));
	return 0;
}
