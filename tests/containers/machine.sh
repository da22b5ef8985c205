#!/usr/bin/env bash
# The first process of the machine that .ci/containers starts in new namespaces: it becomes dockerd, with the Debian in $1
# as its root. The checkout $2 has the same path inside, because Compose gives the daemon absolute paths.
set -euo pipefail
machine=$1 checkout=$2 var=$3

mount --bind "$machine" "$machine" # runc's pivot_root needs a root that is a mount
mkdir -p "$machine$checkout"
mount --bind "$checkout" "$machine$checkout"
mount -t proc proc "$machine/proc"
mount --rbind /sys "$machine/sys"
mount --rbind /dev "$machine/dev"
mount -t tmpfs tmpfs "$machine/run"
mount -t tmpfs tmpfs "$machine/tmp"
ip link set lo up
cd "$machine"
pivot_root . mnt
umount --lazy /mnt
exec docker-init -- dockerd --data-root "$var/docker" --storage-driver overlay2 --cgroup-parent /backroom-containers
