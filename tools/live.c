/* SPDX-License-Identifier: MIT */
/*
 * The pg64_live block of a running process (see live.h). The process may change or end while we
 * look: nothing that is read from it is trusted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elffile.h"
#include "live.h"
#include "proc.h"

struct object {
	uint64_t start; /* address of the file's first byte */
	uint64_t end;
	char path[PATH_MAX];
};

struct search {
	uint64_t value;
	bool found;
};

static int see_symbol(void *context, const char *name, const ElfW(Sym) * symbol)
{
	struct search *search = context;

	if (symbol->st_shndx == SHN_UNDEF || strcmp(name, "pg64_live") != 0)
		return 0;
	search->value = symbol->st_value;
	search->found = true;
	return 1;
}

/* The file as the process sees it: map_files works for deleted ones, and needs privilege. */
static int open_object(int pid, const struct object *object)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", pid,
		(unsigned long long)object->start, (unsigned long long)object->end);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	if (tool_path(path, "", "/proc/%d/root%s", pid, object->path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Address of pg64_live in the process, 0 when the object does not define it, in @address. */
static int find_block(int pid, const struct object *object, uint64_t *address)
{
	struct search search = {0};
	const ElfW(Phdr) * load;
	struct elf_file elf;
	int fd = open_object(pid, object);
	int err;

	*address = 0;
	if (fd < 0)
		return fd;
	err = elf_open(&elf, fd);
	if (!err) {
		err = elf_each_symbol(&elf, SHT_DYNSYM, see_symbol, &search);
		if (!search.found)
			err = elf_each_symbol(&elf, SHT_SYMTAB, see_symbol, &search);
		load = elf_segment(&elf, PT_LOAD);
		/* The first segment is the one that the mapping at file offset 0 comes from. */
		if (search.found && load)
			*address = object->start + search.value - (load->p_vaddr - load->p_offset);
	}
	elf_close(&elf);
	close(fd);
	return err < 0 ? err : 0;
}

static int read_block(int pid, uint64_t address, struct pg64_live *block)
{
	char path[64];
	ssize_t n;
	int fd, err;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = pread(fd, block, sizeof(*block), (off_t)address);
	err = n < 0 ? -errno : 0;
	close(fd);
	if (err)
		return err;
	if ((size_t)n < offsetof(struct pg64_live, counters) ||
		memcmp(block->magic, PG64_LIVE_MAGIC, sizeof(block->magic)) != 0)
		return -ENOENT;
	if (block->version != 1 || block->size < sizeof(*block) || (size_t)n < sizeof(*block))
		return -EPROTO;
	return 0;
}

static int try_object(int pid, const struct object *object, struct live *live)
{
	uint64_t address;
	int err = find_block(pid, object, &address);

	if (err || !address)
		return err;
	live->mapped = true;
	snprintf(live->object, sizeof(live->object), "%s", object->path);
	proc_make_printable(live->object);
	err = read_block(pid, address, &live->block);
	live->read = !err;
	/* Linked in, but not started yet. */
	return err == -ENOENT ? 0 : err;
}

/* One line of /proc/PID/maps: a mapping of a file's beginning? */
static bool parse_map(const char *line, struct object *object)
{
	unsigned long long start, end, offset;
	int path_at = 0;

	if (sscanf(line, "%llx-%llx %*s %llx %*s %*s %n", &start, &end, &offset, &path_at) < 3 ||
		offset || !path_at || line[path_at] != '/')
		return false;
	object->start = start;
	object->end = end;
	snprintf(object->path, sizeof(object->path), "%s", line + path_at);
	object->path[strcspn(object->path, "\n")] = '\0';
	return true;
}

/* The program itself and libpg64.so among the mappings. */
static int find_objects(int pid, struct object *program, struct object *library)
{
	char path[64], exe[PATH_MAX] = "", *line = NULL;
	size_t size = 0;
	struct object object;
	ssize_t n;
	FILE *maps;

	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, exe, sizeof(exe) - 1);
	exe[n > 0 ? n : 0] = '\0';
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	maps = fopen(path, "re");
	if (!maps)
		return errno == ENOENT ? -ESRCH : -errno;
	errno = 0;
	while (getline(&line, &size, maps) > 0) {
		const char *base;

		if (!parse_map(line, &object))
			continue;
		base = strrchr(object.path, '/') + 1;
		if (!program->start && strcmp(object.path, exe) == 0)
			*program = object;
		if (!library->start && strncmp(base, "libpg64.so", 10) == 0)
			*library = object;
	}
	n = ferror(maps) ? -errno : 0;
	free(line);
	fclose(maps);
	return (int)n;
}

int live_read(int pid, struct live *live)
{
	static struct object program, library;
	int err;

	memset(live, 0, sizeof(*live));
	memset(&program, 0, sizeof(program));
	memset(&library, 0, sizeof(library));
	err = find_objects(pid, &program, &library);
	if (err)
		return err;
	/* A program that has it linked in is asked first: its definition is the one in use. */
	if (program.start) {
		err = try_object(pid, &program, live);
		if (live->read)
			return 0;
	}
	if (library.start) {
		live->mapped = true;
		snprintf(live->object, sizeof(live->object), "%s", library.path);
		proc_make_printable(live->object);
		return try_object(pid, &library, live);
	}
	/* A program file that cannot be read says nothing of pg64. */
	return live->mapped ? err : 0;
}

const char *live_counter_name(unsigned int index)
{
	static char unknown[32];
	const char *name = pg64_counter_name(index);

	if (name)
		return name;
	snprintf(unknown, sizeof(unknown), "counter_%u", index);
	return unknown;
}

const char *live_counter_help(unsigned int index)
{
	const char *help = pg64_counter_name(index) ? pg64_counter_help(index) : NULL;

	return help ? help : "";
}

const char *live_active(uint32_t active)
{
	static const char *const names[] = {"nothing", "malloc", "mmap", "malloc, mmap"};

	return names[active & 3];
}

const char *live_backend(uint32_t backend)
{
	return backend < PG64_BACKENDS ? pg64_backend_name((enum pg64_backend)backend) : "?";
}
