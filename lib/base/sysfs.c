/* SPDX-License-Identifier: MIT */
/*
 * Reads of /sys and /proc under a settable root: see sysfs.h.
 */
#include "sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>

#include "fmt.h"
#include "sys.h"

#define PATH_BYTES 512

/* NULL: the machine itself. */
static const char *sysfs_root;

void pg64_sysfs_root(const char *root)
{
	sysfs_root = root;
}

static int full_path(char *full, size_t size, const char *path)
{
	int len = pg64_snprintf(full, size, "%s%s", sysfs_root ? sysfs_root : "", path);

	return (size_t)len >= size ? -ENAMETOOLONG : 0;
}

int pg64_sysfs_lines(struct pg64_lines *lines, const char *path)
{
	char full[PATH_BYTES];
	int ret = full_path(full, sizeof(full), path);

	return ret < 0 ? ret : pg64_lines_open(lines, full);
}

int pg64_sysfs_read(const char *path, char *buf, size_t size)
{
	char full[PATH_BYTES];
	ssize_t len;
	int fd;

	if (size == 0)
		return -EINVAL;
	buf[0] = '\0';
	fd = full_path(full, sizeof(full), path);
	if (fd < 0)
		return fd;
	fd = pg64_sys_open(full, O_RDONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	len = pg64_sys_read(fd, buf, size - 1);
	pg64_sys_close(fd);
	if (len < 0)
		return (int)len;
	if (len > 0 && buf[len - 1] == '\n')
		len--;
	buf[len] = '\0';
	return (int)len;
}

int pg64_sysfs_read_u64(const char *path, uint64_t *value)
{
	char text[32];
	int err = pg64_sysfs_read(path, text, sizeof(text));

	return err < 0 ? err : pg64_parse_uint(text, value);
}

int pg64_sysfs_read_choice(const char *path, char *word, size_t size)
{
	char text[256];
	const char *start;
	size_t len;
	int err;

	if (size == 0)
		return -EINVAL;
	word[0] = '\0';
	err = pg64_sysfs_read(path, text, sizeof(text));
	if (err < 0)
		return err;

	start = strchr(text, '[');
	if (start) {
		start++;
		len = strcspn(start, "]");
		if (start[len] == '\0')
			return -EINVAL;
	} else {
		start = text + strspn(text, " \t\n");
		len = strcspn(start, " \t\n");
	}
	if (len == 0)
		return -EINVAL;
	if (len >= size)
		return -ENOSPC;
	memcpy(word, start, len);
	word[len] = '\0';
	return 0;
}
