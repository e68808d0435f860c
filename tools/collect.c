/* SPDX-License-Identifier: MIT */
/*
 * Statistics that processes leave when they end (see collect.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collect.h"

#define SMALL_BYTES ((uint64_t)1 << 20)

int collect_open(struct collect *collect)
{
	const char *temp = getenv("TMPDIR");
	bool root = geteuid() == 0;
	int err;

	collect->fd = -1;
	if (!temp || temp[0] != '/')
		temp = "/tmp";
	if (tool_path(collect->folder, temp, "/pg64-run-XXXXXX") || !mkdtemp(collect->folder)) {
		err = -errno;
		tool_say("cannot make a folder in %s for the statistics: %m; set TMPDIR", temp);
		collect->folder[0] = '\0';
		return err;
	}
	err = tool_path(collect->path, collect->folder, "/stats");
	if (!err) {
		collect->fd = open(collect->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		/*
		 * A service that root starts gives up root before it ends: let it in, to append.
		 * The folder's name is random and cannot be listed.
		 */
		if (collect->fd < 0 ||
			(root && (fchmod(collect->fd, 0622) || chmod(collect->folder, 0711))))
			err = -errno;
	}
	if (err) {
		tool_say("cannot make %s: %s", collect->path, strerror(-err));
		collect_close(collect);
	}
	return err;
}

void collect_close(struct collect *collect)
{
	if (collect->fd >= 0)
		close(collect->fd);
	collect->fd = -1;
	if (!collect->folder[0])
		return;
	unlink(collect->path);
	rmdir(collect->folder);
	collect->folder[0] = '\0';
}

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

/* The whole file in memory, NUL-terminated; NULL with errno. */
static char *read_whole(int fd, size_t *len)
{
	struct stat st;
	char *text;
	ssize_t n;

	if (fstat(fd, &st))
		return NULL;
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return NULL;
	for (*len = 0; *len < (size_t)st.st_size; *len += (size_t)n) {
		n = pread(fd, text + *len, (size_t)st.st_size - *len, (off_t)*len);
		if (n <= 0)
			break;
	}
	text[*len] = '\0';
	return text;
}

int collect_copy(const struct collect *collect, int fd)
{
	size_t len;
	char *text = read_whole(collect->fd, &len);
	int err;

	if (!text)
		return -errno;
	err = write_all(fd, text, len);
	free(text);
	return err;
}

struct json_object *collect_read(const struct collect *collect, int *err)
{
	struct json_object *processes;
	char *text, *line, *save = NULL;
	size_t len;

	*err = 0;
	text = read_whole(collect->fd, &len);
	processes = text ? json_object_new_array() : NULL;
	if (!processes) {
		*err = -errno;
		free(text);
		return NULL;
	}
	for (line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct json_object *process = json_tokener_parse(line);

		/* A process that was killed while it wrote leaves half a line. */
		if (json_object_is_type(process, json_type_object) &&
			json_object_object_get_ex(process, "pg64_stats", NULL))
			json_object_array_add(processes, process);
		else
			json_object_put(process);
	}
	free(text);
	return processes;
}

static struct json_object *member(struct json_object *object, const char *name)
{
	return object ? json_object_object_get(object, name) : NULL;
}

static const char *text_of(struct json_object *object, const char *name)
{
	struct json_object *value = member(object, name);

	return value ? json_object_get_string(value) : "?";
}

static uint64_t number_of(struct json_object *object, const char *name)
{
	return json_object_get_uint64(member(object, name));
}

static const char *measured_how(const char *source)
{
	return strcmp(source, "fault-bound") == 0 ? "a lower bound, from the fault count"
						  : "exact, from kpageflags";
}

static bool is_measured(const char *source)
{
	return strcmp(source, "kpageflags") == 0 || strcmp(source, "fault-bound") == 0;
}

static uint64_t resident_of(struct json_object *process)
{
	uint64_t resident = number_of(member(process, "coverage"), "resident_bytes");

	return resident ? resident : number_of(member(process, "memory"), "resident_bytes");
}

void collect_sum(struct json_object *processes, struct collect_sum *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (size_t i = 0; i < json_object_array_length(processes); i++) {
		struct json_object *process = json_object_array_get_idx(processes, i);
		struct json_object *coverage = member(process, "coverage");
		const char *source = text_of(coverage, "source");
		uint64_t resident = resident_of(process);

		if (resident < SMALL_BYTES) {
			sum->small++;
			continue;
		}
		if (!is_measured(source)) {
			sum->unmeasured++;
			continue;
		}
		sum->measured++;
		sum->bound |= strcmp(source, "fault-bound") == 0;
		sum->resident_bytes += resident;
		sum->backed_bytes += number_of(coverage, "backed_bytes");
	}
}

static void say_unmeasured(const struct collect_sum *sum, double required, const char *command)
{
	if (sum->unmeasured)
		tool_say("64 KiB coverage could not be measured (%u process%s cannot be seen into "
			 "without privilege); run: sudo pg64 run --require=%g -- %s",
			sum->unmeasured, sum->unmeasured == 1 ? "" : "es", required, command);
	else if (sum->small)
		tool_say("64 KiB coverage could not be measured: no process ended with 1 MiB of "
			 "memory "
			 "or more; run: pg64 run -- %s",
			command);
	else
		tool_say("64 KiB coverage could not be measured: no process left statistics; run: "
			 "pg64 doctor %s",
			command);
}

static void say_too_low(const struct collect_sum *sum, double required, const char *command)
{
	double percent = 100.0 * (double)sum->backed_bytes / (double)sum->resident_bytes;
	char resident[TOOL_BYTES_TEXT], others[64] = "", advice[64] = "pg64 doctor";

	if (sum->unmeasured)
		snprintf(others, sizeof(others), ", %u more not measured", sum->unmeasured);
	/* A bound that is too low proves nothing: the exact figure comes first. */
	if (sum->bound)
		snprintf(advice, sizeof(advice), "sudo pg64 run --require=%g --", required);
	tool_say("64 KiB coverage is %s%.1f %% of %s in %u process%s%s (%s), below the required %g "
		 "%%; "
		 "run: %s %s",
		sum->bound ? "at least " : "", percent, tool_bytes(sum->resident_bytes, resident),
		sum->measured, sum->measured == 1 ? "" : "es", others,
		measured_how(sum->bound ? "fault-bound" : "kpageflags"), required, advice, command);
}

bool collect_judge(const struct collect_sum *sum, uint64_t required_ppm, const char *command)
{
	double required = (double)required_ppm / 1e4;

	if (!sum->measured) {
		say_unmeasured(sum, required, command);
		return false;
	}
	/* A coverage of exactly what is required is enough. */
	if ((double)sum->backed_bytes * 1e6 >= (double)sum->resident_bytes * (double)required_ppm)
		return true;
	say_too_low(sum, required, command);
	return false;
}

static void print_process(FILE *out, struct json_object *process)
{
	struct json_object *coverage = member(process, "coverage");
	struct json_object *backend = member(process, "backend");
	struct json_object *reason = member(process, "reason");
	struct json_object *faults = member(process, "faults");
	struct json_object *counters = member(process, "counters");
	const char *source = text_of(coverage, "source");
	char text[TOOL_BYTES_TEXT];

	fprintf(out, "%s (process %" PRIu64 ")\n", text_of(process, "exe"),
		number_of(process, "pid"));
	if (is_measured(source))
		fprintf(out, "  on 64 KiB pages: %s%.1f %% of %s (%s)\n",
			strcmp(source, "fault-bound") == 0 ? "at least " : "",
			(double)number_of(coverage, "ppm") / 1e4,
			tool_bytes(resident_of(process), text), measured_how(source));
	else
		fprintf(out, "  on 64 KiB pages: cannot be seen without privilege (%s resident)\n",
			tool_bytes(resident_of(process), text));
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++) {
		const char *name = pg64_mem_name((enum pg64_mem)kind);

		fprintf(out, "  %s: %s, %s\n", name, text_of(backend, name), text_of(reason, name));
	}
	fprintf(out, "  faults: %" PRIu64 " minor, %" PRIu64 " major\n", number_of(faults, "minor"),
		number_of(faults, "major"));
	if (!json_object_is_type(counters, json_type_object))
		return;
	json_object_object_foreach(counters, counter, value)
	{
		if (json_object_get_uint64(value))
			fprintf(out, "  %-24s %20" PRIu64 "\n", counter,
				json_object_get_uint64(value));
	}
}

static void print_total(FILE *out, const struct collect_sum *sum)
{
	char text[TOOL_BYTES_TEXT];

	if (sum->small)
		fprintf(out, "%u process%s with less than 1 MiB of memory left out\n", sum->small,
			sum->small == 1 ? "" : "es");
	if (sum->measured)
		fprintf(out, "together: %s%.1f %% of %s in %u process%s on 64 KiB pages (%s)\n",
			sum->bound ? "at least " : "",
			100.0 * (double)sum->backed_bytes / (double)sum->resident_bytes,
			tool_bytes(sum->resident_bytes, text), sum->measured,
			sum->measured == 1 ? "" : "es",
			measured_how(sum->bound ? "fault-bound" : "kpageflags"));
}

int collect_print(struct json_object *processes, int fd)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	struct collect_sum sum;
	int err;

	if (!out)
		return -errno;
	for (size_t i = 0; i < json_object_array_length(processes); i++) {
		struct json_object *process = json_object_array_get_idx(processes, i);

		if (resident_of(process) >= SMALL_BYTES)
			print_process(out, process);
	}
	collect_sum(processes, &sum);
	print_total(out, &sum);
	if (fclose(out))
		return -errno;
	err = write_all(fd, text, len);
	free(text);
	return err;
}
