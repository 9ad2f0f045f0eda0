#!/bin/sh
# Fetches the distribution's Redis, or Valkey, with those of its libraries that this machine lacks. Any user may run it,
# and nothing of the system changes.
#
#   redis.sh MANAGER TOOLS
#
# MANAGER is apt or dnf. The packages are unpacked to TOOLS/redis, and TOOLS/bin/redis-server runs their server.
set -eu
manager=$1
mkdir -p "$2/bin"
tools=$(cd "$2" && pwd)

# Everything happens in a folder that is deleted however this ends. What is complete is moved out of it.
work=$(mktemp -d "$tools/redis-fetch.XXXXXX")
finish() {
  status=$?
  rm -rf "$work"
  if [ $status -ne 0 ]; then
    echo "Redis was not fetched. Install redis-server or valkey-server, or set REDIS_URL to a running one." >&2
  fi
}
trap finish EXIT
trap 'exit 130' HUP INT TERM
mkdir "$work/archives" "$work/bin" "$work/redis"

# limited COMMAND...: the command, ended after five minutes. A network that swallows everything is silent for ever.
limited() {
  timeout --foreground 300 "$@"
}

# Downloads into archives/ with lists and a cache of our own. Which packages are installed is read from the system.
download_with_apt() {
  mkdir -p "$work/lists/partial" "$work/archives/partial"
  cat >"$work/apt.conf" <<END
Dir::State "$work";
Dir::State::lists "$work/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$work";
Dir::Cache::archives "$work/archives";
// Locks are for the system's folders, and the account that root downloads with may not be able to reach ours.
Debug::NoLocking "true";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
// Hooks tell other programs of the system that its lists have changed; these are not its.
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
END
  echo "Reading the package lists of this distribution" >&2
  # A third party's source may be out of reach, and Redis comes from the distribution.
  limited apt-get -qq -c "$work/apt.conf" update >&2 || echo "Some lists are missing; going on with the others" >&2
  for name in redis valkey; do
    if apt-cache -c "$work/apt.conf" show "$name-server" >/dev/null 2>&1; then
      echo "Downloading $name-server and what it needs" >&2
      # The server may be a link to a program in the tools, and these may be installed; hence --reinstall.
      limited apt-get -qq -c "$work/apt.conf" install --download-only --yes --no-install-recommends --reinstall \
        "$name-server" "$name-tools" >&2
      return
    fi
  done
  echo "The package lists have neither redis-server nor valkey-server" >&2
  return 1
}

download_with_dnf() {
  for name in valkey redis; do
    echo "Downloading $name and what it needs" >&2
    if limited dnf download --quiet --resolve --destdir "$work/archives" --setopt="cachedir=$work/cache" "$name" >&2; then
      return
    fi
  done
  return 1
}

"download_with_$manager"
cd "$work/redis"
for archive in "$work"/archives/*.deb "$work"/archives/*.rpm; do
  case $archive in
    *'*'*) continue ;;
    *.deb) dpkg-deb --extract "$archive" . ;;
    *.rpm) rpm2cpio "$archive" | cpio --extract --make-directories --quiet ;;
  esac
  echo "Unpacked ${archive##*/}" >&2
done

server=$(find usr/bin -name redis-server -o -name valkey-server | head -n 1)
[ -n "$server" ] || { echo "The packages hold no server" >&2; exit 1; }
# The folders of libraries, with colons between them. An empty entry would be the current folder.
libraries=$(find . -name '*.so*' | sed 's|^\.\(.*\)/[^/]*$|$redis\1|' | sort -u | paste -s -d :)
[ -n "$libraries" ] || libraries='$redis/usr/lib'
cat >"$work/bin/redis-server" <<END
#!/bin/sh
# Runs the server that was unpacked beside this folder, with the libraries that came with it.
redis=\${0%/*}/../redis
export LD_LIBRARY_PATH="$libraries\${LD_LIBRARY_PATH:+:\$LD_LIBRARY_PATH}"
exec "\$redis/$server" "\$@"
END
chmod +x "$work/bin/redis-server"
"$work/bin/redis-server" --version >&2

rm -rf "$tools/redis"
mv "$work/redis" "$tools/redis"
mv "$work/bin/redis-server" "$tools/bin/redis-server"
