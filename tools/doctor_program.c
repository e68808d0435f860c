/* SPDX-License-Identifier: MIT */
/*
 * pg64 doctor: what in a program's file stands between it and a preloaded allocator.
 */
#include <stdio.h>
#include <string.h>

#include "doctor.h"

/* What gives 64 KiB pages to programs that no preload reaches. */
#define FOR_EVERYBODY "echo always | sudo tee " TOOL_THP_64K "/enabled"

static void check_kind(struct doctor *doctor, const struct program *program)
{
	struct findings *out = &doctor->findings;

	if (program->script[0])
		finding_add(out, "program", "script", FINDING_OK, NULL, "%s, run by %s",
			program->script, program->path);
	else
		finding_add(out, "program", "file", FINDING_OK, NULL, "%s", program->path);
	if (program->foreign) {
		doctor->program_blocked = true;
		finding_add(out, "program", "machine", FINDING_PROBLEM, NULL,
			"built for another machine or word size: this libpg64.so cannot be loaded "
			"into it");
	} else if (!program->is_elf) {
		finding_add(out, "program", "kind", FINDING_NOTE, NULL,
			"neither a program of this machine nor a script with a known interpreter");
	}
}

static void check_linking(struct doctor *doctor, const struct program *program)
{
	struct findings *out = &doctor->findings;

	if (!program->is_elf)
		return;
	if (program->holds_pg64) {
		finding_add(out, "program", "linking", FINDING_OK, NULL,
			"%s, with libpg64.a linked in: no preload is needed",
			program->is_static ? "static" : "dynamic");
	} else if (program->is_static) {
		doctor->program_blocked = true;
		finding_add(out, "program", "linking", FINDING_PROBLEM, FOR_EVERYBODY,
			"static: LD_PRELOAD has no effect; link it with libpg64.a (cc ... "
			"$(pkg-config --static --libs pg64)), or let every program have 64 KiB "
			"pages");
	} else if (program->other_libc) {
		doctor->program_blocked = true;
		finding_add(out, "program", "linking", FINDING_PROBLEM, FOR_EVERYBODY,
			"its loader is %s, not the GNU C library's: libpg64.so cannot be loaded "
			"into it",
			program->loader);
	} else {
		finding_add(out, "program", "linking", FINDING_OK, NULL, "dynamic (%s)%s",
			program->loader, program->linked_pg64 ? ", linked with libpg64" : "");
	}
	if (program->go) {
		doctor->program_blocked = true;
		finding_add(out, "program", "Go", FINDING_PROBLEM, FOR_EVERYBODY,
			"the Go heap comes from the kernel directly; no preload sees it");
	}
}

static void check_identity(
	struct doctor *doctor, const struct program *program, const char *command)
{
	const char *what = program->file_caps ? "file capabilities"
			   : program->set_id  ? "set-id"
					      : NULL;
	char mend[PATH_MAX + 64];

	if (!what) {
		finding_add(&doctor->findings, "program", "set-id", FINDING_OK, NULL,
			"neither set-id bits nor file capabilities");
		return;
	}
	doctor->program_blocked |= program->secure;
	snprintf(mend, sizeof(mend), "sudo pg64 run -- %s", command);
	finding_add(&doctor->findings, "program", "set-id",
		program->secure ? FINDING_PROBLEM : FINDING_NOTE, mend,
		"%s: the dynamic linker ignores LD_PRELOAD whenever the program changes identity",
		what);
}

static void check_sanitizer(struct doctor *doctor, const struct program *program)
{
	if (program->sanitizer[0]) {
		doctor->program_blocked = true;
		finding_add(&doctor->findings, "program", "sanitizer", FINDING_PROBLEM,
			"cc -fno-sanitize=all ...",
			"linked with %s, which needs its own malloc: pg64 steps aside; build "
			"without it",
			program->sanitizer);
	}
	if (program->valgrind) {
		doctor->program_blocked = true;
		finding_add(&doctor->findings, "program", "valgrind", FINDING_PROBLEM, NULL,
			"valgrind brings its own malloc: pg64 steps aside; run the program without "
			"it");
	}
}

static void check_allocator(
	struct doctor *doctor, const struct program *program, const char *command)
{
	struct findings *out = &doctor->findings;
	const char *name = program->allocator_name;
	char mend[PATH_MAX + 64];

	if (program->holds_pg64) {
		finding_add(out, "program", "allocator", FINDING_OK, NULL,
			"malloc comes from the libpg64.a that is linked in");
		return;
	}
	snprintf(mend, sizeof(mend), "pg64 run --no-malloc -- %s", command);
	switch (program->allocator) {
	case ALLOCATOR_LIBC:
		finding_add(out, "program", "allocator", FINDING_OK, NULL,
			"none of its own: malloc comes from pg64");
		break;
	case ALLOCATOR_NEEDED:
		finding_add(out, "program", "allocator", FINDING_NOTE,
			program->own_interface ? mend : NULL,
			"linked with %s: malloc comes from pg64%s", name,
			program->own_interface ? ", but the program also makes calls that only its "
						 "allocator has; should "
						 "it misbehave, leave malloc to that one"
					       : " all the same");
		break;
	case ALLOCATOR_EXPORTED:
	case ALLOCATOR_HIDDEN:
		doctor->heap_is_foreign = true;
		finding_add(out, "program", "allocator", FINDING_NOTE, mend,
			"%s is compiled in%s: its heap is not pg64's, but large mappings that it "
			"takes by "
			"mmap() are put on 64 KiB pages",
			name, program->allocator == ALLOCATOR_EXPORTED ? " and exported" : "");
		break;
	}
}

void doctor_program(struct doctor *doctor, const struct program *program, const char *command)
{
	check_kind(doctor, program);
	check_linking(doctor, program);
	if (!program->is_elf)
		return;
	check_identity(doctor, program, command);
	check_sanitizer(doctor, program);
	if ((!program->is_static || program->holds_pg64) && !program->sanitizer[0])
		check_allocator(doctor, program, command);
	if (program->dlopen)
		finding_add(&doctor->findings, "program", "dlopen", FINDING_NOTE, NULL,
			"imports dlopen(); whether it uses RTLD_DEEPBIND, past which pg64 is not "
			"seen, cannot "
			"be told from the file. Pointers that cross over are counted "
			"(foreign_free)");
}
