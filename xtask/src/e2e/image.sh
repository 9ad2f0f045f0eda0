#!/bin/sh
# An image in the place of AWS's, which would have to be downloaded: the C library of this machine, what programs expect
# around them, and the emulator where the SAM CLI puts it.
#
#   image.sh FOLDER TAG EMULATOR PROGRAM...
#
# FOLDER is made and filled. The image holds the libraries that each PROGRAM is linked with.
set -eu
folder=$1 tag=$2 emulator=$3
shift 3

mkdir -p "$folder/tmp" "$folder/var/task" "$folder/var/rapid" "$folder/etc/ssl/certs" "$folder/opt"
chmod 1777 "$folder/tmp"
cp "$emulator" "$folder/var/rapid/aws-lambda-rie"
chmod 755 "$folder/var/rapid/aws-lambda-rie"
echo 'root:x:0:0:root:/root:/bin/sh' >"$folder/etc/passwd"
cp -L /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/" 2>/dev/null || true
for program; do ldd "$program"; done | grep -o '/[^ ]*' | sort -u | while read -r library; do
  mkdir -p "$folder$(dirname "$library")"
  cp -L "$library" "$folder$library"
done
tar -C "$folder" -c . | docker import - "$tag"
