/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The shield's pins: maps that outlive us, and the program on each interface.
 *
 * Thread: control; of all processes one at a time has the directory, by a lock on it.
 * Time: none. Memory: the struct; a skeleton lives for one call.
 * Rules: BPFFS/maps/NAME, BPFFS/IFACE/link, a dot in an interface's name written as a colon (a
 * bpffs takes no dots, an interface no colons). A bpf_link goes when its last holder goes, so it
 * is pinned or it is not: nothing half attached is left by a crash.
 */
#include "control/shield_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <net/if.h>

#include "control/error.h"
#include "shield.skel.h"

enum {
	VERIFIER_LOG_LEN = 1 << 16,
};

static const char *const map_names[SHIELD_MAPS] = {
	[SHIELD_MAP_FLAGGED] = "flagged",   [SHIELD_MAP_ALLOW] = "allow",
	[SHIELD_MAP_BACKENDS] = "backends", [SHIELD_MAP_SERVICES] = "services",
	[SHIELD_MAP_CONFIG] = "config",	    [SHIELD_MAP_COUNTERS] = "counters",
};

static int make_directory(const char *path, char *error, size_t len)
{
	char part[PATH_MAX];
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(part))
		return error_set(-ENAMETOOLONG, error, len, "'%s' names no directory", path);
	memcpy(part, path, n + 1);
	for (char *slash = part + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return error_set(-errno, error, len, "cannot make %s: %s", part,
					 strerror(errno));
	}
	if (mkdir(part, 0700) < 0 && errno != EEXIST)
		return error_set(-errno, error, len, "cannot make %s: %s", part, strerror(errno));
	return 0;
}

static int is_bpffs(const char *path, bool *yes)
{
	struct statfs fs;

	if (statfs(path, &fs) < 0)
		return -errno;
	*yes = (unsigned long)fs.f_type == BPF_FS_MAGIC;
	return 0;
}

/* Opens the directory and locks it for as long as it is open. */
static int directory_lock(const char *path, int *fd, char *error, size_t len)
{
	*fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd < 0)
		return error_set(-errno, error, len, "cannot open %s: %s", path, strerror(errno));
	if (flock(*fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK
			       ? error_set(-EBUSY, error, len,
					   "%s: another posternd has this shield", path)
			       : error_set(-errno, error, len, "cannot lock %s: %s", path,
					   strerror(errno));
	return 0;
}

/* The same, and mounts a bpffs where there is none. */
static int directory_open(const char *path, int *fd, char *error, size_t len)
{
	bool mounted = false;
	int err = make_directory(path, error, len);

	if (err)
		return err;
	err = is_bpffs(path, &mounted);
	if (!err && !mounted &&
	    mount("bpf", path, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		err = -errno;
	if (err)
		return error_set(err, error, len,
				 "%s is no bpffs and none can be mounted there: %s", path,
				 strerror(-err));
	return directory_lock(path, fd, error, len);
}

static int pin_path(char path[PATH_MAX], const char *dir, const char *folder, const char *name)
{
	int n = snprintf(path, PATH_MAX, "%s/%s%s%s", dir, folder, *name ? "/" : "", name);

	return n < PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int map_check_layout(int fd, const struct bpf_map *wanted, const char *path, char *error,
			    size_t len)
{
	struct bpf_map_info info = {0};
	__u32 info_len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &info_len) < 0)
		return error_set(-errno, error, len, "cannot examine %s: %s", path,
				 strerror(errno));
	if (info.type == (__u32)bpf_map__type(wanted) &&
	    info.key_size == bpf_map__key_size(wanted) &&
	    info.value_size == bpf_map__value_size(wanted) &&
	    info.max_entries == bpf_map__max_entries(wanted) &&
	    info.map_flags == bpf_map__map_flags(wanted))
		return 0;
	return error_set(-EEXIST, error, len,
			 "%s holds a map of another layout (type %u, key %u, value %u octets, %u "
			 "entries; wanted type %u, key %u, value %u octets, %u entries), left by "
			 "another version: detach the shield and remove that file",
			 path, info.type, info.key_size, info.value_size, info.max_entries,
			 (unsigned)bpf_map__type(wanted), bpf_map__key_size(wanted),
			 bpf_map__value_size(wanted), bpf_map__max_entries(wanted));
}

/* Gives the unloaded object the pinned map, when there is one. */
static int map_reuse_pinned(struct bpf_map *map, const char *path, bool *pinned, char *error,
			    size_t len)
{
	int fd = bpf_obj_get(path), err;

	*pinned = fd >= 0;
	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		return error_set(-errno, error, len, "cannot open %s: %s", path, strerror(errno));
	}
	err = map_check_layout(fd, map, path, error, len);
	if (!err) {
		err = bpf_map__reuse_fd(map, fd);
		if (err)
			error_set(err, error, len, "cannot use %s: %s", path, strerror(-err));
	}
	close(fd);
	return err;
}

static int maps_reuse(struct shield *s, struct shield_bpf *skeleton, bool pinned[SHIELD_MAPS],
		      char *error, size_t len)
{
	char path[PATH_MAX];
	int err = 0;

	for (int i = 0; i < SHIELD_MAPS && !err; i++) {
		err = pin_path(path, s->dir, "maps", map_names[i]);
		if (err)
			return error_set(err, error, len, "%s is too long a name", s->dir);
		err = map_reuse_pinned(bpf_object__find_map_by_name(skeleton->obj, map_names[i]),
				       path, &pinned[i], error, len);
	}
	return err;
}

static int maps_pin(struct shield *s, struct shield_bpf *skeleton, const bool pinned[SHIELD_MAPS],
		    char *error, size_t len)
{
	char path[PATH_MAX];

	pin_path(path, s->dir, "maps", "");
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(-errno, error, len, "cannot make %s: %s", path, strerror(errno));
	for (int i = 0; i < SHIELD_MAPS; i++) {
		int fd = bpf_map__fd(bpf_object__find_map_by_name(skeleton->obj, map_names[i]));

		pin_path(path, s->dir, "maps", map_names[i]);
		if (!pinned[i] && bpf_obj_pin(fd, path) < 0)
			return error_set(-errno, error, len, "cannot pin %s: %s", path,
					 strerror(errno));
		s->maps[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		if (s->maps[i] < 0)
			return error_set(-errno, error, len, "cannot keep %s open: %s", path,
					 strerror(errno));
	}
	return 0;
}

static int config_map(struct shield *s, char *error, size_t len)
{
	void *at;

	s->config_len = (size_t)sysconf(_SC_PAGESIZE);
	at = mmap(NULL, s->config_len, PROT_READ | PROT_WRITE, MAP_SHARED,
		  s->maps[SHIELD_MAP_CONFIG], 0);
	if (at == MAP_FAILED)
		return error_set(-errno, error, len, "cannot map the shield's configuration: %s",
				 strerror(errno));
	s->config = at;
	return 0;
}

/* Makes the maps that are not pinned yet, without a program. */
static int maps_open(struct shield *s, char *error, size_t len)
{
	bool pinned[SHIELD_MAPS] = {false};
	struct shield_bpf *skeleton = shield_bpf__open();
	int err;

	if (!skeleton)
		return error_set(-errno, error, len, "cannot read the shield's program: %s",
				 strerror(errno));
	bpf_program__set_autoload(skeleton->progs.xsk_def_prog, false);
	bpf_map__set_autocreate(skeleton->maps.xsks_map, false);
	err = maps_reuse(s, skeleton, pinned, error, len);
	if (err)
		goto out;
	err = shield_bpf__load(skeleton);
	if (err) {
		error_set(err, error, len, "cannot make the shield's maps: %s", strerror(-err));
		goto out;
	}
	err = maps_pin(s, skeleton, pinned, error, len);
	if (!err)
		err = config_map(s, error, len);
	if (!err && !pinned[SHIELD_MAP_CONFIG])
		shield_set_backend_ports(s, 1, 0);
	/* Who was killed between a flag and its level's bit left the flag without effect. */
	if (!err)
		err = shield_levels_refresh(s, error, len);
out:
	shield_bpf__destroy(skeleton);
	return err;
}

int shield_open(struct shield **out, const char *bpffs, char *error, size_t len)
{
	struct shield *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return error_set(-ENOMEM, error, len, "no memory for the shield");
	s->dir_fd = -1;
	for (int i = 0; i < SHIELD_MAPS; i++)
		s->maps[i] = -1;
	s->dir = strdup(bpffs);
	err = s->dir ? directory_open(bpffs, &s->dir_fd, error, len)
		     : error_set(-ENOMEM, error, len, "no memory for the shield");
	if (!err)
		err = maps_open(s, error, len);
	if (err) {
		shield_close(s);
		return err;
	}
	*out = s;
	return 0;
}

void shield_close(struct shield *s)
{
	if (!s)
		return;
	if (s->config)
		munmap(s->config, s->config_len);
	for (int i = 0; i < SHIELD_MAPS; i++)
		if (s->maps[i] >= 0)
			close(s->maps[i]);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s->dir);
	free(s);
}

/* The verifier's last words, which say what it did not like. */
static const char *last_line(char *log)
{
	size_t n = strlen(log);
	char *line;

	while (n > 0 && log[n - 1] == '\n')
		log[--n] = '\0';
	line = strrchr(log, '\n');
	if (line && strncmp(line + 1, "processed ", 10) == 0) {
		*line = '\0';
		line = strrchr(log, '\n');
	}
	return line ? line + 1 : log;
}

/* Loads one interface's own program: the maps are the shared ones, the sockets' map is new. */
static int program_load(struct shield *s, struct shield_bpf **out, char *error, size_t len)
{
	char *log = calloc(1, VERIFIER_LOG_LEN);
	LIBBPF_OPTS(bpf_object_open_opts, opts, .kernel_log_buf = log,
		    .kernel_log_size = log ? VERIFIER_LOG_LEN : 0);
	struct shield_bpf *skeleton = shield_bpf__open_opts(&opts);
	int err = skeleton ? 0 : -errno;

	for (int i = 0; i < SHIELD_MAPS && !err; i++)
		err = bpf_map__reuse_fd(bpf_object__find_map_by_name(skeleton->obj, map_names[i]),
					s->maps[i]);
	if (!err)
		err = shield_bpf__load(skeleton);
	if (err) {
		error_set(err, error, len, "the kernel does not take the shield's program: %s%s%s",
			  strerror(-err), log && *log ? ": " : "", log ? last_line(log) : "");
		shield_bpf__destroy(skeleton);
		skeleton = NULL;
	}
	*out = skeleton;
	free(log);
	return err;
}

static int folder_of(char folder[IF_NAMESIZE], const char *ifname, char *error, size_t len)
{
	size_t n = strlen(ifname);

	if (n == 0 || n >= IF_NAMESIZE || strcmp(ifname, "maps") == 0)
		return error_set(-EINVAL, error, len, "'%s' cannot be shielded: its name", ifname);
	for (size_t i = 0; i <= n; i++)
		folder[i] = ifname[i] == '.' ? ':' : ifname[i];
	return 0;
}

/* The XDP programs on an interface, none of them ours when ours is 0. */
static int refuse_foreign(const char *ifname, int ifindex, __u32 ours, char *error, size_t len)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, query);
	struct bpf_prog_info info = {0};
	__u32 info_len = sizeof(info), id;
	int err = bpf_xdp_query(ifindex, 0, &query), fd;

	if (err)
		return error_set(err, error, len, "cannot ask for %s's XDP program: %s", ifname,
				 strerror(-err));
	id = query.drv_prog_id ? query.drv_prog_id : query.skb_prog_id;
	if (id == 0)
		id = query.hw_prog_id ? query.hw_prog_id : query.prog_id;
	if (id == ours)
		return 0;
	fd = id ? bpf_prog_get_fd_by_id(id) : -1;
	if (fd >= 0) {
		bpf_obj_get_info_by_fd(fd, &info, &info_len);
		close(fd);
	}
	if (id == 0)
		return error_set(-ESTALE, error, len,
				 "%s has no XDP program where its link says %u", ifname, ours);
	return error_set(-EBUSY, error, len,
			 "%s has the XDP program '%s' (id %u), which is not this shield's: take it "
			 "off first",
			 ifname, info.name, id);
}

/* The link an earlier process left for this interface: *link, or -1 when there is none, or none
 * any more because its interface is gone. */
static int link_find(const char *path, const char *ifname, int ifindex, int *link, char *error,
		     size_t len)
{
	struct bpf_link_info info = {0};
	__u32 info_len = sizeof(info);
	int fd = bpf_obj_get(path), err;

	*link = -1;
	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		return error_set(-errno, error, len, "cannot open %s: %s", path, strerror(errno));
	}
	if (bpf_obj_get_info_by_fd(fd, &info, &info_len) < 0) {
		err = error_set(-errno, error, len, "cannot examine %s: %s", path, strerror(errno));
		goto fail;
	}
	if (info.type == BPF_LINK_TYPE_XDP && info.xdp.ifindex == 0) {
		close(fd);
		unlink(path);
		return 0;
	}
	if (info.type != BPF_LINK_TYPE_XDP || info.xdp.ifindex != (__u32)ifindex) {
		err = error_set(-EEXIST, error, len,
				"%s belongs to interface %u, not to %s (%d): detach the shield "
				"there first",
				path, info.xdp.ifindex, ifname, ifindex);
		goto fail;
	}
	err = refuse_foreign(ifname, ifindex, info.prog_id, error, len);
	if (err)
		goto fail;
	*link = fd;
	return 0;
fail:
	close(fd);
	return err;
}

static int link_create(int program, int ifindex, enum shield_mode mode, int *link)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);

	*link = bpf_link_create(program, ifindex, BPF_XDP, &opts);
	if (*link < 0 && mode == SHIELD_NATIVE_OR_GENERIC) {
		opts.flags = XDP_FLAGS_SKB_MODE;
		*link = bpf_link_create(program, ifindex, BPF_XDP, &opts);
	}
	return *link < 0 ? -errno : 0;
}

/* Attaches and pins; a link that cannot be pinned is gone again when it is closed. */
static int link_create_pinned(struct shield *s, const char *folder, const char *path, int program,
			      int ifindex, enum shield_mode mode, const char *ifname, char *error,
			      size_t len)
{
	char dir[PATH_MAX];
	int link, err = refuse_foreign(ifname, ifindex, 0, error, len);

	if (err)
		return err;
	pin_path(dir, s->dir, folder, "");
	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return error_set(-errno, error, len, "cannot make %s: %s", dir, strerror(errno));
	err = link_create(program, ifindex, mode, &link);
	if (err)
		return error_set(err, error, len, "cannot attach the shield to %s%s: %s", ifname,
				 mode == SHIELD_NATIVE ? " in its driver" : "", strerror(-err));
	if (bpf_obj_pin(link, path) < 0)
		err = error_set(-errno, error, len, "cannot pin %s: %s", path, strerror(errno));
	close(link);
	return err;
}

int shield_attach(struct shield *s, const char *ifname, enum shield_mode mode, char *error,
		  size_t len)
{
	char folder[IF_NAMESIZE], path[PATH_MAX];
	struct shield_bpf *skeleton = NULL;
	int ifindex, program, link = -1, err = folder_of(folder, ifname, error, len);

	if (err)
		return err;
	ifindex = (int)if_nametoindex(ifname);
	if (ifindex == 0)
		return error_set(-errno, error, len, "no interface %s: %s", ifname,
				 strerror(errno));
	if (pin_path(path, s->dir, folder, "link") < 0)
		return error_set(-ENAMETOOLONG, error, len, "%s is too long a name", s->dir);
	err = program_load(s, &skeleton, error, len);
	if (err)
		return err;
	program = bpf_program__fd(skeleton->progs.xsk_def_prog);
	err = link_find(path, ifname, ifindex, &link, error, len);
	if (!err && link < 0)
		err = link_create_pinned(s, folder, path, program, ifindex, mode, ifname, error,
					 len);
	else if (!err && bpf_link_update(link, program, NULL) < 0)
		err = error_set(-errno, error, len, "cannot replace the shield on %s: %s", ifname,
				strerror(errno));
	if (link >= 0)
		close(link);
	shield_bpf__destroy(skeleton);
	return err;
}

/* Takes one pinned link off, and its pin and folder away. */
static int link_detach(const char *dir, const char *folder, const char *ifname, char *error,
		       size_t len)
{
	char path[PATH_MAX];
	int link, err = 0;

	if (pin_path(path, dir, folder, "link") < 0)
		return error_set(-ENAMETOOLONG, error, len, "%s is too long a name", dir);
	link = bpf_obj_get(path);
	if (link < 0)
		return error_set(-errno, error, len, "%s is not shielded: %s: %s", ifname, path,
				 strerror(errno));
	/* -ENOLINK: the interface is gone, and its program with it. */
	if (bpf_link_detach(link) < 0 && errno != ENOLINK) {
		err = error_set(-errno, error, len, "cannot detach the shield from %s: %s", ifname,
				strerror(errno));
	} else {
		unlink(path);
		pin_path(path, dir, folder, "");
		rmdir(path);
	}
	close(link);
	return err;
}

int shield_detach(struct shield *s, const char *ifname, char *error, size_t len)
{
	char folder[IF_NAMESIZE];
	int err = folder_of(folder, ifname, error, len);

	return err ? err : link_detach(s->dir, folder, ifname, error, len);
}

/* --- all there is below a bpffs -------------------------------------------------------------- */

/* The interface whose folder this is; false: it is none's. */
static bool ifname_of(char ifname[IF_NAMESIZE], const char *dir, const char *folder)
{
	char path[PATH_MAX];
	size_t n = strlen(folder);

	if (n >= IF_NAMESIZE || pin_path(path, dir, folder, "link") < 0 || access(path, F_OK) < 0)
		return false;
	memcpy(ifname, folder, n + 1);
	for (char *colon = ifname; (colon = strchr(colon, ':'));)
		*colon = '.';
	return true;
}

static int each_interface(const char *dir, int (*each)(void *arg, const char *ifname), void *arg,
			  char *error, size_t len)
{
	DIR *folders = opendir(dir);
	const struct dirent *entry;
	char ifname[IF_NAMESIZE];
	int err = 0;

	if (!folders)
		return error_set(-errno, error, len, "cannot open %s: %s", dir, strerror(errno));
	while (!err && (entry = readdir(folders)))
		if (ifname_of(ifname, dir, entry->d_name))
			err = each(arg, ifname);
	closedir(folders);
	return err;
}

int shield_each_interface(const struct shield *s, int (*each)(void *arg, const char *ifname),
			  void *arg, char *error, size_t len)
{
	return each_interface(s->dir, each, arg, error, len);
}

struct removal {
	const char *dir;
	void (*told)(const char *ifname);
	char *error;
	size_t len;
};

static int remove_from(void *arg, const char *ifname)
{
	const struct removal *r = arg;
	char folder[IF_NAMESIZE];
	int err = folder_of(folder, ifname, r->error, r->len);

	if (!err)
		err = link_detach(r->dir, folder, ifname, r->error, r->len);
	if (!err)
		r->told(ifname);
	return err;
}

static int maps_remove(const char *dir, char *error, size_t len)
{
	char path[PATH_MAX];

	for (int i = 0; i < SHIELD_MAPS; i++)
		if (pin_path(path, dir, "maps", map_names[i]) < 0 ||
		    (unlink(path) < 0 && errno != ENOENT))
			return error_set(-errno, error, len, "cannot remove %s: %s", path,
					 strerror(errno));
	pin_path(path, dir, "maps", "");
	rmdir(path);
	return 0;
}

int shield_remove(const char *bpffs, void (*told)(const char *ifname), char *error, size_t len)
{
	const struct removal r = {bpffs, told, error, len};
	bool is_mounted = false;
	int fd, err = is_bpffs(bpffs, &is_mounted);

	if (!err && !is_mounted)
		err = -ENOENT;
	if (err)
		return error_set(err, error, len, "%s: there is no shield: %s", bpffs,
				 is_mounted || err != -ENOENT ? strerror(-err) : "it is no bpffs");
	err = directory_lock(bpffs, &fd, error, len);
	if (!err)
		err = each_interface(bpffs, remove_from, (void *)&r, error, len);
	if (!err)
		err = maps_remove(bpffs, error, len);
	if (fd >= 0)
		close(fd);
	return err;
}
