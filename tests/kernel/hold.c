/* SPDX-License-Identifier: MIT */
/*
 * Holds filled memory until it was looked at.
 *
 *   hold heap|private|shared|memfd|sysv|tmpfs:FOLDER MIB [fork|verify]   fill, print "ready", wait
 *       for a line; with `fork` then write each page in a child, print "child PID", and wait for
 *       another line; with `verify` compare every byte at each line and print "good" or "bad", to
 *       the end of standard input
 *   hold probe LIBRARY   print "KIND BACKEND ERROR REASON" for each kind of memory
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pg64.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEP_BYTES 4096
#define GRANULE_BYTES ((size_t)65536)
#define PIECE_BYTES 100000

static char **pieces;
static size_t piece_count, piece_bytes;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* Where a file's granules are granules of the address space too; stock kernels do not see to it. */
static char *granule_address(size_t len)
{
	char *memory =
		mmap(NULL, len + GRANULE_BYTES, PROT_NONE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap");
	return memory + -(uintptr_t)memory % GRANULE_BYTES;
}

static char *map(const char *kind, size_t len, char *place)
{
	int fd = -1, id, flags = MAP_ANONYMOUS | MAP_SHARED;
	char *memory;

	if (!strcmp(kind, "sysv")) {
		id = shmget(IPC_PRIVATE, len, IPC_CREAT | 0600);
		memory = id < 0 ? (char *)-1 : shmat(id, place, place ? SHM_REMAP : 0);
		if (memory == (char *)-1 || shmctl(id, IPC_RMID, NULL))
			die("shm");
		return memory;
	}
	if (!strncmp(kind, "tmpfs:", 6)) {
		fd = open(kind + 6, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, (off_t)len))
			die(kind + 6);
		flags = MAP_SHARED;
	}
	if (!strcmp(kind, "private"))
		flags = MAP_ANONYMOUS | MAP_PRIVATE;
	if (!strcmp(kind, "memfd")) {
		fd = memfd_create("pg64", 0);
		if (fd < 0 || ftruncate(fd, (off_t)len))
			die("memfd");
		flags = MAP_SHARED;
	}
	if (place)
		flags |= MAP_FIXED;
	memory = mmap(place, len, PROT_READ | PROT_WRITE, flags, fd, 0);
	if (memory == MAP_FAILED)
		die("mmap");
	return memory;
}

static void get(const char *kind, size_t len, int placed)
{
	int heap = !strcmp(kind, "heap");

	piece_bytes = heap ? PIECE_BYTES : len;
	piece_count = len / piece_bytes;
	pieces = calloc(piece_count, sizeof(*pieces));
	if (!pieces)
		die("calloc");
	for (size_t i = 0; i < piece_count; i++) {
		pieces[i] = heap ? malloc(piece_bytes)
				 : map(kind, len, placed ? granule_address(len) : NULL);
		if (!pieces[i])
			die("malloc");
	}
}

static void fill(char value)
{
	for (size_t i = 0; i < piece_count; i++)
		for (size_t at = 0; at < piece_bytes; at += STEP_BYTES)
			((volatile char *)pieces[i])[at] = value;
}

/* Every word of it another: no page and no part of one can be taken for its neighbour. */
static uint64_t pattern(size_t piece, size_t at)
{
	return (piece * piece_bytes + at + 1) * 0x9e3779b97f4a7c15;
}

static void fill_with_pattern(void)
{
	for (size_t i = 0; i < piece_count; i++)
		for (size_t at = 0; at < piece_bytes; at += sizeof(uint64_t))
			*(uint64_t *)(pieces[i] + at) = pattern(i, at);
}

static int has_pattern(void)
{
	for (size_t i = 0; i < piece_count; i++)
		for (size_t at = 0; at < piece_bytes; at += sizeof(uint64_t))
			if (*(uint64_t *)(pieces[i] + at) != pattern(i, at))
				return 0;
	return 1;
}

static void wait_for_line(void)
{
	while (getchar() != '\n' && !feof(stdin))
		;
}

static void in_child(void)
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (!child) {
		fill(2);
		printf("child %d\n", (int)getpid());
		fflush(stdout);
		wait_for_line();
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static int probe(const char *path)
{
	static const char *const kinds[] = {"heap", "anon", "shared"};
	static const char *const backends[] = {"unknown", "patched", "mthp", "collapse", "base"};
	void *library = dlopen(path, RTLD_NOW);
	int (*call)(enum pg64_backend, enum pg64_mem, struct pg64_probe *);

	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&call = dlsym(library, "pg64_probe");
	for (int kind = 0; call && kind < 3; kind++) {
		struct pg64_probe found = {.size = sizeof(found)};

		if (call(PG64_BACKEND_UNKNOWN, (enum pg64_mem)kind, &found))
			return 1;
		printf("%s %s %d %s\n", kinds[kind], backends[found.backend], found.error,
			found.reason);
	}
	return call ? 0 : 1;
}

int main(int argc, char **argv)
{
	int verify;

	if (argc == 3 && !strcmp(argv[1], "probe"))
		return probe(argv[2]);
	if (argc < 3 || argc > 4)
		return 2;
	verify = argc == 4 && !strcmp(argv[3], "verify");
	get(argv[1], strtoul(argv[2], NULL, 10) << 20, verify);
	if (verify)
		fill_with_pattern();
	else
		fill(1);
	puts("ready");
	fflush(stdout);
	while (verify) {
		wait_for_line();
		if (feof(stdin))
			return 0;
		puts(has_pattern() ? "good" : "bad");
		fflush(stdout);
	}
	if (argc == 4) {
		wait_for_line();
		in_child();
	}
	wait_for_line();
	return 0;
}
