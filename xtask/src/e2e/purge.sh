#!/bin/sh
# Run inside the machine: afterwards it has neither a Redis nor package lists, like a freshly installed Debian.
#
#   purge.sh TOOLS
#
# TOOLS is the folder of our tools, where a Redis may be unpacked.
set -eu
tools=$1

# Nothing here may stop or start a service: those that run belong to the real machine.
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod +x /usr/sbin/policy-rc.d
packages=$(dpkg-query --show --showformat '${binary:Package}\n' 'redis*' 'valkey*' 2>/dev/null || true)
installed=
for package in $packages; do
  if dpkg-query --status "$package" 2>/dev/null | grep -q '^Status: .* installed$'; then
    installed="$installed $package"
  fi
done
[ -z "$installed" ] || dpkg --purge --force-depends $installed
# Its libraries have to be fetched as well, unless another package needs them.
for library in libjemalloc2 liblzf1 liblua5.1-0; do
  dpkg --purge "$library" >/dev/null 2>&1 || true
done
rm /usr/sbin/policy-rc.d

for program in redis-server valkey-server; do
  while path=$(command -v "$program"); do rm "$path"; done
done
rm -rf /var/lib/apt/lists/* "$tools/redis" "$tools/bin/redis-server"
