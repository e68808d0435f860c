/* SPDX-License-Identifier: MIT */
/*
 * Files, paths and programs of the pg64 command. Reads of /sys and /proc go through a root folder,
 * so that a captured machine can stand in for the running one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tool.h"

int tool_path(char path[PATH_MAX], const char *root, const char *fmt, ...)
{
	int used = snprintf(path, PATH_MAX, "%s", root);
	va_list ap;
	int n;

	if (used < 0 || used >= PATH_MAX)
		return -ENAMETOOLONG;
	va_start(ap, fmt);
	n = vsnprintf(path + used, PATH_MAX - (size_t)used, fmt, ap);
	va_end(ap);
	return n < 0 || n >= PATH_MAX - used ? -ENAMETOOLONG : 0;
}

int tool_read(const char *path, char *buf, size_t size)
{
	size_t used = 0;
	ssize_t n = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	buf[0] = '\0';
	if (fd < 0)
		return -errno;
	while (used + 1 < size && (n = read(fd, buf + used, size - 1 - used)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		used += (size_t)n;
	}
	if (n < 0) {
		n = -errno;
		close(fd);
		return (int)n;
	}
	close(fd);
	while (used && strchr(" \t\n", buf[used - 1]))
		used--;
	buf[used] = '\0';
	return (int)used;
}

int tool_read_at(const char *root, const char *path, char *buf, size_t size)
{
	char full[PATH_MAX];
	int err = tool_path(full, root, "%s", path);

	buf[0] = '\0';
	return err ? err : tool_read(full, buf, size);
}

static int write_fd(int fd, const char *text)
{
	size_t len = strlen(text), done = 0;

	while (done < len) {
		ssize_t n = write(fd, text + done, len - done);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			done += (size_t)n;
	}
	return 0;
}

int tool_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = write_fd(fd, text);
	if (close(fd) && !err)
		err = -errno;
	return err;
}

int tool_replace(const char *path, const char *text)
{
	char temp[PATH_MAX];
	int err = tool_path(temp, path, ".XXXXXX");
	int fd;

	if (err)
		return err;
	err = tool_make_parent(path);
	if (err)
		return err;
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = write_fd(fd, text);
	if (!err && fchmod(fd, 0644))
		err = -errno;
	if (!err && fsync(fd) && errno != EINVAL)
		err = -errno;
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(temp, path))
		err = -errno;
	if (err)
		unlink(temp);
	return err;
}

int tool_make_parent(const char *path)
{
	char dir[PATH_MAX];
	char *slash;

	if (tool_path(dir, "", "%s", path))
		return -ENAMETOOLONG;
	for (slash = strchr(dir + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(dir, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return 0;
}

void tool_selected(const char *knob, char *word, size_t size)
{
	const char *open_bracket = strchr(knob, '[');
	const char *end = open_bracket ? strchr(open_bracket, ']') : NULL;
	const char *start = end ? open_bracket + 1 : knob;
	size_t len = end ? (size_t)(end - start) : strlen(knob);

	if (len >= size)
		len = size - 1;
	memcpy(word, start, len);
	word[len] = '\0';
}

/* 0: a file that may be executed; else -errno. */
static int runnable(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EACCES;
	return faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) ? -errno : 0;
}

int tool_find_program(const char *name, char path[PATH_MAX])
{
	const char *dirs = getenv("PATH");
	int result = -ENOENT;

	if (strchr(name, '/')) {
		if (tool_path(path, "", "%s", name))
			return -ENOENT;
		result = runnable(path);
		return result == -ENOTDIR ? -ENOENT : result;
	}
	if (!*name)
		return -ENOENT;
	if (!dirs)
		dirs = "/usr/local/bin:/bin:/usr/bin";
	for (;;) {
		size_t len = strcspn(dirs, ":");

		/* An empty entry means the current folder. */
		if (!tool_path(path, "", "%.*s%s%s", (int)len, dirs, len ? "/" : "./", name)) {
			int err = runnable(path);

			if (!err)
				return 0;
			if (err == -EACCES)
				result = err;
		}
		if (!dirs[len])
			return result;
		dirs += len + 1;
	}
}

int tool_library(char path[PATH_MAX])
{
	const char *env = getenv("PG64_LIBRARY");
	char exe[PATH_MAX];
	ssize_t n;

	if (env && *env) {
		if (!realpath(env, path))
			return -ENOENT;
		return 0;
	}
	/* A tool in its build folder takes the library that was built with it. */
	n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	if (n > 0) {
		char beside[PATH_MAX];
		char *slash;

		exe[n] = '\0';
		slash = strrchr(exe, '/');
		if (slash)
			*slash = '\0';
		if (!tool_path(beside, exe, "/../preload/libpg64.so") && realpath(beside, path))
			return 0;
	}
	if (tool_path(path, "", "%s", PG64_LIBDIR "/libpg64.so"))
		return -ENOENT;
	return access(path, R_OK) ? -ENOENT : 0;
}
