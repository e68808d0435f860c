/* SPDX-License-Identifier: MIT */
/*
 * Leaves the free memory of the machine in pieces of less than 64 KiB, prints "ready", and keeps it
 * so until a line comes or standard input ends.
 *
 *   fragment pinned KEEP_MIB    fill memory but for KEEP_MIB with pages of pipes, then free 7 of
 *       each 8: the eighth cannot be moved, so that compaction cannot make it good
 *   fragment movable KEEP_MIB   the same with anonymous memory, where it can
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define PAGE_BYTES 4096ul
#define PIPE_PAGES 256ul
#define KEEP_ONE_OF 8ul

struct pipe_end {
	int read_fd, write_fd;
};

static void die(const char *what)
{
	fprintf(stderr, "fragment: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned long free_bytes(void)
{
	struct sysinfo info;

	if (sysinfo(&info))
		die("sysinfo");
	return info.freeram * info.mem_unit;
}

/* Enough pipes for `bytes`, all made before the first page goes into one. */
static struct pipe_end *make_pipes(unsigned long bytes, size_t *count)
{
	struct rlimit limit = {.rlim_cur = 1 << 16, .rlim_max = 1 << 16};
	struct pipe_end *pipes;

	*count = bytes / PAGE_BYTES / PIPE_PAGES + 2 * KEEP_ONE_OF;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		die("setrlimit");
	pipes = calloc(*count, sizeof(*pipes));
	if (!pipes)
		die("calloc");
	for (size_t i = 0; i < *count; i++) {
		int ends[2];

		if (pipe2(ends, O_NONBLOCK | O_CLOEXEC))
			die("pipe2");
		if (fcntl(ends[1], F_SETPIPE_SZ, (int)(PIPE_PAGES * PAGE_BYTES)) < 0)
			die("F_SETPIPE_SZ");
		pipes[i] = (struct pipe_end){.read_fd = ends[0], .write_fd = ends[1]};
	}
	return pipes;
}

/* One page into the pipe, or into the next one that has room. */
static int put(const struct pipe_end *pipes, size_t *at, size_t end)
{
	static const char page[PAGE_BYTES] = "x";

	while (*at < end) {
		if (write(pipes[*at].write_fd, page, PAGE_BYTES) == (ssize_t)PAGE_BYTES)
			return 1;
		if (errno != EAGAIN)
			die("write to a pipe");
		(*at)++;
	}
	return 0;
}

/* The first pipes get the pages that stay, one of eight; the others are closed in the end. */
static void fragment_pinned(unsigned long keep_bytes)
{
	size_t count, stay = 0, go, first_to_go;
	struct pipe_end *pipes = make_pipes(free_bytes() - keep_bytes, &count);
	int more = 1;

	go = first_to_go = count / KEEP_ONE_OF;
	while (more && free_bytes() > keep_bytes) {
		more = put(pipes, &stay, first_to_go);
		for (size_t i = 1; more && i < KEEP_ONE_OF; i++)
			more = put(pipes, &go, count);
	}
	for (size_t i = first_to_go; i < count; i++) {
		close(pipes[i].read_fd);
		close(pipes[i].write_fd);
	}
}

static void fragment_movable(unsigned long keep_bytes)
{
	unsigned long bytes = (free_bytes() - keep_bytes) & ~(PAGE_BYTES - 1), at;
	char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, bytes, MADV_NOHUGEPAGE))
		die("mmap");
	for (at = 0; at < bytes && free_bytes() > keep_bytes; at += PAGE_BYTES)
		((volatile char *)memory)[at] = 1;
	for (bytes = at, at = 0; at + KEEP_ONE_OF * PAGE_BYTES <= bytes;
		at += KEEP_ONE_OF * PAGE_BYTES)
		madvise(memory + at + PAGE_BYTES, (KEEP_ONE_OF - 1) * PAGE_BYTES, MADV_DONTNEED);
}

int main(int argc, char **argv)
{
	unsigned long keep_bytes;

	if (argc != 3)
		return 2;
	keep_bytes = strtoul(argv[2], NULL, 10) << 20;
	if (!strcmp(argv[1], "pinned"))
		fragment_pinned(keep_bytes);
	else if (!strcmp(argv[1], "movable"))
		fragment_movable(keep_bytes);
	else
		return 2;
	puts("ready");
	fflush(stdout);
	while (getchar() != '\n' && !feof(stdin))
		;
	return 0;
}
