/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * AF_XDP ports: a kernel's interface of which we take what the attached XDP program redirects.
 *
 * Thread: open and close by control; rx and tx by the queue's worker.
 * Time: none. Memory: a pool a queue, which is the socket's UMEM; 2048 of its buffers lie in the
 * kernel's fill ring from the start.
 * Rules: one vdev a queue, because the driver refuses more queues than the interface's "combined"
 * channels, of which a veth has one. No xdp_prog argument: libxdp joins the program that is
 * attached when it is named xsk_def_prog, and would attach one that takes every frame from the
 * kernel when there is none, so that is refused here. Quirks of DPDK 22.11's driver that end here:
 *  - it sends the first segment of a chain, and writes into or gives back buffers that others
 *    share: everything but the queue's own single buffers is copied (driver.h);
 *  - it takes a pool for an array of packed objects, which a pool is only when its objects may
 *    cross pages and are not spread over memory channels;
 *  - it opens sockets that can be polled but tells nobody which: they are those that were not
 *    there before;
 *  - it has libxdp look at the attached program, which takes CAP_SYS_ADMIN at open;
 *  - at close it loses the socket's descriptor, which would keep the queue bound;
 *  - when a queue does not start it loses the fill ring's buffers, and its removal afterwards
 *    writes into memory it has freed: that pool is made anew, that vdev stays until the process
 *    ends.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <rte_ethdev.h>
#include <rte_log.h>
#include <rte_mempool.h>
#include <xdp/libxdp.h>

#include "port/device.h"
#include "port/rss.h"

enum {
	AF_XDP_FRAMES = 8192,
	AF_XDP_FRAMES_MIN = 3072, /* the fill ring's 2048, a burst each way, caches */
	AF_XDP_DESCRIPTORS = 2048,
	AF_XDP_SOCKETS_MAX = 1024,
	AF_XDP_RETRIES = 6,
	AF_XDP_RETRY_NS = 10000000, /* the first pause; each is twice the one before */
	AF_XDP_HEADROOM = 256,	    /* XDP's own, before each received frame */
	/* A UMEM's chunk is a page at most, and begins with the pool's own header. */
	AF_XDP_FRAME_MAX = 4096 - RTE_CACHE_LINE_SIZE - (int)sizeof(struct rte_mbuf) -
			   RTE_PKTMBUF_HEADROOM - AF_XDP_HEADROOM,
};

static_assert(sizeof(struct rte_mempool_objhdr) <= RTE_CACHE_LINE_SIZE, "an object's header");

static bool is_af_xdp(int fd)
{
	socklen_t len = sizeof(int);
	int domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 && domain == AF_XDP;
}

/* The process's AF_XDP sockets; how many, at most AF_XDP_SOCKETS_MAX. */
static unsigned sockets_find(int *fds)
{
	DIR *dir = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned n = 0;

	while (dir && n < AF_XDP_SOCKETS_MAX && (entry = readdir(dir))) {
		int fd = (int)strtol(entry->d_name, NULL, 10);

		if (entry->d_name[0] != '.' && is_af_xdp(fd))
			fds[n++] = fd;
	}
	if (dir)
		closedir(dir);
	return n;
}

/* The one socket that is there now and was not before; -1: none, or not just one. */
static int socket_new_since(const int *before, unsigned n_before)
{
	int now[AF_XDP_SOCKETS_MAX], found = -1;
	unsigned n_now = sockets_find(now);

	for (unsigned i = 0; i < n_now; i++) {
		bool old = false;

		for (unsigned k = 0; k < n_before; k++)
			old |= now[i] == before[k];
		if (old)
			continue;
		if (found >= 0)
			return -1;
		found = now[i];
	}
	return found;
}

static int interface_read(const char *name, struct port_caps *caps, char *error, size_t len)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;
	struct ifreq ifr = {0};

	if (fd < 0)
		return port_error(error, len, -errno, "%s: no socket to ask the kernel by", name);
	memcpy(ifr.ifr_name, name, strlen(name));
	if (ioctl(fd, SIOCGIFHWADDR, &ifr))
		rc = port_error(error, len, -errno, "%s: %s", name, strerror(errno));
	else if (ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		rc = port_error(error, len, -EINVAL, "%s: is no Ethernet interface", name);
	if (rc == 0) {
		memcpy(caps->mac, ifr.ifr_hwaddr.sa_data, sizeof(caps->mac));
		if (ioctl(fd, SIOCGIFMTU, &ifr))
			rc = port_error(error, len, -errno, "%s: %s", name, strerror(errno));
	}
	if (rc == 0) {
		caps->mtu = (uint16_t)RTE_MIN(ifr.ifr_mtu, AF_XDP_FRAME_MAX - PORT_FRAME_OVERHEAD);
		if (ioctl(fd, SIOCGIFFLAGS, &ifr))
			rc = port_error(error, len, -errno, "%s: %s", name, strerror(errno));
		else if (!(ifr.ifr_flags & IFF_UP))
			rc = port_error(error, len, -ENETDOWN, "%s: the interface is down", name);
	}
	close(fd);
	return rc;
}

/* libxdp would attach a program of its own where it cannot examine the one that is there, and
 * that the kernel lets only CAP_SYS_ADMIN do. */
static int program_check(const char *name, char *error, size_t len)
{
	__u32 id = 0;
	int rc = bpf_xdp_query_id((int)if_nametoindex(name), 0, &id), fd;

	if (rc)
		return port_error(error, len, rc, "%s: cannot ask for its XDP program: %s", name,
				  strerror(-rc));
	if (id == 0)
		return port_error(error, len, -ENOENT, "%s: no XDP program is attached", name);
	fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return port_error(error, len, fd, "%s: cannot join its XDP program%s: %s", name,
				  fd == -EPERM ? " without CAP_SYS_ADMIN" : "", strerror(-fd));
	close(fd);
	return 0;
}

/* To DPDK's log, where it can be asked for: "Another XSK socket was created by a version of libxdp
 * that doesn't support program refcnt" belongs to every good start. */
static int libxdp_log(enum libxdp_print_level level, const char *format, va_list args)
{
	return rte_vlog(RTE_LOG_DEBUG, RTE_LOGTYPE_PMD, format, args);
}

/* Under the first name that no vdev has; each queue that failed to start keeps one. */
static void devargs_write(char *devargs, size_t size, const char *interface, uint16_t queue)
{
	char name[RTE_DEV_NAME_MAX_LEN];
	uint16_t taken;
	unsigned n = 0;

	do {
		snprintf(name, sizeof(name), "net_af_xdp_%s_%u_%u", interface, queue, n++);
	} while (rte_eth_dev_get_port_by_name(name, &taken) == 0);
	snprintf(devargs, size, "%s,iface=%s,start_queue=%u,queue_count=1", name, interface, queue);
}

static int queue_try(struct port *port, const struct port_config *config, uint16_t i, char *error,
		     size_t len)
{
	uint32_t frames = config->frames ? config->frames : AF_XDP_FRAMES;
	int before[AF_XDP_SOCKETS_MAX];
	unsigned n_before = sockets_find(before);
	struct port_queue *q = &port->queues[i];
	char devargs[RTE_DEV_NAME_MAX_LEN + 64];
	int rc;

	rc = port_pool_new(port, i, frames, port->caps.mtu + PORT_FRAME_OVERHEAD + AF_XDP_HEADROOM,
			   RTE_MEMPOOL_F_NO_IOVA_CONTIG | RTE_MEMPOOL_F_NO_SPREAD, error, len);
	if (rc)
		return rc;
	if (q->pool->nb_mem_chunks != 1)
		return port_error(error, len, -ENOMEM,
				  "%s: no memory in one piece for %u buffers of queue %u",
				  config->device, frames, i);
	devargs_write(devargs, sizeof(devargs), config->device, i);
	rc = device_probe(port, devargs, 1, error, len);
	if (rc)
		return rc;
	errno = 0;
	rc = device_start(port, config, port->devices[i], i, 1,
			  config->descriptors ? config->descriptors : AF_XDP_DESCRIPTORS, error,
			  len);
	if (rc) {
		/* The driver tells every failure by one number, but leaves errno as bind() did. */
		if (errno == EBUSY)
			rc = port_error(error, len, -EBUSY, "%s: queue %u has another socket",
					config->device, i);
		/* Left where it is: see the quirks above. */
		port->n_devices--;
		rte_mempool_free(q->pool);
		q->pool = NULL;
		return rc;
	}
	q->wait_fd = socket_new_since(before, n_before);
	return 0;
}

/* The kernel lets go of a queue a little after its last socket was closed. */
static int queue_open(struct port *port, const struct port_config *config, uint16_t i, char *error,
		      size_t len)
{
	struct timespec pause = {.tv_nsec = AF_XDP_RETRY_NS};
	int rc = queue_try(port, config, i, error, len);

	for (unsigned retry = 0; rc == -EBUSY && retry < AF_XDP_RETRIES; retry++) {
		nanosleep(&pause, NULL);
		pause.tv_nsec *= 2;
		rc = queue_try(port, config, i, error, len);
	}
	return rc;
}

static int af_xdp_open(struct port *port, const struct port_config *config, char *error, size_t len)
{
	int rc;

	if (strlen(config->device) >= IFNAMSIZ || strchr(config->device, ','))
		return port_error(error, len, -EINVAL, "%s: not the name of an interface",
				  config->device);
	if (config->frames && config->frames < AF_XDP_FRAMES_MIN)
		return port_error(error, len, -EINVAL, "%s: %u buffers a queue, %d are needed",
				  config->device, config->frames, AF_XDP_FRAMES_MIN);
	rc = interface_read(config->device, &port->caps, error, len);
	if (rc)
		return rc;
	rc = program_check(config->device, error, len);
	if (rc)
		return rc;
	libxdp_set_print(libxdp_log);
	for (uint16_t i = 0; rc == 0 && i < port->n_queues; i++)
		rc = queue_open(port, config, i, error, len);
	port->caps.kernel_shares = true;
	if (rc == 0 && port->n_queues > 1)
		rss_of_interface(&port->caps.rss, config->device, port->n_queues);
	return rc;
}

static void af_xdp_close(struct port *port)
{
	device_close(port);
	for (uint16_t i = 0; i < port->n_queues; i++) {
		int fd = port->queues[i].wait_fd;

		if (fd >= 0 && is_af_xdp(fd))
			close(fd);
	}
}

const struct port_driver port_af_xdp_driver = {
	.open = af_xdp_open,
	.rx = device_rx,
	.tx = device_tx,
	.close = af_xdp_close,
};
