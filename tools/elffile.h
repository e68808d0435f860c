/* SPDX-License-Identifier: MIT */
/*
 * Read-only look into an ELF file of this machine's own kind. Nothing in the file is trusted: each
 * offset and each string is checked against what was read.
 */
#ifndef PG64_TOOL_ELFFILE_H
#define PG64_TOOL_ELFFILE_H

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_file {
	int fd;
	ElfW(Ehdr) header;
	ElfW(Phdr) * segments; /* header.e_phnum of them */
	ElfW(Shdr) * sections; /* header.e_shnum of them; NULL when the file has none */
	char *section_names;
	size_t section_names_len;
};

/**
 * Open the ELF file behind @fd, which stays the caller's. 0; -ENOEXEC: not ELF; -EXDEV: ELF of
 * another machine or word size; -EINVAL: damaged; other -errno.
 */
int elf_open(struct elf_file *elf, int fd);
void elf_close(struct elf_file *elf);

/** First segment of @type (PT_*), or NULL. */
const ElfW(Phdr) * elf_segment(const struct elf_file *elf, uint32_t type);

/** Is there a section of that name? */
bool elf_has_section(const struct elf_file *elf, const char *name);

/** PT_INTERP's text. 0 or -ENOENT. */
int elf_interpreter(const struct elf_file *elf, char *path, size_t size);

/** Call @visit for each DT_NEEDED until it returns non-zero, which is returned. 0, or -errno. */
int elf_each_needed(
	const struct elf_file *elf, int (*visit)(void *context, const char *soname), void *context);

/**
 * Call @visit for each named symbol of section type SHT_DYNSYM or SHT_SYMTAB until it returns
 * non-zero, which is returned. 0 also when there is no such section; -errno.
 */
int elf_each_symbol(const struct elf_file *elf, uint32_t section_type,
	int (*visit)(void *context, const char *name, const ElfW(Sym) * symbol), void *context);

#endif /* PG64_TOOL_ELFFILE_H */
