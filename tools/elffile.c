/* SPDX-License-Identifier: MIT */
/*
 * Read-only look into an ELF file (see elffile.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "elffile.h"

/* No table of a sane program is larger; a damaged header must not make us allocate without end. */
#define ELF_TABLE_MAX ((size_t)256 << 20)

/* Read exactly @len bytes and a NUL behind them into fresh memory; NULL with errno. */
static void *read_table(int fd, uint64_t offset, uint64_t len)
{
	size_t done = 0;
	char *table;

	if (!len || len > ELF_TABLE_MAX || offset > INT64_MAX - len) {
		errno = EINVAL;
		return NULL;
	}
	table = malloc(len + 1);
	if (!table)
		return NULL;
	while (done < len) {
		ssize_t n = pread(fd, table + done, len - done, (off_t)(offset + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : EINVAL;
			free(table);
			return NULL;
		}
		done += (size_t)n;
	}
	table[len] = '\0';
	return table;
}

static int check_header(const ElfW(Ehdr) * header, ssize_t len)
{
	/* This program is of the machine's own kind: its constants are the reference. */
	static const uint16_t one = 1;
	int data = *(const uint8_t *)&one ? ELFDATA2LSB : ELFDATA2MSB;
	int class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;

	if (len < EI_NIDENT || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
		return -ENOEXEC;
	if (header->e_ident[EI_CLASS] != class || header->e_ident[EI_DATA] != data)
		return -EXDEV;
	if ((size_t)len < sizeof(*header))
		return -EINVAL;
	return header->e_type == ET_EXEC || header->e_type == ET_DYN ? 0 : -EINVAL;
}

/* e_machine of this program, whose own header the linker put in memory. */
static uint16_t own_machine(void)
{
	extern const ElfW(Ehdr) __ehdr_start __attribute__((visibility("hidden")));

	return __ehdr_start.e_machine;
}

static int read_sections(struct elf_file *elf)
{
	const ElfW(Ehdr) *header = &elf->header;
	const ElfW(Shdr) * names;

	/* A file may do without: what is asked of sections is then not known. */
	if (!header->e_shnum || header->e_shentsize != sizeof(ElfW(Shdr)))
		return 0;
	elf->sections = read_table(
		elf->fd, header->e_shoff, (uint64_t)header->e_shnum * sizeof(ElfW(Shdr)));
	if (!elf->sections || header->e_shstrndx >= header->e_shnum)
		return 0;
	names = &elf->sections[header->e_shstrndx];
	elf->section_names = read_table(elf->fd, names->sh_offset, names->sh_size);
	elf->section_names_len = elf->section_names ? names->sh_size : 0;
	return 0;
}

int elf_open(struct elf_file *elf, int fd)
{
	ssize_t n;
	int err;

	memset(elf, 0, sizeof(*elf));
	elf->fd = fd;
	n = pread(fd, &elf->header, sizeof(elf->header), 0);
	if (n < 0)
		return -errno;
	err = check_header(&elf->header, n);
	if (err)
		return err;
	if (elf->header.e_machine != own_machine())
		return -EXDEV;
	if (elf->header.e_phentsize != sizeof(ElfW(Phdr)) || !elf->header.e_phnum)
		return -EINVAL;
	elf->segments = read_table(
		fd, elf->header.e_phoff, (uint64_t)elf->header.e_phnum * sizeof(ElfW(Phdr)));
	if (!elf->segments)
		return -errno;
	return read_sections(elf);
}

void elf_close(struct elf_file *elf)
{
	free(elf->segments);
	free(elf->sections);
	free(elf->section_names);
	memset(elf, 0, sizeof(*elf));
}

const ElfW(Phdr) * elf_segment(const struct elf_file *elf, uint32_t type)
{
	for (size_t i = 0; i < elf->header.e_phnum; i++)
		if (elf->segments[i].p_type == type)
			return &elf->segments[i];
	return NULL;
}

bool elf_has_section(const struct elf_file *elf, const char *name)
{
	if (!elf->section_names)
		return false;
	for (size_t i = 0; i < elf->header.e_shnum; i++)
		if (elf->sections[i].sh_name < elf->section_names_len &&
			strcmp(elf->section_names + elf->sections[i].sh_name, name) == 0)
			return true;
	return false;
}

int elf_interpreter(const struct elf_file *elf, char *path, size_t size)
{
	const ElfW(Phdr) *segment = elf_segment(elf, PT_INTERP);
	size_t len;
	char *text;

	if (!segment)
		return -ENOENT;
	text = read_table(elf->fd, segment->p_offset, segment->p_filesz);
	if (!text)
		return -errno;
	len = strlen(text);
	if (len >= size)
		len = size - 1;
	memcpy(path, text, len);
	path[len] = '\0';
	free(text);
	return 0;
}

/* File offset of an address as linked; 0 when no segment has it in the file. */
static uint64_t file_offset(const struct elf_file *elf, uint64_t vaddr, uint64_t *left)
{
	for (size_t i = 0; i < elf->header.e_phnum; i++) {
		const ElfW(Phdr) *segment = &elf->segments[i];

		if (segment->p_type != PT_LOAD || vaddr < segment->p_vaddr ||
			vaddr - segment->p_vaddr >= segment->p_filesz)
			continue;
		*left = segment->p_filesz - (vaddr - segment->p_vaddr);
		return segment->p_offset + (vaddr - segment->p_vaddr);
	}
	return 0;
}

static char *dynamic_strings(
	const struct elf_file *elf, const ElfW(Dyn) * entries, size_t count, size_t *len)
{
	uint64_t vaddr = 0, size = 0, left = 0, offset;

	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL; i++) {
		if (entries[i].d_tag == DT_STRTAB)
			vaddr = entries[i].d_un.d_ptr;
		if (entries[i].d_tag == DT_STRSZ)
			size = entries[i].d_un.d_val;
	}
	offset = file_offset(elf, vaddr, &left);
	if (!offset || size > left) {
		errno = EINVAL;
		return NULL;
	}
	*len = size;
	return read_table(elf->fd, offset, size);
}

int elf_each_needed(
	const struct elf_file *elf, int (*visit)(void *context, const char *soname), void *context)
{
	const ElfW(Phdr) *segment = elf_segment(elf, PT_DYNAMIC);
	ElfW(Dyn) * entries;
	size_t count, len = 0;
	char *strings;
	int result = 0;

	if (!segment)
		return 0;
	count = segment->p_filesz / sizeof(*entries);
	entries = read_table(elf->fd, segment->p_offset, segment->p_filesz);
	if (!entries)
		return -errno;
	strings = dynamic_strings(elf, entries, count, &len);
	if (!strings) {
		result = -errno;
		free(entries);
		return result;
	}
	for (size_t i = 0; i < count && entries[i].d_tag != DT_NULL && !result; i++)
		if (entries[i].d_tag == DT_NEEDED && entries[i].d_un.d_val < len)
			result = visit(context, strings + entries[i].d_un.d_val);
	free(strings);
	free(entries);
	return result;
}

static int visit_symbols(const struct elf_file *elf, const ElfW(Shdr) * section,
	int (*visit)(void *context, const char *name, const ElfW(Sym) * symbol), void *context)
{
	const ElfW(Shdr) *names = &elf->sections[section->sh_link];
	ElfW(Sym) *symbols = read_table(elf->fd, section->sh_offset, section->sh_size);
	char *strings = symbols ? read_table(elf->fd, names->sh_offset, names->sh_size) : NULL;
	int result = 0;

	if (!strings) {
		result = -errno;
		free(symbols);
		return result;
	}
	for (size_t i = 0; i < section->sh_size / sizeof(*symbols) && !result; i++)
		if (symbols[i].st_name && symbols[i].st_name < names->sh_size)
			result = visit(context, strings + symbols[i].st_name, &symbols[i]);
	free(strings);
	free(symbols);
	return result;
}

int elf_each_symbol(const struct elf_file *elf, uint32_t section_type,
	int (*visit)(void *context, const char *name, const ElfW(Sym) * symbol), void *context)
{
	if (!elf->sections)
		return 0;
	for (size_t i = 0; i < elf->header.e_shnum; i++) {
		const ElfW(Shdr) *section = &elf->sections[i];

		if (section->sh_type == section_type && section->sh_entsize == sizeof(ElfW(Sym)) &&
			section->sh_link < elf->header.e_shnum)
			return visit_symbols(elf, section, visit, context);
	}
	return 0;
}
