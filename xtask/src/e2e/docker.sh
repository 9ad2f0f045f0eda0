#!/bin/sh
# A Docker daemon that touches nothing of this machine's: run it with mounts, network and process numbers of its own.
# Says "ready" and the number under which the machine knows this process; ends, and everything in here with it, when its
# standard input does.
#
#   docker.sh SCRATCH
#
# SCRATCH is a folder for images and containers.
set -eu
scratch=$1

# /proc is still the machine's.
read -r number _ </proc/self/stat
mount -t proc proc /proc
# The daemon's socket is where clients look for it, and so is nobody else's.
mount -t tmpfs tmpfs /run
if [ ! -L /var/run ]; then mount --bind /run /var/run; fi
ip link set lo up

# Containers are to reach the bridge alone, which takes no firewall; and copies of folders work on any file system.
dockerd --data-root "$scratch/docker" --exec-root /run/docker --pidfile /run/docker.pid --host unix:///run/docker.sock \
  --iptables=false --ip6tables=false --storage-driver vfs >"$scratch/dockerd.log" 2>&1 &
daemon=$!
count=0
until docker version >/dev/null 2>&1; do
  count=$((count + 1))
  if [ $count -gt 150 ] || ! kill -0 $daemon 2>/dev/null; then
    tail -n 3 "$scratch/dockerd.log" >&2
    exit 1
  fi
  sleep 0.2
done
echo "ready $number"
cat >/dev/null
