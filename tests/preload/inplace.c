/* SPDX-License-Identifier: MIT */
/*
 * Memory at addresses of the program's choice, the way managed runtimes use it: a reservation that
 * is inaccessible, of which parts are committed by MAP_FIXED or opened by mprotect(), and mappings
 * with an address hint. The output must be the same without the library; what only the library
 * does is asserted where it helps.
 *
 * usage: inplace [helped | pages COUNT]
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define PAGE ((size_t)4096)
#define GRANULE (64 * KIB)

static int helped; /* pg64 serves mmap here, and mappings get 64 KiB pages */

static char *at(char *addr, size_t len, int prot, int flags)
{
	char *p = mmap(addr, len, prot, flags, -1, 0);

	CHECK(p != MAP_FAILED && (!(flags & MAP_FIXED) || p == addr));
	return p;
}

/* Inaccessible, and at a multiple of 4 MiB: no fence in the first 1.9 MiB. */
static char *reserved(size_t len, int flags)
{
	char *p = at(NULL, len + 4 * MIB, PROT_NONE, ANON | flags);
	size_t head = -(uintptr_t)p & (4 * MIB - 1);

	if (head)
		CHECK(munmap(p, head) == 0);
	CHECK(munmap(p + head + len, 4 * MIB - head) == 0);
	return p + head;
}

/*
 * Of [p, p + len): VMAs, and how many of them are advised (VmFlags: hg), or not (nh); what smaps
 * says of the program's memory while nobody else changes it.
 */
struct vmas {
	int count, advised, refused;
};

static struct vmas look(const char *p, size_t len)
{
	char line[4096];
	unsigned long start, end, from = (unsigned long)p, to = from + len;
	struct vmas found = {0, 0, 0};
	int inside = 0;
	FILE *f = fopen("/proc/self/smaps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
			inside = start < to && end > from;
			found.count += inside;
		} else if (inside && strncmp(line, "VmFlags:", 8) == 0) {
			found.advised += strstr(line, " hg") != NULL;
			found.refused += strstr(line, " nh") != NULL;
		}
	}
	fclose(f);
	return found;
}

static int is_advised(const char *p, size_t len)
{
	struct vmas vmas = look(p, len);

	return vmas.count > 0 && vmas.advised == vmas.count;
}

static int is_alone(const char *p, size_t len)
{
	return look(p, len).advised == 0;
}

/* Fill it and read it back; on 64 KiB pages by far fewer faults than it has pages. */
static void use(char *p, size_t len, int cheap)
{
	struct rusage before, after;

	CHECK(getrusage(RUSAGE_SELF, &before) == 0);
	for (size_t i = 0; i < len; i += PAGE)
		p[i] = (char)(i / PAGE + 1);
	CHECK(getrusage(RUSAGE_SELF, &after) == 0);
	for (size_t i = 0; i < len; i += PAGE)
		CHECK(p[i] == (char)(i / PAGE + 1));
	if (cheap)
		CHECK((size_t)(after.ru_minflt - before.ru_minflt) < len / PAGE / 4);
}

/* As HotSpot does. */
static void commit(int flags)
{
	char *p = reserved(16 * MIB, flags);
	unsigned long long fixed = counter("fixed_advised");

	at(p + MIB, 4 * MIB, RW, ANON | MAP_FIXED);
	CHECK(is_alone(p, MIB) && is_alone(p + 5 * MIB, 11 * MIB));
	if (helped)
		CHECK(is_advised(p + MIB, 4 * MIB) && counter("fixed_advised") == fixed + 1);
	use(p + MIB, 4 * MIB, helped);
	/* Given back, and committed again together with what follows it. */
	at(p + 3 * MIB, 2 * MIB, PROT_NONE, ANON | MAP_FIXED | flags);
	CHECK(is_alone(p + 3 * MIB, 2 * MIB));
	at(p + 3 * MIB, 5 * MIB, RW, ANON | MAP_FIXED);
	CHECK(!helped || is_advised(p + MIB, 7 * MIB));
	use(p + 3 * MIB, 5 * MIB, helped);
	CHECK(munmap(p, 16 * MIB) == 0);
	printf("committed, %d\n", flags);
}

/* As V8 does. */
static void hinted(void)
{
	char *p = reserved(8 * MIB, MAP_NORESERVE);

	CHECK(munmap(p, 8 * MIB) == 0);
	CHECK(at(p, 4 * MIB, RW, ANON) == p);
	CHECK(is_alone(p, 4 * MIB));
	use(p, 4 * MIB, 0);
	/* Taken: wherever it comes to lie. */
	char *q = at(p, 4 * MIB + PAGE, RW, ANON);
	CHECK(q != p && is_alone(q, 4 * MIB + PAGE));
	CHECK(munmap(q, 4 * MIB + PAGE) == 0 && munmap(p, 4 * MIB) == 0);
	p = at(p, 4 * MIB, PROT_NONE, ANON | MAP_NORESERVE);
	CHECK(mprotect(p + MIB, MIB, RW) == 0);
	CHECK(!helped || is_advised(p + MIB, MIB));
	CHECK(is_alone(p, MIB) && is_alone(p + 2 * MIB, 2 * MIB));
	use(p + MIB, MIB, helped);
	CHECK(munmap(p, 4 * MIB) == 0);
	/* Filled by the kernel, with advice after that. */
	unsigned char present[1024];
	p = at(p, 4 * MIB, RW, ANON | MAP_POPULATE);
	CHECK(mincore(p, 4 * MIB, present) == 0 && (present[0] & present[1023] & 1));
	CHECK(munmap(p, 4 * MIB) == 0);
	p = at(p, 4 * MIB, PROT_NONE, ANON | MAP_NORESERVE);
	at(p, 4 * MIB, RW, ANON | MAP_FIXED | MAP_POPULATE);
	CHECK(!helped || is_advised(p, 4 * MIB));
	CHECK(mincore(p, 4 * MIB, present) == 0 && (present[0] & present[1023] & 1));
	CHECK(munmap(p, 4 * MIB) == 0);
	puts("hinted");
}

/* Large and small pieces side by side, by hints: one VMA, which can be resized as one. */
static void hinted_pieces(void)
{
	char *p = reserved(64 * MIB, MAP_NORESERVE), *end = p;

	CHECK(munmap(p, 64 * MIB) == 0);
	for (int i = 0; i < 300; i++) {
		size_t len = i % 2 ? 33 * PAGE : 8 * PAGE;

		CHECK(at(end, len, RW, ANON) == end);
		end += len;
	}
	CHECK(look(p, (size_t)(end - p)).count == 1);
	p = mremap(p, (size_t)(end - p), 40 * MIB, MREMAP_MAYMOVE);
	CHECK(p != MAP_FAILED && munmap(p, 40 * MIB) == 0);
	puts("hinted pieces");
}

static void opened(int flags)
{
	char *p = reserved(16 * MIB, flags);
	unsigned long long count = counter("opened_advised");

	CHECK(mprotect(p + MIB, 8 * MIB, RW) == 0);
	CHECK(is_alone(p, MIB) && is_alone(p + 9 * MIB, 7 * MIB));
	if (helped)
		CHECK(is_advised(p + MIB, 8 * MIB) && counter("opened_advised") == count + 1);
	use(p + MIB, 8 * MIB, helped);
	/* Closed and opened again: what was in it is still there. */
	CHECK(mprotect(p + 2 * MIB, MIB, PROT_NONE) == 0);
	CHECK(mprotect(p + 2 * MIB, MIB, RW) == 0);
	CHECK(p[2 * MIB] == (char)(MIB / PAGE + 1));
	CHECK(!helped || counter("opened_advised") == count + 1);
	/* Readable first. */
	CHECK(mprotect(p + 10 * MIB, 2 * MIB, PROT_READ) == 0);
	CHECK(is_alone(p + 10 * MIB, 2 * MIB) && p[10 * MIB] == 0);
	CHECK(mprotect(p + 10 * MIB, 2 * MIB, RW) == 0);
	CHECK(!helped || is_advised(p + 10 * MIB, 2 * MIB));
	errno = 77;
	CHECK(mprotect(p + 13 * MIB, MIB, RW) == 0 && errno == 77);
	CHECK(mprotect(p + PAGE / 2, MIB, RW) == -1 && errno == EINVAL);
	CHECK(munmap(p, 16 * MIB) == 0);
	CHECK(mprotect(p + MIB, MIB, RW) == -1 && errno == ENOMEM);
	printf("opened, %d\n", flags);
}

/* In steps, each of which is used before the next: as many VMAs as without the library. */
static void grown(size_t step, int by_mapping)
{
	char *p = reserved(2 * MIB, MAP_NORESERVE);
	size_t size = 0;

	for (; size < MIB; size += step) {
		if (by_mapping)
			at(p + size, step, RW, ANON | MAP_FIXED | MAP_NORESERVE);
		else
			CHECK(mprotect(p + size, step, RW) == 0);
		use(p + size, step, 0);
	}
	CHECK(!helped || is_advised(p, size));
	printf("grown by %zu to %d VMAs\n", step, look(p, 2 * MIB).count);
	CHECK(munmap(p, 2 * MIB) == 0);
}

/* Downwards, and from both sides into one. */
static void grown_together(void)
{
	char *p = reserved(2 * MIB, 0);

	for (size_t at_page = MIB; at_page > MIB / 2; at_page -= 2 * PAGE)
		CHECK(mprotect(p + at_page - 2 * PAGE, 2 * PAGE, RW) == 0);
	CHECK(mprotect(p, MIB / 4, RW) == 0 && mprotect(p + MIB / 4, MIB / 4, RW) == 0);
	CHECK(!helped || is_advised(p, MIB));
	use(p, MIB, helped);
	/* As one it can be moved, and what it was is forgotten. */
	char *q = mremap(p, MIB, MIB, MREMAP_MAYMOVE | MREMAP_FIXED, reserved(2 * MIB, 0));
	CHECK(q != MAP_FAILED && q[PAGE] == 2);
	at(p, MIB, PROT_READ, ANON | MAP_FIXED);
	CHECK(munmap(p, 2 * MIB) == 0 && munmap(q, 2 * MIB) == 0);
	puts("grown together");
}

static void left_alone(void)
{
	static const int flags[] = {MAP_STACK, MAP_GROWSDOWN};
	char *p = reserved(32 * MIB, MAP_NORESERVE);

	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		/* Not over the reservation, nor in a mapping of its own. */
		at(p, MIB, PROT_NONE, ANON | MAP_FIXED | flags[i]);
		CHECK(mprotect(p, MIB, RW) == 0 && is_alone(p, MIB));
		at(p, MIB, RW, ANON | MAP_FIXED | flags[i]);
		CHECK(is_alone(p, MIB));
		char *q = at(NULL, MIB, PROT_NONE, ANON | flags[i]);
		CHECK(mprotect(q + PAGE, MIB - PAGE, RW) == 0 && is_alone(q, MIB));
		CHECK(munmap(q, MIB) == 0);
	}
	/* Code, also while it is written anew. */
	at(p + 2 * MIB, 2 * MIB, RW | PROT_EXEC, ANON | MAP_FIXED);
	CHECK(mprotect(p + 6 * MIB, 2 * MIB, PROT_READ | PROT_EXEC) == 0);
	CHECK(mprotect(p + 6 * MIB, 2 * MIB, RW) == 0);
	CHECK(is_alone(p + 2 * MIB, 6 * MIB));
	/* The program's own advice wins, given before or after. */
	CHECK(madvise(p + 8 * MIB, 4 * MIB, MADV_NOHUGEPAGE) == 0);
	CHECK(mprotect(p + 8 * MIB, 4 * MIB, RW) == 0 && is_alone(p + 8 * MIB, 4 * MIB));
	CHECK(look(p + 8 * MIB, 4 * MIB).refused > 0);
	CHECK(mprotect(p + 16 * MIB, 4 * MIB, RW) == 0);
	CHECK(madvise(p + 16 * MIB, 4 * MIB, MADV_NOHUGEPAGE) == 0);
	CHECK(mprotect(p + 16 * MIB, 2 * MIB, PROT_NONE) == 0);
	CHECK(mprotect(p + 16 * MIB, 2 * MIB, RW) == 0 && is_alone(p + 16 * MIB, 4 * MIB));
	/* Of no use: no whole granule. */
	CHECK(munmap(p, 32 * MIB) == 0);
	at(p + PAGE, GRANULE, RW, ANON | MAP_FIXED);
	CHECK(is_alone(p + PAGE, GRANULE) && munmap(p + PAGE, GRANULE) == 0);
	puts("left alone");
}

/* What is unmapped, mapped over or moved away is not known any more. */
static void forgotten(void)
{
	char *p = reserved(8 * MIB, MAP_NORESERVE), *room = reserved(8 * MIB, MAP_NORESERVE);
	unsigned long long count = counter("opened_advised");
	FILE *file = tmpfile();

	CHECK(file && ftruncate(fileno(file), 8 << 20) == 0);
	CHECK(munmap(p, 2 * MIB) == 0);
	at(p, 2 * MIB, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED);
	CHECK(mprotect(p, 2 * MIB, RW) == 0);
	CHECK(mmap(p + 2 * MIB, 2 * MIB, PROT_NONE, MAP_PRIVATE | MAP_FIXED, fileno(file), 0) ==
		p + 2 * MIB);
	CHECK(mprotect(p + 2 * MIB, 2 * MIB, RW) == 0);
	CHECK(mremap(p + 4 * MIB, 2 * MIB, 2 * MIB, MREMAP_MAYMOVE | MREMAP_FIXED, room) == room);
	at(p + 4 * MIB, 2 * MIB, PROT_READ, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED);
	CHECK(mprotect(p + 4 * MIB, 2 * MIB, RW) == 0);
	CHECK(mprotect(room, 2 * MIB, RW) == 0);
	CHECK(is_alone(p, 8 * MIB) && counter("opened_advised") == count);
	int id = shmget(IPC_PRIVATE, MIB, IPC_CREAT | 0600);
	if (id >= 0) {
		CHECK(shmat(id, p + 6 * MIB, SHM_REMAP) == p + 6 * MIB);
		CHECK(shmctl(id, IPC_RMID, NULL) == 0);
		CHECK(mprotect(p + 6 * MIB, MIB, RW) == 0 && is_alone(p + 6 * MIB, MIB));
		at(p + 6 * MIB, MIB, PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE);
	}
	/* A length that is no whole page, mapped over the start: to the end of its page. */
	char *over = at(NULL, PAGE, RW, ANON);
	CHECK(mremap(over, PAGE, 100, MREMAP_MAYMOVE | MREMAP_FIXED, p + 6 * MIB) == p + 6 * MIB);
	CHECK(mprotect(p + 6 * MIB + PAGE, MIB, RW) == 0);
	CHECK(!helped || is_advised(p + 6 * MIB + PAGE, MIB));
	/* The rest of it is. */
	CHECK(mprotect(p + 6 * MIB, 2 * MIB, RW) == 0);
	CHECK(!helped || is_advised(p + 6 * MIB + PAGE, 2 * MIB - PAGE));
	CHECK(munmap(p, 8 * MIB) == 0 && munmap(room, 8 * MIB) == 0);
	fclose(file);
	puts("forgotten");
}

static void forked(void)
{
	char *p = reserved(16 * MIB, MAP_NORESERVE);
	int status = 1;

	CHECK(mprotect(p, 4 * MIB, RW) == 0);
	use(p, 4 * MIB, helped);
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	/* Both open the same part, and another one; what was filled is the child's own. */
	CHECK(mprotect(p + 4 * MIB, 4 * MIB, RW) == 0);
	CHECK(mprotect(p + (pid ? 8 : 12) * MIB, 4 * MIB, RW) == 0);
	CHECK(!helped || is_advised(p, 8 * MIB));
	CHECK(is_alone(p + (pid ? 12 : 8) * MIB, 4 * MIB));
	CHECK(p[PAGE] == 2);
	use(p + 4 * MIB, 4 * MIB, helped);
	p[PAGE] = pid ? 3 : 4;
	if (pid == 0)
		_exit(munmap(p, 16 * MIB));
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(p[PAGE] == 3 && munmap(p, 16 * MIB) == 0);
	puts("forked");
}

/* Scattered and closed again: more of them than VMAs that a process may have. */
static void scattered(size_t count)
{
	char *p = reserved(count * 2 * PAGE, MAP_NORESERVE);

	for (size_t i = 0; i < count; i++) {
		CHECK(mprotect(p + 2 * i * PAGE, PAGE, RW) == 0);
		CHECK(mprotect(p + 2 * i * PAGE, PAGE, PROT_NONE) == 0);
	}
	CHECK(munmap(p, count * 2 * PAGE) == 0);
	puts("scattered");
}

/* For tests that look from outside: reserved, then opened by pages, each of them twice. */
static int opened_by_pages(size_t pages)
{
	char *p = reserved(8 * MIB, MAP_NORESERVE);

	for (size_t i = 0; i < 2 * pages; i++)
		CHECK(mprotect(p + i / 2 * PAGE, PAGE, RW) == 0);
	return 0;
}

/* The same: mapped and unmapped, as whole granules or not. */
static int mapped_and_unmapped(size_t times, size_t len)
{
	for (size_t i = 0; i < times; i++) {
		void *p = mmap(NULL, len, RW, ANON, -1, 0);

		CHECK(p != MAP_FAILED && munmap(p, len) == 0);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 2 && strcmp(argv[1], "pages") == 0)
		return opened_by_pages((size_t)atoi(argv[2]));
	if (argc > 3 && strcmp(argv[1], "mappings") == 0)
		return mapped_and_unmapped((size_t)atoi(argv[2]), (size_t)atoi(argv[3]));
	helped = argc > 1 && strcmp(argv[1], "helped") == 0 && pg64_counter_name;
	commit(0);
	commit(MAP_NORESERVE);
	hinted();
	hinted_pieces();
	opened(0);
	opened(MAP_NORESERVE);
	for (int by_mapping = 0; by_mapping < 2; by_mapping++)
		for (size_t step = PAGE; step <= 4 * GRANULE; step *= 4)
			grown(step, by_mapping);
	grown_together();
	left_alone();
	forgotten();
	forked();
	scattered(70000);
	return 0;
}
