/* SPDX-License-Identifier: MIT */
/*
 * Run a program as a child that looks to the outside as if it were this process (see launch.h).
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"
#include "tool.h"

static const int forwarded[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH};

static volatile sig_atomic_t child_pid;

static void forward(int signal_number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	/* What the terminal sends it sends to the whole process group: the child has it already. */
	if (info->si_code <= 0 && child_pid > 0)
		kill((pid_t)child_pid, signal_number);
	errno = saved;
}

int launch_exec(const char *path, char **argv)
{
	execvp(path, argv);
	if (errno == ENOENT) {
		tool_say("cannot run '%s': its interpreter or loader is missing", argv[0]);
		return TOOL_NOT_FOUND;
	}
	tool_say("cannot run '%s': %m", argv[0]);
	return TOOL_CANNOT_RUN;
}

static void handlers_set(struct sigaction saved[])
{
	struct sigaction action = {.sa_sigaction = forward, .sa_flags = SA_SIGINFO | SA_RESTART};

	sigfillset(&action.sa_mask);
	for (size_t i = 0; i < TOOL_ARRAY_LEN(forwarded); i++) {
		sigaction(forwarded[i], NULL, &saved[i]);
		/* nohup's SIG_IGN is for the program, and stays in force for us. */
		if (saved[i].sa_handler != SIG_IGN)
			sigaction(forwarded[i], &action, NULL);
	}
}

static void handlers_restore(const struct sigaction saved[])
{
	for (size_t i = 0; i < TOOL_ARRAY_LEN(forwarded); i++)
		sigaction(forwarded[i], &saved[i], NULL);
}

int launch_wait(const char *path, char **argv)
{
	struct sigaction saved[TOOL_ARRAY_LEN(forwarded)];
	sigset_t all, mask;
	int status = 0;
	pid_t pid;

	sigfillset(&all);
	/* No signal may come between fork() and child_pid, nor be lost in the child. */
	sigprocmask(SIG_SETMASK, &all, &mask);
	handlers_set(saved);
	pid = fork();
	if (pid == 0) {
		handlers_restore(saved);
		sigprocmask(SIG_SETMASK, &mask, NULL);
		_exit(launch_exec(path, argv));
	}
	child_pid = pid;
	sigprocmask(SIG_SETMASK, &mask, NULL);
	if (pid < 0) {
		tool_say("cannot make a process: %m");
		handlers_restore(saved);
		return TOOL_REQUIRE;
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	child_pid = 0;
	handlers_restore(saved);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}
