# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# Sourced by the fetch scripts: an apt state of its own, set up with the mirrors of this host's
# apt. The host's lists, sources and cache are not touched, and no privilege is needed.

# The mirrors of this host's apt as "URI SUITE" lines: those labelled Debian; or, where apt has no
# lists yet and so knows no labels, whatever its sources name.
apt_mirrors() {
	local found
	# shellcheck disable=SC2016  # $(LABEL) is for apt, not for the shell
	found=$(apt-get indextargets --format '$(LABEL)|$(REPO_URI) $(RELEASE)' \
		'Created-By: Packages' | sed -n 's/^Debian\(-Security\)\{0,1\}|//p')
	if [ -z "$found" ]; then
		found=$(apt-get --print-uris update | sed -n \
			"s,^'\\(.*/\\)dists/\\([^']*\\)/\\(In\\)\\{0,1\\}Release'.*,\\1 \\2,p")
	fi
	sort -u <<<"$found"
}

# apt_private_start FOLDER < lines of a sources list with TYPE URI SUITE: sets `apt_private`.
# A mirror that cannot be read is no error yet: what is asked for later may be on another.
apt_private_start() {
	local work=$1 keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	local type uri suite option=
	[ ! -r "$keyring" ] || option="[signed-by=$keyring]"
	mkdir -p "$work"/{lists,cache,get}/partial
	while read -r type uri suite; do
		printf '%s %s %s %s main\n' "$type" "$option" "$uri" "$suite"
	done | sort -u >"$work/sources.list"
	apt_private=(apt-get -q -o "Dir::Etc::SourceList=$work/sources.list"
		-o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$work/lists"
		-o "Dir::Cache=$work/cache" -o APT::Sandbox::User= -o APT::Update::Post-Invoke::=
		-o Acquire::Languages=none -o Acquire::Retries=2)
	"${apt_private[@]}" update </dev/null || true
}
