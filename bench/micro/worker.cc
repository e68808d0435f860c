/* SPDX-License-Identifier: MIT */
#include "worker.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <type_traits>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

namespace worker
{

static_assert(std::is_trivially_copyable<Result>::value, "a result goes through a pipe");

std::string memory_group;

namespace
{

const char kOption[] = "--worker";
const Task *tasks;

/* Starts this program again, its standard output being `out`; 0 or an errno. */
int start(pid_t &pid, const Task &task, std::initializer_list<size_t> args, int out)
{
	std::vector<std::string> words{"micro", kOption, task.name, memory_group};
	std::vector<char *> argv;
	posix_spawn_file_actions_t actions;
	int error;

	for (size_t arg : args)
		words.push_back(std::to_string(arg));
	for (std::string &word : words)
		argv.push_back(&word[0]);
	argv.push_back(nullptr);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
	error = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

bool read_all(int fd, void *to, size_t len)
{
	char *at = static_cast<char *>(to);

	while (len) {
		ssize_t got = read(fd, at, len);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		at += got;
		len -= static_cast<size_t>(got);
	}
	return true;
}

/* "" or what went wrong. */
std::string run(const Task &task, std::initializer_list<size_t> args, Result &result)
{
	int ends[2], status = 0, error;
	pid_t pid;
	bool whole;

	if (pipe2(ends, O_CLOEXEC))
		return "no pipe";
	error = start(pid, task, args, ends[1]);
	close(ends[1]);
	if (error) {
		close(ends[0]);
		return std::string("no worker: ") + std::strerror(error);
	}
	whole = read_all(ends[0], &result, sizeof(result));
	close(ends[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		return std::string("the worker got signal ") + std::to_string(WTERMSIG(status));
	if (!whole || !result.done || status)
		return "the worker could not do it";
	return "";
}

} // namespace

Task::Task(const char *task_name, Function task_function)
    : name(task_name), function(task_function), next(tasks)
{
	tasks = this;
}

bool iterate(benchmark::State &state, const Task &task, std::initializer_list<size_t> args,
	Result &result)
{
	std::string error = run(task, args, result);

	if (!error.empty()) {
		state.SkipWithError(error.c_str());
		return false;
	}
	state.SetIterationTime(static_cast<double>(result.time_ns) * 1e-9);
	return true;
}

bool is_worker(int argc, char **argv)
{
	static Result result;
	std::vector<size_t> args;

	if (argc < 4 || std::strcmp(argv[1], kOption))
		return false;
	memory_group = argv[3];
	for (int i = 4; i < argc; i++)
		args.push_back(std::strtoull(argv[i], nullptr, 10));
	for (const Task *task = tasks; task; task = task->next) {
		if (!std::strcmp(task->name, argv[2]))
			task->function(args, result);
	}
	if (write(STDOUT_FILENO, &result, sizeof(result)) != sizeof(result))
		_exit(1);
	/* Not through exit handlers: gigabytes are freed faster by the kernel. */
	_exit(0);
}

} // namespace worker
