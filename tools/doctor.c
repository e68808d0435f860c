/* SPDX-License-Identifier: MIT */
/*
 * pg64 doctor: say what stands between a machine, a program or a process and 64 KiB pages, and the
 * line to type that mends it.
 */
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

enum { OPT_JSON = 256, OPT_ROOT };

static const struct option options[] = {
	{"help", no_argument, NULL, 'h'},
	{"json", no_argument, NULL, OPT_JSON},
	{"root", required_argument, NULL, OPT_ROOT}, /* for tests: a captured machine */
	{NULL, 0, NULL, 0},
};

static void print_help(void)
{
	fputs("Usage: pg64 doctor [--json] [COMMAND|PID]\n"
	      "Says what this machine, the program COMMAND or the process PID needs for 64 KiB "
	      "pages.\n"
	      "Each finding is ok, note or problem; '->' shows the line that mends it. Nothing is\n"
	      "changed. Each backend is proved by touching a little memory of its own.\n\n"
	      "Options:\n"
	      "      --json  write one JSON object instead of text\n"
	      "  -h, --help  show this help\n\n"
	      "Exit status: 0 when 64 KiB pages are to be had for the heap, 1 when not, 2 for "
	      "wrong\n"
	      "usage. A file whose name is a number: write it as ./123.\n\n"
	      "Example: pg64 doctor redis-server\n",
		stdout);
}

static bool all_digits(const char *text)
{
	return *text && text[strspn(text, "0123456789")] == '\0';
}

static int say_gone(const struct doctor *doctor)
{
	tool_say("no process %d: it has ended, or never was; list them: ps -e", doctor->pid);
	return TOOL_FAILED;
}

/* 0 or an exit status. */
static int parse_pid(struct doctor *doctor, const char *word)
{
	long pid = strlen(word) <= 10 ? strtol(word, NULL, 10) : 0;

	if (pid <= 0 || pid > INT_MAX)
		return tool_usage_error("'%s' is no process id", word);
	doctor->pid = (int)pid;
	return doctor_has_process(doctor) ? 0 : say_gone(doctor);
}

/* 0 or an exit status. */
static int look_at_process(struct doctor *doctor, struct program *program)
{
	char path[PATH_MAX], exe[PATH_MAX];
	ssize_t n;

	if (doctor_process(doctor))
		return say_gone(doctor);
	if (!doctor_is_real(doctor))
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/exe", doctor->pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	if (n > 0 && !program_inspect(path, program)) {
		memcpy(program->path, exe, sizeof(program->path));
		doctor_program(doctor, program, exe);
	} else {
		char mend[64];

		snprintf(mend, sizeof(mend), "sudo pg64 doctor %d", doctor->pid);
		finding_add(&doctor->findings, "program", "file", FINDING_NOTE, mend,
			"the program of this process cannot be seen without privilege");
	}
	return 0;
}

/* 0 or an exit status. */
static int look_at_program(struct doctor *doctor, const char *word, struct program *program)
{
	char path[PATH_MAX];
	int err = tool_find_program(word, path);

	if (err == -ENOENT) {
		tool_say("command not found: '%s'", word);
		return TOOL_FAILED;
	}
	/* A file that may not be run can be looked at all the same. */
	if (!err || strchr(word, '/'))
		err = program_inspect(path, program);
	if (err) {
		tool_say("cannot read '%s': %s", word, strerror(-err));
		return TOOL_FAILED;
	}
	doctor_program(doctor, program, word);
	return 0;
}

static bool heap_is_fine(const struct doctor *doctor)
{
	enum pg64_mem kind = doctor->heap_is_foreign ? PG64_MEM_ANON : PG64_MEM_HEAP;
	enum pg64_backend backend = doctor->best[kind];

	if (doctor->page_bytes >= PG64_GRANULE)
		return true;
	if (doctor->program_blocked)
		return false;
	if (doctor->live_heap != PG64_BACKEND_UNKNOWN && kind == PG64_MEM_HEAP)
		backend = doctor->live_heap;
	return backend != PG64_BACKEND_UNKNOWN && backend != PG64_BACKEND_BASE;
}

static struct json_object *finding_json(const struct finding *finding)
{
	struct json_object *object = json_object_new_object();
	const char *name = finding->name + strspn(finding->name, " ");

	json_object_object_add(object, "group", json_object_new_string(finding->group));
	json_object_object_add(object, "name", json_object_new_string(name));
	json_object_object_add(
		object, "status", json_object_new_string(finding_status_name(finding->status)));
	json_object_object_add(object, "text", json_object_new_string(finding->text));
	json_object_object_add(
		object, "mend", finding->mend ? json_object_new_string(finding->mend) : NULL);
	return object;
}

static struct json_object *probes_json(const struct doctor *doctor)
{
	struct json_object *list = json_object_new_array();

	for (int kind = 0; doctor_is_real(doctor) && kind < PG64_MEM_KINDS; kind++) {
		for (int i = PG64_BACKEND_PATCHED; i < PG64_BACKENDS; i++) {
			const struct pg64_probe *probe = &doctor->probes[kind][i];
			struct json_object *object = json_object_new_object();

			json_object_object_add(object, "kind",
				json_object_new_string(pg64_mem_name((enum pg64_mem)kind)));
			json_object_object_add(object, "backend",
				json_object_new_string(pg64_backend_name((enum pg64_backend)i)));
			json_object_object_add(
				object, "works", json_object_new_boolean(probe->error == 0));
			json_object_object_add(object, "error", json_object_new_int(probe->error));
			json_object_object_add(object, "touched_bytes",
				json_object_new_int64(probe->touched_bytes));
			json_object_object_add(
				object, "pmd_wins", json_object_new_boolean(probe->pmd_wins != 0));
			json_object_object_add(
				object, "reason", json_object_new_string(probe->reason));
			json_object_array_add(list, object);
		}
	}
	return list;
}

static void print_json(const struct doctor *doctor)
{
	struct json_object *object = json_object_new_object();
	struct json_object *backends = json_object_new_object();
	struct json_object *list = json_object_new_array();

	json_object_object_add(object, "pg64_doctor", json_object_new_int(1));
	json_object_object_add(object, "version", json_object_new_string(pg64_version()));
	json_object_object_add(object, "heap_64k", json_object_new_boolean(heap_is_fine(doctor)));
	json_object_object_add(object, "probed", json_object_new_boolean(doctor_is_real(doctor)));
	for (int kind = 0; kind < PG64_MEM_KINDS; kind++)
		json_object_object_add(backends, pg64_mem_name((enum pg64_mem)kind),
			json_object_new_string(pg64_backend_name(doctor->best[kind])));
	json_object_object_add(object, "backend", backends);
	for (size_t i = 0; i < doctor->findings.count; i++)
		json_object_array_add(list, finding_json(&doctor->findings.list[i]));
	json_object_object_add(object, "findings", list);
	json_object_object_add(object, "probes", probes_json(doctor));
	puts(json_object_to_json_string_ext(
		object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(object);
}

static void examine_machine(struct doctor *doctor)
{
	doctor->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	doctor_probe(doctor);
	doctor_kernel(doctor);
	doctor_knobs(doctor);
	doctor_limits(doctor);
	doctor_options(doctor);
	doctor_backends(doctor);
}

int cmd_doctor(int argc, char **argv)
{
	static struct doctor doctor = {.root = ""};
	static struct program program;
	bool json = false;
	const char *word;
	int c, status = 0;

	while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
		if (c == 'h') {
			print_help();
			return TOOL_OK;
		}
		if (c == '?' || c == ':')
			return tool_getopt_error(c, argv);
		if (c == OPT_JSON)
			json = true;
		if (c == OPT_ROOT)
			doctor.root = optarg;
	}
	if (argc - optind > 1)
		return tool_usage_error(
			"one COMMAND or PID at a time, not also '%s'", argv[optind + 1]);
	word = argv[optind];
	if (word && all_digits(word))
		status = parse_pid(&doctor, word);
	if (status)
		return status;
	examine_machine(&doctor);
	if (doctor.pid)
		status = look_at_process(&doctor, &program);
	else if (word)
		status = look_at_program(&doctor, word, &program);
	if (status)
		return status;
	if (json)
		print_json(&doctor);
	else
		findings_print(&doctor.findings);
	if (!json)
		printf("\n64 KiB pages for the heap: %s\n",
			heap_is_fine(&doctor) ? "yes" : "no; what is said above tells why");
	status = heap_is_fine(&doctor) ? TOOL_OK : TOOL_FAILED;
	findings_free(&doctor.findings);
	return status;
}
