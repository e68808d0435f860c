// SPDX-License-Identifier: GPL-2.0-only
/*
 * The first process of a guest that kernel-patch/boot starts: mounts the host's root, read-only
 * over 9p with a layer of tmpfs above, runs one command in it, and turns the machine off.
 *
 * /spec of the initramfs says what to run: argv and env (strings that end in NUL), and cwd. What
 * the command writes goes out through the virtio ports pg64.out and pg64.err; a line when it begins
 * and one with its status, through pg64.status; all that this program has to say goes to the
 * console, through /dev/kmsg.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define SPEC_MAX (1 << 20)
#define STRINGS_MAX 4096
#define PORT_WAIT_MS 20000
#define DRAIN_MS 200

static void say(const char *format, ...)
{
	char line[512];
	va_list args;
	int length, fd;

	length = snprintf(line, sizeof(line), "<6>pg64-boot: ");
	va_start(args, format);
	vsnprintf(line + length, sizeof(line) - length, format, args);
	va_end(args);
	fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		if (write(fd, line, strlen(line)) < 0)
			perror("kmsg");
		close(fd);
	}
}

static void __attribute__((noreturn)) power_off(void)
{
	sync();
	reboot(RB_POWER_OFF);
	for (;;)
		pause();
}

static void __attribute__((noreturn)) die(const char *what)
{
	say("%s: %s", what, strerror(errno));
	power_off();
}

static bool try_mount(const char *source, const char *target, const char *type, unsigned long flags,
		      const char *data)
{
	mkdir(target, 0755);
	if (!mount(source, target, type, flags, data))
		return true;
	say("%s on %s: %s", type, target, strerror(errno));
	return false;
}

static void must_mount(const char *source, const char *target, const char *type,
		       unsigned long flags, const char *data)
{
	if (!try_mount(source, target, type, flags, data))
		power_off();
}

/* The whole of a file of /spec. */
static char *spec(const char *name, size_t *length)
{
	char path[64], *text = malloc(SPEC_MAX + 1);
	size_t got = 0;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/spec/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (!text || fd < 0)
		die(path);
	while ((n = read(fd, text + got, SPEC_MAX - got)) > 0)
		got += n;
	close(fd);
	text[got] = '\0';
	*length = got;
	return text;
}

static char **spec_strings(const char *name)
{
	char **strings = calloc(STRINGS_MAX + 1, sizeof(*strings));
	size_t length, at = 0, count = 0;
	char *text = spec(name, &length);

	if (!strings)
		die(name);
	while (at < length && count < STRINGS_MAX) {
		strings[count++] = text + at;
		at += strlen(text + at) + 1;
	}
	return strings;
}

static int port_once(const char *wanted)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	struct dirent *entry;
	char path[400], name[64];
	FILE *file;
	int fd = -1;

	while (ports && fd < 0 && (entry = readdir(ports))) {
		snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(name, sizeof(name), file)) {
			name[strcspn(name, "\n")] = '\0';
			snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
			if (!strcmp(name, wanted))
				fd = open(path, O_WRONLY | O_CLOEXEC);
		}
		fclose(file);
	}
	if (ports)
		closedir(ports);
	return fd;
}

/* Ports come some time after the device. */
static int port(const char *wanted)
{
	int fd, ms;

	for (ms = 0; ms < PORT_WAIT_MS; ms += 5) {
		fd = port_once(wanted);
		if (fd >= 0)
			return fd;
		usleep(5000);
	}
	say("%s: no such port", wanted);
	power_off();
}

static void write_all(int fd, const char *data, size_t length)
{
	ssize_t n;

	while (length) {
		n = write(fd, data, length);
		if (n < 0 && errno != EINTR)
			return;
		if (n > 0) {
			data += n;
			length -= n;
		}
	}
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		say("%s: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void mount_root(void)
{
	must_mount("hostroot", "/lower", "9p", MS_RDONLY,
		   "trans=virtio,version=9p2000.L,cache=loose,msize=262144");
	must_mount("scratch", "/scratch", "tmpfs", 0, "size=75%,mode=0755");
	if (mkdir("/scratch/upper", 0755) || mkdir("/scratch/work", 0755))
		die("/scratch");
	must_mount("overlay", "/system", "overlay", 0,
		   "lowerdir=/lower,upperdir=/scratch/upper,workdir=/scratch/work");
	must_mount("/dev", "/system/dev", NULL, MS_MOVE, NULL);
	must_mount("/sys", "/system/sys", NULL, MS_MOVE, NULL);
	must_mount("proc", "/system/proc", "proc", 0, NULL);
	if (chdir("/system") || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		die("/system");
	try_mount("devpts", "/dev/pts", "devpts", 0, "mode=0620,ptmxmode=0666");
	try_mount("shm", "/dev/shm", "tmpfs", 0, "mode=1777");
	try_mount("mqueue", "/dev/mqueue", "mqueue", 0, NULL);
	try_mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL);
	try_mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (!access("/sys/kernel/tracing", F_OK))
		try_mount("tracefs", "/sys/kernel/tracing", "tracefs", 0, NULL);
	write_file("/sys/fs/cgroup/cgroup.subtree_control", "+memory +pids +cpuset");
}

static void links(void)
{
	static const char *const pairs[][2] = {
		{"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"},
		{"/proc/self/fd/1", "/dev/stdout"},
		{"/proc/self/fd/2", "/dev/stderr"},
	};
	size_t i;

	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		if (symlink(pairs[i][0], pairs[i][1]) && errno != EEXIST)
			say("%s: %s", pairs[i][1], strerror(errno));
}

static void loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request))
		say("lo: %s", strerror(errno));
	if (fd >= 0)
		close(fd);
}

static void __attribute__((noreturn)) run_command(char **argv, char **env, const char *cwd,
						  const int out[2], const int err[2])
{
	int null = open("/dev/null", O_RDWR);
	sigset_t none;

	signal(SIGPIPE, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	dup2(null, 0);
	dup2(out[1], 1);
	dup2(err[1], 2);
	if (null > 2)
		close(null);
	if (chdir(cwd)) {
		dprintf(2, "boot: %s: %s\n", cwd, strerror(errno));
		_exit(127);
	}
	clearenv();
	environ = env;
	execvpe(argv[0], argv, env);
	dprintf(2, "boot: %s: %s\n", argv[0], strerror(errno));
	_exit(errno == ENOENT ? 127 : 126);
}

/* Pass on what is there; false at the end of both pipes or when nothing came in time. */
static bool pass_on(struct pollfd *pipes, const int *ports, int wait_ms)
{
	static char buffer[1 << 16];
	ssize_t n;
	int i;

	if (pipes[0].fd < 0 && pipes[1].fd < 0)
		return false;
	if (poll(pipes, 2, wait_ms) <= 0)
		return false;
	for (i = 0; i < 2; i++) {
		if (pipes[i].fd < 0 || !pipes[i].revents)
			continue;
		n = read(pipes[i].fd, buffer, sizeof(buffer));
		if (n > 0)
			write_all(ports[i], buffer, n);
		else if (n == 0 || errno != EINTR)
			pipes[i].fd = -1;
	}
	return true;
}

/* Until the command ends; orphans are reaped, as the first process must. */
static int supervise(pid_t command, struct pollfd *pipes, const int *ports)
{
	int status = -1, got;
	pid_t pid;

	while (status < 0) {
		if (!pass_on(pipes, ports, 20) && pipes[0].fd < 0 && pipes[1].fd < 0)
			usleep(20000);
		while ((pid = waitpid(-1, &got, WNOHANG)) > 0)
			if (pid == command)
				status = WIFSIGNALED(got) ? 128 + WTERMSIG(got) : WEXITSTATUS(got);
	}
	while (pass_on(pipes, ports, DRAIN_MS))
		;
	return status;
}

/* What is left is ended before the machine, so that its memory is given back under our eyes. */
static void end_everything(void)
{
	int tries;

	kill(-1, SIGKILL);
	for (tries = 0; tries < 500; tries++) {
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		if (waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD)
			return;
		usleep(10000);
	}
	say("processes are left that cannot be ended");
}

int main(void)
{
	struct pollfd pipes[2];
	char **argv, **env, *cwd, text[32];
	int out[2], err[2], ports[2], status_port, status;
	size_t length;
	pid_t command;

	signal(SIGPIPE, SIG_IGN);
	must_mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	must_mount("sysfs", "/sys", "sysfs", 0, NULL);
	argv = spec_strings("argv");
	env = spec_strings("env");
	cwd = spec("cwd", &length);
	ports[0] = port("pg64.out");
	ports[1] = port("pg64.err");
	status_port = port("pg64.status");
	mount_root();
	links();
	loopback_up();
	if (sethostname("pg64", strlen("pg64")))
		say("the host name: %s", strerror(errno));
	if (!argv[0] || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
		die("pipe");
	fchmod(out[1], 0666); /* so that any user may open /dev/stdout */
	fchmod(err[1], 0666);
	say("%s", argv[0]);
	write_all(status_port, "begun\n", strlen("begun\n"));
	command = fork();
	if (command < 0)
		die("fork");
	if (!command)
		run_command(argv, env, cwd, out, err);
	close(out[1]);
	close(err[1]);
	pipes[0] = (struct pollfd){.fd = out[0], .events = POLLIN};
	pipes[1] = (struct pollfd){.fd = err[0], .events = POLLIN};
	status = supervise(command, pipes, ports);
	end_everything();
	say("the command ended with %d", status);
	snprintf(text, sizeof(text), "%d\n", status);
	write_all(status_port, text, strlen(text));
	power_off();
}
