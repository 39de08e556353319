# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the scripts a person runs: a known environment, Debian packages, builds.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# Used by the scripts that source this file.
# shellcheck disable=SC2034
PYTHON=/usr/bin/python3

# Debian's tools and nothing of the caller's: another python3, a cross compiler or a library path
# in the environment must not change what is built.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
unset CC CXX CFLAGS CPPFLAGS LDFLAGS CPATH C_INCLUDE_PATH LIBRARY_PATH LD_LIBRARY_PATH LD_PRELOAD
unset PKG_CONFIG_PATH PYTHONPATH PYTHONHOME PYTEST_ADDOPTS DESTDIR MAKEFLAGS NINJA_STATUS
unset BASH_ENV ENV CDPATH GREP_OPTIONS

die() {
	echo "$(basename "$0"): $*" >&2
	exit 1
}

# packages SECTION...
packages() {
	local section
	for section in "$@"; do
		sed -n "/^\[$section]\$/,/^\[/{/^\[/d; s/[[:space:]]*#.*//; /^\$/d; p}" "$ROOT/scripts/packages"
	done
}

missing_packages() { # SECTION...
	packages "$@" | while read -r package; do
		dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null |
			grep -qx installed || echo "$package"
	done
}

# install_packages SECTION...: ask apt for what is not there; on a machine that has everything, ask
# nothing of anybody. What is there stays: a mail server is not replaced by one that is only tested with.
install_packages() {
	local missing
	mapfile -t missing < <(missing_packages "$@")
	[ ${#missing[@]} -gt 0 ] || return 0
	[ "$(id -u)" = 0 ] || die "not root, and these packages are missing: ${missing[*]}"
	echo "installing ${missing[*]}"
	export DEBIAN_FRONTEND=noninteractive
	# A mail server that is installed to be tested with gets no configuration, and does not begin to serve.
	if printf '%s\n' "${missing[@]}" | grep -qx postfix; then
		echo 'postfix postfix/main_mailer_type select No configuration' | debconf-set-selections
	fi
	apt-get -q update && apt_install_starting_nothing "${missing[@]}" && keep_from_booting "${missing[@]}"
}

# apt_install_starting_nothing PACKAGE...: dpkg finds these for what starts services in their stead.
apt_install_starting_nothing() {
	local folder status=0
	folder=$(mktemp -d) && ln -s /bin/true "$folder/invoke-rc.d" &&
		ln -s /bin/true "$folder/deb-systemd-invoke" || return 1
	apt-get -q -y --no-remove --no-install-recommends -o DPkg::Lock::Timeout=300 \
		-o DPkg::Path="$folder:$PATH" install "$@" || status=$?
	rm -r "$folder"
	return $status
}

# keep_from_booting PACKAGE...: their services are not started with the machine either.
keep_from_booting() {
	local service
	for service in $(dpkg -L "$@" 2>/dev/null | sed -n 's|^/etc/init.d/||p'); do
		update-rc.d "$service" disable >/dev/null || return 1
	done
}

# configure FOLDER COMPILER [MESON OPTION]...: once; ninja notices later changes by itself.
configure() {
	local folder=$1 compiler=$2
	shift 2
	[ -f "$ROOT/$folder/build.ninja" ] || CC=$compiler meson setup "$ROOT/$folder" "$ROOT" "$@"
}

# The builds. Every one has its own folder, so a second run compiles what changed.
build() {
	local targets=()
	case $1 in
	build)
		configure build gcc --buildtype=release ;;
	build-install)
		configure build-install gcc --buildtype=release -Dtests=false ;;
	build-asan)
		configure build-asan gcc --buildtype=debug -Doptimization=1 \
			-Db_sanitize=address,undefined ;;
	build-tsan)
		targets=(race-tests)
		configure build-tsan gcc --buildtype=debug -Doptimization=1 -Db_sanitize=thread \
			-Dbpf=false ;;
	build-fuzz)
		configure build-fuzz clang --buildtype=debug -Doptimization=1 \
			-Db_sanitize=address,undefined -Dfuzz=true ;;
	build-coverage)
		targets=(fuzz-targets)
		configure build-coverage clang --buildtype=debug -Doptimization=1 \
			-Db_ndebug=true -Dfuzz=true -Dcoverage=true -Dbpf=false ;;
	esac && ninja -C "$ROOT/$1" "${targets[@]}"
}
