/* SPDX-License-Identifier: MIT */
/*
 * Statistics at the end of a process: where they go, and the document itself.
 *
 * Programs close standard error before they end, close every descriptor, open others under the
 * same numbers, and read from pipes that nobody reads: none of it may hurt the program.
 */
#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/args.h"
#include "base/counters.h"
#include "base/fmt.h"
#include "base/sys.h"
#include "coverage.h"
#include "emit.h"
#include "granule.h"
#include "page/page.h"
#include "snapshot.h"

#define SINK_MIN_FD 100
#define PATH_BYTES 1024
#define DOCUMENT_BYTES 32768

#define STRING_OF(x) #x
#define STRING(x) STRING_OF(x)
#define VERSION                                                                                    \
	STRING(PG64_VERSION_MAJOR) "." STRING(PG64_VERSION_MINOR) "." STRING(PG64_VERSION_PATCH)

static struct {
	bool set;
	int fd; /* -1: @path is opened when it is time */
	uint64_t device; /* what @fd was */
	uint64_t inode;
	char path[PATH_BYTES];
} sink;

/* What standard error was at the start: at the end its number may be that of a file. */
static struct {
	bool known;
	uint64_t device;
	uint64_t inode;
} messages;

/* Too large for the stack of a thread. Touched only when there is something to write. */
static char document[DOCUMENT_BYTES];
static char document_in_use;

/* Everything about this process that the document holds. */
struct facts {
	struct pg64_stats stats;
	struct pg64_coverage coverage;
	bool coverage_known;
	uint64_t coverage_ppm;
	const char *source;
	int pid;
	char exe[PATH_BYTES];
};

static void keep_descriptor(const char *name, int fd)
{
	int copy = pg64_sys_dup_high(fd, SINK_MIN_FD);

	/* A small limit of descriptors leaves no room up there. */
	if (copy == -EINVAL)
		copy = pg64_sys_dup_high(fd, 3);
	if (copy < 0 || pg64_sys_fd_identity(copy, &sink.device, &sink.inode) < 0) {
		pg64_log("stats = %s: the descriptor is not open; no statistics are written", name);
		return;
	}
	sink.fd = copy;
	sink.set = true;
}

void pg64_stats_setup(const struct pg64_config *config)
{
	uint64_t number;

	pg64_remember_process();
	if (!config->stats[0] || pg64_secure())
		return;

	messages.known = pg64_sys_fd_identity(2, &messages.device, &messages.inode) == 0;
	if (strcmp(config->stats, "stderr") == 0) {
		keep_descriptor(config->stats, 2);
	} else if (strncmp(config->stats, "fd:", 3) == 0) {
		if (pg64_parse_uint(config->stats + 3, &number) == 0)
			keep_descriptor(config->stats, (int)number);
	} else if ((size_t)pg64_snprintf(sink.path, sizeof(sink.path), "%s", config->stats) <
		   sizeof(sink.path)) {
		sink.fd = -1;
		sink.set = true;
	}
}

/** Write the sink's path with the process id in the place of each %p. False: too long. */
static bool expand_path(char *buf, size_t size)
{
	size_t len = 0;

	buf[0] = '\0';
	for (const char *c = sink.path; *c && len < size; c++) {
		if (c[0] == '%' && c[1] == 'p') {
			len += (size_t)pg64_snprintf(
				buf + len, size - len, "%d", pg64_sys_getpid());
			c++;
		} else {
			len += (size_t)pg64_snprintf(buf + len, size - len, "%c", *c);
		}
	}
	return len < size;
}

/** The descriptor to write to, or -errno. */
static int open_sink(void)
{
	char path[PATH_BYTES];
	uint64_t device;
	uint64_t inode;

	if (sink.fd < 0) {
		if (!expand_path(path, sizeof(path)))
			return -ENAMETOOLONG;
		/* O_NONBLOCK: a FIFO without a reader must not stop the program from ending. */
		return pg64_sys_open(path,
			O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644);
	}
	/* Daemons close every descriptor, and the next file gets this number. */
	if (pg64_sys_fd_identity(sink.fd, &device, &inode) < 0 || device != sink.device ||
		inode != sink.inode)
		return -EBADF;
	return sink.fd;
}

static void gather(struct facts *facts)
{
	struct pg64_resident resident;
	uint64_t bound_ppm;
	ssize_t len;

	facts->pid = pg64_sys_getpid();
	facts->stats.size = sizeof(facts->stats);
	pg64_stats_get(&facts->stats);
	len = pg64_sys_readlink("/proc/self/exe", facts->exe, sizeof(facts->exe) - 1);
	facts->exe[len < 0 ? 0 : len] = '\0';

	facts->source = "none";
	facts->coverage_known = false;
	facts->coverage_ppm = 0;
	if (pg64_coverage_self(&facts->coverage) == 0 &&
		facts->coverage.source == PG64_COVERAGE_KPAGEFLAGS) {
		facts->source = "kpageflags";
		facts->coverage_known = true;
		facts->coverage_ppm =
			pg64_ppm(facts->coverage.backed_bytes, facts->coverage.resident_bytes);
		return;
	}

	pg64_resident(&resident);
	facts->coverage.resident_bytes = resident.anon_bytes + resident.shared_bytes;
	facts->coverage.backed_bytes = 0;
	if (!pg64_fault_bound(&resident, facts->stats.minor_faults, &bound_ppm))
		return;
	facts->source = "fault-bound";
	facts->coverage_known = true;
	facts->coverage_ppm = bound_ppm;
	facts->coverage.backed_bytes =
		facts->coverage.resident_bytes / 1000000 * bound_ppm +
		facts->coverage.resident_bytes % 1000000 * bound_ppm / 1000000;
}

static void emit_process(struct pg64_emit *emit, const struct facts *facts)
{
	uint32_t active = __atomic_load_n(&pg64_live.active, __ATOMIC_RELAXED);
	char title[PATH_BYTES + 64];

	pg64_snprintf(
		title, sizeof(title), "pg64 " VERSION ": process %d, %s", facts->pid, facts->exe);
	pg64_emit_note(emit, title);
	pg64_emit_u64(emit, "pg64_stats", 1, PG64_EMIT_META, "");
	pg64_emit_string(emit, "version", VERSION, "version of pg64");
	pg64_emit_u64(emit, "pid", (uint64_t)facts->pid, PG64_EMIT_META, "");
	pg64_emit_u64(emit, "ppid", (uint64_t)pg64_sys_getppid(), PG64_EMIT_META, "");
	pg64_emit_string(emit, "exe", facts->exe, "the program");
	pg64_emit_bool(emit, "forked", pg64_is_forked(), "forked, and no exec since");

	pg64_emit_begin(emit, "active", "active_");
	pg64_emit_bool(emit, "malloc", active & 1, "the malloc family is served");
	pg64_emit_bool(emit, "mmap", active & 2, "the mmap family is served");
	pg64_emit_end(emit);
}

static void emit_backends(struct pg64_emit *emit)
{
	pg64_emit_begin(emit, "backend", "backend_");
	for (unsigned int i = 0; i < PG64_MEM_KINDS; i++) {
		enum pg64_mem kind = (enum pg64_mem)i;

		pg64_emit_string(emit, pg64_mem_name(kind),
			pg64_backend_name(pg64_page_backend_known(kind)),
			"how 64 KiB pages are obtained");
	}
	pg64_emit_end(emit);

	pg64_emit_begin(emit, "reason", "reason_");
	for (unsigned int i = 0; i < PG64_MEM_KINDS; i++) {
		enum pg64_mem kind = (enum pg64_mem)i;
		const char *reason = pg64_page_reason(kind);

		pg64_emit_string(
			emit, pg64_mem_name(kind), reason ? reason : "", "why this backend");
	}
	pg64_emit_end(emit);
	pg64_emit_u64(
		emit, "page_bytes", pg64_page_bytes(), PG64_EMIT_GAUGE, "the kernel's base page");
}

static void emit_memory(struct pg64_emit *emit, const struct facts *facts)
{
	const struct pg64_stats *stats = &facts->stats;

	pg64_emit_begin(emit, "memory", "memory_");
	pg64_emit_u64(emit, "resident_bytes", stats->resident_bytes, PG64_EMIT_GAUGE,
		"resident anonymous and shared anonymous memory");
	pg64_emit_u64(emit, "heap_reserved_bytes", stats->heap_reserved_bytes, PG64_EMIT_GAUGE,
		"address space held by arenas");
	pg64_emit_u64(emit, "heap_committed_bytes", stats->heap_committed_bytes, PG64_EMIT_GAUGE,
		"of it, in use by the heap engine");
	pg64_emit_u64(emit, "heap_advised_bytes", stats->heap_advised_bytes, PG64_EMIT_GAUGE,
		"of it, asked to be on 64 KiB pages");
	pg64_emit_u64(emit, "heap_collapsed_bytes", stats->heap_collapsed_bytes, PG64_EMIT_GAUGE,
		"of it, collapsed and not purged since");
	pg64_emit_end(emit);

	pg64_emit_begin(emit, "coverage", "coverage_");
	pg64_emit_ppm(emit, "ppm", facts->coverage_known, facts->coverage_ppm,
		facts->coverage.source == PG64_COVERAGE_KPAGEFLAGS
			? "of resident memory on folios of 64 KiB and more, measured"
			: "of resident memory on folios of 64 KiB and more, at least");
	pg64_emit_string(emit, "source", facts->source, "how it was found out");
	pg64_emit_u64(emit, "resident_bytes", facts->coverage.resident_bytes, PG64_EMIT_GAUGE,
		"memory that was looked at");
	pg64_emit_u64(emit, "backed_bytes", facts->coverage.backed_bytes, PG64_EMIT_GAUGE,
		"of it, on folios of 64 KiB and more");
	pg64_emit_end(emit);

	pg64_emit_begin(emit, "faults", "faults_");
	pg64_emit_u64(emit, "minor", stats->minor_faults, PG64_EMIT_COUNTER, "minor page faults");
	pg64_emit_u64(emit, "major", stats->major_faults, PG64_EMIT_COUNTER, "major page faults");
	pg64_emit_end(emit);
}

static void emit_counters(struct pg64_emit *emit)
{
	/* Their names need no prefix: none of them is that of another member. */
	pg64_emit_begin(emit, "counters", "");
	for (unsigned int i = 0; pg64_counter_name(i); i++)
		pg64_emit_u64(emit, pg64_counter_name(i), pg64_counter_value(i), PG64_EMIT_COUNTER,
			pg64_counter_help(i));
	pg64_emit_end(emit);
}

/** The document in the static buffer. Its length, or -errno. */
static int compose(enum pg64_format format)
{
	struct pg64_emit emit;
	struct facts facts;

	gather(&facts);
	pg64_emit_start(&emit, format, document, sizeof(document), facts.pid);
	emit_process(&emit, &facts);
	emit_backends(&emit);
	emit_memory(&emit, &facts);
	emit_counters(&emit);
	return pg64_emit_finish(&emit);
}

/** One line, where there still is a place for it. */
static void complain(const struct pg64_config *config, int error)
{
	uint64_t device;
	uint64_t inode;

	if (!messages.known || pg64_sys_fd_identity(2, &device, &inode) < 0 ||
		device != messages.device || inode != messages.inode)
		return;
	pg64_log("stats = %s: cannot be written (error %d)", config->stats, -error);
}

/** 0, or -errno. */
static int write_document(int fd, enum pg64_format format)
{
	int len = compose(format);
	ssize_t done = len > 0 ? pg64_sys_write_nosig(fd, document, (size_t)len) : len;

	return done < 0 ? (int)done : 0;
}

void pg64_stats_write(const struct pg64_config *config)
{
	int error;
	int fd;

	if (!sink.set || __atomic_test_and_set(&document_in_use, __ATOMIC_ACQUIRE))
		return;

	fd = open_sink();
	error = fd < 0 ? fd : write_document(fd, config->stats_format);
	if (error)
		complain(config, error);
	if (fd >= 0 && fd != sink.fd)
		pg64_sys_close(fd);
	__atomic_clear(&document_in_use, __ATOMIC_RELEASE);
}
