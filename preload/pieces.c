/* SPDX-License-Identifier: MIT */
/*
 * mremap() of memory that is several VMAs because of pg64 alone.
 *
 * Advice and fences keep VMAs apart that would be one without them: a mapping and a small MAP_FIXED
 * one inside it, or one that continues it. The kernel resizes and moves within one VMA, and says
 * EFAULT to more. Then the VMAs are looked up and taken one by one, if they differ in nothing that
 * the program sees.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "arena/regions.h"
#include "base/counters.h"
#include "base/lines.h"
#include "base/maps.h"
#include "base/sys.h"
#include "place.h"
#include "remap.h"

/* On the stack of a caller that may be a small thread's. */
#define PIECES_MAX 256

struct pieces {
	unsigned int count;
	uintptr_t at[PIECES_MAX + 1]; /* where each begins, and where the last one ends */
};

/* One more VMA of [.., end): false when it is not like the ones before, or does not follow them. */
static bool take_piece(
	struct pieces *pieces, const struct pg64_map *map, char *perms, uintptr_t end)
{
	if (map->start > pieces->at[pieces->count] || pieces->count == PIECES_MAX)
		return false;
	if (map->inode || (*map->path && strncmp(map->path, "[anon:", 6) != 0))
		return false;
	if (pieces->count == 0)
		memcpy(perms, map->perms, sizeof(map->perms));
	if (map->perms[3] != 'p' || strcmp(perms, map->perms) != 0)
		return false;
	pieces->at[++pieces->count] = map->end < end ? map->end : end;
	return true;
}

/* The VMAs of [start, end). False: it is not all private anonymous memory of one protection. */
static bool find_pieces(struct pieces *pieces, uintptr_t start, uintptr_t end)
{
	struct pg64_lines lines;
	struct pg64_map map;
	bool alike = true;
	char perms[sizeof(map.perms)];

	pieces->count = 0;
	pieces->at[0] = start;
	if (pg64_lines_open(&lines, "/proc/self/maps") < 0)
		return false;
	while (alike && pieces->at[pieces->count] < end && pg64_lines_next(&lines) > 0) {
		pg64_map_parse(lines.line, &map);
		if (map.end > start)
			alike = take_piece(pieces, &map, perms, end);
	}
	pg64_lines_close(&lines);
	return alike && pieces->at[pieces->count] == end;
}

/*
 * Move all, the last one grown by @grow. When one cannot be moved, what was moved goes back, and
 * @stuck is its place in the target.
 */
static void *move_all(
	const struct pieces *pieces, char *target, size_t grow, int flags, struct pg64_stuck *stuck)
{
	uintptr_t start = pieces->at[0];

	for (unsigned int i = 0; i < pieces->count; i++) {
		uintptr_t at = pieces->at[i];
		size_t len = pieces->at[i + 1] - at;
		size_t want = i + 1 == pieces->count ? len + grow : len;
		void *p = pg64_sys_mremap((void *)at, len, want,
			flags | MREMAP_MAYMOVE | MREMAP_FIXED, target + (at - start));

		if (!pg64_sys_is_err(p))
			continue;
		*stuck = (struct pg64_stuck){at - start, want};
		while (i-- > 0) {
			at = pieces->at[i];
			len = pieces->at[i + 1] - at;
			pg64_sys_mremap(target + (at - start), len, len,
				MREMAP_MAYMOVE | MREMAP_FIXED, (void *)at);
		}
		return p;
	}
	return target;
}

static void *move_to_place(const struct pieces *pieces, size_t new_len, size_t grow, int flags)
{
	char *target = pg64_place_reserve(new_len);
	struct pg64_stuck stuck;

	if (pg64_sys_is_err(target))
		return target;
	void *p = move_all(pieces, target, grow, flags, &stuck);
	if (pg64_sys_is_err(p))
		pg64_place_give_back(target + stuck.offset, stuck.len, new_len - stuck.offset);
	else
		pg64_count(PG64_C_mremap_realigned);
	return p;
}

static void *remap_pieces(const struct pieces *pieces, size_t grow, int flags, void *target)
{
	uintptr_t start = pieces->at[0], end = pieces->at[pieces->count];
	uintptr_t last = pieces->at[pieces->count - 1];

	if (flags & MREMAP_FIXED)
		return move_all(pieces, target, grow, flags, &(struct pg64_stuck){0});
	if (!(flags & PG64_MREMAP_DONTUNMAP)) {
		void *p = pg64_sys_mremap((void *)last, end - last, end - last + grow, 0, NULL);

		if (!pg64_sys_is_err(p))
			return (void *)start;
		if (!(flags & MREMAP_MAYMOVE))
			return p;
	}
	return move_to_place(pieces, end - start + grow, grow, flags);
}

void *pg64_remap_pieces(char *old, size_t old_len, size_t new_len, int flags, void *target)
{
	const bool moves = flags & (MREMAP_FIXED | PG64_MREMAP_DONTUNMAP);
	struct pieces pieces;
	void *refused = (void *)(intptr_t)-EFAULT;

	new_len = pg64_align_up(new_len, pg64_page_bytes());
	/* Nothing that shrinks meets more than the kernel can do, but for what also moves. */
	if (new_len < old_len || (new_len == old_len && !moves) ||
		!find_pieces(&pieces, (uintptr_t)old, (uintptr_t)old + old_len) || pieces.count < 2)
		return refused;
	void *p = remap_pieces(&pieces, new_len - old_len, flags, target);
	if (pg64_sys_is_err(p))
		return p;
	if (!(flags & PG64_MREMAP_DONTUNMAP))
		pg64_regions_remove((uintptr_t)old, old_len);
	/* Remembered for the next mremap(): it is several VMAs still. */
	pg64_regions_add((uintptr_t)p, new_len, PG64_MEM_KINDS, 0);
	return p;
}
