# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154  # variables are shared with the scripts that source this
#
# Sourced by `build` and `lint`: Debian's source package, a tree of it with the patches, its
# configuration. The name of the script is in `tool`, its words in `invoked`; `work` is a
# temporary folder in `cache`.

cache=${XDG_CACHE_HOME:-$HOME/.cache}/pg64/kernel
arch=x86 kind=patched debug=0 fresh=0 jobs=''
extra_configs=()
work='' child='' # the temporary folder, and the process that runs in it
package='' base_version='' base_sha='' deb='' source_sha='' tree='' objects=''

# What must be installed: a command (or <a header>) and the package that has it.
readonly needs=(
	gcc:build-essential make:build-essential ld:build-essential flex:flex bison:bison bc:bc
	xz:xz-utils tar:tar patch:patch perl:perl awk:mawk flock:util-linux dpkg-deb:dpkg
	'<gelf.h>:libelf-dev' '<openssl/opensslv.h>:libssl-dev'
)

say() {
	printf "$tool: %s\n" "$@" >&2
}

die() {
	say "$@"
	exit 1
}

again() { # the command line that this is, to be typed once more
	local words
	printf -v words ' %q' "${invoked[@]}"
	printf '  %s\n' "${words:1}"
}

start() { # what comes before any work
	read_base
	check_series
	mkdir -p "$cache"
	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	trap 'exit 129' HUP
	work=$(mktemp -d "$cache/tmp.XXXXXX")
}

# Called on every exit path.
# shellcheck disable=SC2317  # by a trap
cleanup() {
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null || true
		wait "$child" 2>/dev/null || true
	fi
	[ -z "$work" ] || rm -rf "$work"
}

has() { # COMMAND or <HEADER>
	case $1 in
	'<'*) printf '#include %s\n' "$1" | gcc -E -x c -o /dev/null - 2>/dev/null ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

check_tools() {
	local entry missing=() packages=()
	for entry in "${needs[@]}"; do
		has "${entry%%:*}" && continue
		missing+=("${entry%%:*}")
		[[ " ${packages[*]-} " = *" ${entry##*:} "* ]] || packages+=("${entry##*:}")
	done
	[ ${#missing[@]} = 0 ] || die "missing: ${missing[*]}" \
		"apt-get install --no-install-recommends ${packages[*]}"
}

base_field() { # NAME: its value in BASE, lines of "name: value"
	sed -n "s/^$1 *[:= ] *//Ip" "$series/BASE" | head -n 1
}

read_base() {
	[ -f "$series/BASE" ] ||
		die "$series/BASE does not exist: it names the Debian package to build on"
	package=$(base_field package)
	base_version=$(base_field version)
	base_sha=$(base_field sha256)
	[[ $package =~ ^linux-source-[0-9.]+$ ]] ||
		die "$series/BASE: \"package: linux-source-...\" is wanted, not \"$package\""
	[ -n "$base_version" ] || die "$series/BASE: names no version"
	[[ $base_sha =~ ^([0-9a-f]{64})?$ ]] || die "$series/BASE: sha256 is no SHA-256: $base_sha"
}

deb_of() { # VERSION: where its package is kept
	printf '%s/source/%s_%s_all.deb\n' "$cache" "$package" "${1//:/%3a}"
}

known_versions() { # those that apt can download, newest first
	apt-cache madison "$package" 2>/dev/null | awk -F' *[|] *' '{print $2}' || true
}

newest_kept() { # version of the newest package in the cache
	local file
	for file in "$cache/source/${package}"_*_all.deb; do
		[ -e "$file" ] || continue
		file=${file##*/"${package}"_}
		printf '%s\n' "${file%_all.deb}"
	done | sed 's/%3a/:/g' | sort -rV | head -n 1
}

# The version to build on: that of BASE wherever it can be had, or else the newest of Debian.
choose_version() {
	local versions newest
	[ ! -e "$(deb_of "$base_version")" ] || { printf '%s\n' "$base_version" && return; }
	versions=$(known_versions)
	if grep -qxF -- "$base_version" <<<"$versions"; then
		printf '%s\n' "$base_version"
		return
	fi
	newest=$(head -n 1 <<<"$versions")
	[ -n "$newest" ] || newest=$(newest_kept)
	printf '%s\n' "$newest"
}

# Downloads with the host's apt, or with lists of our own where the host has none or old ones.
download() { # VERSION, into $work/get
	local apt=(apt-get -q -o APT::Sandbox::User= -o Acquire::Retries=2)
	mkdir -p "$work/get"
	(cd "$work/get" && "${apt[@]}" download "$package=$1" </dev/null >&2) && return
	# shellcheck source=scripts/apt-private.sh
	. "$here/../scripts/apt-private.sh"
	local apt_private=()
	say "that failed, maybe since the lists of apt are missing or old: fetching them anew"
	apt_private_start "$work/apt" < <(apt_mirrors | sed 's/^/deb /') >&2
	(cd "$work/get" && "${apt_private[@]}" download "$package=$1" </dev/null >&2)
}

download_failed() { # VERSION
	if ! command -v apt-get >/dev/null; then
		mkdir -p "${deb%/*}"
		die "there is no apt-get here to download $package $1 with: get its file," \
			"${deb##*/}, from a mirror of Debian 12 or 13, and where it is, type:" \
			"  mv ${deb##*/} $(printf %q "${deb%/*}/") &&$(again)"
	elif known_versions | grep -qxF -- "$1"; then
		die "$package $1: apt knows it, but the download failed, as said above" \
			"once the network is up, type:" "$(again)"
	fi
	die "$package $1 is in no source of apt, or they cannot be read, as said above" \
		"with the network up, and Debian 12 or 13 (main) among the sources, type:" \
		"  sudo apt-get update &&$(again)"
}

# Nothing is in the cache before all of it has been verified, and the package itself comes last.
fetch_deb() { # VERSION
	local found
	say "downloading $package $1 (about 150 MB)"
	download "$1" || download_failed "$1"
	found=("$work/get/${package}"_*.deb)
	[ -e "${found[0]}" ] ||
		die "apt-get left no file of $package $1; to try again, type:" "$(again)"
	if ! verify_deb "${found[0]}" "$1" || ! verify_base "${found[0]}" "$1"; then
		die "what was downloaded is not kept; to download it again, type:" "$(again)"
	fi
	mkdir -p "${deb%/*}"
	mv "${found[0]}.deb-sha256" "$deb.deb-sha256"
	mv "${found[0]}.sha256" "$deb.sha256"
	mv "${found[0]}" "$deb"
}

# Sets deb and source_sha. Nothing is asked of the network when the package is kept already.
get_source() {
	local version
	version=$(choose_version)
	version=${version:-$base_version}
	deb=$(deb_of "$version")
	if [ ! -e "$deb" ]; then
		fetch_deb "$version"
	elif [ ! -s "$deb.sha256" ] || [ "$deb" -nt "$deb.sha256" ]; then
		verify_deb "$deb" "$version" || bad_kept
	fi
	verify_base "$deb" "$version" || bad_kept
	[ "$version" = "$base_version" ] ||
		say "NOTE: BASE names $base_version, which is not to be had: using $version"
	source_sha=$(<"$deb.sha256")
}

bad_kept() {
	die "to remove that file, which was kept, and download it again, type:" \
		"  rm $(printf %q "$deb") &&$(again)"
}

apt_sha256() { # VERSION: what apt's signed lists say of the package
	apt-cache show "$package=$1" 2>/dev/null | sed -n 's/^SHA256: *//p' | head -n 1 || true
}

# Looks through all of a package, and writes the hashes of it and of its tarball beside it.
verify_deb() { # FILE VERSION
	local wanted got
	wanted=$(apt_sha256 "$2")
	got=$(sha256sum <"$1")
	got=${got%% *}
	if [ -n "$wanted" ] && [ "$wanted" != "$got" ]; then
		say "${1##*/}: SHA-256 $got, but apt says $wanted"
		return 1
	fi
	if ! dpkg-deb --fsys-tarfile "$1" | tar -xO "./usr/src/$package.tar.xz" | sha256sum |
		cut -d' ' -f1 >"$work/sha"; then
		say "${1##*/}: damaged: dpkg-deb cannot unpack it"
		return 1
	fi
	printf '%s\n' "$got" >"$1.deb-sha256"
	mv "$work/sha" "$1.sha256"
}

# BASE may give the hash of the package or that of the tarball in it.
verify_base() { # FILE VERSION
	local deb_sha tar_sha
	[ "$2" = "$base_version" ] || return 0
	deb_sha=$(<"$1.deb-sha256") tar_sha=$(<"$1.sha256")
	case $base_sha in
	'' | "$tar_sha" | "$deb_sha") return ;;
	esac
	say "${1##*/} is not what BASE names: sha256 $base_sha in BASE," \
		"$deb_sha of the package, $tar_sha of its tarball"
	return 1
}

patches() { # the files that series names, in order
	local name
	[ "$kind" = patched ] || return 0
	sed 's/[[:space:]]*#.*//' "$series/series" | while read -r name; do
		[ -z "$name" ] || printf '%s\n' "$series/$name"
	done
}

check_series() {
	local file
	[ "$kind" = patched ] || return 0
	[ -f "$series/series" ] || die "$series/series does not exist: it lists the patches"
	patches | while read -r file; do
		[ -f "$file" ] || die "series names ${file##*/}, which does not exist"
	done
}

# Whether the patches bring the configuration symbol: the first ones of the series do not.
brings_option() {
	local files
	mapfile -t files < <(patches)
	[ ${#files[@]} != 0 ] && grep -qsx '+config PAGESIZE_64K' "${files[@]}"
}

# All fragments as one, the last word on a symbol winning, as "SYMBOL=value FRAGMENT" lines.
merged_fragments() {
	local files=("$here/config/common.config" "$here/config/$arch.config") file
	! brings_option || files+=("$here/config/pagesize.config")
	[ "$debug" = 0 ] || files+=("$here/config/debug.config")
	files+=(${extra_configs[@]+"${extra_configs[@]}"})
	for file in "${files[@]}"; do
		[ -f "$file" ] || die "$file: no such configuration fragment"
		sed -n 's/^# \(CONFIG_[A-Z0-9_a-z]*\) is not set$/\1=n/; /^CONFIG_/p' "$file" |
			sed "s|\$| ${file##*/}|"
	done | awk -F= '{if (!($1 in value)) order[++n] = $1; value[$1] = $0}
		END {for (i = 1; i <= n; i++) print value[order[i]]}'
}

# Run with output into the log; by its id, so that a signal to us ends it too.
logged() {
	"$@" </dev/null >>"$work/build.log" 2>&1 &
	child=$!
	local status=0
	wait "$child" || status=$?
	child=
	return "$status"
}

step_failed() { # WHAT: show the end of the log, keep it, and stop
	local kept=$cache/failed.log
	mv "$work/build.log" "$kept"
	grep -nE '(error|Error|undefined reference)[: ]' "$kept" | head -n 20 >&2 || true
	tail -n 15 "$kept" >&2
	die "$1; the whole log: $kept"
}

unpack() { # FOLDER: of trees; the one of this source becomes `tree`
	tree=$1/${source_sha:0:16}
	[ ! -d "$tree" ] || return 0
	say "unpacking ${deb##*/}"
	rm -rf "$1" # one version is enough
	mkdir -p "$work/tree/source" "$work/tree/pristine" "$1"
	dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$package.tar.xz" |
		tar -xJ --strip-components=1 -C "$work/tree/source" ||
		die "${deb##*/} cannot be unpacked: with about 3 GB of room in $cache, type:" \
			"$(again)"
	mv "$work/tree" "$tree"
}

touched() { # the files that the patches name, and those that an earlier series changed
	local files
	mapfile -t files < <(patches)
	{
		[ ${#files[@]} = 0 ] || sed -n -E 's/\t.*//; s/^(---|\+\+\+) [ab]\///p
			s/^(rename|copy) (from|to) //p' "${files[@]}"
		(cd "$tree/pristine" && find . -type f | sed 's,^\./,,; s,\.absent$,,')
	} | sort -u
}

# Copies of the files as Debian has them, in $work/stage; kept in pristine/ before any change.
stage_pristine() {
	local name kept
	touched >"$work/touched"
	mkdir -p "$work/stage"
	while read -r name; do
		kept=$tree/pristine/$name
		mkdir -p "${kept%/*}" "$(dirname "$work/stage/$name")"
		if [ ! -e "$kept" ] && [ ! -e "$kept.absent" ]; then
			if [ -e "$tree/source/$name" ]; then
				cp -p "$tree/source/$name" "$kept.new"
				mv "$kept.new" "$kept"
			else
				: >"$kept.absent"
			fi
		fi
		[ ! -e "$kept" ] || cp -p "$kept" "$work/stage/$name"
	done <"$work/touched"
}

apply_patch() { # FILE: to the stage
	local name
	patch -p1 --fuzz=0 --force --no-backup-if-mismatch -d "$work/stage" -i "$1" \
		>"$work/patch.out" 2>&1 && return
	grep -E 'patching|FAILED|[Mm]alformed|garbage|find file|No file|\*\*\*\*' \
		"$work/patch.out" | head -n 40 >&2
	name=${deb##*/}
	die "${1##*/} does not apply to ${name%_all.deb}: see the hunks above" \
		"no patch is skipped and no fuzz allowed: the series must be ported to it"
}

# Only what differs is written, so that make compiles only what depends on it.
update_source() {
	local name
	while read -r name; do
		if [ ! -e "$work/stage/$name" ]; then
			rm -f "$tree/source/$name"
		elif ! cmp -s "$work/stage/$name" "$tree/source/$name"; then
			mkdir -p "$(dirname "$tree/source/$name")"
			cp --remove-destination "$work/stage/$name" "$tree/source/$name"
		fi
	done <"$work/touched"
}

kernel_make() {
	logged nice -n 10 make -C "$tree/source" O="$objects" ARCH=x86_64 -j"$jobs" \
		LOCALVERSION="-$kind" KBUILD_BUILD_USER=pg64 KBUILD_BUILD_HOST=pg64 \
		KBUILD_BUILD_VERSION=1 KBUILD_BUILD_TIMESTAMP=1970-01-01 "$@"
}

configure() {
	local line pair name value now bad=()
	sed 's/ [^ ]*$//' "$work/wanted" >"$work/all.config"
	mkdir -p "$objects"
	kernel_make KCONFIG_ALLCONFIG="$work/all.config" allnoconfig ||
		step_failed "the configuration failed"
	while read -r line; do
		pair=${line% *} name=${line%%=*} value=${pair#*=}
		if [ "$value" = n ]; then
			grep -q "^$name=" "$objects/.config" || continue
		elif grep -qxF -- "$pair" "$objects/.config"; then
			continue
		fi
		now=$(grep -E "^(# )?${name}[= ]" "$objects/.config") ||
			now="no such symbol here, or what it depends on is not set"
		bad+=("  $pair (${line##* }): $now")
	done <"$work/wanted"
	[ ${#bad[@]} = 0 ] || die "the configuration lacks what its fragments ask for:" "${bad[@]}"
}
