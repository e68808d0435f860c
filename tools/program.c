/* SPDX-License-Identifier: MIT */
/*
 * What can be known of a program from its file (see program.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "elffile.h"
#include "program.h"

#define SCRIPT_DEPTH 4 /* a script's interpreter may be a script; the kernel stops at 5 */

/* What a library or a symbol tells, the first match of each table winning. */
struct sign {
	const char *text;
	const char *meaning;
};

static const struct sign sanitizer_libraries[] = {
	{"libasan.so", "AddressSanitizer"},
	{"libclang_rt.asan", "AddressSanitizer"},
	{"libhwasan.so", "HWAddressSanitizer"},
	{"libclang_rt.hwasan", "HWAddressSanitizer"},
	{"libtsan.so", "ThreadSanitizer"},
	{"libclang_rt.tsan", "ThreadSanitizer"},
	{"liblsan.so", "LeakSanitizer"},
	{"libclang_rt.msan", "MemorySanitizer"},
};

static const struct sign sanitizer_symbols[] = {
	{"__asan_init", "AddressSanitizer"},
	{"__hwasan_init", "HWAddressSanitizer"},
	{"__tsan_init", "ThreadSanitizer"},
	{"__msan_init", "MemorySanitizer"},
	{"__lsan_init", "LeakSanitizer"},
};

static const struct sign allocator_libraries[] = {
	{"libjemalloc", "jemalloc"},
	{"libtcmalloc", "tcmalloc"},
	{"libmimalloc", "mimalloc"},
	{"libsnmalloc", "snmalloc"},
	{"librpmalloc", "rpmalloc"},
	{"libhoard", "Hoard"},
	{"libscudo", "Scudo"},
	{"libumem", "libumem"},
};

static const struct sign allocator_symbols[] = {
	{"mallocx", "jemalloc"},
	{"je_malloc", "jemalloc"},
	{"_rjem_malloc", "jemalloc"},
	{"tc_malloc", "tcmalloc"},
	{"TCMallocInternalMalloc", "tcmalloc"},
	{"mi_malloc", "mimalloc"},
	{"rpmalloc", "rpmalloc"},
};

static const char *const own_interfaces[] = {
	"mallocx",
	"rallocx",
	"xallocx",
	"sallocx",
	"dallocx",
	"sdallocx",
	"nallocx",
	"mallctl",
	"malloc_stats_print",
	"tc_malloc",
	"tc_free",
	"MallocExtension_ReleaseFreeMemory",
	"mi_malloc",
	"mi_free",
	"mi_heap_new",
};

static const char *match_prefix(const struct sign *signs, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(text, signs[i].text, strlen(signs[i].text)) == 0)
			return signs[i].meaning;
	return NULL;
}

static const char *match_exact(const struct sign *signs, size_t count, const char *text)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(text, signs[i].text) == 0)
			return signs[i].meaning;
	return NULL;
}

static void set_allocator(struct program *program, enum program_allocator how, const char *name)
{
	if (program->allocator != ALLOCATOR_LIBC && program->allocator_name[0])
		return;
	program->allocator = how;
	snprintf(program->allocator_name, sizeof(program->allocator_name), "%s", name);
}

static int see_needed(void *context, const char *soname)
{
	struct program *program = context;
	const char *meaning;

	meaning = match_prefix(sanitizer_libraries, TOOL_ARRAY_LEN(sanitizer_libraries), soname);
	if (meaning)
		snprintf(program->sanitizer, sizeof(program->sanitizer), "%s", meaning);
	meaning = match_prefix(allocator_libraries, TOOL_ARRAY_LEN(allocator_libraries), soname);
	if (meaning) {
		char name[sizeof(program->allocator_name)];

		snprintf(name, sizeof(name), "%s (%.32s)", meaning, soname);
		set_allocator(program, ALLOCATOR_NEEDED, name);
	}
	if (strncmp(soname, "libpg64.so", 10) == 0)
		program->linked_pg64 = true;
	return 0;
}

/* Symbols that the program shares with its libraries; undefined ones it takes from them. */
static int see_dynamic_symbol(void *context, const char *name, const ElfW(Sym) * symbol)
{
	struct program *program = context;
	const char *meaning;

	if (symbol->st_shndx == SHN_UNDEF) {
		if (strcmp(name, "dlopen") == 0 || strcmp(name, "dlmopen") == 0)
			program->dlopen = true;
		for (size_t i = 0; i < TOOL_ARRAY_LEN(own_interfaces); i++)
			if (strcmp(name, own_interfaces[i]) == 0)
				program->own_interface = true;
		return 0;
	}
	meaning = match_exact(sanitizer_symbols, TOOL_ARRAY_LEN(sanitizer_symbols), name);
	if (meaning)
		snprintf(program->sanitizer, sizeof(program->sanitizer), "%s", meaning);
	if (strcmp(name, "pg64_live") == 0)
		program->holds_pg64 = true;
	if (strcmp(name, "malloc") == 0)
		program->allocator = ALLOCATOR_EXPORTED;
	return 0;
}

static int see_static_symbol(void *context, const char *name, const ElfW(Sym) * symbol)
{
	struct program *program = context;
	const char *meaning;

	/* It is data, and the way in which pg64 stat finds it. */
	if (symbol->st_shndx != SHN_UNDEF && strcmp(name, "pg64_live") == 0)
		program->holds_pg64 = true;
	if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC)
		return 0;
	meaning = match_exact(sanitizer_symbols, TOOL_ARRAY_LEN(sanitizer_symbols), name);
	if (meaning)
		snprintf(program->sanitizer, sizeof(program->sanitizer), "%s", meaning);
	meaning = match_exact(allocator_symbols, TOOL_ARRAY_LEN(allocator_symbols), name);
	if (meaning && program->allocator == ALLOCATOR_EXPORTED)
		snprintf(program->allocator_name, sizeof(program->allocator_name), "%s", meaning);
	else if (meaning)
		set_allocator(program, ALLOCATOR_HIDDEN, meaning);
	else if (strcmp(name, "malloc") == 0 && program->allocator == ALLOCATOR_LIBC)
		program->allocator = ALLOCATOR_HIDDEN;
	return 0;
}

static bool is_glibc_loader(const char *loader)
{
	const char *base = strrchr(loader, '/');

	base = base ? base + 1 : loader;
	return strncmp(base, "ld-linux", 8) == 0 || strncmp(base, "ld64.so", 7) == 0 ||
	       strncmp(base, "ld.so", 5) == 0;
}

static void inspect_elf(struct program *program, const struct elf_file *elf)
{
	program->is_elf = true;
	program->go =
		elf_has_section(elf, ".go.buildinfo") || elf_has_section(elf, ".note.go.buildid");
	if (elf_interpreter(elf, program->loader, sizeof(program->loader))) {
		program->is_static = true;
		elf_each_symbol(elf, SHT_SYMTAB, see_static_symbol, program);
		return;
	}
	program->other_libc = !is_glibc_loader(program->loader);
	elf_each_needed(elf, see_needed, program);
	elf_each_symbol(elf, SHT_DYNSYM, see_dynamic_symbol, program);
	elf_each_symbol(elf, SHT_SYMTAB, see_static_symbol, program);
	if (program->allocator != ALLOCATOR_LIBC && !program->allocator_name[0])
		snprintf(
			program->allocator_name, sizeof(program->allocator_name), "its own malloc");
}

/* The program behind "#!": the interpreter, looked up in PATH for /usr/bin/env. 0 or -errno. */
static int script_interpreter(int fd, char path[PATH_MAX])
{
	char line[512] = "", *word, *save = NULL;
	ssize_t n = pread(fd, line, sizeof(line) - 1, 0);

	if (n < 3 || line[0] != '#' || line[1] != '!')
		return -ENOEXEC;
	line[strcspn(line, "\n")] = '\0';
	word = strtok_r(line + 2, " \t", &save);
	if (!word)
		return -ENOEXEC;
	n = (ssize_t)strlen(word);
	if (n >= 4 && strcmp(word + n - 4, "/env") == 0) {
		while ((word = strtok_r(NULL, " \t", &save)) != NULL)
			if (word[0] != '-' && !strchr(word, '='))
				return tool_find_program(word, path);
		return -ENOENT;
	}
	return tool_path(path, "", "%s", word);
}

static void inspect_mode(int fd, struct program *program)
{
	struct stat st;

	if (fstat(fd, &st))
		return;
	program->set_id = (st.st_mode & (S_ISUID | S_ISGID)) != 0;
	program->secure = ((st.st_mode & S_ISUID) && st.st_uid != geteuid()) ||
			  ((st.st_mode & S_ISGID) && st.st_gid != getegid());
	program->file_caps = fgetxattr(fd, "security.capability", NULL, 0) > 0;
	if (program->file_caps && getuid() != 0)
		program->secure = true;
}

static int inspect_once(const char *path, struct program *program, char next[PATH_MAX])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	const char *base = strrchr(path, '/');
	struct elf_file elf;
	int err;

	if (fd < 0)
		return -errno;
	next[0] = '\0';
	base = base ? base + 1 : path;
	program->valgrind |= strncmp(base, "valgrind", 8) == 0;
	inspect_mode(fd, program);
	err = elf_open(&elf, fd);
	if (!err)
		inspect_elf(program, &elf);
	program->foreign = err == -EXDEV;
	if (err == -ENOEXEC && script_interpreter(fd, next))
		next[0] = '\0';
	elf_close(&elf);
	close(fd);
	return 0;
}

int program_inspect(const char *path, struct program *program)
{
	char next[PATH_MAX];
	int err;

	memset(program, 0, sizeof(*program));
	if (tool_path(program->path, "", "%s", path))
		return -ENAMETOOLONG;
	err = inspect_once(path, program, next);
	for (int depth = 0; !err && next[0] && depth < SCRIPT_DEPTH; depth++) {
		if (!program->script[0])
			memcpy(program->script, program->path, sizeof(program->script));
		memcpy(program->path, next, sizeof(program->path));
		/* The kernel heeds the set-id bits of the interpreter, not those of a script. */
		err = inspect_once(program->path, program, next);
	}
	return program->script[0] ? 0 : err;
}

const char *program_refuses_preload(const struct program *program)
{
	static char text[128];

	if (program->sanitizer[0]) {
		snprintf(text, sizeof(text),
			"is linked with %s, which brings an allocator of its own",
			program->sanitizer);
		return text;
	}
	if (program->foreign)
		return "is a program for another kind of machine or word size";
	if (program->is_elf && !program->is_static && program->other_libc)
		return "is not linked with the GNU C library";
	return NULL;
}

const char *program_ignores_preload(const struct program *program)
{
	if (program->is_static && program->holds_pg64)
		return NULL;
	if (program->is_static)
		return program->go ? "is a static Go program: LD_PRELOAD has no effect on it"
				   : "is statically linked: LD_PRELOAD has no effect on it";
	if (program->secure)
		return program->file_caps
			       ? "has file capabilities: the dynamic linker ignores LD_PRELOAD"
			       : "is set-id: the dynamic linker ignores LD_PRELOAD";
	if (program->go)
		return "is a Go program: its heap comes from the kernel directly, past LD_PRELOAD";
	return NULL;
}
