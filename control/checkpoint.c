/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A head, chunks of records, and a chunk of none at the end.
 *
 * Thread, Time, Memory: checkpoint.h.
 * Rules: numbers are in the host's order, which the head tells. A chunk's sum is keyed by its place
 * and length, so that one that is missing, twice there or cut is seen. All sums are checked before
 * the first record is taken in. The sum guards against accidents: who may write the file may write
 * what he likes, and has to be answered safely.
 */
#include "control/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/siphash.h"
#include "control/error.h"

enum {
	CHUNK_OCTETS = 64 << 10,
	VERSION = 2,
	BYTE_ORDER_MARK = 0x01020304,
};

struct head {
	char magic[8];
	uint32_t version, byte_order;
};

struct chunk {
	uint32_t number, len;
	uint64_t sum;
};

static const char magic[8] = "pstnhrv";
static const char no_file[] = "it is no file";

static uint64_t sum_of(const struct chunk *chunk, const void *octets)
{
	const struct siphash_key place = {chunk->number, chunk->len};

	return siphash13(&place, octets, chunk->len);
}

/* --- writing --------------------------------------------------------------------------------- */

static bool write_chunk(FILE *file, uint32_t number, const void *octets, size_t n)
{
	struct chunk chunk = {.number = number, .len = (uint32_t)n};

	chunk.sum = sum_of(&chunk, octets);
	return fwrite(&chunk, sizeof(chunk), 1, file) == 1 && fwrite(octets, 1, n, file) == n;
}

int checkpoint_write(const struct harvest *h, FILE *file)
{
	struct head head = {.version = VERSION, .byte_order = BYTE_ORDER_MARK};
	uint32_t at = 0, number = 0;
	uint8_t *octets = malloc(CHUNK_OCTETS);
	size_t n = 0;
	bool well;

	if (!octets)
		return -ENOMEM;
	memcpy(head.magic, magic, sizeof(magic));
	errno = EIO;
	well = fwrite(&head, sizeof(head), 1, file) == 1;
	do {
		n = harvest_checkpoint(h, &at, octets, CHUNK_OCTETS);
		well = well && write_chunk(file, number++, octets, n);
	} while (well && n);
	free(octets);
	return well && fflush(file) == 0 ? 0 : -errno;
}

static int write_and_sync(const struct harvest *h, int fd)
{
	FILE *file = fdopen(fd, "w");
	int err;

	if (!file) {
		err = -errno;
		close(fd);
		return err;
	}
	err = checkpoint_write(h, file);
	if (!err && fsync(fd) != 0)
		err = -errno;
	if (fclose(file) != 0 && !err)
		err = -errno;
	return err;
}

/* A new name is lasting only when its folder is. */
static int sync_folder(const char *path)
{
	char folder[PATH_MAX];
	const char *slash = strrchr(path, '/');
	int fd, err = 0;

	snprintf(folder, sizeof(folder), "%.*s", slash ? (int)(slash - path + 1) : 1,
		 slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		err = -errno;
	close(fd);
	return err;
}

/* A rename would put a file in a device's place. */
static int check_target(const char *path)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return errno == ENOENT ? 0 : -errno;
	return S_ISREG(st.st_mode) ? 0 : -EINVAL;
}

int checkpoint_save(const struct harvest *h, const char *path, char *error, size_t len)
{
	char beside[PATH_MAX];
	int fd, err = check_target(path);

	if (err)
		return error_set(err, error, len, "cannot write %s: %s", path,
				 err == -EINVAL ? no_file : strerror(-err));
	if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
		return error_set(-ENAMETOOLONG, error, len, "%s: the name is too long", path);
	fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(-errno, error, len, "cannot write %s: %s", beside,
				 strerror(errno));
	err = write_and_sync(h, fd);
	if (!err && rename(beside, path) != 0)
		err = -errno;
	if (!err)
		err = sync_folder(path);
	else
		unlink(beside);
	return err ? error_set(err, error, len, "cannot write %s: %s", path, strerror(-err)) : 0;
}

/* --- reading --------------------------------------------------------------------------------- */

static int read_head(FILE *file, const char *name, char *error, size_t len)
{
	struct head head;

	if (fread(&head, sizeof(head), 1, file) != 1)
		return ferror(file) ? error_set(-EIO, error, len, "cannot read %s: %s", name,
						strerror(EIO))
				    : error_set(-EBADMSG, error, len, "%s is torn: it has no head",
						name);
	if (memcmp(head.magic, magic, sizeof(magic)) != 0)
		return error_set(-EPROTO, error, len, "%s is no checkpoint of Postern's", name);
	if (head.byte_order != BYTE_ORDER_MARK)
		return error_set(-EPROTO, error, len,
				 "%s was written by a machine of another byte order", name);
	if (head.version != VERSION)
		return error_set(-EPROTO, error, len,
				 "%s is of version %u, where this program knows version %d", name,
				 head.version, VERSION);
	return 0;
}

/* The next chunk's records; the last has none. */
static int read_chunk(FILE *file, uint32_t number, struct chunk *chunk, uint8_t *octets)
{
	bool well =
		fread(chunk, sizeof(*chunk), 1, file) == 1 && chunk->number == number &&
		chunk->len <= CHUNK_OCTETS && fread(octets, 1, chunk->len, file) == chunk->len &&
		sum_of(chunk, octets) == chunk->sum && harvest_is_checkpoint(octets, chunk->len);

	if (ferror(file))
		return -EIO;
	return well ? 0 : -EBADMSG;
}

/* Reads all chunks; h NULL: only looks whether they are sound. */
static int read_chunks(struct harvest *h, FILE *file, uint8_t *octets)
{
	struct chunk chunk = {0};
	uint32_t number = 0;
	int err;

	do {
		err = read_chunk(file, number++, &chunk, octets);
		if (!err && h)
			err = harvest_restore(h, octets, chunk.len);
	} while (!err && chunk.len);
	return !err && fgetc(file) != EOF ? -EBADMSG : err;
}

int checkpoint_read(struct harvest *h, FILE *file, const char *name, char *error, size_t len)
{
	uint8_t *octets = malloc(CHUNK_OCTETS);
	int err;

	if (!octets)
		return error_set(-ENOMEM, error, len, "no memory to read %s", name);
	err = read_head(file, name, error, len);
	if (!err) {
		err = read_chunks(NULL, file, octets);
		if (!err && fseek(file, sizeof(struct head), SEEK_SET) != 0)
			err = -errno;
		if (!err)
			err = read_chunks(h, file, octets);
		if (err == -EBADMSG)
			error_set(err, error, len, "%s is torn or was changed", name);
		else if (err)
			error_set(err, error, len, "cannot read %s: %s", name, strerror(-err));
	}
	free(octets);
	return err;
}

/* What is no file would be waited for, or read for ever. */
static FILE *open_file(const char *path, int *err)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;
	FILE *file;

	*err = -errno;
	if (fd < 0)
		return NULL;
	*err = fstat(fd, &st) != 0 ? -errno : S_ISREG(st.st_mode) ? 0 : -EINVAL;
	file = *err ? NULL : fdopen(fd, "r");
	if (!file) {
		*err = *err ? *err : -errno;
		close(fd);
	}
	return file;
}

int checkpoint_load(struct harvest *h, const char *path, char *error, size_t len)
{
	FILE *file;
	int err;

	file = open_file(path, &err);
	if (!file)
		return error_set(err, error, len, "cannot read %s: %s", path,
				 err == -EINVAL ? no_file : strerror(-err));
	err = checkpoint_read(h, file, path, error, len);
	fclose(file);
	return err;
}
