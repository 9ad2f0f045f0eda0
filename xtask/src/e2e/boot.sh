#!/bin/sh
# Makes another machine out of this one, in a mount namespace of its own: the same files, on a layer that takes every
# change and is thrown away. Says "ready" and sleeps; killing it ends the machine.
#
#   boot.sh SCRATCH PATH...
#
# SCRATCH is a folder for the layers. Each PATH is a folder that must be there too even where it is on another file
# system than /, which the layer over / does not show.
set -eu
scratch=$1
shift
root=$scratch/root

# layer NAME LOWER WHERE: LOWER, copied on write, at WHERE.
layer() {
  mkdir -p "$scratch/$1/upper" "$scratch/$1/work" "$3"
  mount -t overlay overlay -o "lowerdir=$2,upperdir=$scratch/$1/upper,workdir=$scratch/$1/work" "$3"
}

# Where / is an overlay already, as in a container, layers of ours cannot lie on it; memory can hold them.
layer system / "$root" || {
  mount -t tmpfs tmpfs "$scratch"
  layer system / "$root"
}
count=0
for path; do
  if [ "$(stat -c %d "$path")" != "$(stat -c %d /)" ]; then
    count=$((count + 1))
    layer "extra$count" "$path" "$root$path"
  fi
done

for path in /proc /sys /dev; do
  mount --rbind "$path" "$root$path"
done
# What runs on the real machine leaves its process numbers and sockets in /run; resolv.conf may be a link into it.
cp -L /etc/resolv.conf "$scratch/resolv.conf"
mount -t tmpfs tmpfs "$root/run"
rm -f "$root/etc/resolv.conf"
cp "$scratch/resolv.conf" "$root/etc/resolv.conf"

echo ready
exec chroot "$root" sleep infinity
