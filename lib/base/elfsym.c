/* SPDX-License-Identifier: MIT */
/*
 * Symbol look-up in one loaded object, from the dynamic linker's own list: see elfsym.h.
 */
#include "elfsym.h"

#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The dynamic linker's; a static program may lack it. */
#pragma weak _r_debug

#define VERSION_HIDDEN 0x8000

/* What is needed of an object's dynamic section. */
struct object {
	uintptr_t base;
	const ElfW(Sym) * symbols;
	const char *strings;
	const ElfW(Half) * versions; /* NULL: the object has none */
	const uint32_t *gnu_hash;
	const Elf32_Word *hash;
};

/**
 * The dynamic linker adds the load address to these pointers in memory, except where the section
 * is read-only, as in the vDSO. Link-time addresses of a shared object are below its load address.
 */
static const void *pointer(const struct object *object, ElfW(Addr) value)
{
	return (const void *)(value < object->base ? value + object->base : value);
}

static bool read_dynamic(const struct link_map *map, struct object *object)
{
	*object = (struct object){.base = map->l_addr};
	if (!map->l_ld)
		return false;

	for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
		switch (entry->d_tag) {
		case DT_SYMTAB:
			object->symbols = pointer(object, entry->d_un.d_ptr);
			break;
		case DT_STRTAB:
			object->strings = pointer(object, entry->d_un.d_ptr);
			break;
		case DT_VERSYM:
			object->versions = pointer(object, entry->d_un.d_ptr);
			break;
		case DT_GNU_HASH:
			object->gnu_hash = pointer(object, entry->d_un.d_ptr);
			break;
		case DT_HASH:
			object->hash = pointer(object, entry->d_un.d_ptr);
			break;
		default:
			break;
		}
	}
	return object->symbols && object->strings;
}

/** The address of symbol @index, when it is the default definition of function @name; or NULL. */
static void *match(const struct object *object, uint32_t index, const char *name)
{
	const ElfW(Sym) *symbol = &object->symbols[index];
	unsigned int bind = ELF64_ST_BIND(symbol->st_info);

	if (symbol->st_shndx == SHN_UNDEF || ELF64_ST_TYPE(symbol->st_info) != STT_FUNC)
		return NULL;
	if (bind != STB_GLOBAL && bind != STB_WEAK)
		return NULL;
	/* A hidden version is an old one, kept for programs that were linked with it. */
	if (object->versions && (object->versions[index] & VERSION_HIDDEN))
		return NULL;
	if (strcmp(object->strings + symbol->st_name, name) != 0)
		return NULL;
	return (void *)(object->base + symbol->st_value);
}

static void *find_gnu_hash(const struct object *object, const char *name)
{
	const uint32_t *table = object->gnu_hash;
	const uint32_t bucket_count = table[0];
	const uint32_t first_symbol = table[1];
	const uint32_t bloom_words = table[2];
	const uint32_t *buckets = table + 4 + bloom_words * (sizeof(ElfW(Addr)) / sizeof(*table));
	const uint32_t *chain = buckets + bucket_count;
	uint32_t hash = 5381;
	uint32_t index;

	if (bucket_count == 0)
		return NULL;
	for (const char *c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;

	index = buckets[hash % bucket_count];
	if (index < first_symbol)
		return NULL;
	/* Each chain holds the hashes; bit 0 of one marks the end of the chain instead. */
	for (;; index++) {
		uint32_t entry = chain[index - first_symbol];

		if ((entry | 1) == (hash | 1)) {
			void *address = match(object, index, name);

			if (address)
				return address;
		}
		if (entry & 1)
			return NULL;
	}
}

static void *find_hash(const struct object *object, const char *name)
{
	const Elf32_Word bucket_count = object->hash[0];
	const Elf32_Word *buckets = object->hash + 2;
	const Elf32_Word *chain = buckets + bucket_count;
	uint32_t hash = 0;

	if (bucket_count == 0)
		return NULL;
	for (const char *c = name; *c; c++) {
		hash = (hash << 4) + (unsigned char)*c;
		hash ^= (hash >> 24) & 0xf0;
		hash &= 0x0fffffff;
	}
	for (uint32_t i = buckets[hash % bucket_count]; i != STN_UNDEF; i = chain[i]) {
		void *address = match(object, i, name);

		if (address)
			return address;
	}
	return NULL;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

void *pg64_elf_symbol(const char *soname, const char *name)
{
	const size_t len = strlen(soname);
	const struct link_map *map;
	struct object object;

	if (!&_r_debug)
		return NULL;

	for (map = _r_debug.r_map; map; map = map->l_next) {
		if (!map->l_name || strncmp(file_name(map->l_name), soname, len) != 0)
			continue;
		if (!read_dynamic(map, &object))
			continue;
		if (object.gnu_hash)
			return find_gnu_hash(&object, name);
		return object.hash ? find_hash(&object, name) : NULL;
	}
	return NULL;
}
