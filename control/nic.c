/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Interface ioctls, as control/nic.h has it.
 *
 * Thread: control. Time: none. Memory: none kept; a socket lives for one call.
 * Rules: channels are combined ones or separate receive ones, and a driver may have both.
 */
#include "control/nic.h"

#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>

#include "control/error.h"

/* One ioctl about one interface; 0 or -errno. */
static int nic_ioctl(const char *ifname, unsigned long request, struct ifreq *ifr)
{
	size_t n = strlen(ifname);
	int fd, err;

	if (n >= sizeof(ifr->ifr_name))
		return -ENODEV;
	memcpy(ifr->ifr_name, ifname, n + 1);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	err = ioctl(fd, request, ifr) < 0 ? -errno : 0;
	close(fd);
	return err;
}

static int nic_channels(const char *ifname, uint32_t command, struct ethtool_channels *channels)
{
	struct ifreq ifr = {.ifr_data = (char *)channels};

	channels->cmd = command;
	return nic_ioctl(ifname, SIOCETHTOOL, &ifr);
}

/* The present channels; a driver without them has one queue. */
static int nic_get_channels(const char *ifname, struct ethtool_channels *channels, char *error,
			    size_t len)
{
	int err;

	memset(channels, 0, sizeof(*channels));
	err = nic_channels(ifname, ETHTOOL_GCHANNELS, channels);
	if (err == -EOPNOTSUPP) {
		channels->rx_count = channels->max_rx = 1;
		return 0;
	}
	if (err)
		return error_set(err, error, len, "%s: cannot read its channels: %s", ifname,
				 strerror(-err));
	return 0;
}

int nic_rx_queues(const char *ifname, uint32_t *queues, char *error, size_t len)
{
	struct ethtool_channels channels;
	int err = nic_get_channels(ifname, &channels, error, len);

	if (err)
		return err;
	*queues = channels.combined_count + channels.rx_count;
	return 0;
}

int nic_max_rx_queues(const char *ifname, uint32_t *queues, char *error, size_t len)
{
	struct ethtool_channels channels;
	int err = nic_get_channels(ifname, &channels, error, len);

	if (err)
		return err;
	*queues = channels.max_combined > channels.max_rx ? channels.max_combined : channels.max_rx;
	return 0;
}

int nic_require_rx_queues(const char *ifname, uint32_t queues, uint32_t *before, char *error,
			  size_t len)
{
	struct ethtool_channels channels;
	uint32_t present;
	int err = nic_get_channels(ifname, &channels, error, len);

	if (err)
		return err;
	*before = present = channels.combined_count + channels.rx_count;
	if (present == queues)
		return 0;
	if (channels.max_combined >= queues) {
		channels.combined_count = queues;
		channels.rx_count = 0;
		if (channels.tx_count + queues > channels.max_combined)
			channels.tx_count = 0;
	} else {
		channels.combined_count = 0;
		channels.rx_count = queues;
	}
	err = queues == 0 ? -EINVAL : nic_channels(ifname, ETHTOOL_SCHANNELS, &channels);
	if (err)
		return error_set(err, error, len,
				 "%s receives on %u queues where %u sockets would listen, and "
				 "cannot be set to that many: %s (`cores` says how many)",
				 ifname, present, queues, strerror(-err));
	return 0;
}

int nic_mac(const char *ifname, uint8_t mac[6], char *error, size_t len)
{
	struct ifreq ifr = {0};
	int err = nic_ioctl(ifname, SIOCGIFHWADDR, &ifr);

	if (err)
		return error_set(err, error, len, "%s: cannot read its link address: %s", ifname,
				 strerror(-err));
	if (ifr.ifr_hwaddr.sa_family != ARPHRD_ETHER)
		return error_set(-EAFNOSUPPORT, error, len, "%s is not an Ethernet interface",
				 ifname);
	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	return 0;
}

int nic_mtu(const char *ifname, uint16_t *mtu, char *error, size_t len)
{
	struct ifreq ifr = {0};
	int err = nic_ioctl(ifname, SIOCGIFMTU, &ifr);

	if (err)
		return error_set(err, error, len, "%s: cannot read its MTU: %s", ifname,
				 strerror(-err));
	if (ifr.ifr_mtu < 0 || ifr.ifr_mtu > UINT16_MAX)
		return error_set(-ERANGE, error, len, "%s has an MTU of %d", ifname, ifr.ifr_mtu);
	*mtu = (uint16_t)ifr.ifr_mtu;
	return 0;
}
