#!/bin/sh
# Run inside the machine: makes an ordinary user, and makes the system's folders read-only, as they are for one.
#
#   user.sh NAME FOLDER...
#
# Each FOLDER stays writable, even inside one of the system's.
set -eu
name=$1
shift

useradd --create-home --user-group "$name"
for folder; do
  mount --rbind "$folder" "$folder"
done
for folder in /usr /etc /opt /var/lib /var/cache; do
  mount --rbind "$folder" "$folder"
  mount -o remount,bind,ro "$folder"
done
